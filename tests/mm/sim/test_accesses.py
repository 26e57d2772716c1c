# SPDX-License-Identifier: GPL-2.0-only
"""What observers see of a workload: the analytic truth, and never two answers that contradict each other."""

from __future__ import annotations

import math
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.mm.sim import SimulatedMachine, arithmetic
from damon.mm.sim.phases import segment, truth
from damon.model.arrays import FOLIO_YOUNG
from damon.model.machine import Advice
from damon.workload.model import Access, Area, Event, Kind, Pattern, Phase, PhaseEvent, Workload
from tests import buffers
from tests.buffers import addresses
from tests.examples import examples
from tests.mm.sim.machines import MIB, machine, page_addrs, young
from tests.mm.sim.random_workloads import RATES

SAMPLES = 400


def _measure(sim: SimulatedMachine, area: str, interval_us: int, gap_us: int) -> float:
    """The share of young answers over all pages of an area."""
    space = sim.open_process(sim.pids["main"])
    addrs = page_addrs(sim, area)
    buffer, hits = addresses(addrs), 0
    for _ in range(SAMPLES):
        batch = space.mkold(buffer, len(addrs))
        sim.clock.sleep_us(interval_us)
        hits += sum(buffers.young(space, batch))
        sim.clock.sleep_us(gap_us)
    return hits / (SAMPLES * len(addrs))


@pytest.mark.parametrize(
    "access",
    [
        Access("a", 40_000, Pattern.RANDOM),
        Access("a", 500, Pattern.RANDOM),
        Access("a", 20_000, Pattern.ZIPF, skew=1.0),
        Access("a", 20_000, Pattern.ZIPF, skew=0.5),
        Access("a", 2_000, Pattern.ZIPF, skew=2.2),
        Access("a", 10_000, Pattern.SEQUENTIAL),
        Access("a", 1e6, Pattern.SEQUENTIAL),
        Access("a", 7_001, Pattern.STRIDED, stride=12288),
        Access("a", 90_001, Pattern.STRIDED, stride=64),
        Access("a", 300, Pattern.STRIDED, stride=1000),
        Access("a", 10_000, Pattern.STRIDED, stride=3 << 18),
    ],
    ids=lambda access: f"{access.pattern.value}-{access.rate:g}-{access.stride}-{access.skew}",
)
@pytest.mark.parametrize("interval_us", [1_000, 5_000])
def test_share_of_young_samples_is_the_truth(access: Access, interval_us: int) -> None:
    sim = machine(Area("a", MIB), Area("b", MIB), accesses=(access,))
    expected = sim.truth("a", interval_us)
    seen = _measure(sim, "a", interval_us, gap_us=773)
    samples = SAMPLES * 256
    assert seen == pytest.approx(expected, abs=5 * math.sqrt(max(expected * (1 - expected), 1e-4) / samples) + 0.012)
    if access.pattern in (Pattern.RANDOM, Pattern.ZIPF):  # independent draws: no more than chance is allowed
        assert seen == pytest.approx(expected, abs=5 * math.sqrt(max(expected * (1 - expected), 1e-6) / samples))
    assert sim.truth("b", interval_us) == _measure(sim, "b", interval_us, 0) == 0.0


def test_zipf_is_skewed_as_the_workload_says() -> None:
    """Rank r has weight r ** -skew: measured page by page."""
    skew, rate, us = 1.3, 3_000.0, 2_000
    sim = machine(Area("a", 64 * 4096), accesses=(Access("a", rate, Pattern.ZIPF, skew=skew),))
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    buffer, hits, rounds = addresses(addrs), [0] * 64, 3000
    for _ in range(rounds):
        space.mkold(buffer, 64)
        sim.clock.sleep_us(us)
        hits = [total + one for total, one in zip(hits, young(space, addrs, buffer), strict=True)]
    norm = sum(rank**-skew for rank in range(1, 65))
    for rank, seen in enumerate(hits, 1):
        share = 1 - math.exp(-rate * us / 1e6 * rank**-skew / norm)
        assert seen / rounds == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / rounds))


def test_never_made_old_counts_as_young_even_without_any_access() -> None:
    sim = machine(Area("a", MIB))
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    assert all(young(space, addrs))
    space.mkold(addresses(addrs), len(addrs))
    sim.clock.sleep_us(1_000_000)
    assert not any(young(space, addrs))


def test_sequential_touches_come_one_after_the_other() -> None:
    """1000 touches a second over 10 pages: page 0 at 1 ms, page 1 at 2 ms, ..., page 0 again at 11 ms."""
    sim = machine(Area("a", 10 * 4096), accesses=(Access("a", 1000, Pattern.SEQUENTIAL),))
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    seen = []
    for _ in range(12):
        space.mkold(addresses(addrs), 10)
        sim.clock.sleep_us(1000)
        seen.append(young(space, addrs).index(1))
    assert seen == [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 0, 1]
    assert sim.touches("a") == 12


def test_two_observers_never_contradict_each_other() -> None:
    """Made old once, looked at again and again: a page that was young stays so, through physical and virtual memory."""
    sim = machine(Area("a", MIB), accesses=(Access("a", 3_000, Pattern.RANDOM),))
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    space.mkold(addresses(addrs), 256)
    before = [0] * 256
    low, high = sim.system_ram()[-1]
    for step in range(40):
        sim.clock.sleep_us(2_500)
        now = young(space, addrs)
        assert all(one >= other for one, other in zip(now, before, strict=True))
        assert now == young(space, addrs)
        flags = []
        for folios in sim.phys.folios(low, high):
            sim.phys.folios_young(folios)
            flags += [int(folio.flags & FOLIO_YOUNG != 0) for folio in folios]
        assert flags == now
        before = now
        assert step < 20 or sum(now) > 80
    assert 0 < sum(before) < 256


def test_making_old_by_one_is_seen_by_the_other() -> None:
    """There is one idle flag, as in the kernel."""
    sim = machine(Area("a", MIB), accesses=(Access("a", 1e6, Pattern.SEQUENTIAL),))
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    space.mkold(addresses(addrs), 256)
    sim.clock.sleep_us(2000)
    assert all(young(space, addrs))
    for folios in sim.phys.folios(*sim.system_ram()[-1]):
        sim.phys.folios_young(folios)
        sim.phys.folios_mkold(folios)
    assert not any(young(space, addrs))


def test_an_old_page_is_young_after_a_later_phase_touched_it() -> None:
    """Made old while nobody touches the area; touched in the next phase; looked at in the one after."""
    phases = (
        Phase("quiet", 1_000_000),
        Phase("busy", 1_000_000, (Access("a", 1e5, Pattern.SEQUENTIAL),)),
        Phase("quiet again", 1_000_000),
    )
    sim = SimulatedMachine(Workload("w", (Area("a", MIB), Area("b", MIB)), phases), 1)
    space = sim.open_process(sim.pids["main"])
    addrs = page_addrs(sim, "a")[:128]
    sim.clock.sleep_us(10_000)
    space.mkold(addresses(addrs), 128)
    sim.clock.sleep_us(980_000)
    assert not any(young(space, addrs))
    assert sim.truth("a", 5000) == 0.0
    sim.clock.sleep_us(1_500_000)
    assert all(young(space, addrs))
    space.mkold(addresses(addrs), 128)
    sim.clock.sleep_us(10_000_000)
    assert not any(young(space, addrs))
    assert sim.touches("a") == 100_000


def test_random_history_over_phases_adds_up() -> None:
    """Looked at only after four phases with other rates and patterns: touched with the probability of all of them."""
    rates = (300.0, 0.0, 100.0, 50.0)
    phases = tuple(
        Phase(f"p{n}", 100_000, (Access("a", rate, Pattern.RANDOM),) if rate else ()) for n, rate in enumerate(rates)
    )
    hits, rounds = 0, 40
    for seed in range(rounds):
        sim = SimulatedMachine(Workload("w", (Area("a", MIB),), (Phase("first", 1000), *phases, Phase("end", 1))), seed)
        space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
        space.mkold(addresses(addrs), 256)
        sim.clock.sleep_us(402_000)
        hits += sum(young(space, addrs))
    share = 1 - math.exp(-sum(rates) * 0.1 / 256)
    assert hits / (rounds * 256) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / (rounds * 256)))


def test_cold_advice_takes_the_accesses_with_it() -> None:
    """MADV_COLD clears the accessed bits: what was touched before it, is not young after it."""
    sim = machine(Area("a", MIB), accesses=(Access("a", 256_000, Pattern.SEQUENTIAL),))
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    space.mkold(addresses(addrs), 256)
    sim.clock.sleep_us(500)
    assert sum(young(space, addrs)) == 128
    assert space.madvise(addrs[0], MIB, Advice.COLD) == 0
    assert sum(young(space, addrs)) < 10  # the advice took time


def test_identical_accesses_go_on_across_a_repeated_phase() -> None:
    """10 ms phases, 1 touch in 15 ms: it still comes."""
    work = Workload(
        "w", (Area("a", 4096 * 4),), (Phase("p", 10_000, (Access("a", 1e6 / 15_000, Pattern.SEQUENTIAL),)),), True
    )
    sim = SimulatedMachine(work, 1)
    sim.clock.sleep_us(600_001)
    assert sim.touches("a") == 40
    row = sim.state.area.rows[0]
    assert row.nr_seg == 2


def test_a_sequential_cursor_survives_a_change_of_rate() -> None:
    phases = (
        Phase("slow", 5_500, (Access("a", 1000, Pattern.SEQUENTIAL),)),
        Phase("fast", 100_000, (Access("a", 2000, Pattern.SEQUENTIAL),)),
    )
    sim = SimulatedMachine(Workload("w", (Area("a", 4096 * 64),), phases), 1)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    sim.clock.sleep_us(5_500)
    space.mkold(addresses(addrs), 64)
    sim.clock.sleep_us(1_000)
    assert [index for index, one in enumerate(young(space, addrs)) if one] == [5, 6]


def test_a_change_of_rate_takes_no_touch() -> None:
    """50 phases of 0.6 and 0.8 touches in turn: 35 in all."""
    phases = tuple(
        Phase(f"{n}", 10_000, (Access("a", rate, Pattern.SEQUENTIAL),)) for n, rate in enumerate((60, 80) * 25)
    )
    sim = SimulatedMachine(Workload("w", (Area("a", 4096 * 64),), (*phases, Phase("end", 10**6))), 1)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    space.mkold(addresses(addrs), 64)
    sim.clock.sleep_us(600_000)
    assert [index for index, one in enumerate(young(space, addrs)) if one] == list(range(35))


def test_dirty_share_of_file_pages() -> None:
    """Reads leave clean pages, which go without being written; a share of writes dirties that share of pages."""
    for write_share, low, high in ((0.0, 0, 0), (0.3, 61, 122), (1.0, 256, 256)):
        sim = machine(
            Area("a", MIB, Kind.FILE), accesses=(Access("a", 256_000, Pattern.SEQUENTIAL, write_share=write_share),)
        )
        sim.clock.sleep_us(1000)
        space = sim.open_process(sim.pids["main"])
        assert space.madvise(page_addrs(sim, "a")[0], MIB, Advice.PAGEOUT) == 0
        assert low <= sim.counters()["writeback"] <= high or sim.counters()["writeback"] == low
        assert sim.areas()[0].reclaimed_pages == 256


@pytest.mark.parametrize("looks", [1, 20])
def test_dirty_share_of_random_writes(looks: int) -> None:
    """Writes are a share of a Poisson process, so one of their own: 1 - exp(-write share * touches of the page)."""
    dirty, rounds, write_share, touches = 0, 30, 0.3, 2.0
    for seed in range(rounds):
        access = Access("a", 256 * touches / 0.1, Pattern.RANDOM, write_share=write_share)
        sim = machine(Area("a", MIB, Kind.FILE), accesses=(access,), seed=seed)
        space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
        for _ in range(looks):  # however often somebody looks on the way
            space.mkold(addresses(addrs), 256)
            sim.clock.sleep_us(100_000 // looks)
            young(space, addrs)
        assert space.madvise(addrs[0], MIB, Advice.PAGEOUT) == 0
        dirty += sim.counters()["writeback"]
    share = 1 - math.exp(-write_share * touches)
    assert dirty / (rounds * 256) == pytest.approx(share, abs=5 * math.sqrt(share * (1 - share) / (rounds * 256)))


def test_munmap_and_mmap_events() -> None:
    phases = (
        Phase("there", 1000, (Access("a", 1e6, Pattern.RANDOM),)),
        Phase("gone", 1000, (Access("a", 1e6, Pattern.RANDOM),), (PhaseEvent(Event.MUNMAP, "a"),)),
        Phase("back", 1000, (), (PhaseEvent(Event.MMAP, "a"),)),
    )
    sim = SimulatedMachine(Workload("w", (Area("a", MIB), Area("b", MIB)), phases), 1)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    free = sim.free_mem()[0]
    maps = space.mappings()
    assert (addrs[0], addrs[-1] + 4096) in maps
    sim.clock.sleep_us(1000)
    assert sim.free_mem()[0] == free + 256
    assert len(space.mappings()) == len(maps) - 1
    assert not any(young(space, addrs))
    assert (sim.areas()[0].mapped, sim.areas()[0].resident_bytes) == (False, 0)
    assert sim.touches("a") == 1000
    sim.clock.sleep_us(1000)
    assert sim.free_mem()[0] == free
    assert space.mappings() == maps
    assert all(young(space, addrs))


# -- the arithmetic


@given(st.floats(1e-300, 1e300))
def test_log(x: float) -> None:
    assert arithmetic.log(x) == pytest.approx(math.log(x), rel=4e-16, abs=4e-16)


@given(st.floats(-600, 0))
def test_exp(x: float) -> None:
    assert arithmetic.exp(x) == pytest.approx(math.exp(x), rel=4e-15)


@pytest.mark.parametrize("n", [1, 2, 1023, 1024, 1025, 300_000])
@pytest.mark.parametrize("skew", [0.2, 0.999999, 1.0, 1.000001, 1.1, 3.0])
def test_power_sum(n: int, skew: float) -> None:
    assert arithmetic.power_sum(n, skew) == pytest.approx(sum(r**-skew for r in range(1, n + 1)), rel=1e-9)


@pytest.mark.parametrize("skew", [0.4, 1.0, 1.7])
def test_zipf_truth_of_many_pages(skew: float) -> None:
    """The fast sum against the plain one."""
    pages, rate, us = 100_000, 2e6, 5000
    seg = segment(Access("a", rate, Pattern.ZIPF, skew=skew), pages * 4096, 0)
    norm = sum(r**-skew for r in range(1, pages + 1))
    plain = sum(-math.expm1(-rate * us / 1e6 * r**-skew / norm) for r in range(1, pages + 1)) / pages
    assert truth(seg, pages, us * 1000) == pytest.approx(plain, rel=1e-6)


@examples(60)
@given(
    st.integers(1, 300),
    st.sampled_from([64, 1000, 4096, 5000, 12288, 1 << 20]),
    RATES,
    st.randoms(use_true_random=False),
)
def test_strided_touches_come_when_their_number_says(pages: int, stride: int, rate: float, rnd: Random) -> None:
    """Touch k comes at the first ns at which ``k + 1`` touches fit, at byte ``k * stride`` of a pass.

    Pages in memory are young when one of the interval's touches hits them, absent ones fault at their first touch, and
    the event of a touch is at its time.
    """
    size = pages * 4096
    accesses = tuple(Access(name, rate, Pattern.STRIDED, stride=stride) for name in "ab")
    sim = machine(Area("a", size), Area("b", size, populate=False), accesses=accesses, fault_us=0.0)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    period = -(-size // stride)

    def touched(since: int, to: int) -> set[int]:
        """The pages that are touched after ``since`` and not after ``to``, ns."""
        first, last = (int(float(t) * (rate / 1e9)) for t in (since, to))
        return {k % period * stride // 4096 for k in range(first, min(last, first + period))}

    for _ in range(6):
        since = sim.clock.now_ns()
        space.mkold(addresses(addrs), pages)
        sim.clock.sleep_us(rnd.choice([1, 900, 20_000, rnd.randint(1, 3_000_000)]))
        now = sim.clock.now_ns()
        assert {page for page, one in enumerate(young(space, addrs)) if one} == touched(since, now)
        there = {
            (f.addr - sim.state.placed["b"].start) >> 12
            for b in space.folios(sim.state.placed["b"].start, 2**47)
            for f in b
        }
        assert there == touched(0, now)
        rows = [sim.state.event.rows[n] for n in range(sim.state.m.nr_event)]
        for t, pages_of in ((ev.t, set(range(ev.page, ev.page + ev.nr))) for ev in rows):
            assert not touched(now, t - 1) & pages_of
            assert touched(t - 1, t) & pages_of
