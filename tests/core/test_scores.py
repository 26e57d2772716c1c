# SPDX-License-Identifier: GPL-2.0-only
"""Rates, scores, feedback: vectors of the specification (core 4.2, 7, 8; damos 6), native against reference."""

from __future__ import annotations

import ctypes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core.attrs import damon_get_intervals_adaptation_bp, damon_nr_samples_for_new_attrs
from damon.core.goals import damon_feed_loop_next_input
from damon.core.priority import DamosRates, ScoreHistogram, damon_hot_score, damon_mvsum, left_window_bp
from damon.model.arrays import RegionArray
from damon.model.attrs import U32_MAX, ULONG_MAX, DamonAttrs
from damon.model.context import DamonCtx
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosQuota
from damon.model.target import DamonTarget
from damon.native import bind
from damon.ops.paddr import Paddr
from tests.fakes import regions_of
from tests.regions import region_arrays

_native_hot_score = bind("damon_hot_score", *[ctypes.c_uint32] * 5, ctypes.c_uint64, ctypes.c_uint32)
_native_moving_sum = bind("damon_nr_accesses_mvsum", ctypes.c_uint32, ctypes.c_void_p, ctypes.c_uint32)


@pytest.mark.parametrize(
    ("nr", "last", "left", "window", "value"),
    [
        (0, 10, 20, 20, 10),
        (0, 10, 19, 20, 9),
        (3, 10, 13, 20, 9),
        (5, 8, 1, 20, 5),
        (7, 8, 0, 20, 7),
        (5, 9, 20, 20, 9),
    ],
)
def test_moving_sum_vectors(nr: int, last: int, left: int, window: int, value: int) -> None:
    """Core 4.2."""
    ctx = DamonCtx(attrs=DamonAttrs(sample_interval=1, aggr_interval=window))
    ctx.passed_sample_intervals, ctx.next_aggregation_sis = 100, 100 + left
    regions = regions_of((0, 4096, nr, last))
    left_bp = left_window_bp(ctx)
    assert damon_mvsum(regions[0], left_bp) == value
    assert _native_moving_sum(regions.pointer, left_bp) == value


@pytest.mark.parametrize(("n", "old", "new", "got"), [(10, 20, 40, 20), (7, 20, 10, 3), (3, 20, 7, 1), (1, 3, 30, 9)])
def test_conversion_vectors(n: int, old: int, new: int, got: int) -> None:
    """Core 7; as a whole change of attributes: test_vectors.py."""
    assert damon_nr_samples_for_new_attrs(n, old, new) == got


@pytest.mark.parametrize(
    ("v", "max_nr", "age", "weight_nr", "weight_age", "hot"),
    [
        (0, 20, 0, 1, 1, 24),
        (20, 20, 0, 1, 1, 74),
        (20, 20, 1200, 1, 1, 79),
        (0, 20, 1200, 1, 1, 18),
        (0, 20, 1200, 0, 1, 38),
        (10, 20, 50, 1, 0, 49),
        (10, 20, 50, 1000, 500, 50),
        (20, 20, 1200, 0, 0, 0),
    ],
)
def test_hot_score_vectors(v: int, max_nr: int, age: int, weight_nr: int, weight_age: int, hot: int) -> None:
    """Damos 6.4; each part of the score: test_vectors.py."""
    assert damon_hot_score(v, age, weight_nr, weight_age, DamosRates(100000, 0, max_nr)) == hot
    assert _native_hot_score(v, age, weight_nr, weight_age, 100000, max_nr) == hot


u32 = st.one_of(st.integers(0, 2000), st.integers(0, U32_MAX))


@given(u32, u32, st.integers(0, 100000), st.integers(0, 100000), st.integers(1, 1 << 40), st.integers(1, 1000))
def test_hot_score_native_equals_reference(v: int, age: int, w_nr: int, w_age: int, aggr: int, max_nr: int) -> None:
    rates = DamosRates(aggr, 0, max_nr)
    assert _native_hot_score(v, age, w_nr, w_age, aggr, max_nr) == damon_hot_score(v, age, w_nr, w_age, rates)


@pytest.mark.parametrize(
    ("last", "score", "result"),
    [
        (10000, 0, 20000),
        (900000, 200, 1782000),
        (900000, 15000, 450000),
        (900000, 19999, 10000),
        (900000, 20000, 10000),
        (123456, 9000, 135801),
        (10000, 10001, 10000),
        (77, 10000, 77),
        (ULONG_MAX - 5, 9000, ULONG_MAX),
        (1 << 63, 15000, (1 << 63) - (1 << 63) // 10000 * 5000),
    ],
)
def test_feedback_vectors(last: int, score: int, result: int) -> None:
    """Damos 6.1."""
    assert damon_feed_loop_next_input(last, score) == result


@pytest.mark.parametrize(
    ("score", "multiplier"),
    [(0, 20000), (2500, 17500), (5000, 15000), (9999, 10001), (10000, 10000), (10001, 9999), (12000, 9000),
     (15000, 7500), (19999, 5000), (20000, 5000), (99999, 5000)],
)  # fmt: skip
def test_interval_tuning_vectors(score: int, multiplier: int) -> None:
    """Core 8; as intervals: test_vectors.py."""
    assert damon_get_intervals_adaptation_bp(score) == multiplier


def _histogram(regions: RegionArray, scheme: Damos, use_reference: bool) -> ScoreHistogram:
    ctx = DamonCtx(ops=Paddr(), reference=use_reference, targets=[DamonTarget(regions=regions)])
    ctx.next_aggregation_sis = 7
    histogram = ScoreHistogram(ctx, scheme)
    histogram.add(regions)
    return histogram


@given(
    region_arrays(), st.sampled_from([DamosAction.PAGEOUT, DamosAction.LRU_PRIO, DamosAction.STAT]), st.integers(0, 9)
)
def test_histogram_native_equals_reference(regions: RegionArray, action: DamosAction, min_nr: int) -> None:
    pattern = DamosAccessPattern(min_nr_accesses=min_nr, min_age_region=3, max_sz_region=30 * 4096)
    scheme = Damos(pattern=pattern, action=action, quota=DamosQuota(weight_nr_accesses=2, weight_age=1))
    ours, theirs = (_histogram(regions, scheme, use_reference) for use_reference in (False, True))
    for esz in (0, 1, 4096, 1 << 20, 1 << 40):
        assert ours.min_score(esz) == theirs.min_score(esz)
    assert list(ours._buckets) == list(theirs._buckets)


def test_min_score_admits_the_best_until_the_quota_is_filled() -> None:
    """Damos 6.3: buckets from the top down; stops at the first whose sum reaches the effective size."""
    regions = regions_of((0, 4096, 20), (4096, 3 * 4096, 10), (3 * 4096, 9 * 4096, 0))
    scheme = Damos(action=DamosAction.LRU_PRIO, quota=DamosQuota(weight_nr_accesses=1))
    ctx = DamonCtx(ops=Paddr(), targets=[DamonTarget(regions=regions)])
    histogram = ScoreHistogram(ctx, scheme)
    histogram.add(regions)
    assert [histogram.min_score(pages * 4096) for pages in (0, 1, 2, 3, 4, 9, 99)] == [99, 99, 49, 49, 0, 0, 0]
