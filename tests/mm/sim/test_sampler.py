# SPDX-License-Identifier: GPL-2.0-only
"""Samples of a simulated machine's accesses: which ones, where they are, what is lost; and monitoring by them."""

from __future__ import annotations

import errno

import pytest

from damon.core import Damon
from damon.mm.sim import SimulatedMachine
from damon.mm.sim.sampler import AccessSampler
from damon.model.arrays import RegionArray
from damon.model.report import DamonAccessReport, DamonSampleFilter, DamonSampleFilterType
from damon.ops.reported import ReportedPaddr, ReportedVaddr
from damon.workload.model import Access, Area, Pattern
from tests.contexts import new_ctx
from tests.mm.sim.machines import MIB, machine
from tests.refusals import refused

PAGE = 4096
SEQUENTIAL = Access("a", 1_000_000.0, Pattern.SEQUENTIAL)


def _samples(
    sim: SimulatedMachine, us: int = 100_000, seed: int = 3, period: int = 100, **values: float
) -> list[DamonAccessReport]:
    """Of ``us`` microseconds."""
    found: list[DamonAccessReport] = []
    sampler = AccessSampler(sim, found.append, period=period, seed=seed, **values)  # type: ignore[arg-type]
    sampler.start()
    sim.clock.sleep_us(us)
    sampler.stop()
    sampler.stop()
    return found


def _pages(sim: SimulatedMachine, found: list[DamonAccessReport], area: str = "a") -> list[int]:
    start = sim.state.placed[area].start
    return [(report.vaddr - start) // PAGE for report in found]


def test_one_of_each_period_in_the_order_of_the_accesses() -> None:
    sim = machine(Area("a", MIB), accesses=(SEQUENTIAL,))
    found = _samples(sim, us=10_000)
    assert _pages(sim, found) == [n % 256 for n in range(99, 10_000, 100)]
    assert {(report.size, report.tid, report.cpu) for report in found} == {(1, sim.pids["main"], 0)}
    sim.close()


@pytest.mark.parametrize("thp", ["never", "always"])
def test_physical_addresses_are_those_of_the_pages(thp: str) -> None:
    """Also of those within a huge page."""
    sim = machine(Area("a", 4 * MIB), accesses=(SEQUENTIAL,), thp=thp)
    frames = {}
    placed = sim.state.placed["a"]
    for folios in sim.open_process(sim.pids["main"]).folios(placed.start, placed.end):
        for folio in folios:
            frames.update({folio.addr + n * PAGE: folio.pfn + n for n in range(folio.nr_pages)})
    found = _samples(sim, us=20_000, period=7)
    assert len(found) > 2000
    assert all(report.paddr == frames[report.vaddr] * PAGE for report in found)
    sim.close()


def test_skid_shows_a_later_access() -> None:
    sims = [machine(Area("a", MIB), accesses=(SEQUENTIAL,)) for _ in range(2)]
    due = _pages(sims[0], _samples(sims[0]))
    shown = _pages(sims[1], _samples(sims[1], skid=3))
    late = [(one - other) % 256 for one, other in zip(shown, due, strict=True)]
    assert set(late) == {0, 1, 2, 3}
    for sim in sims:
        sim.close()


def test_loss() -> None:
    counts = {}
    for loss in (0.0, 0.25, 1.0):
        sim = machine(Area("a", MIB), accesses=(SEQUENTIAL,))
        counts[loss] = len(_samples(sim, loss=loss))
        sim.close()
    assert (counts[0.0], counts[1.0]) == (1000, 0)
    assert counts[0.25] == pytest.approx(750, abs=50)


@pytest.mark.parametrize("pattern", [Pattern.RANDOM, Pattern.ZIPF])
def test_random_patterns_are_drawn_from_their_distribution(pattern: Pattern) -> None:
    sim = machine(Area("a", MIB), accesses=(Access("a", 1_000_000.0, pattern, write_share=0.25),))
    found = _samples(sim, period=10)
    pages = _pages(sim, found)
    assert len(pages) == 10_000
    share = 1 / 256 if pattern is Pattern.RANDOM else 1 / sum(1 / rank for rank in range(1, 257))
    assert pages.count(0) / 10_000 == pytest.approx(share, rel=0.2)
    assert pages.count(9) / 10_000 == pytest.approx(share / (1 if pattern is Pattern.RANDOM else 10), rel=0.4)
    assert sum(report.is_write for report in found) == pytest.approx(2500, abs=150)
    sim.close()


def test_the_same_seed_gives_the_same_samples() -> None:
    def run(seed: int) -> list[DamonAccessReport]:
        sim = machine(Area("a", MIB), accesses=(Access("a", 1_000_000.0, Pattern.RANDOM),))
        found = _samples(sim, us=5000, seed=seed, loss=0.1, skid=4)
        sim.close()
        return found

    assert run(1) == run(1) != run(2)


def test_the_length_of_the_buffers_window_does_not_matter() -> None:
    found = []
    for drain_us in (100, 3000):
        sim = machine(Area("a", MIB), accesses=(SEQUENTIAL,))
        found.append(_pages(sim, _samples(sim, us=9000, drain_us=drain_us)))
        sim.close()
    assert found[0] == found[1]


def test_what_is_not_in_memory_is_not_reported() -> None:
    sim = machine(Area("a", 8 * MIB, populate=False), accesses=(SEQUENTIAL,))
    pages = _pages(sim, _samples(sim, us=1000, period=10))
    assert len(pages) <= sim.counters()["nr_inactive_anon"] + sim.counters()["nr_active_anon"]
    sim.close()


@pytest.mark.parametrize("values", [{"period": 0}, {"loss": 1.5}, {"loss": -0.1}, {"skid": -1}, {"drain_us": 0}])
def test_numbers_out_of_range(values: dict[str, float]) -> None:
    sim = machine(Area("a", MIB))
    with refused(errno.EINVAL):
        AccessSampler(sim, print, **{"period": 1, "seed": 1} | values)  # type: ignore[arg-type]
    sim.close()


@pytest.mark.parametrize("virtual", [False, True])
@pytest.mark.parametrize("writes", [False, True])
def test_monitoring_by_reports(virtual: bool, writes: bool) -> None:
    """What is used is hot; by writes only, what is written. No accessed bit is asked for."""
    areas = Area("cold", 8 * MIB), Area("a", 4 * MIB), Area("gap", 4 * MIB), Area("written", 4 * MIB)
    accesses = (
        Access("a", 2_000_000.0, Pattern.RANDOM, write_share=0.0),
        Access("written", 2_000_000.0, Pattern.RANDOM, write_share=1.0),
    )
    sim = machine(*areas, accesses=accesses, memory=64 * MIB)
    kernel = Damon(sim, seed=2)
    filters = [DamonSampleFilter(DamonSampleFilterType.WRITE, True, True)] if writes else []
    ops = ReportedVaddr(kernel.reports, filters) if virtual else ReportedPaddr(kernel.reports, filters)
    placed = [sim.state.placed[area.name] for area in areas]
    span = (placed[0].start, placed[-1].end) if virtual else (MIB, 64 * MIB)
    ctx = new_ctx(kernel, ops=ops, regions=[RegionArray([span])])
    ctx.attrs.min_nr_regions = 50
    if virtual:
        ctx.targets[0].space = sim.open_process(sim.pids["main"])
    before = sim.state.snapshot() if not writes else {}
    sampler = AccessSampler(sim, kernel.report_access, period=20, seed=5, skid=2, loss=0.05)
    sampler.start()
    kernel.start([ctx])
    sim.clock.sleep_us(3_000_000)
    hot = sum(region.size for region in ctx.targets[0].regions if region.last_nr_accesses >= 10)
    kernel.stop()
    sampler.stop()
    assert hot == pytest.approx((4 if writes else 8) * MIB, rel=0.15)
    if before:
        changed = {name for name, image in sim.state.snapshot().items() if image != before[name]}
        assert changed <= {"machine", "event"}, "no page was made old"
    sim.close()
