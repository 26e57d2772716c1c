# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C at any point of a command's life: the exit code shows it, and nothing else is printed or left.

Points are dictated, not timed: the signal is raised when the n-th module is imported, or a named function is entered.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.cli.conftest import SMALL
from tests.command.entry import words

#: Raises SIGINT when one of the modules number ``at`` is looked for, in a child; its files are moved to the directory
#: of that name. Not where a child would lack threads, or share files that are written. An empty ``at`` only counts.
HOOK = """\
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
first = set(os.listdir())
class Hook:
    count = 0
    def find_spec(self, name, path=None, target=None):
        Hook.count += 1
        number = Hook.count
        if number not in {at} or len(os.listdir("/proc/self/task")) > 1 or set(os.listdir()) != first:
            return
        if child := os.fork():
            _, status = os.waitpid(child, 0)
            for left in set(os.listdir()) - first:
                os.rename(left, f"{{number}}/{{left}}")
            with open(f"{{number}}/code", "w") as file:
                file.write(str(os.waitstatus_to_exitcode(status)))
            return
        Hook.count = 1 << 32
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{{number}}/{{name}}", os.O_WRONLY | os.O_CREAT), descriptor)
        signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Hook())
if not {at}:
    import atexit
    atexit.register(lambda: print(Hook.count, file=open("count", "w")))
"""
#: The same for one module, in the process itself.
HOOK_HERE = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
class Hook:
    count = 0
    def find_spec(self, name, path=None, target=None):
        Hook.count += 1
        if Hook.count == {at}:
            signal.raise_signal(signal.SIGINT)
sys.meta_path.insert(0, Hook())
"""
#: Raises SIGINT when Python enters ``function``.
ENTERS = """\
import signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
def look(frame, event, argument):
    if event == "call" and frame.f_code.co_qualname == {function!r}:
        sys.setprofile(None)
        signal.raise_signal(signal.SIGINT)
sys.setprofile(look)
"""
ENTRIES = {
    "damon": "damon.command:damon run --module reclaim --sim small.yaml --duration 0.1 --json result.json",
    "record": "damon.command:damon record --sim small.yaml --duration 0.5 -o data",
    "modinfo": "damon.command:damon modinfo reclaim",
    "damond": "damon.command:damond --help",
    "workload": "damon.command:damon_workload small.yaml --print-plan",
    "vmtest": "vmtest.command:vmtest kernels",
    "kconfig": "vmtest.command:vmtest kconfig --feature page_idle",
}


def _run(tmp_path: Path, prelude: str, command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    (tmp_path / "small.yaml").write_text(SMALL)
    return subprocess.run(
        words(command, prelude), cwd=tmp_path, capture_output=True, text=True, check=False,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "XDG_CACHE_HOME": str(tmp_path)} | environment,
    )  # fmt: skip


def _left(tmp_path: Path) -> list[str]:
    ours = ("small.yaml", "count", "pydamon", "code", "out", "err")
    return sorted(path.name for path in tmp_path.iterdir() if path.name not in ours)


@pytest.mark.parametrize("name", ENTRIES)
def test_while_modules_are_imported(tmp_path: Path, name: str) -> None:
    """At the first import, and at some up to the last. The command's own module is number 1: before that comes
    what Python does by itself."""
    whole = _run(tmp_path, HOOK.format(at=[]), ENTRIES[name])
    assert whole.returncode == 0
    count = int((tmp_path / "count").read_text())
    files = _left(tmp_path)
    for left in files:
        (tmp_path / left).unlink()
    assert count > 20
    first = 4  # the package, damon.command, and what that imports
    points = sorted({first, *range(first, count, max(count // 7, 1)), count})
    for at in points:
        (tmp_path / str(at)).mkdir()
    assert _run(tmp_path, HOOK.format(at=points), ENTRIES[name]).returncode == 0
    for left in files:
        (tmp_path / left).unlink()
    interrupted = 0
    for at in points:
        directory = tmp_path / str(at)
        if (directory / "code").exists():
            code, out, err = ((directory / part).read_text() for part in ("code", "out", "err"))
        else:
            done = _run(directory, HOOK_HERE.format(at=at), ENTRIES[name])
            code, out, err = str(done.returncode), done.stdout, done.stderr
        said = [line for line in err.splitlines() if line != "vmtest: interrupted; nothing is left behind"]
        if code == "0":  # what ran ended whole, or had ended
            assert (_left(directory), bool(out)) == (files, bool(whole.stdout))
        else:
            assert (code, said) == ("130", []), f"at import {at} of {count}"
            assert _left(directory) == []
            interrupted += 1
    assert interrupted >= len(points) // 2


@pytest.mark.parametrize(
    ("function", "code"),
    [
        ("_open_descriptors", 130),
        ("parser", 130),
        ("load_workload", 130),
        ("SimulatedMachine.__init__", 130),
        ("prepare_modules", 130),
        ("Session.loop", 0),
        ("Session.end", 0),
        ("_report", 0),
        ("write_json", 0),
        ("_replace", 0),
        ("print_summary", 0),
        ("SimulatedMachine.close", 0),
    ],
)
def test_a_run_ends_whole_or_leaves_nothing(tmp_path: Path, function: str, code: int) -> None:
    done = _run(tmp_path, ENTERS.format(function=function), ENTRIES["damon"])
    assert (done.returncode, done.stderr) == (code, "")
    if code:
        assert _left(tmp_path) == []
    else:
        assert _left(tmp_path) == ["result.json"]
        assert json.loads((tmp_path / "result.json").read_text())["error"] is None


@pytest.mark.parametrize("function", ["Instance.__init__", "Service._prepare", "Mount.open", "Service.run"])
def test_damond_interrupted_while_it_starts_leaves_as_it_came(tmp_path: Path, function: str) -> None:
    if not os.access("/dev/fuse", os.R_OK | os.W_OK):
        pytest.skip("/dev/fuse can't be opened here")
    command = f"damon.command:damond --sim small.yaml --mount {tmp_path}/sys --log-level err"
    done = _run(tmp_path, ENTERS.format(function=function), command, RUNTIME_DIRECTORY=str(tmp_path / "run"))
    assert (done.returncode, done.stderr) == (0, "")
    assert not (tmp_path / "sys").exists()
    assert [path.name for path in (tmp_path / "run").glob("*.lock")] == []


@pytest.mark.parametrize("form", ["", " --json"])
@pytest.mark.parametrize("function", ["Popen.__init__", "Popen._execute_child", "_plan", "compile_plan", "_perform"])
def test_a_workload_that_is_interrupted_while_it_starts(tmp_path: Path, function: str, form: str) -> None:
    """Before the program is there nothing is left; from then on it ends as it does by Ctrl-C."""
    command = f"damon.command:damon_workload small.yaml{form}"
    if form and function.startswith("Popen"):
        pytest.skip("with --json the program takes this process's place")
    done = _run(tmp_path, ENTERS.format(function=function), command)
    assert done.stderr == ""
    if function.startswith("Popen"):
        assert done.returncode == 0
        assert " ended after " in done.stdout
    else:
        assert (done.returncode, done.stdout) == (130, "")
