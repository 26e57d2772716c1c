# SPDX-License-Identifier: GPL-2.0-only
"""Worked examples of the specification that span more than one function: tables, time-line, tuning, resume."""

from __future__ import annotations

from typing import Any

import pytest

from damon.core import Damon, set_attrs
from damon.core import regions as adjust
from damon.core.attrs import check_attrs, kdamond_tune_intervals
from damon.core.damos_walk import kdamond_apply_schemes
from damon.core.priority import DamosRates, damon_hot_score, damon_mvsum, left_window_bp
from damon.core.regions import SplitState
from damon.errors import InvalidInput
from damon.model.arrays import MAX_PROBES, RegionArray
from damon.model.attrs import U32_MAX, DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.probe import DamonProbe
from damon.model.random import Random
from damon.model.scheme import DAMOS_MAX_SCORE, Damos, DamosAction, DamosQuota
from damon.model.target import DamonTarget
from tests.contexts import new_ctx
from tests.core.passes import kib, one_pass, recorded, taken
from tests.fakes import FakeMachine, regions_of

K, PAGE, MIB = 1024, 4096, 1 << 20


def test_defaults() -> None:
    """Core 1 and 2: constants, and what a new context, region and scheme begin with."""
    ctx, region, scheme = DamonCtx(), RegionArray([(0, 1)])[0], Damos()
    assert (DAMOS_MAX_SCORE, MAX_PROBES) == (99, 4)
    attrs = ctx.attrs
    assert (attrs.sample_interval, attrs.aggr_interval, attrs.ops_update_interval) == (5000, 100000, 60000000)
    assert (attrs.min_nr_regions, attrs.max_nr_regions, attrs.intervals_goal.aggrs) == (10, 1000, 0)
    assert (ctx.addr_unit, ctx.min_region_sz, ctx.pause, ctx.probes) == (1, 4096, False, [])
    assert (ctx.passed_sample_intervals, ctx.next_aggregation_sis, ctx.next_ops_update_sis) == (0, 0, 0)
    assert (region.nr_accesses, region.last_nr_accesses, region.age) == (0, 0, 0)
    assert bytes(region.probe_hits) + bytes(region.last_probe_hits) == bytes(8)
    assert (scheme.apply_interval_us, scheme.target_nid, scheme.max_nr_snapshots) == (0, -1, 0)
    assert scheme.wmarks.activated
    assert DamonProbe().weight == 0


@pytest.mark.parametrize(
    ("sample", "aggr", "most"), [(5000, 100000, 20), (0, 7, 7), (0, 0, 1), (3, 100, 33), (1, 1 << 40, U32_MAX)]
)
def test_samples_of_an_aggregation(sample: int, aggr: int, most: int) -> None:
    """Core 1: aggr / max(sample, 1), at least 1, at most UINT_MAX."""
    assert DamonAttrs(sample, aggr).max_nr_accesses() == most


def test_attributes_are_checked_in_order() -> None:
    """Core 2.6: intervals goal, minimum of regions, minimum above maximum, sampling above aggregation interval."""
    goal = DamonIntervalsGoal(1, 1, 9, 8)
    attrs = DamonAttrs(200, 100, min_nr_regions=2, max_nr_regions=1, intervals_goal=goal)
    for wrong in (
        r"^intervals_goal\.min_sample_us: 9: .*max_sample_us, 8",
        "^sample_interval: 200 us: .*intervals_goal",
        "^min_nr_regions: 2: ",
        "^min_nr_regions: 3: .*max_nr_regions, 1",
        "^sample_interval: 200 us: .*aggr_interval, 100 us",
    ):
        with pytest.raises(InvalidInput, match=wrong):
            check_attrs(attrs)
        if goal.min_sample_us == 9:
            goal.min_sample_us = 8
        elif goal.aggrs:
            goal.aggrs = 0
        elif attrs.min_nr_regions == 2:
            attrs.min_nr_regions = 3
        else:
            attrs.max_nr_regions = 3
    attrs.aggr_interval = 200
    check_attrs(attrs)


# -- adjustment (core 5)


@pytest.mark.parametrize(
    ("first", "thresholds"), [(0, [0, 1, 2, 4, 8, 16, 20]), (3, [3, 6, 12, 20]), (20, [20]), (25, [25])]
)
def test_thresholds_of_repeated_merging(monkeypatch: pytest.MonkeyPatch, first: int, thresholds: list[int]) -> None:
    """Core 5.3: doubled up to half of the maximum, then the maximum (20 samples), each age counted once."""
    seen: list[tuple[int, bool]] = []
    monkeypatch.setattr(
        adjust, "_merge_pass", lambda ctx, threshold, limit, with_age, **_: seen.append((threshold, with_age))
    )
    ctx = DamonCtx(attrs=DamonAttrs(max_nr_regions=5))
    ctx.targets.append(DamonTarget(regions=RegionArray((n * PAGE, (n + 1) * PAGE) for n in range(6))))
    adjust.kdamond_merge_regions(ctx, first, PAGE)
    assert seen == [(threshold, n == 0) for n, threshold in enumerate(thresholds)]


@pytest.mark.parametrize("reference", [False, True])
def test_the_smallest_regions_that_are_cut(reference: bool) -> None:
    """Core 5.5: more than two minimum sizes for a cut in up to k, two for a cut of some."""
    for pages, cut_all, cut_some in ((1, False, False), (2, False, True), (3, True, True)):
        ctx = DamonCtx(rnd=Random(1), reference=reference)
        for name in ("all", "some"):
            counts = set()
            for _ in range(50):
                regions = RegionArray([(0, pages * PAGE)])
                ctx.targets[:] = [DamonTarget(regions=regions)]
                if name == "all":
                    adjust._split_target(ctx, regions, 2)
                else:
                    ctx.attrs.max_nr_regions = 2
                    adjust.damon_split_some_regions(ctx, 1, SplitState())
                counts.add(regions.nr)
                assert regions.total_size() == pages * PAGE
            assert (2 in counts) == (cut_all if name == "all" else cut_some)


# -- rescaling and tuning (core 7, 8)


@pytest.mark.parametrize(
    ("n", "old", "new", "got"), [(10, 20, 40, 20), (7, 20, 10, 3), (3, 20, 7, 1), (1, 3, 30, 9), (1, 3, 3, 0)]
)
@pytest.mark.parametrize("aggregating", [False, True])
def test_conversion_when_attributes_change(n: int, old: int, new: int, got: int, aggregating: bool) -> None:
    """Core 7; also where the intervals stay and something else changes: conversion rounds all the same."""
    regions = regions_of((0, PAGE, n, n, 12))
    regions[0].probe_hits[0] = regions[0].last_probe_hits[0] = n
    ctx = DamonCtx(attrs=DamonAttrs(1000, old * 1000), targets=[DamonTarget(regions=regions)], probes=[DamonProbe()])
    ctx.next_aggregation_sis = int(aggregating)
    set_attrs(ctx, DamonAttrs(1000, new * 1000, min_nr_regions=5))
    region = regions[0]
    assert (region.last_nr_accesses, region.last_probe_hits[0]) == (got, got)
    assert (region.nr_accesses, region.probe_hits[0]) == ((0, 0) if aggregating else (got, got))
    assert region.age == 12 * old // new


def test_converted_hits_are_eight_bits_wide() -> None:
    regions = RegionArray([(0, PAGE)])
    regions[0].last_probe_hits[0] = 200
    ctx = DamonCtx(targets=[DamonTarget(regions=regions)], probes=[DamonProbe()])
    set_attrs(ctx, DamonAttrs(aggr_interval=200_000))
    assert regions[0].last_probe_hits[0] == 400 - 256


def test_without_an_interval_nothing_is_converted() -> None:
    for old, new in ((DamonAttrs(0, 100), DamonAttrs(10, 200)), (DamonAttrs(10, 200), DamonAttrs(0, 100))):
        regions = regions_of((0, PAGE, 5, 6, 7))
        ctx = DamonCtx(attrs=old, targets=[DamonTarget(regions=regions)], next_aggregation_sis=9)
        set_attrs(ctx, new)
        assert (regions[0].nr_accesses, regions[0].last_nr_accesses, regions[0].age) == (5, 6, 7)


@pytest.mark.parametrize(
    ("nr", "sample"),
    # of 20 samples, half of all accesses wanted: the score is nr / 10
    [(0, 10000), (5, 7500), (10, 5000), (12, 4500), (15, 3750), (20, 2500)],
)
def test_tuned_intervals(nr: int, sample: int) -> None:
    """Core 8: scores 0, 5000, 10000, 12000, 15000, 20000 multiply by 20000, 15000, 10000, 9000, 7500, 5000 bp."""
    goal = DamonIntervalsGoal(access_bp=5000, aggrs=1, min_sample_us=1, max_sample_us=1_000_000)
    ctx = DamonCtx(targets=[DamonTarget(regions=regions_of((0, PAGE, nr), (PAGE, 4 * PAGE, nr)))])
    set_attrs(ctx, DamonAttrs(intervals_goal=goal))
    ctx.targets[0].regions[0].nr_accesses = ctx.targets[0].regions[1].nr_accesses = nr
    kdamond_tune_intervals(ctx)
    assert (ctx.attrs.sample_interval, ctx.attrs.aggr_interval, ctx.attrs.aggr_samples) == (sample, 20 * sample, 20)


def test_tuned_intervals_stay_within_their_bounds() -> None:
    for nr, expected in ((0, 6000), (20, 4000)):
        goal = DamonIntervalsGoal(access_bp=5000, aggrs=1, min_sample_us=4000, max_sample_us=6000)
        ctx = DamonCtx(targets=[DamonTarget(regions=regions_of((0, PAGE, nr)))])
        set_attrs(ctx, DamonAttrs(intervals_goal=goal))
        ctx.targets[0].regions[0].nr_accesses = nr
        kdamond_tune_intervals(ctx)
        assert (ctx.attrs.sample_interval, ctx.attrs.aggr_interval) == (expected, 20 * expected)


def test_a_goal_of_nothing_is_a_target_of_one_event() -> None:
    """Core 2.6, 8: access_bp 0 wants one access; any more is far too many."""
    for nr, expected in ((0, 10000), (1, 2500)):
        goal = DamonIntervalsGoal(access_bp=0, aggrs=1, min_sample_us=1, max_sample_us=1_000_000)
        ctx = DamonCtx(targets=[DamonTarget(regions=regions_of((0, PAGE)))])
        set_attrs(ctx, DamonAttrs(intervals_goal=goal))
        ctx.targets[0].regions[0].nr_accesses = nr
        kdamond_tune_intervals(ctx)
        assert ctx.attrs.sample_interval == expected


# -- schemes (damos)


@pytest.mark.parametrize(
    ("v", "maxn", "age", "weights", "f", "log", "a", "hot"),
    [
        (0, 20, 0, (1, 1), 0, 32, 50, 24),
        (20, 20, 0, (1, 1), 100, 32, 50, 74),
        (20, 20, 1200, (1, 1), 100, 39, 60, 79),
        (0, 20, 1200, (1, 1), 0, 25, 39, 18),
        (0, 20, 1200, (0, 1), 0, 25, 39, 38),
        (10, 20, 50, (1, 0), 50, 35, 54, 49),
        (10, 20, 50, (1000, 500), 50, 35, 54, 50),
    ],
)
def test_parts_of_the_hot_score(
    v: int, maxn: int, age: int, weights: tuple[int, int], f: int, log: int, a: int, hot: int
) -> None:
    """Damos 6.4: each part alone by its weight; of 99 points, so that each is visible."""
    rates = DamosRates(100000, 0, maxn)
    assert damon_hot_score(v, age, *weights, rates) == hot
    assert damon_hot_score(v, age, 1, 0, rates) == f * 99 // 100
    assert damon_hot_score(v, age, 0, 1, rates) == a * 99 // 100
    assert log * 100 // 32 // 2 == a


@pytest.mark.parametrize(
    ("seconds", "log"), [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (2**31, 32), (2**31 - 1, 31)]
)
def test_logarithm_of_the_age(seconds: int, log: int) -> None:
    """Damos 6.4: 0 for 0 s, 1 for 1 s, 2 for 2-3 s, 3 for 4-7 s, ...; at most 32."""
    rates = DamosRates(1_000_000, 0, 20)
    for v, sign in ((20, 1), (0, -1)):
        assert damon_hot_score(v, seconds, 0, 1, rates) == (sign * log + 32) * 100 // 64 * 99 // 100


def test_where_the_resume_example_resumes() -> None:
    """Damos 5.3b: the pointer goes 20K, 40K, 60K, 80K, is cleared by a pass that does nothing, and goes 20K again."""
    quota = DamosQuota(sz=20 * K, reset_interval=100)
    ctx = recorded(Damos(action=DamosAction.PAGEOUT, quota=quota))
    pointers = []
    for _ in range(6):
        one_pass(ctx, 100)
        pointers.append((quota.charge_target_from is ctx.targets[0], quota.charge_addr_from // K))
    assert pointers == [(True, 20), (True, 40), (True, 60), (True, 80), (False, 0), (True, 20)]


def test_a_pass_that_only_clears_the_pointer_leaves_the_window_to_the_next_one() -> None:
    """Damos 5.3b: pass 5 leaves the window open; the next due pass in the same window starts over."""
    ctx = recorded(Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(sz=20 * K, reset_interval=100)))
    for _ in range(4):
        one_pass(ctx, 100)
    assert [kib(one_pass(ctx, 10)) for _ in range(3)] == [[], [(0, 20)], []]


# Long: one run, in which the functions that it replaces note what happens.
def test_order_at_a_boundary(monkeypatch: pytest.MonkeyPatch) -> None:
    """Damos 11 and core 3.5: check, merge and age, calls, schemes, reset, split - at sample 20 of the time-line."""
    machine = FakeMachine(lambda addr: True)
    damon = Damon(machine, seed=1)
    ctx = new_ctx(damon, Damos(action=DamosAction.STAT))
    seen: list[tuple[str, int, int, int, int]] = []

    def note(what: str) -> None:
        regions = ctx.targets[0].regions
        row = regions[0].nr_accesses, regions[0].last_nr_accesses, regions[0].age
        seen.append((what, ctx.passed_sample_intervals, *row))

    apply, update = ctx.ops.apply_scheme, ctx.ops.check_accesses

    def check_accesses(ctx: DamonCtx) -> int:
        max_nr_accesses = update(ctx)
        note("check")
        return max_nr_accesses

    def apply_scheme(*args: Any) -> tuple[int, int]:
        applied = apply(*args)
        note("apply")
        return applied

    monkeypatch.setattr(ctx.ops, "check_accesses", check_accesses)
    monkeypatch.setattr(ctx.ops, "apply_scheme", apply_scheme)
    damon.start([ctx])
    damon.call(ctx, DamonCallControl(lambda ctx: note("call"), repeat=True))
    machine.clock.sleep_us(102_500)
    first = ctx.targets[0].regions[0]
    note("after")
    assert first.size < 64 * MIB // 10  # split
    damon.stop([ctx])
    at_20 = [row for row in seen if row[1] == 20]
    names = [row[0] for row in at_20]
    assert names[:2] == ["check", "call"]
    assert names[2:-1] == ["apply"] * ctx.schemes[0].stat.nr_tried
    # ages are counted at the boundary before requests and schemes see it: 0, as 0 accesses before became 20
    assert {row[2:] for row in at_20[:-1]} == {(20, 0, 0)}
    assert at_20[-1][2:] == (0, 20, 0)
    assert [row[0] for row in seen if row[1] == 19] == ["check", "call"]


def test_between_boundaries_values_are_moving_sums() -> None:
    """Damos 11: at sample 50 half of the window is to come; half of the last count stands for it."""
    slow = Damos(action=DamosAction.STAT, apply_interval_us=250_000)
    slow.pattern.min_nr_accesses = slow.pattern.max_nr_accesses = 3 + 10 // 2
    ctx = recorded(slow, regions=regions_of((0, PAGE, 3, 10, 1), (PAGE, 2 * PAGE, 3, 9, 1)))
    ctx.passed_sample_intervals, ctx.next_aggregation_sis, slow.next_apply_sis = 50, 60, 50
    assert left_window_bp(ctx) == 5000
    assert [damon_mvsum(region, 5000) for region in ctx.targets[0].regions] == [8, 7]
    kdamond_apply_schemes(ctx)
    assert taken(ctx) == [(0, PAGE)]
    assert slow.next_apply_sis == 100


def test_a_change_of_attributes_at_sample_33() -> None:
    """Damos 11: the next aggregation is at 33 + 20, schemes are due at 33 + their interval."""
    fast, slow = Damos(action=DamosAction.STAT), Damos(action=DamosAction.STAT, apply_interval_us=250_000)
    ctx = recorded(fast, slow)
    set_attrs(ctx, DamonAttrs())
    assert (fast.next_apply_sis, slow.next_apply_sis) == (20, 50)
    ctx.passed_sample_intervals, ctx.next_intervals_tune_sis = 33, 77
    set_attrs(ctx, DamonAttrs(min_nr_regions=11))
    assert (fast.next_apply_sis, slow.next_apply_sis, ctx.next_aggregation_sis) == (33 + 20, 33 + 50, 33 + 20)
    assert ctx.next_ops_update_sis == 33 + 12000
    assert ctx.next_intervals_tune_sis == 77


def test_an_apply_interval_below_the_sampling_interval_is_due_at_every_sample() -> None:
    """Damos 3: it gives +0."""
    scheme = Damos(action=DamosAction.STAT, apply_interval_us=4999)
    ctx = recorded(scheme)
    set_attrs(ctx, DamonAttrs())
    for sample in range(1, 6):
        ctx.passed_sample_intervals = sample
        kdamond_apply_schemes(ctx)
    assert scheme.stat.nr_tried == 5
