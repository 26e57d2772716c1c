# SPDX-License-Identifier: GPL-2.0-only
"""Where a workload is in physical memory, and what is beside it: how that is looked up and measured."""

from __future__ import annotations

import itertools
import math
import os
import sys
import threading
import zlib
from array import array
from collections.abc import Callable, Iterable
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import psutil
import pytest

from damon.cli import watching as watching_process
from damon.cli.placed import PlacedWorkload, rows
from damon.errors import MissingCapability
from damon.mm.clock import RealClock
from damon.mm.frames import FrameRun
from damon.mm.linux import LinuxMachine, beside
from damon.mm.linux.beside import LATE_ROUNDS, Pace, Using, rate, runs, sleeps_late_ns
from damon.results.frames import Frames
from damon.workload.performed import Report
from damon.workload.quantities import PAGE
from tests.page_flags import KPF_BUDDY, KPF_LRU, KPF_UPTODATE
from tests.waiting import until


def test_rates_and_runs() -> None:
    assert rate(0, 10, 0.1) == 0
    assert rate(5, 10, 0.1) == pytest.approx(math.log(2) / 0.1)
    assert rate(10, 10, 0.1) == pytest.approx(math.log(20) / 0.1)  # a bound: as in half an interval less
    alike = [FrameRun(4, 1, 1.0), FrameRun(5, 1, 1.0), FrameRun(6, 1, 1.0, True), FrameRun(7, 1, 1.0, True, True)]
    assert runs([*alike, FrameRun(9, 1, 1.0, True, True)]) == [
        FrameRun(4, 2, 1.0), *alike[2:], FrameRun(9, 1, 1.0, True, True)
    ]  # fmt: skip
    assert rows([7, 8, -1, 9, 10, 3]) == [(0, 7, 2), (3, 9, 2), (5, 3, 1)]


def test_short_rounds_are_of_what_is_accessed_most() -> None:
    counts = [(9, 1), (3, 0), (5, 10), (7, 2), (4, 2)]
    assert list(beside.busiest(counts, 9)) == [4, 5, 7, 9]
    assert list(beside.busiest(counts, 2)) == [4, 5]


def test_what_the_watching_process_shares_is_less_busy_later() -> None:
    """Its programs are accessed in each round, as it is at work then; afterwards as often as others use them."""
    watch = beside.Watch.__new__(beside.Watch)
    watch._mapped = {2: 9}
    watch.pfns, watch.hot, watch._shared, watch._charged = array("Q", [1, 2, 3, 4]), array("Q", [1]), {2, 4}, {2}
    watch._locked = bytes((0, 0, 0, 1, 1))
    watch._long = beside._Rounds([b"\1\1\0\0"] * 10, 0.1)
    watch._short = beside._Rounds([b"\1"] * 16, 0.005)
    assert watch.runs() == [
        FrameRun(1, 1, round(rate(16, 16, 0.005), 3), mapped=1), FrameRun(2, 1, 1.0, True, mapped=9),
        FrameRun(3, 2, 0.0, False, True, 1),
    ]  # fmt: skip
    assert watch.runs(5.0)[1] == FrameRun(2, 1, 5.0, True, mapped=9)


def test_how_late_sleeps_end() -> None:
    """The mean of them; timers are exact meanwhile, and as they were afterwards."""
    slack = Path(f"/proc/{threading.get_native_id()}/timerslack_ns")
    before = slack.read_text()

    class Late:
        def __init__(self) -> None:
            self.now, self.late = 0, itertools.cycle((100, 500))

        def now_ns(self) -> int:
            return self.now

        def sleep_us(self, us: int) -> None:
            assert slack.read_text() == "1\n"
            self.now += us * 1000 + next(self.late)

    assert sleeps_late_ns(Late(), 10) == 300  # type: ignore[arg-type]
    assert slack.read_text() == before


class Shared:
    """A processor on which a thread that works waits half as long again, and after a sleep 200 ns."""

    def __init__(self) -> None:
        self.now = self.worked = self.slept = 0

    def now_ns(self) -> int:
        return self.now

    def worked_ns(self) -> int:
        self.worked += 100
        self.now += 150
        return self.worked

    def sleep_us(self, us: int) -> None:
        self.now += us * 1000 + 200
        self.slept += 1


def test_what_a_thread_waits_while_it_works() -> None:
    """Its own work does not count, however much more than asked for it is."""
    clock = Shared()
    late_ns = sleeps_late_ns(clock, 10, work_ns=1050, worked_ns=clock.worked_ns)  # type: ignore[arg-type]
    assert clock.worked == 10 * (11 + 1) * 100, "each turn: its begin, and 11 looks until 1050 are over"
    assert late_ns == 200 + 12 * 150 - 11 * 100


def test_the_delay_is_that_of_the_work_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    late = {0: 70_000, 1_000_000: 1_230_000}
    monkeypatch.setattr(beside, "sleeps_late_ns", lambda clock, work_ns=0: late[work_ns])
    assert Pace.measured(SimpleNamespace()) == Pace(70_000, 1.16)
    late[1_000_000] = 69_000
    assert Pace.measured(SimpleNamespace()) == Pace(70_000, 0.0)
    assert LATE_ROUNDS * beside.SHORT_US >= 1_000_000, "what is done once a second is in it"


def _placed(
    monkeypatch: pytest.MonkeyPatch, looks: Iterable[list[int]], seen: str, own: set[int],
    listed: Iterable[int] = (), free: Iterable[int] = (),
) -> PlacedWorkload:  # fmt: skip
    """Of one area: its frames at each look; what the other process writes; this process's frames, and then all."""
    given = iter(looks)
    flags = array("Q", [KPF_UPTODATE]) * 20_000
    for pfns, flag in ((listed, KPF_LRU), (free, KPF_BUDDY)):
        for pfn in pfns:
            flags[pfn] |= flag
    kpageflags = os.memfd_create("kpageflags")
    os.write(kpageflags, flags.tobytes())

    def watch(placed: PlacedWorkload, every_s: float, look: object) -> None:
        placed._seen.write(f'{{"frames": {seen}, "late_ns": 310500, "run_delay": 0.25}}'.encode())

    monkeypatch.setattr(beside, "frames_of", lambda pid, start, end: next(given))
    monkeypatch.setattr(beside, "own_frames", lambda pid: own)
    monkeypatch.setattr(beside, "drain_lists", lambda files: None)
    monkeypatch.setattr(PlacedWorkload, "_watch", watch)
    report = Report(1, 2.0, "", 0, 0, {"hot": (0, 3 * PAGE)})
    work = SimpleNamespace(reports=lambda: {"main": report}, workload=SimpleNamespace(cgroups=()))
    clock = SimpleNamespace(now_ns=lambda: 10**10)
    files = SimpleNamespace(kpageflags=kpageflags)
    machine = SimpleNamespace(clock=clock, system_ram=lambda: [(0, 1 << 20)], files=lambda: files)
    return PlacedWorkload(machine, work, 0.2, lambda: None)  # type: ignore[arg-type]


def test_an_area_has_the_frames_of_when_the_modules_were_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a program touches first after the look at all frames was free memory then, or beside it by mistake."""
    seen = "[[6, 4, 0.5, false, true], [20, 1, 7.0, true, false]]"
    placed = _placed(monkeypatch, [[5, -1, -1], [5, 9, 7]], seen, set())
    placed.begin()
    placed.recorded(10**10 + 1_350_000_000)
    others = [FrameRun(6, 1, 0.5, False, True), FrameRun(8, 1, 0.5, False, True), FrameRun(20, 1, 7.0, True)]
    assert placed.frames() == Frames(
        2.0, [(0, 1 << 20)], {"hot": [(0, 5, 1), (1, 9, 1), (2, 7, 1)]}, others, 310.5, [], 1.35, 0.25
    )  # fmt: skip


def test_what_this_process_has_since_is_accessed_at_each_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """And what it had before, as often as was seen."""
    placed = _placed(monkeypatch, [[5], [5]], "[[6, 2, 0.5, false, false]]", {-1, 5, 6, 8, 9})
    placed.begin()
    assert placed.frames().beside == [FrameRun(6, 2, 0.5), FrameRun(8, 2, 5.0)]


def test_what_has_come_and_gone_when_the_modules_were_loaded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Frames that are free by then are not beside; how often new ones are accessed is not known."""
    seen = "[[6, 4, 0.5, false, false], [12000, 2, 3.0, false, false]]"
    listed, free = [5, 6, 7, 30, 31, 32, 12000], [8, 9, 10, *range(16000, 17000)]
    placed = _placed(monkeypatch, [[5], [5]], seen, {31}, listed, free)
    placed.begin()
    found = placed.frames()
    assert found.beside == [
        FrameRun(6, 2, 0.5), FrameRun(30, 1, 0.0), FrameRun(31, 1, 5.0), FrameRun(32, 1, 0.0), FrameRun(12000, 2, 3.0)
    ]  # fmt: skip
    assert found.free == [(8, 3), (16000, 1000)]


@pytest.fixture
def watching(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str, Callable[[], object]], PlacedWorkload]:
    """A workload whose frames are looked at by a shell script."""

    def make(script: str, look: Callable[[], object]) -> PlacedWorkload:
        program = tmp_path / "python"
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)
        monkeypatch.setattr(sys, "executable", str(program))
        monkeypatch.setattr(beside, "frames_of", lambda pid, start, end: [3, 4])
        monkeypatch.setattr(beside, "own_frames", lambda pid: set())
        report = Report(1, 2.0, "", 0, 0, {"hot": (0, 2 * PAGE)})
        work = SimpleNamespace(reports=lambda: {"main": report}, workload=SimpleNamespace(cgroups=()))
        machine = SimpleNamespace(clock=RealClock(), system_ram=lambda: [(0, 1 << 20)], files=lambda: None)
        nothing = Using(zlib.compress(b""), zlib.compress(b""))
        monkeypatch.setattr(Using, "now", lambda files: nothing)
        return PlacedWorkload(machine, work, 0.2, look)  # type: ignore[arg-type]

    return make


def test_another_process_looks_at_the_frames_while_this_one_does_its_work(
    watching: Callable[[str, Callable[[], object]], PlacedWorkload], tmp_path: Path
) -> None:
    looks: list[int] = []

    def look() -> None:
        looks.append(1)
        if len(looks) == 2:
            (tmp_path / "twice").touch()

    wait = f"while [ ! -e {tmp_path}/twice ]; do sleep 0.05; done"
    (tmp_path / "seen").write_text('{"frames": [[7, 1, 2.5, false, false]], "late_ns": 1500, "run_delay": 1.16}')
    script = f'echo "$*" >{tmp_path}/words; cat >{tmp_path}/left; {wait}; cat {tmp_path}/seen'
    placed = watching(script, look)
    placed.begin()
    found = placed.frames()
    assert found.beside == [FrameRun(7, 1, 2.5)]
    assert (found.late_us, found.run_delay) == (1.5, 1.16)
    assert (tmp_path / "words").read_text() == "-m damon.cli.watching 0 5.0\n"
    assert (tmp_path / "left").read_bytes() == array("Q", [3, 4]).tobytes()


def test_what_it_cannot_do_is_said(watching: Callable[[str, Callable[[], object]], PlacedWorkload]) -> None:
    with pytest.raises(MissingCapability, match=r"^idle page tracking: is missing; give it$"):
        watching("echo 'idle page tracking: is missing; give it' >&2; exit 3", lambda: None)
    with pytest.raises(MissingCapability, match=r"^page frames: the look at them ended with code -9; look again$"):
        watching("kill -9 $$", lambda: None)


def test_an_interrupt_ends_it(watching: Callable[[str, Callable[[], object]], PlacedWorkload], tmp_path: Path) -> None:
    def interrupted() -> None:
        until(lambda: (tmp_path / "pid").exists() and (tmp_path / "pid").read_text().endswith("\n"))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        watching(f"echo $$ >{tmp_path}/pid; exec sleep 1000", interrupted)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_what_comes_into_use_during_the_look_is_looked_at_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    """A program's busiest memory may come then. What was known is not looked at twice."""
    in_use = iter([{3, 5, 6}, {3, 5, 6, 4, 9}])
    asked: list[tuple[set[int], int]] = []

    class Watching:
        def __init__(self, machine: object, without: Iterable[int], memcg_id: int) -> None:
            asked.append((set(without), memcg_id))
            self.pfns = sorted(next(in_use) - asked[-1][0])

        def runs(self, shared_rate: float) -> list[FrameRun]:
            return [FrameRun(pfn, 1, shared_rate * len(asked)) for pfn in self.pfns]

    monkeypatch.setattr(watching_process, "Watch", Watching)
    found = watching_process.looked_at(cast(LinuxMachine, None), array("Q", [5]), 7, 2.0)
    assert asked == [({5}, 7), ({3, 5, 6}, 7)]
    assert found == [FrameRun(3, 2, 4.0), FrameRun(6, 1, 4.0), FrameRun(9, 1, 4.0)]
