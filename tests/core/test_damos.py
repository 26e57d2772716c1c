# SPDX-License-Identifier: GPL-2.0-only
"""Schemes on regions: when they apply, what they count, watermarks (damos 2, 3, 8, 9)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from damon.core.attrs import set_attrs
from damon.core.damos_walk import kdamond_apply_schemes
from damon.core.watermarks import damos_wmark_wait_us
from damon.model.arrays import RegionArray
from damon.model.attrs import DamonAttrs
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosQuota,
    DamosWatermarks,
    DamosWmarkMetric,
)
from tests.core.passes import Recorder, one_pass, recorded
from tests.fakes import FakeMachine, regions_of
from tests.regions import copied, region_arrays

K = 1024
PAGE = 4096


@given(region_arrays(), st.integers(0, 300), st.integers(0, 20), st.integers(0, 2000), st.integers(0, 40))
def test_native_walk_equals_reference(regions: RegionArray, pages: int, nr: int, age: int, passed: int) -> None:
    """The native skip over regions that no scheme wants changes neither what is tried nor the regions left."""
    results = []
    for use_reference in (False, True):
        schemes = [
            Damos(
                pattern=DamosAccessPattern(max_nr_accesses=nr, min_age_region=age),
                action=DamosAction.PAGEOUT,
                quota=DamosQuota(sz=pages * PAGE, reset_interval=100, weight_nr_accesses=1, weight_age=1),
            ),
            Damos(pattern=DamosAccessPattern(min_nr_accesses=nr), action=DamosAction.LRU_PRIO),
        ]
        ctx = recorded(*schemes, regions=copied(regions))
        ctx.reference = use_reference
        ctx.passed_sample_intervals, ctx.next_aggregation_sis = passed, 20
        seen = [one_pass(ctx, 60) for _ in range(5)]
        results.append((seen, ctx.targets[0].regions.snapshot(), [scheme.stat for scheme in schemes]))
    assert results[0] == results[1]


def test_actions_reset_the_age_but_stat_does_not() -> None:
    for action, age in ((DamosAction.PAGEOUT, 0), (DamosAction.STAT, 5), (DamosAction.WILLNEED, 0)):
        ctx = recorded(Damos(action=action), regions=regions_of((0, PAGE, 0, 0, 5)))
        one_pass(ctx)
        assert ctx.targets[0].regions[0].age == age


def test_statistics() -> None:
    scheme = Damos(action=DamosAction.PAGEOUT)
    ctx = recorded(scheme, regions=regions_of((0, 8 * PAGE), (9 * PAGE, 10 * PAGE)), ops=Recorder(share=0.5))
    one_pass(ctx)
    stat = scheme.stat
    assert (stat.nr_tried, stat.sz_tried, stat.nr_applied, stat.sz_applied) == (2, 9 * PAGE, 2, 9 * PAGE // 2)
    assert (stat.sz_ops_filter_passed, stat.nr_snapshots) == (9 * PAGE, 1)


def test_max_nr_snapshots_stops_a_scheme_until_it_is_raised() -> None:
    scheme = Damos(action=DamosAction.STAT, max_nr_snapshots=2)
    ctx = recorded(scheme)
    assert [bool(one_pass(ctx)) for _ in range(4)] == [True, True, False, False]
    scheme.max_nr_snapshots = 3
    assert [bool(one_pass(ctx)) for _ in range(2)] == [True, False]


def test_pieces_that_agree_in_everything_are_merged_back() -> None:
    """[7.x] damos 3: a cut that left no trace is undone at the end of the pass."""
    scheme = Damos(action=DamosAction.STAT, pattern=DamosAccessPattern(min_nr_accesses=99))
    ctx = recorded(
        scheme, regions=regions_of((0, PAGE, 1, 1, 1), (PAGE, 2 * PAGE, 1, 1, 1), (2 * PAGE, 3 * PAGE, 2, 1, 1))
    )
    ctx.attrs.min_nr_regions = 1
    one_pass(ctx)
    assert ctx.targets[0].regions.ranges() == [(0, 2 * PAGE), (2 * PAGE, 3 * PAGE)]


def test_apply_intervals_follow_the_time_line_of_the_specification() -> None:
    """Damos 11: due at 20, 40, ... by default; 250 ms means 50, 100, ...; a changed attribute re-arms both."""
    slow = Damos(action=DamosAction.STAT, apply_interval_us=250000)
    fast = Damos(action=DamosAction.STAT)
    ctx = recorded(fast, slow)
    set_attrs(ctx, DamonAttrs())
    seen: dict[int, list[int]] = {0: [], 1: []}
    for sample in range(1, 101):
        ctx.passed_sample_intervals = sample
        before = [scheme.stat.nr_tried for scheme in ctx.schemes]
        kdamond_apply_schemes(ctx)
        for index, scheme in enumerate(ctx.schemes):
            if scheme.stat.nr_tried > before[index]:
                seen[index].append(sample)
    assert seen == {0: [20, 40, 60, 80, 100], 1: [50, 100]}
    ctx.passed_sample_intervals = 33
    set_attrs(ctx, DamonAttrs(aggr_interval=200000))
    assert (fast.next_apply_sis, slow.next_apply_sis, ctx.next_aggregation_sis) == (33 + 40, 33 + 50, 33 + 40)


def test_watermark_state_machine() -> None:
    """Damos 8: activates inside [low, mid) only, stays active in [low, high]."""
    marks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, interval=77, high=500, mid=400, low=200)
    scheme = Damos(wmarks=marks)
    machine = FakeMachine()
    trace = []
    for rate in (450, 500, 501, 450, 400, 399, 450, 200, 199, 250, 1000):
        machine.free = (rate, 1000)
        wait = damos_wmark_wait_us(machine, scheme)
        trace.append(marks.activated)
        assert wait == (0 if marks.activated else 77)
    assert trace == [True, True, False, False, False, True, True, True, False, True, False]
