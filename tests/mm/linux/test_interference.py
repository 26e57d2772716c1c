# SPDX-License-Identifier: GPL-2.0-only
"""Others who use accessed bits, on a system that the test dictates."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from damon.errors import MissingCapability
from damon.mm.linux import LinuxMachine
from damon.mm.linux.capabilities import BITMAP
from damon.mm.linux.interference import bitmap_readers, kernel_damon, others, warn
from tests.files import lay


@pytest.fixture
def system(tmp_path: Path) -> tuple[Path, Path]:
    """proc and sys of a system whose DAMON is off, with one process."""
    proc, sys = tmp_path / "proc", tmp_path / "sys"
    kdamonds = sys / "kernel/mm/damon/admin/kdamonds"
    lay(kdamonds, {"nr_kdamonds": "2\n", "0/state": "off\n", "0/pid": "-1\n", "1/state": "off\n", "1/pid": "-1\n"})
    modules = {"damon_reclaim/parameters/kdamond_pid": "-1\n", "other/parameters/enabled": "Y\n"}
    lay(sys / "module", {**modules, **{f"damon_{name}/parameters/enabled": "N\n" for name in ("reclaim", "stat")}})
    _process(proc, 7, "tool", "/dev/null")
    return proc, sys


def _process(proc: Path, pid: int, comm: str, *opened: str) -> None:
    lay(proc / str(pid), {"comm": f"{comm}\n", "fd/": ""})
    for number, target in enumerate(opened):
        (proc / f"{pid}/fd/{number}").symlink_to(target)


def test_nobody(system: tuple[Path, Path], caplog: pytest.LogCaptureFixture) -> None:
    assert others(*system, 1) == []
    warn(*system, 1)
    assert caplog.text == ""


def test_none_of_it_is_there(tmp_path: Path) -> None:
    assert others(tmp_path, tmp_path, 1) == []


def test_the_kernels_own(system: tuple[Path, Path]) -> None:
    _, sys = system
    lay(sys / "kernel/mm/damon/admin/kdamonds/1", {"state": "on\n", "pid": "66\n"})
    lay(sys / "module", {"damon_stat/parameters/enabled": "Y\n", "damon_reclaim/parameters/kdamond_pid": "77\n"})
    assert kernel_damon(sys) == [
        f"kdamond 1 of {sys}/kernel/mm/damon (process 66)",
        "the kernel's module damon_reclaim (process 77)",
        "the kernel's module damon_stat",
    ]


def test_another_reader_of_the_bitmap(system: tuple[Path, Path]) -> None:
    proc, _ = system
    _process(proc, 8, "damond", "/dev/null", "/sys/kernel/mm/page_idle/bitmap", "/sys/kernel/mm/page_idle/bitmap")
    _process(proc, 9, "self", "/sys/kernel/mm/page_idle/bitmap")
    (proc / "10").mkdir()  # its descriptors are not for us
    assert bitmap_readers(proc, 9) == ["process 8 (damond), which has the idle bitmap open"]


def test_a_machine_says_it_once_in_one_line(
    system: tuple[Path, Path], caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]
) -> None:
    proc, sys = system
    lay(sys / "module/damon_stat/parameters", {"enabled": "Y\n", "kdamond_pid": "5\n"})
    _process(proc, 8, "damond", "/sys/kernel/mm/page_idle/bitmap")
    (proc / "kpageflags").touch()
    (sys / BITMAP).parent.mkdir(parents=True)
    with pytest.raises(MissingCapability):  # nothing begins: nothing is said
        LinuxMachine(proc=proc, sys=sys).files()
    assert caplog.records == []
    (sys / BITMAP).touch()
    machine = LinuxMachine(proc=proc, sys=sys)
    machine.files()
    machine.files()
    machine.close()
    (record,) = caplog.records
    said = record.getMessage()
    assert (record.name, record.levelno, said.count("\n")) == ("damon.linux", logging.WARNING, 0)
    assert "the kernel's module damon_stat (process 5); process 8 (damond), which has the idle bitmap open: " in said
