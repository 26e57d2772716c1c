# SPDX-License-Identifier: GPL-2.0-only
"""The best possible reclaim, held against the optimum of traces, against MIN, and against runs."""

from __future__ import annotations

from math import inf
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.mm.sim.arithmetic import power_sum as exact_power_sum
from damon.results.best import Best, best_reclaim
from damon.results.best.pages import power_sum
from damon.workload.load import load_workload, parse_workload
from damon.workload.model import Access, Area, Event, Kind, MachineSpec, Pattern, Phase, PhaseEvent, Swap, Workload
from tests.results.best.traces import Gap, Page, belady, fewest, gaps, relaxed, trace

PAGE = 4096
SWAP = MachineSpec(swap=Swap(1 << 30))


def draw_workload(rnd: Random) -> Workload:
    """One or two small areas that come and go, accessed in all ways at rates about once a phase and page."""
    areas = tuple(
        Area(f"area{n}", rnd.choice([1, 3, 24, 40]) * PAGE, process=f"p{n}", populate=rnd.random() < 0.6)
        for n in range(rnd.randint(1, 2))
    )
    skip = rnd.random() < 0.4

    def accesses(number: int) -> tuple[Access, ...]:
        return tuple(
            Access(
                area.name, rnd.choice([3.0, 17.0, 90.0]), rnd.choice(list(Pattern)),
                stride=rnd.choice([1000, 4096, 8192, 12288 if area.size > 3 * PAGE else 4096]),
                skew=rnd.choice([0.6, 1.0, 1.7]),
            )
            for area in areas
            if rnd.random() < 0.7 and not (skip and number == 1 and area is areas[0])
        )  # fmt: skip

    phases = [
        Phase(f"phase{n}", rnd.choice([700_000, 2_000_000, 5_000_000]), accesses(n)) for n in range(rnd.randint(2, 4))
    ]
    if skip:
        gone, back = PhaseEvent(rnd.choice([Event.MUNMAP, Event.EXIT]), ""), PhaseEvent(Event.MMAP, "area0")
        gone = PhaseEvent(gone.event, "area0" if gone.event is Event.MUNMAP else "p0")
        phases[1] = Phase("gone", phases[1].duration_us, phases[1].accesses, (gone,))
        phases[2:] = [Phase("back", 1_500_000, accesses(2), (back,))]
    return Workload("drawn", areas, tuple(phases), rnd.random() < 0.5, SWAP)


@pytest.mark.parametrize("seed", range(24))
def test_the_curve_is_that_of_many_traces(seed: int) -> None:
    """All traces together, as if they were one machine: the optimum of what is expected."""
    rnd, nr = Random(seed), 300
    workload, seconds = draw_workload(rnd), rnd.choice([6.0, 13.0])
    best = best_reclaim(workload, seconds)
    found = [gap for _ in range(nr) for gap in gaps(trace(workload, seconds, rnd))]
    most = sum(gap.seconds for gap in found) / nr * PAGE
    idle = sum(gap.seconds for gap in found if not gap.cost) / nr * PAGE
    assert best.most_byte_seconds == pytest.approx(most, rel=0.03)
    assert best.idle_byte_seconds == pytest.approx(idle, rel=0.08, abs=0.02 * most)
    paid = sorted((gap.seconds for gap in found if gap.cost), reverse=True)
    for share in (0.1, 0.3, 0.6, 0.9):
        refaults = round(share * len(paid))
        saved = best.byte_seconds(refaults / nr)
        assert saved == pytest.approx(idle + sum(paid[:refaults]) / nr * PAGE, rel=0.05)
        assert best.refaults(saved) == pytest.approx(refaults / nr, rel=1e-3, abs=1e-3)


@given(st.lists(st.tuples(st.floats(0.01, 50.0), st.integers(0, 1)), min_size=1, max_size=10), st.floats(0.0, 1.0))
def test_the_longest_idle_times_are_the_optimum(drawn: list[tuple[float, int]], share: float) -> None:
    """Of whole idle times it takes less than one refault more."""
    found = [Gap(*one) for one in drawn]
    saved = share * sum(gap.seconds for gap in found)
    assert relaxed(found, saved) - 1e-6 <= fewest(found, saved) < relaxed(found, saved) + 1 + 1e-6


@given(st.integers(0, 10**6), st.integers(1, 24))
def test_min_with_a_fixed_memory_is_never_better(seed: int, room: int) -> None:
    """MIN has the fewest refaults of all that keep to a size of memory at any time; on average it is more freedom."""
    rnd = Random(seed)
    pattern = rnd.choice(list(Pattern))
    area = Area("a", 24 * PAGE)
    workload = Workload("one", (area,), (Phase("p", 10**7, (Access("a", 30.0, pattern),)),), False, SWAP)
    pages = trace(workload, 10.0, rnd)
    refaults, saved = belady(pages, room)
    assert saved >= (24 - room) * 10.0 - 1e-6
    assert relaxed(list(gaps(pages)), saved) <= refaults + 1e-6


@pytest.mark.parametrize("room", [3, 8, 15, 21])
def test_on_a_scan_min_is_as_good(room: int) -> None:
    """All idle times are alike: the curve is a line, and MIN is on it but for the ends."""
    area = Area("a", 24 * PAGE)
    workload = Workload("scan", (area,), (Phase("p", 10**9, (Access("a", 24.0, Pattern.SEQUENTIAL),)),), False, SWAP)
    pages = trace(workload, 200.0, Random(1))
    refaults, saved = belady(pages, room)
    bound = best_reclaim(workload, 200.0).refaults(saved * PAGE)
    assert bound == pytest.approx(relaxed(list(gaps(pages)), saved), rel=0.01)
    assert bound <= refaults <= bound * 1.35


def one(pattern: Pattern = Pattern.RANDOM, rate: float = 10.0, pages: int = 100, **more: object) -> Workload:
    area = Area("a", pages * PAGE, **more)  # type: ignore[arg-type]
    return Workload("one", (area,), (Phase("p", 10**6, (Access("a", rate, pattern),)),), False, SWAP)


def test_a_poisson_page_has_the_idle_times_of_an_exponential() -> None:
    """At 0.1 touches a second for long, the share of time in idle times over 10 x seconds is (1 + x) exp(-x)."""
    best = best_reclaim(one(), 1e7)
    share = best.byte_seconds(100 * 1e7 * 0.1 * 2.718281828**-2) / (100 * PAGE * 1e7)
    assert share == pytest.approx(3 * 2.718281828**-2, rel=1e-3)


def test_memory_that_is_never_touched_costs_nothing() -> None:
    best = best_reclaim(load_workload("hot-cold"), 60.0)
    assert best.idle_byte_seconds / 60.0 == pytest.approx(224 << 20, rel=1e-4)
    assert best.refaults(best.idle_byte_seconds) == 0.0
    assert best.byte_seconds(0.0) == best.idle_byte_seconds
    assert best.refaults(best.most_byte_seconds * 1.1) == inf


def test_anonymous_memory_needs_swap() -> None:
    """``none``: it stays. A small device: no more than fits, on average; file pages go all the same."""
    areas = (Area("anon", 100 * PAGE), Area("file", 50 * PAGE, Kind.FILE))
    phases = (Phase("p", 10**6, (Access("anon", 50.0), Access("file", 50.0))),)

    def best(swap: Swap | None) -> Best:
        return best_reclaim(Workload("w", areas, phases, False, MachineSpec(swap=swap)), 100.0)

    assert best(None).most_byte_seconds == pytest.approx(50 * PAGE * 100)
    assert best(Swap(30 * PAGE)).most_byte_seconds == pytest.approx(80 * PAGE * 100)
    assert best(Swap(1 << 30)).most_byte_seconds == pytest.approx(150 * PAGE * 100)
    saved = 60 * PAGE * 100.0
    assert best(Swap(5 * PAGE)).refaults(saved) == inf
    assert best(Swap(30 * PAGE)).refaults(saved) > best(Swap(1 << 30)).refaults(saved) > 0.0


def test_pages_that_never_came_cannot_be_saved() -> None:
    populated, lazy = (best_reclaim(one(rate=1.0, populate=flag), 10.0) for flag in (True, False))
    assert populated.most_byte_seconds == pytest.approx(100 * PAGE * 10)
    assert lazy.most_byte_seconds == pytest.approx(PAGE * sum(0.5 for _ in range(100)), rel=0.05)


def test_a_stride_passes_over_pages() -> None:
    """Of 90 pages every third is touched each second; the others never."""
    area = Area("a", 90 * PAGE)
    access = Access("a", 30.0, Pattern.STRIDED, stride=3 * PAGE)
    best = best_reclaim(Workload("w", (area,), (Phase("p", 10**6, (access,)),), False, SWAP), 1000.0)
    assert best.idle_byte_seconds / PAGE == pytest.approx(60 * 1000 + 30 * 0.5, rel=1e-3)
    assert best.refaults(best.most_byte_seconds) == pytest.approx(30 * 1000, rel=1e-3)


@pytest.mark.parametrize("seed", range(10))
def test_passes_are_exact(seed: int) -> None:
    """Where nothing is random, the curve is that of the one trace: a pass goes on where the last phase left it, unless
    it has another stride."""
    rnd = Random(seed)
    area = Area("a", 40 * PAGE, populate=rnd.random() < 0.5)
    strides = [rnd.choice([1000, 4096, 8192, 20480]), 4096]
    phases = tuple(
        Phase(
            f"phase{n}", rnd.choice([713_100, 1_131_700]),
            (Access("a", rnd.choice([17.0, 31.0, 90.0]), Pattern.STRIDED, stride=rnd.choice(strides)),)
            if rnd.random() < 0.8
            else (),
        )
        for n in range(6)
    )  # fmt: skip
    workload = Workload("passes", (area,), phases, rnd.random() < 0.5, SWAP)
    found = list(gaps(trace(workload, 9.7, rnd)))
    best = best_reclaim(workload, 9.7)
    paid = sorted((gap.seconds for gap in found if gap.cost), reverse=True)
    idle = sum(gap.seconds for gap in found if not gap.cost)
    for refaults in range(0, len(paid), max(len(paid) // 7, 1)):
        assert best.byte_seconds(refaults) == pytest.approx((idle + sum(paid[:refaults])) * PAGE, rel=2e-3)
    assert best.most_byte_seconds == pytest.approx((idle + sum(paid)) * PAGE)


@pytest.mark.parametrize("pattern", list(Pattern))
def test_a_round_that_repeats_is_as_good_as_all_of_its_rounds(pattern: Pattern) -> None:
    """200 rounds as a cycle, and as phases one after the other."""
    areas = (Area("a", 300 * PAGE),)
    phases = (
        Phase("fast", 1_300_000, (Access("a", 900.0, pattern),)),
        Phase("slow", 900_000, (Access("a", 11.0),)),
        Phase("idle", 800_000),
    )
    short = best_reclaim(Workload("w", areas, phases, True, SWAP), 601.3)
    long = best_reclaim(Workload("w", areas, phases * 201, False, SWAP), 601.3)
    assert short.most_byte_seconds == pytest.approx(long.most_byte_seconds)
    for share in (0.2, 0.5, 0.9):
        saved = share * long.most_byte_seconds
        # With so many stretches fewer pages stand for all.
        close = 1e-3 if pattern is Pattern.RANDOM else 0.015
        assert short.refaults(saved) == pytest.approx(long.refaults(saved), rel=close)


@pytest.mark.parametrize("skew", [0.3, 1.0, 1.000001, 2.5])
def test_power_sums(skew: float) -> None:
    for first, end in ((0, 1), (0, 9), (0, 5000), (70, 3000), (12, 13), (400, 100_000)):
        exact = exact_power_sum(end, skew) - (exact_power_sum(first, skew) if first else 0.0)
        assert power_sum(first, end, skew) == pytest.approx(exact, rel=1e-6)
    assert sum(power_sum(at, at + 100, skew) for at in range(0, 1000, 100)) == pytest.approx(power_sum(0, 1000, skew))


def test_traces_have_the_touches_of_the_workload() -> None:
    pages = trace(one(Pattern.SEQUENTIAL, 10.0, 5), 1.0, Random(0))
    assert pages[1] == Page([0.0, 0.2, 0.7], 1.0)
    text = {"areas": {"a": {"size": 8192}}, "phases": [{"duration": "1s", "access": [{"area": "a", "rate": 1000}]}]}
    assert sum(len(page.points) for page in trace(parse_workload(text), 1.0, Random(0))) == pytest.approx(1002, abs=150)
