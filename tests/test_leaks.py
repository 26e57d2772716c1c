# SPDX-License-Identifier: GPL-2.0-only
"""The check that follows each test module: it names the module and what it left, and only what is this run's own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests import leaks

ROOT = Path(__file__).parents[1]
MODULE = "import os, socket, subprocess, sys, tempfile\nfrom pathlib import Path\n\ndef test_it(tmp_path):\n    "
CONFTEST = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from tests import leaks
leaks.PATIENCE_S = 0.2
pytest_plugins = ["tests.isolation"]
"""
ORPHAN = "import subprocess; subprocess.Popen(['sleep', '1002'], stdout=-3, stderr=-3, start_new_session=True)"
#: By module: what its test does, and what is said of it.
LEFT = {
    "child": ("sys.kept = subprocess.Popen(['sleep', '1001'])", r"process \d+ .*: sleep 1001"),
    "orphan": (f"subprocess.run([sys.executable, '-c', {ORPHAN!r}], check=True)", r"process \d+ .*: sleep 1002"),
    "nameless": ("sys.kept = subprocess.Popen(['/bin/sleep', '1003'], env={})", r"process \d+ .*: /bin/sleep 1003"),
    "socket": ("sys.kept = socket.create_server(('127.0.0.1', 0))", r"socket:.*127\.0\.0\.1.*LISTEN"),
    "temporary": ("tempfile.mkdtemp(prefix='some-job.')", r"/tmp/some-job\.\w+/"),
    "home": ("(Path.home() / '.something').touch()", r"/home/\.something"),
    "mount": ("subprocess.run(['mount', '-t', 'tmpfs', 'none', str(tmp_path)], check=True)", r"mount /.* \(tmpfs\)"),
    "nothing": ("subprocess.run(['true'], check=True); (tmp_path / 'file').touch(); socket.socket().close()", ""),
}


def _run(pytester: pytest.Pytester, modules: dict[str, str], *before: str) -> subprocess.CompletedProcess[str]:
    """A run of pytest with nothing but the check."""
    pytester.makeconftest(CONFTEST)
    pytester.makepyfile(**{f"test_{name}": MODULE + body for name, body in modules.items()})
    words = [*before, sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--basetemp", "base"]
    environment = {**os.environ, "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    return subprocess.run(
        words, cwd=pytester.path, env=environment, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
    )


def test_what_is_left_fails_its_module_by_name(pytester: pytest.Pytester) -> None:
    done = _run(pytester, {name: body for name, (body, _) in LEFT.items()}, "unshare", "-Urm")
    assert done.returncode == 1, done.stdout + done.stderr
    said = dict(re.findall(r"^test_(\w+)\.py leaves behind:\n((?:  .*\n)+)", done.stdout, re.MULTILINE))
    assert said.keys() == LEFT.keys() - {"nothing"}, done.stdout
    for name, line in said.items():
        assert re.search(LEFT[name][1], line), line
        assert line.count("\n") == 1, "what a module before has left is not this one's"
    assert f"{len(LEFT)} passed, {len(said)} errors" in done.stdout
    assert not [process for process in leaks.processes("no-such-word") if "sleep" in process.name()], "they were ended"


def test_what_others_do_meanwhile_is_theirs(tmp_path: Path) -> None:
    """The watching process's own descendants count; with a file of another process, nothing does."""
    (tmp_path / "own").mkdir()
    watch = leaks.Watch("no-such-word", (tmp_path / "own",), tmp_path)
    (tmp_path / "other").touch()
    assert watch.left() == []
    with subprocess.Popen(["sleep", "1000"]) as child:
        left = watch.left(0)
        child.kill()
    assert [line.rpartition(": ")[2] for line in left] == ["sleep 1000"]
    assert watch.left() == []


def test_a_run_that_inherits_ignored_signals_has_them(pytester: pytest.Pytester) -> None:
    """As a background job of a shell without job control; the suite's programs are sent these signals."""
    code = "import signal; print([signal.getsignal(n).name for n in (2, 3, 15) if signal.getsignal(n) == 1])"
    body = f"assert subprocess.run([sys.executable, '-c', {code!r}], capture_output=True).stdout == b'[]\\n'"
    shell = ("sh", "-c", "trap '' INT QUIT TERM; exec \"$@\"", "sh")
    done = _run(pytester, {"signals": body}, *shell)
    assert done.returncode == 0, done.stdout
