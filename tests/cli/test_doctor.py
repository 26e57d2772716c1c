# SPDX-License-Identifier: GPL-2.0-only
"""``damon doctor`` on systems that the tests dictate, and on this one."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from damon.cli.doctor import VMTEST, Host, examine, run
from damon.errors import InvalidInput, MissingCapability
from damon.mm.linux.capabilities import BITMAP, Capabilities
from tests.files import lay

ALL = 0xFFFFFFFFFFFFFFFF


def _capabilities(answer: bool) -> Callable[[Path, Path], Capabilities]:
    """As of a kernel that has all of the system calls, or none."""

    def rwp() -> None:
        if not answer:
            raise MissingCapability("rwp: userfaultfd(2): there is none; boot another kernel")

    def there() -> bool:
        return answer

    return lambda proc, sys: Capabilities(proc, sys, there, there, there, rwp)


@pytest.fixture
def bare(tmp_path: Path) -> Host:
    """A system with nothing."""
    lay(tmp_path, {"proc/": "", "sys/": "", "dev/": ""})

    def load(name: str) -> object:
        raise ImportError("libdamon.so is for another machine")

    return Host(
        tmp_path / "proc", tmp_path / "sys", tmp_path / "dev", uid=1000, machine="x86_64",
        which=lambda name: None, module_there=lambda name: False, load=load, capabilities=_capabilities(False),
    )  # fmt: skip


@pytest.fixture
def full(bare: Host) -> Host:
    """One with everything but page frame numbers, which are this kernel's to show."""
    status, swaps = (
        f"Name:\tx\nCapEff:\t{ALL:016x}\n",
        "Filename Type Size Used Priority\n/dev/zram0 partition 524284 0 -2\n",
    )
    lay(bare.proc, {"self/status": status, "kpageflags": "", "self/pagemap": "", "iomem": "", "swaps": swaps})
    lay(bare.sys, {BITMAP: "", "kernel/mm/damon/admin/": ""})
    lay(bare.dev, {"fuse": "", "kvm": ""})
    return replace(
        bare, uid=0, which=lambda name: f"/usr/bin/{name}", module_there=lambda name: True, load=lambda name: None,
        capabilities=_capabilities(True),
    )  # fmt: skip


def _by_name(host: Host) -> dict[str, Any]:
    return {check.name: check for check in examine(host)}


def test_what_is_missing_has_a_remedy(bare: Host) -> None:
    checks = _by_name(bare)
    assert [name for name, check in checks.items() if check.ok] == ["undisturbed"]
    for name, check in checks.items():
        assert check.ok or (check.state and check.remedy), name
        assert "\n" not in check.state + check.remedy
    assert "libdamon.so is for another machine" in checks["simulate"].state
    assert "fuse" in checks["serve"].state
    assert checks["guests"].state == f"packages: {', '.join(('vmtest', *VMTEST))}: are not installed"


def test_all_is_there(full: Host) -> None:
    checks = _by_name(full)
    missing = {name: check.state for name, check in checks.items() if not check.ok}
    assert list(missing) == ["pagemap"]
    assert checks["guests"].state == f"/usr/bin/qemu-system-x86_64; {full.dev}/kvm can be opened"
    assert checks["kernel_damon"].state == "sysfs; off"


def test_partly(full: Host) -> None:
    assert "fusermount3" in _by_name(replace(full, uid=1, which=lambda name: None))["serve"].state
    assert _by_name(replace(full, uid=1))["serve"].state.endswith("/usr/bin/fusermount3")
    (full.dev / "kvm").unlink()
    assert "emulated" in _by_name(replace(full, machine="aarch64"))["guests"].state
    assert "paramiko" in _by_name(replace(full, module_there=lambda name: name != "paramiko"))["guests"].state
    (full.proc / "self/status").write_text("CapEff:\t0\n")
    checks = _by_name(full)
    assert [name for name in ("exec", "process_madvise", "ptrace", "move_pages") if checks[name].ok] == []
    (full.proc / "swaps").write_text("Filename Type Size Used Priority\n")
    assert "swapon" in _by_name(full)["swap"].remedy
    state = full.sys / "kernel/mm/damon/admin/kdamonds/0/state"
    state.parent.mkdir(parents=True)
    state.write_text("on\n")
    checks = _by_name(full)
    assert "active: kdamond 0" in checks["kernel_damon"].state
    assert not checks["undisturbed"].ok


def _run(
    host: Host, capsys: pytest.CaptureFixture[str], require: str = "", as_json: bool = True
) -> tuple[int, str, str]:
    code = run(argparse.Namespace(json=as_json, require=require), host)
    said = capsys.readouterr()
    return code, said.out, said.err


def test_exit_codes_and_json(full: Host, bare: Host, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = _run(full, capsys)
    assert (code, err, json.loads(out)["ok"]) == (0, "", True)
    code, out, err = _run(full, capsys, "serve,guests,swap")
    assert (code, err) == (0, "")
    code, out, err = _run(full, capsys, "serve,pagemap")
    assert (code, err.count("\n"), json.loads(out)["missing"]) == (3, 1, ["pagemap"])
    assert {"name", "what", "ok", "state", "remedy"} == set(json.loads(out)["checks"][0])
    code, out, err = _run(bare, capsys)
    assert (code, json.loads(out)["missing"]) == (3, ["simulate"])
    code, out, err = _run(bare, capsys, as_json=False)
    assert code == 3
    assert "guests: pip install 'pydamon[vmtest]'" in out
    with pytest.raises(InvalidInput, match="--require: 'nonsense': is not a check; give some of simulate, serve"):
        run(argparse.Namespace(json=False, require="serve,nonsense"), full)


def test_nothing_is_written(full: Host, tmp_path: Path) -> None:
    def picture() -> dict[str, tuple[int, bytes]]:
        files = (path for path in tmp_path.rglob("*") if path.is_file())
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in files}

    before = picture()
    examine(full)
    assert picture() == before


def test_on_this_machine_the_harness_is_not_imported() -> None:
    script = (
        "import sys; from damon.cli.main import main; code = main(['doctor', '--json']); "
        "assert not [name for name in sys.modules if name.split('.')[0] == 'vmtest']; sys.exit(code)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False, timeout=600)
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout)["ok"]
