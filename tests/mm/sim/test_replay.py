# SPDX-License-Identifier: GPL-2.0-only
"""Areas of traces on the simulated machine: lazily evaluated, they are what plain Python makes of each window."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.mm.sim import SimulatedMachine
from damon.mm.sim.layout import Draw
from damon.workload.model import Area, MachineSpec, Phase, Replay, Workload
from damon.workload.tracefile.form import TracedArea
from tests import buffers
from tests.buffers import addresses
from tests.examples import examples
from tests.mm.sim.machines import MIB, check, page_addrs
from tests.mm.sim.operations import do, draw
from tests.mm.sim.replayed import replayed
from tests.workload.traces import MS, Window, random_counts, random_trace, random_windows, write

_MASK = 2**64 - 1


def _mix(v: int) -> int:
    v = (v ^ v >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    v = (v ^ v >> 27) * 0x94D049BB133111EB & _MASK
    return v ^ v >> 31


def _uniform(seed: int, key: int, t: int, purpose: Draw) -> float:
    """``sim_uniform``: in (0, 1]."""
    h = _mix(seed + key * 0x9E3779B97F4A7C15 & _MASK)
    h = _mix(h ^ (t * 0xD1342543DE82EF95 + purpose & _MASK))
    return ((h >> 11) + 1) / 2**53


class Materialised:
    """Each page's touches over time, window after window, of one area of ``nr_pages`` from page 0 of its space."""

    def __init__(self, windows: list[Window], length: int, replay: Replay) -> None:
        self.windows, self.length, self.replay = windows, length, replay

    def _page(self, page: int) -> int:
        return int(page / self.replay.size_scale)

    def touches(self, page: int, lo: int, to: int) -> float:
        """Expected in the machine's time (lo, to]."""
        part = self.replay.end_ns - self.replay.begin_ns
        first, last = (int(t / self.replay.time_scale) for t in (lo, to))
        total = 0.0
        rounds = range(first // part, last // part + 1) if self.replay.loop else range(1)
        for number in rounds:
            a = max(first - number * part, 0) + self.replay.begin_ns
            b = min(last - number * part, part) + self.replay.begin_ns
            for window in self.windows:
                span = min(b, window.t1) - max(a, window.t0)
                if span > 0:
                    total += window.touches(self._page(page)) * span / (window.t1 - window.t0)
        return total


def _machine(path: Path, replay: Replay, size: int, seed: int = 1, **area: object) -> SimulatedMachine:
    areas = (Area("a", size, replay=replay, **area),)  # type: ignore[arg-type]
    return SimulatedMachine(Workload("w", areas, (Phase("only", 1000),), machine=MachineSpec(64 * MIB)), seed)


replays = st.builds(
    Replay, st.just(""), st.just(0), st.sampled_from([0, 0, 137 * MS]),
    st.sampled_from([2400 * MS, 2400 * MS, 900 * MS]),
    st.booleans(), st.sampled_from([1.0, 1.0, 0.25, 3.7]), st.sampled_from([1.0, 1.0, 2.5, 0.3]),
)  # fmt: skip


def _made(tmp: Path, rnd: Random, replay: Replay, nr_pages: int = 300) -> tuple[Materialised, Replay, int]:
    """A trace of one area; its model, what replays it, and the bytes that it has then."""
    length = 2400 * MS
    make = rnd.choice([random_counts, random_windows])
    windows = [one for one in make(rnd, nr_pages, 200) if one.t1 <= length]
    path = write(
        tmp / "t.trace", [("p", nr_pages, windows)], [TracedArea("a", 0, 0, nr_pages, mapped=((0, length),))], length
    )
    replay = replace(replay, path=str(path))
    pages = next(n for n in range(10**6) if int(n / replay.size_scale) >= nr_pages)
    return Materialised(windows, length, replay), replay, pages * 4096


@examples(60)
@given(replays, st.integers(0, 2**60))
def test_the_last_touch_is_where_the_windows_one_by_one_have_it(
    tmp_path_factory: pytest.TempPathFactory, replay: Replay, seed: int
) -> None:
    """The same exponential, spent window after window, is used up at the page's last touch, or is not used up."""
    rnd = Random(seed)
    model, replay, size = _made(tmp_path_factory.mktemp("t"), rnd, replay)
    sim = _machine(Path(replay.path), replay, size, seed)
    row, space = sim.row("a"), sim.open_process(sim.pids["traced" if "traced" in sim.pids else "main"])
    pages = rnd.sample(range(size // 4096), min(40, size // 4096))
    addrs = addresses([sim.state.placed["a"].start + page * 4096 for page in pages])
    since = dict.fromkeys(pages, 0)
    for _ in range(6):
        batch = space.mkold(addrs, len(pages))
        sim.clock.sleep_us(rnd.choice([500, 20_000, 700_000, 9_000_000]))
        now = sim.clock.now_ns()
        young = buffers.young(space, batch)
        for page, answer in zip(pages, young, strict=True):
            record, from_ = row.page[page], since[page]
            left = -math.log(_uniform(seed, page, from_, Draw.TOUCH))
            whole = model.touches(page, from_, now)
            near = 1e-5 * whole + 1e-5
            if record.t_last > from_:
                assert from_ < record.t_last <= now
                assert model.touches(page, record.t_last, now) == pytest.approx(
                    left, abs=near + _ns(model, page, record.t_last)
                )
            else:
                assert left > whole - near
            assert record.t_eval == now
            assert answer == (record.t_last > record.t_old)
            since[page] = now
    sim.close()


def _ns(model: Materialised, page: int, t: int) -> float:
    """Touches in the ns around ``t``: what rounding of times is worth."""
    grain = int(2 + 2 * max(model.replay.time_scale, 1 / model.replay.time_scale))
    return model.touches(page, max(t - grain, 0), t + grain)


@examples(60)
@given(replays, st.integers(0, 2**60))
def test_the_next_touch_is_where_the_windows_one_by_one_have_it(
    tmp_path_factory: pytest.TempPathFactory, replay: Replay, seed: int
) -> None:
    """Of single pages that left memory; of ranges where they are not scaled."""
    rnd = Random(seed)
    model, replay, size = _made(tmp_path_factory.mktemp("t"), rnd, replay, nr_pages=120)
    sim = _machine(Path(replay.path), replay, size, seed, populate=False)
    s, pages = sim.state, size // 4096
    for _ in range(2):
        now = sim.clock.now_ns()
        rows = [s.event.rows[n] for n in range(s.m.nr_event)]
        covered: set[int] = set()
        for ev in rows:
            mine = range(ev.page, ev.page + ev.nr)
            covered |= set(mine)
            assert ev.t > now
            if now == 0 and (ev.nr == 1 or replay.size_scale == 1.0 or ev.nr <= 512):
                left = -math.log(_uniform(seed, 0, ev.id, Draw.NEXT))
                total = sum(model.touches(page, 0, ev.t) for page in mine)
                slack = sum(_ns(model, page, ev.t) for page in mine)
                assert total == pytest.approx(left, rel=1e-4, abs=1e-5 + slack)
        end = now + int(3 * 2400 * MS * replay.time_scale)
        for page in set(range(pages)) - covered:
            assert sim.state.area.rows[0].page[page].t_last >= 0 or model.touches(page, now, end) < 1e-3
        sim.clock.sleep_us(30_000)
    sim.close()


@pytest.mark.parametrize("size_scale", [1.0, 2.5, 0.3, 40.0])
@pytest.mark.parametrize("time_scale", [1.0, 0.5])
def test_absent_pages_come_as_their_rates_say(tmp_path: Path, size_scale: float, time_scale: float) -> None:
    """Page by page: present after a time with the probability that it was touched by then."""
    windows = [
        Window(n * 10 * MS, (n + 1) * 10 * MS, [(0, 5, 0.02, 1.0), (20 + n % 3, 30, 0.05, 1.0), (60, 64, 0.004, 1.0)])
        for n in range(40)
    ]
    path = write(tmp_path / "t", [("p", 64, windows)], [TracedArea("a", 0, 0, 64, mapped=((0, 400 * MS),))], 400 * MS)
    replay = Replay(str(path), 0, 0, 400 * MS, False, time_scale, size_scale)
    pages = next(n for n in range(10**6) if int(n / size_scale) >= 64)
    model, rounds = Materialised(windows, 400 * MS, replay), 300
    here = [0] * pages
    for seed in range(rounds):
        sim = _machine(path, replay, pages * 4096, seed, populate=False)
        sim.clock.sleep_us(int(200_000 * time_scale))
        for folios in sim.open_process(1000).folios(sim.state.placed["a"].start, sim.state.placed["a"].end):
            for folio in folios:
                here[(folio.addr - sim.state.placed["a"].start) >> 12] += 1
        sim.close()
    for low in range(0, pages, max(pages // 16, 1)):
        mine = range(low, min(low + max(pages // 16, 1), pages))
        expected = sum(1 - math.exp(-model.touches(page, 0, int(200 * MS * time_scale))) for page in mine)
        seen = sum(here[page] for page in mine) / rounds
        assert seen == pytest.approx(expected, abs=5 * math.sqrt(max(expected, 0.001) / rounds) + 1e-9)


def test_share_of_young_samples_is_the_truth(tmp_path: Path) -> None:
    windows = [Window(n * 100 * MS, (n + 1) * 100 * MS, [(0, 100, 4.0, 1.0), (150, 256, 60.0, 1.0)]) for n in range(50)]
    path = write(
        tmp_path / "t", [("p", 256, windows)], [TracedArea("a", 0, 0, 256, mapped=((0, 5000 * MS),))], 5000 * MS
    )
    sim = _machine(path, Replay(str(path), 0, 0, 5000 * MS), MIB)
    space, addrs, hits = sim.open_process(1000), page_addrs(sim, "a"), 0
    expected = sim.truth("a", 5000)
    assert expected == pytest.approx((100 * (1 - math.exp(-0.2)) + 106 * (1 - math.exp(-3.0))) / 256, rel=1e-6)
    for _ in range(200):
        batch = space.mkold(addresses(addrs), 256)
        sim.clock.sleep_us(5000)
        hits += sum(buffers.young(space, batch))
    share = hits / (200 * 256)
    assert share == pytest.approx(expected, abs=5 * math.sqrt(expected / (200 * 256)))
    assert sim.touches("a") == pytest.approx((100 * 4 + 106 * 60) * sim.clock.now_ns() / (100 * MS), rel=1e-6)
    sim.close()


@pytest.mark.parametrize("seed", range(6))
def test_nothing_is_lost(tmp_path: Path, seed: int) -> None:
    """Traces in any scale beside other areas, in too little memory, on nodes, with huge pages: the books balance."""
    rnd = Random(seed)
    sim = SimulatedMachine(replayed(rnd, random_trace(tmp_path / "t", seed)), seed)
    check(sim)
    for _ in range(10):
        do(sim, draw(rnd, rnd.random() < 0.5))
        check(sim)
    sim.close()


def test_the_same_seed_is_the_same_run(tmp_path: Path) -> None:
    path = random_trace(tmp_path / "t", 11)

    def play(seed: int) -> list[object]:
        rnd = Random(4)
        sim = SimulatedMachine(replayed(rnd, path), seed)
        answers: list[object] = [do(sim, draw(rnd)) for _ in range(15)]
        return [*answers, sim.state.snapshot()]

    assert play(5) == play(5) != play(6)
