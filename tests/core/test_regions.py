# SPDX-License-Identifier: GPL-2.0-only
"""Region adjustment: vectors of the specification (core 5), properties, and native against reference."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import reference
from damon.core import regions as adjust
from damon.core.regions import SplitState
from damon.model.arrays import RegionArray
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.model.random import Random
from damon.model.target import DamonTarget
from tests.fakes import regions_of
from tests.regions import copied, region_arrays

PAGE = 4096


def _ctx(
    regions: RegionArray, *, use_reference: bool = False, seed: int = 1, min_nr: int = 10, max_nr: int = 1000
) -> DamonCtx:
    return DamonCtx(
        attrs=DamonAttrs(min_nr_regions=min_nr, max_nr_regions=max_nr), rnd=Random(seed), reference=use_reference,
        targets=[DamonTarget(regions=regions)],
    )  # fmt: skip


@pytest.mark.parametrize("use_reference", [False, True])
def test_merge_example_of_the_specification(use_reference: bool) -> None:
    """Core 5.2's example: a hole at 112, neighbours that differ by more than 9, a last pair above the limit."""
    rows = [(0, 100, 0), (100, 112, 0), (114, 122, 10), (122, 130, 10), (130, 156, 20), (156, 170, 30),
            (170, 184, 1), (184, 230, 2), (230, 10170, 5)]  # fmt: skip
    ctx = _ctx(regions_of(*rows), use_reference=use_reference)
    adjust._merge_pass(ctx, 9, 9999, with_age=False)
    assert ctx.targets[0].regions.ranges() == [
        (0, 112), (114, 130), (130, 156), (156, 170), (170, 230), (230, 10170),
    ]  # fmt: skip


@pytest.mark.parametrize("use_reference", [False, True])
def test_merge_takes_size_weighted_floor_means_and_keeps_the_left_last_count(use_reference: bool) -> None:
    ctx = _ctx(regions_of((0, 100, 10, 3, 7), (100, 400, 13, 9, 4)), use_reference=use_reference)
    adjust._merge_pass(ctx, 3, 1000, with_age=False)
    (region,) = ctx.targets[0].regions
    assert (region.nr_accesses, region.last_nr_accesses, region.age) == (12, 3, 4)  # 12.25, 4.75


@pytest.mark.parametrize(
    ("now", "last", "threshold", "age"),
    [
        (5, 5, 0, 8),
        (5, 4, 1, 8),
        (5, 3, 1, 0),
        (0, 0, 0, 8),
        (1, 0, 5, 0),
        (0, 1, 5, 0),
        (20, 11, 9, 8),
        (20, 10, 9, 0),
    ],
)
@pytest.mark.parametrize("use_reference", [False, True])
def test_age_counts_aggregations_of_similar_access(
    now: int, last: int, threshold: int, age: int, use_reference: bool
) -> None:
    """Core 5.2 step 2, with the reset when exactly one of both counts is zero."""
    ctx = _ctx(regions_of((0, 100, now, last, 7)), use_reference=use_reference)
    adjust._merge_pass(ctx, threshold, 1000, with_age=True)
    assert ctx.targets[0].regions[0].age == age


def test_repeated_merging_does_not_age_again_and_stops_at_the_maximum() -> None:
    regions = RegionArray((i * PAGE, (i + 1) * PAGE) for i in range(40))
    for index, region in enumerate(regions):
        region.nr_accesses = region.last_nr_accesses = index % 2 * 8
        region.age = 3
    ctx = _ctx(regions, min_nr=3, max_nr=20)
    adjust.kdamond_merge_regions(ctx, 0, 40 * PAGE // 3)
    assert regions.nr <= 20
    assert {region.age for region in regions} == {4}


def test_the_size_limit_is_never_relaxed() -> None:
    regions = RegionArray((i * PAGE, (i + 1) * PAGE) for i in range(40))
    ctx = _ctx(regions, min_nr=3, max_nr=5)
    adjust.kdamond_merge_regions(ctx, 0, 2 * PAGE)
    assert regions.nr == 20


def test_without_memory_for_more_regions_there_are_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    """As ``damon_apply_min_nr_regions()`` where a region cannot be allocated."""
    regions = RegionArray([(0, 100 * PAGE)])

    def none(self: RegionArray, capacity: int) -> None:
        raise MemoryError

    monkeypatch.setattr(RegionArray, "reserve", none)
    assert adjust.damon_apply_min_nr_regions(_ctx(regions, min_nr=10)) == 10 * PAGE
    assert [(region.start, region.end) for region in regions] == [(0, 100 * PAGE)]


@pytest.mark.parametrize("use_reference", [False, True])
def test_min_nr_regions_is_enforced(use_reference: bool) -> None:
    """Core 5.4: 103 pages, at least 10 regions: pieces of 11 pages (10.3 aligned up)."""
    regions = regions_of((0, 100 * PAGE, 4, 5, 6), (200 * PAGE, 203 * PAGE))
    ctx = _ctx(regions, use_reference=use_reference)
    assert adjust.damon_apply_min_nr_regions(ctx) == 11 * PAGE
    assert [region.size // PAGE for region in regions] == [11] * 9 + [1, 3]
    assert all((r.nr_accesses, r.last_nr_accesses, r.age) == (4, 5, 6) for r in list(regions)[:10])


@pytest.mark.parametrize(
    ("before", "most", "last", "subs"), [(10, 1000, 10, 3), (10, 1000, 9, 2), (400, 1000, 400, 2), (500, 1000, 1, 2)]
)
def test_number_of_pieces(before: int, most: int, last: int, subs: int) -> None:
    """Core 5.5: three pieces only when the number of regions stood still below a third of the maximum."""
    regions = RegionArray((i << 20, (i + 1) << 20) for i in range(before))
    state = SplitState(last_nr_regions=last)
    adjust.kdamond_split_regions(_ctx(regions, max_nr=most), state)
    assert before < regions.nr <= before * subs
    assert (regions.nr > 2 * before * 0.95) == (subs == 3) or subs == 2
    assert state.last_nr_regions == before


def test_above_half_of_the_maximum_a_rotating_subset_is_split() -> None:
    state = SplitState()
    touched = []
    for _ in range(4):
        regions = RegionArray((i << 20, (i + 1) << 20) for i in range(75))
        adjust.kdamond_split_regions(_ctx(regions, max_nr=100), state)
        assert regions.nr <= 100
        whole = {region.start for region in regions if region.size == 1 << 20}
        touched.append({i for i in range(75) if i << 20 not in whole})
    assert touched == [set(range(offset, 75, 4)) for offset in range(4)]


def test_nothing_is_split_at_the_maximum() -> None:
    regions = RegionArray((i << 20, (i + 1) << 20) for i in range(100))
    state = SplitState(last_nr_regions=5)
    adjust.kdamond_split_regions(_ctx(regions, max_nr=100), state)
    assert regions.nr == 100
    assert state.last_nr_regions == 100


@given(region_arrays(), st.integers(0, 20), st.integers(1, 300), st.booleans())
def test_merge_native_equals_reference(regions: RegionArray, threshold: int, limit: int, age: bool) -> None:
    twin = copied(regions)
    size, spans = regions.total_size(), {edge for span in regions.ranges() for edge in span}
    adjust._merge_pass(_ctx(regions), threshold, limit * PAGE, age)
    reference.damon_merge_regions_of(twin, threshold, limit * PAGE, age)
    assert regions.snapshot() == twin.snapshot()
    assert regions.total_size() == size
    assert {edge for span in regions.ranges() for edge in span} <= spans


@given(region_arrays(), st.integers(2, 3), st.integers(0, 2**64 - 1))
def test_split_native_equals_reference(regions: RegionArray, nr_subs: int, seed: int) -> None:
    twin = copied(regions)
    size, before = regions.total_size(), regions.nr
    ours, theirs = _ctx(regions, seed=seed), _ctx(twin, seed=seed, use_reference=True)
    adjust._split_target(ours, regions, nr_subs)
    adjust._split_target(theirs, twin, nr_subs)
    assert regions.snapshot() == twin.snapshot()
    assert ours.rnd.state == theirs.rnd.state
    assert regions.total_size() == size
    assert regions.nr <= before * nr_subs
    assert all(region.size % PAGE == 0 and region.size for region in regions)


@given(region_arrays(), region_arrays(), st.integers(0, 9), st.integers(0, 2**64 - 1))
def test_split_some_native_equals_reference(a: RegionArray, b: RegionArray, rotation: int, seed: int) -> None:
    nr = a.nr + b.nr
    ctxs = []
    for use_reference in (False, True):
        most = max(3, nr * 4 // 3)
        ctx = _ctx(copied(a), seed=seed, use_reference=use_reference, max_nr=most, min_nr=3)
        ctx.targets.append(DamonTarget(regions=copied(b)))
        if nr < most:
            adjust.damon_split_some_regions(ctx, nr, SplitState(rotation=rotation))
        ctxs.append(ctx)
    ours, theirs = ctxs
    for mine, other in zip(ours.targets, theirs.targets, strict=True):
        assert mine.regions.snapshot() == other.regions.snapshot()
    assert ours.rnd.state == theirs.rnd.state
    assert ours.nr_regions() <= max(3, nr * 4 // 3)


@given(region_arrays(), st.integers(1, 100))
def test_split_to_limit_native_equals_reference(regions: RegionArray, min_nr: int) -> None:
    twin = copied(regions)
    size = regions.total_size()
    limit = adjust.damon_apply_min_nr_regions(_ctx(regions, min_nr=min_nr))
    assert adjust.damon_apply_min_nr_regions(_ctx(twin, min_nr=min_nr, use_reference=True)) == limit
    assert regions.snapshot() == twin.snapshot()
    assert regions.total_size() == size
    assert all(region.size <= limit for region in regions)


@given(region_arrays())
def test_reset_native_equals_reference(regions: RegionArray) -> None:
    twin = copied(regions)
    counts = [(region.nr_accesses, region.age) for region in regions]
    adjust.kdamond_reset_aggregated(_ctx(regions))
    reference.reset_aggregated(twin)
    assert regions.snapshot() == twin.snapshot()
    assert [(region.last_nr_accesses, region.age) for region in regions] == counts
    assert all(region.nr_accesses == 0 for region in regions)


def test_the_generator_is_uniform_over_spans_of_64_bits() -> None:
    rnd = Random(3)
    draws = [rnd.rand(1 << 40, (1 << 40) + (3 << 61)) for _ in range(4000)]
    thirds = [sum((d - (1 << 40)) // (1 << 61) == third for d in draws) for third in range(3)]
    assert min(thirds) > 4000 / 3 * 0.9
    assert {Random(seed).rand(1, 10) for seed in range(500)} == set(range(1, 10))
