# SPDX-License-Identifier: GPL-2.0-only
"""SIGTERM and SIGINT end a service whatever it does, and nothing is left."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from damon.damond import watchdog
from damon.damond.watchdog import Watchdog, waited_s
from tests.damond.conftest import WORKLOAD, Damond
from tests.waiting import HANG_S

#: A module that hangs in ``{where}``, after it has made the file ``{there}``.
MODULE = """\
import threading
from pathlib import Path
from damon.modules.module import Module
from damon.modules.params import Parameters

class Stuck(Module):
    name, description = "stuck", "hangs"
    parameters = Parameters([])

    @classmethod
    def specs(cls): return []
    def needs(self): return "paddr", ("stat",)
    def init(self): self.hang("init")
    def exit(self): self.hang("exit")

    def hang(self, where):
        if where == {where!r}:
            Path({there!r}).touch()
            {how}

MODULE = Stuck
"""


@pytest.mark.parametrize(
    ("number", "where", "how"),
    [
        (signal.SIGTERM, "init", "threading.Event().wait()"),
        (signal.SIGINT, "exit", "threading.Event().wait()"),
        pytest.param(signal.SIGTERM, "exit", "while True: pass", marks=pytest.mark.long),
    ],
)
def test_it_ends_whatever_hangs(
    start: Callable[..., Damond], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, where: str, how: str
) -> None:
    there = tmp_path / "there"
    (tmp_path / "modules/stuck").mkdir(parents=True)
    (tmp_path / "modules/stuck/__init__.py").write_text(MODULE.format(where=where, there=str(there), how=how))
    monkeypatch.setenv("DAMON_MODULES_PATH", str(tmp_path / "modules"))
    damond = start("--sim", str(WORKLOAD)).wait()
    shown = damond.status()["processes"][0]["pid"]
    command = [sys.executable, "-m", "damon.cli.main", "modprobe", "stuck"]
    with subprocess.Popen(command, env=damond.environment, stderr=subprocess.PIPE, text=True) as client:
        if where == "init":
            deadline = time.monotonic() + HANG_S
            while not there.exists():
                assert time.monotonic() < deadline
                time.sleep(0.01)
        else:
            assert client.wait(HANG_S) == 0
        assert damond.end(number) == 1
        _, err = client.communicate(timeout=HANG_S)
    assert there.exists()
    if where == "init":
        assert (client.returncode, err.count("\n")) == (1, 1)
        assert "ended before it answered modprobe" in err
    assert "ending takes longer than 4 s" in damond.log.read_text()
    assert not os.path.ismount(damond.mount)
    assert not damond.mount.exists()
    assert list(damond.runtime.iterdir()) == []
    deadline = time.monotonic() + HANG_S
    while Path(f"/proc/{shown}").exists():  # it ends by itself, when our end of its input is gone
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_an_orderly_end_is_no_business_of_it(start: Callable[..., Damond]) -> None:
    damond = start().wait()
    assert damond.end() == 0
    assert "ending takes longer" not in damond.log.read_text()


class _Left:
    """Left after ``waits`` waits, whose lengths it keeps."""

    def __init__(self, waits: int) -> None:
        self.waits, self.seconds = waits, list[float]()

    def wait(self, seconds: float) -> bool:
        self.seconds.append(seconds)
        return len(self.seconds) >= self.waits


@pytest.mark.parametrize(
    ("delays", "waits", "in_time", "seconds"),
    [
        ([0.0, 0.0], 1, True, [4.0]),
        ([0.0, 0.0], 2, False, [4.0]),  # nothing waited for a processor: it hangs
        ([0.0, 3.0, 4.5], 3, True, [4.0, 3.0, 1.5]),
        ([0.0, 3.0, 3.01], 3, False, [4.0, 3.0]),
        ([0.0, 30.0, 60.0, 90.0], 9, False, [4.0, 30.0, 30.0]),  # a busy loop on a busy machine
    ],
)
def test_waiting_for_a_processor_does_not_count(
    delays: list[float], waits: int, in_time: bool, seconds: list[float], monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter(5.0 + delay for delay in delays)
    monkeypatch.setattr(watchdog, "waited_s", lambda: next(answers))
    one = Watchdog(lambda: None)
    left = _Left(waits)
    monkeypatch.setattr(one, "_left", left)
    assert one._left_in_time() is in_time
    assert left.seconds == seconds


@pytest.mark.parametrize(("pressure", "seconds"), [("some avg10=0.00 total=7500000\nfull total=0\n", 8.0), (None, 3.0)])
def test_all_processes_count_and_so_does_the_hypervisor(
    pressure: str | None, seconds: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """``seconds`` is 0.5 s of steal and 7.5 s of pressure, or 2.5 s of the two threads that still run."""
    ticks = os.sysconf("SC_CLK_TCK") // 2
    (tmp_path / "proc/self/task/1").mkdir(parents=True)
    (tmp_path / "proc/self/task/2").mkdir()
    (tmp_path / "proc/self/task/3").mkdir()  # has ended in between
    (tmp_path / "proc/self/task/1/schedstat").write_text("100 2000000000 3\n")
    (tmp_path / "proc/self/task/2/schedstat").write_text("100 500000000 3\n")
    (tmp_path / "proc/stat").write_text(f"cpu  1 2 3 4 5 6 7 {ticks} 9 10\ncpu0 1 2 3 4 5 6 7 8 9 10\n")
    if pressure is not None:
        (tmp_path / "proc/pressure").mkdir()
        (tmp_path / "proc/pressure/cpu").write_text(pressure)
    monkeypatch.setattr(watchdog, "Path", lambda path: tmp_path / path.lstrip("/"))
    assert waited_s() == pytest.approx(seconds)
