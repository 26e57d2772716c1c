# SPDX-License-Identifier: GPL-2.0-only
"""Traces with a count for each page and window, as an exact capture has them, beside a model in plain Python."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from damon.mm.sim import SimulatedMachine
from damon.mm.sim.engine import trace_page, trace_write
from damon.model.machine import Advice
from damon.workload.load import load_workload, parse_workload
from damon.workload.tracefile.change import Change, change_trace
from damon.workload.tracefile.form import TRUTH, TracedArea
from damon.workload.tracefile.reader import Trace
from damon.workload.tracefile.writer import TraceWriter
from tests import buffers
from tests.buffers import addresses
from tests.mm.sim.machines import advise, check, page_addrs
from tests.workload.traces import MS, Window, random_counts, write

PAGES = {"heap": 150, "lib": 90}
WINDOW, NUMBER = 20 * MS, 60
LENGTH = WINDOW * NUMBER
#: Of the second area, whole windows.
MAPPED = ((5 * WINDOW, 20 * WINDOW), (30 * WINDOW, LENGTH))
#: So often is a page touched in a window that is touched for sure.
SURE = 40.0


@dataclass
class Model:
    """Counts of one area's pages, window by window, with what a replay makes of their times."""

    windows: list[Window]
    first: int
    nr_pages: int
    begin: int
    end: int
    loop: bool
    scale: float
    known: dict[int, list[float]] = field(default_factory=dict)

    def at(self, t: int) -> Window | None:
        """The window at the machine's time ``t``."""
        since = int(t / self.scale)
        if since >= self.end - self.begin and not self.loop:
            return None
        return self.windows[(self.begin + since % (self.end - self.begin)) // WINDOW]

    def counts(self, t: int) -> list[float]:
        window = self.at(t)
        return self._counts(window) if window else [0.0] * self.nr_pages

    def _counts(self, window: Window) -> list[float]:
        if window.t0 in self.known:
            return self.known[window.t0]
        found = self.known[window.t0] = [0.0] * self.nr_pages
        for low, end, each, _ in window.rows:
            for page in range(max(low - self.first, 0), min(end - self.first, self.nr_pages)):
                found[page] = each
        return found

    def share(self, page: int, t: int) -> float:
        window = self.at(t)
        rows = window.rows if window else []
        return next((share for low, end, _, share in rows if low <= self.first + page < end), 0.0)

    def touches(self, periods: list[tuple[int, int]]) -> float:
        """In periods of the machine's time."""
        total, step = 0.0, WINDOW * self.scale
        for low, high in periods:
            t = float(low)
            while t < high:
                edge = min((math.floor((t + 0.5) / step) + 1) * step, high)
                total += sum(self.counts(int(t + 0.5))) * (edge - t) / step
                t = edge
        return total


def _areas() -> list[TracedArea]:
    heap = TracedArea("heap", 0, 0, PAGES["heap"], mapped=((0, LENGTH),))
    return [heap, TracedArea("lib", 0, PAGES["heap"], PAGES["lib"], "file", 0x7F0000000000, MAPPED)]


def _made(tmp: Path, seed: int) -> tuple[SimulatedMachine, dict[str, Model], Random]:
    """A machine that replays random counts beside an area of its own."""
    rnd = Random(seed)
    windows = random_counts(rnd, sum(PAGES.values()), NUMBER)
    path = write(tmp / "t.trace", [("web", sum(PAGES.values()), windows)], _areas(), LENGTH)
    if rnd.random() < 0.5:  # the same without names
        named, path = path, tmp / "anonymous.trace"
        with TraceWriter(path) as writer:
            change_trace(Trace(named), writer, Change(anonymise=True))
    part = rnd.choice([(0, LENGTH), (10 * WINDOW, 40 * WINDOW)])
    loop, scale = rnd.random() < 0.5, rnd.choice([1.0, 2.0, 0.5])
    entry = {"trace": path.name, "from": part[0] // 1000, "to": part[1] // 1000, "loop": loop, "time_scale": scale}
    data = {
        "areas": {"t": {**entry, "populate": False}, "mine": {"size": "1M", "process": "t"}},
        "phases": [{"duration": "50ms", "access": [{"area": "mine", "rate": "20k"}]}, {"duration": "70ms"}],
        "repeat": True, "machine": {"hz": 0},
    }  # fmt: skip
    first, models = 0, {}
    for name, pages in PAGES.items():
        models[name] = Model(windows, first, pages, *part, loop, scale)
        first += pages
    return SimulatedMachine(parse_workload(data, directory=tmp), seed), models, rnd


def _names(sim: SimulatedMachine) -> dict[str, str]:
    """The machine's names of the trace's areas."""
    return dict(
        zip(PAGES, [area.name for area in sim.areas() if area.process == "t" and area.name != "mine"], strict=True)
    )


def _periods(model: Model, now: int, mapped: tuple[tuple[int, int], ...]) -> list[tuple[int, int]]:
    """When an area was there, in the machine's time up to ``now``."""
    found, length = [], model.end - model.begin
    rounds = int(now / model.scale) // length + 1 if model.loop else 1
    for number in range(rounds):
        for low, high in mapped:
            low, high = max(low, model.begin) - model.begin, min(high, model.end) - model.begin
            times = [int((number * length + at) * model.scale) for at in (low, high)]
            if not model.loop and high == length:
                times[1] = now  # it stays
            if low < high and times[0] < now:
                found.append((times[0], min(times[1], now)))
    return found


@pytest.mark.parametrize("seed", range(12))
def test_everything_that_is_asked_of_a_trace(tmp_path: Path, seed: int) -> None:
    """Touches so far, the truth, the pages and kinds of single touches, what is mapped, in memory, accessed or idle."""
    sim, models, rnd = _made(tmp_path, seed)
    names = _names(sim)
    with sim:
        for _ in range(8):
            sim.clock.sleep_us(rnd.choice([7_001, 20_003, 133_011, 600_023]))  # no edge of a window
            now = sim.clock.now_ns()
            for area, model in models.items():
                _compare(
                    sim, names[area], model, _periods(model, now, ((0, LENGTH),) if area == "heap" else MAPPED), rnd
                )
            check(sim)


def _compare(sim: SimulatedMachine, name: str, model: Model, periods: list[tuple[int, int]], rnd: Random) -> None:
    now, row = sim.clock.now_ns(), sim.row(name)
    there = bool(periods) and periods[-1][1] == now
    assert bool(row.mapped) == there
    made = model.touches(periods)
    assert sim.touches(name) == pytest.approx(made, abs=2 + 1e-6 * made + len(periods))
    if not there:
        return
    counts, share = model.counts(now), 5 * MS / (WINDOW * model.scale)
    truth = sum(1 - math.exp(-each * share) for each in counts) / model.nr_pages
    assert sim.truth(name, 5000) == pytest.approx(truth, rel=1e-6)
    for page in rnd.sample(range(model.nr_pages), 20):
        assert trace_write(row, page, now) == pytest.approx(model.share(page, now), abs=1e-9)
    for _ in range(20):
        u = 1 - rnd.random()
        page = trace_page(row, now, u, 0.5)
        if not sum(counts):
            assert page == -1
            continue
        before = sum(counts[:page])
        assert before - 1e-6 <= (1 - u) * sum(counts) <= before + counts[page] + 1e-6
        assert counts[page] > 0


@pytest.mark.parametrize("seed", range(6))
def test_pages_are_accessed_in_the_windows_that_have_them(tmp_path: Path, seed: int) -> None:
    """After a whole window those with many touches are young and in memory; those without are old, or not there."""
    sim, models, _ = _made(tmp_path, seed)
    name, model = _names(sim)["heap"], models["heap"]
    sure: set[int] = set()
    ever: set[int] = set()
    step = int(WINDOW * model.scale)
    with sim:
        space, addrs = sim.open_process(sim.pids["t"]), page_addrs(sim, name)
        for number in range(12):
            counts = model.counts(number * step)
            batch = space.mkold(addresses(addrs), len(addrs))
            sim.clock.sleep_us(step // 1000)
            young = buffers.young(space, batch)
            assert all(young[page] == (counts[page] > 0) for page in sure if counts[page] in (0, SURE))
            sure |= {page for page, each in enumerate(counts) if each >= SURE}
            ever |= {page for page, each in enumerate(counts) if each > 0}
            found = (folio for folios in space.folios(addrs[0], addrs[-1] + 4096) for folio in folios)
            resident = {(folio.addr - addrs[0]) // 4096 for folio in found}
            assert sure <= resident <= ever


@pytest.mark.parametrize("scale", [1.0, 2.0, 0.5])
@pytest.mark.parametrize("seed", range(6))
def test_an_exact_capture_loses_nothing_and_adds_nothing(tmp_path: Path, seed: int, scale: float) -> None:
    """In each window exactly those pages are accessed that have a count, also single ones; absent pages come."""
    rnd = Random(seed)
    windows = random_counts(rnd, 240, NUMBER)
    windows[0] = Window(0, WINDOW, [(7, 8, 1.0, 0.0)])
    areas = [TracedArea("heap", 0, 0, 240, mapped=((3 * MS, LENGTH - 1),))]  # as seen: late, and not to the end
    write(tmp_path / "t.trace", [("web", 240, windows)], areas, LENGTH, origin=TRUTH)
    entry = {"trace": "t.trace", "time_scale": scale, "loop": True}
    step = int(WINDOW * scale)
    free = {"hz": 0, "swap": {"size": "64M", "write_us": 0}, "reclaim_us": 0, "scan_us": 0}  # reclaim takes no time
    with SimulatedMachine(parse_workload({"areas": {"t": entry}, "machine": free}, directory=tmp_path), 1) as sim:
        space, start = sim.open_process(sim.pids["t"]), page_addrs(sim, "t.heap")[0]

        def present() -> list[int]:
            return [folio.addr for folios in space.folios(start, start + 240 * 4096) for folio in folios]

        for number in range(NUMBER + 5):
            before = present()
            batch = space.mkold(addresses(before), len(before))
            sim.clock.sleep_us(step // 1000)
            old = {addr for addr, young in zip(before, buffers.young(space, batch), strict=True) if not young}
            touched = {(addr - start) // 4096 for addr in set(present()) - old}
            window = windows[number % NUMBER]
            # What comes at the very edge of a scaled window can be seen with the next.
            due = {page for page in range(240) if window.touches(page)}
            assert touched ^ due <= ({239} if scale != 1.0 else set()), (number, len(touched - due), len(due - touched))
            if rnd.random() < 0.3:
                assert space.madvise(start, 240 * 4096, Advice.PAGEOUT) == 0


def test_a_page_that_is_written_once_is_dirty(tmp_path: Path) -> None:
    rows = [(page, page + 1, 1.0, float(page % 3 == 0)) for page in range(90)]
    areas = [TracedArea("f", 0, 0, 90, "file", mapped=((0, 100 * MS),))]
    path = write(tmp_path / "t", [("p", 90, [Window(0, 50 * MS, rows)])], areas, 100 * MS, origin=TRUTH)
    with SimulatedMachine(load_workload(path), 1) as sim:
        sim.clock.sleep_us(60_000)
        assert sim.areas()[0].resident_bytes == 90 * 4096
        assert advise(sim, Advice.PAGEOUT, area="f") == 0
        assert sim.counters()["writeback"] == 30
