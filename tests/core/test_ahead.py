# SPDX-License-Identifier: GPL-2.0-only
"""Many sampling intervals in one call are the same as one at a time: contexts, machine and time, byte for byte."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from damon.core import Damon
from damon.core.watermarks import damos_get_wmark_metric_value
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosQuota, DamosWatermarks, DamosWmarkMetric
from damon.workload.model import Access, Area, Pattern
from tests.core.ahead import Counted, compare, empty_run, module_run, on_memory, watch, watched
from tests.examples import examples
from tests.mm.sim.machines import MIB, machine

seeds = st.integers(0, 2**32 - 1)


@examples(25)
@given(seeds)
@example(300)  # a scheme is due at every sample, and a look comes at the end of an aggregation
def test_at_once_or_one_by_one(seed: int) -> None:
    compare(seed, Counted())


def test_these_runs_are_at_once() -> None:
    """The comparison above is of something: many intervals pass in one call, in machines full of events too."""
    counted = Counted()
    for seed in range(6):
        compare(seed, counted, 2)
    assert counted.most >= 10
    assert counted.intervals > 100


MODULES = {
    "damon_reclaim": ("min_age=500000", "wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "max_nr_regions=60"),
    "damon_lru_sort": ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "cold_min_age=500000"),
}


@pytest.mark.parametrize("name", MODULES)
@examples(6)
@given(seed=seeds)
def test_modules_at_once_or_one_by_one(name: str, seed: int) -> None:
    counted = Counted()
    assert module_run(name, MODULES[name], seed, counted) == module_run(name, MODULES[name], seed, None)
    assert counted.most > 20  # aggregations in which no scheme wants anything need no Python


def _samples_until_low(low: int, counted: Counted | None) -> tuple[int, int, int]:
    """Memory fills up until the only scheme is below its low watermark: samples so far, free memory then and later."""
    filling = Access("a", 2000.0, pattern=Pattern.SEQUENTIAL, stride=4096)
    sim = machine(Area("a", 32 * MIB, populate=False), accesses=(filling,), memory=64 * MIB)
    damon = watched(sim, 1, counted)
    ctx = on_memory(damon)
    ctx.attrs.aggr_interval = 60_000_000  # longer than the run: no end of an aggregation looks at watermarks
    marks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, interval=60_000_000, high=1000, mid=1000, low=low)
    ctx.schemes.append(Damos(action=DamosAction.STAT, apply_interval_us=60_000_000, wmarks=marks))
    began = damos_get_wmark_metric_value(sim)
    damon.start([ctx])
    sim.clock.sleep_us(6_000_000)
    result = ctx.passed_sample_intervals, began, damos_get_wmark_metric_value(sim)
    damon.stop()
    sim.close()
    return result


@pytest.mark.parametrize("low", [900, 800, 700])
def test_a_watermark_ends_a_stretch(low: int) -> None:
    """The last sample is the one at whose end free memory is below the watermark, also amid a stretch."""
    counted = Counted()
    samples, began, ended = _samples_until_low(low, counted)
    assert began >= low > ended
    assert 10 < samples < 1100
    assert (samples, began, ended) == _samples_until_low(low, None)
    assert counted.most > 10


@examples(25)
@given(seeds)
def test_schemes_over_empty_memory(seed: int) -> None:
    assert empty_run(seed, Counted()) == empty_run(seed, None)


def test_a_quota_over_empty_memory_needs_no_turn() -> None:
    """Windows begin, end within a region and go on in the next one; Python has a turn when something else is due."""
    counted = Counted()
    sim = machine(Area("a", 2 * MIB), memory=64 * MIB)
    damon = Damon(sim, 1)
    ctx = on_memory(damon)
    quota = DamosQuota(sz=3 * MIB + 4096, reset_interval=300)
    ctx.schemes.append(Damos(DamosAccessPattern(max_nr_accesses=0), DamosAction.PAGEOUT, quota=quota))
    damon.start([ctx])
    sim.clock.sleep_us(30_000_000)  # what is in memory leaves
    stat = ctx.schemes[0].stat
    tried, exceeds, snapshots = stat.nr_tried, stat.qt_exceeds, stat.nr_snapshots
    watch(damon, counted)
    sim.clock.sleep_us(30_000_000)
    assert stat.qt_exceeds - exceeds >= 70
    assert stat.nr_tried - tried >= 100
    assert stat.nr_snapshots - snapshots >= 3
    assert counted.intervals >= 5900
    assert counted.calls <= 10
    damon.stop()
    sim.close()


def _filling(counted: Counted | None) -> tuple[bytes, int]:
    """A page comes into empty memory now and then: the regions after some seconds, and their accesses in all."""
    slowly = Access("a", 25.0, pattern=Pattern.SEQUENTIAL, stride=4096)
    sim = machine(Area("a", 2 * MIB, populate=False), accesses=(slowly,), memory=16 * MIB)
    damon = watched(sim, 1, counted)
    ctx = on_memory(damon)
    ctx.attrs.min_nr_regions, ctx.attrs.max_nr_regions = 1500, 3000
    found = 0
    damon.start([ctx])
    for _ in range(100):
        sim.clock.sleep_us(97_000)
        found += sum(region.nr_accesses for region in ctx.targets[0].regions)
    result = ctx.targets[0].regions.snapshot(), found
    damon.stop()
    sim.close()
    return result


def test_a_page_that_comes_to_an_empty_region_is_found() -> None:
    counted = Counted()
    regions, found = _filling(counted)
    assert found > 20
    assert (regions, found) == _filling(None)
    assert counted.most > 4
