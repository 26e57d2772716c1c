# SPDX-License-Identifier: GPL-2.0-only
"""Probes: what is refused, commit, and regions merged by weighted sums (core 2.7, 5.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import Damon, commit_ctx, set_attrs
from damon.core import regions as adjust
from damon.core.priority import left_window_bp
from damon.core.probes import damon_probe_hits_mvsum, damon_valid_probe_params
from damon.errors import InvalidInput
from damon.model.arrays import RegionArray
from damon.model.attrs import U32_MAX, DamonAttrs
from damon.model.context import DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonProbe
from damon.model.target import DamonTarget
from tests.contexts import anon_probe, pair
from tests.fakes import FakeMachine, regions_of
from tests.regions import copied, region_arrays

PAGE, MIB = 4096, 1 << 20
ANON, MEMCG = DamonFilterType.ANON, DamonFilterType.MEMCG


def _ctx(regions: RegionArray, *weights: int, reference: bool = False) -> DamonCtx:
    probes = [DamonProbe(weight) for weight in weights]
    return DamonCtx(reference=reference, probes=probes, targets=[DamonTarget(regions=regions)])


@pytest.mark.parametrize(
    ("attrs", "weights", "wrong"),
    [
        (DamonAttrs(1000, 255_000), [1], ""),
        (DamonAttrs(1000, 255_999), [1], ""),
        (DamonAttrs(1000, 256_000), [1], "aggr_interval: 256000 us: "),
        (DamonAttrs(1000, 256_000), [0, 0], ""),  # without weights hits may wrap
        (DamonAttrs(0, 256), [0, 1], "aggr_interval: 256 us: "),
        (DamonAttrs(), [U32_MAX // 20], ""),
        (DamonAttrs(), [U32_MAX // 20 + 1], r"probes\[0\]\.weight: 214748365: "),
        (DamonAttrs(), [U32_MAX // 20 - 5, 3, 2], ""),
        (DamonAttrs(), [U32_MAX // 20 - 5, 3, 2, 1], r"probes\[3\]\.weight: 1: "),
        (DamonAttrs(), [0] * 5, "probes: 5: "),
    ],
)
def test_what_could_overflow_is_refused(attrs: DamonAttrs, weights: list[int], wrong: str) -> None:
    ctx = DamonCtx(attrs=attrs, probes=[DamonProbe(weight) for weight in weights])
    if not wrong:
        damon_valid_probe_params(ctx)
        return
    with pytest.raises(InvalidInput, match=wrong):
        damon_valid_probe_params(ctx)


def test_bad_probes_neither_start_nor_commit() -> None:
    damon = Damon(FakeMachine())
    dst, src = pair(damon)
    src.probes.append(DamonProbe(U32_MAX))
    with pytest.raises(InvalidInput, match=rf"^probes\[0\]\.weight: {U32_MAX}: "):
        damon.start([src])
    dst.probes.append(anon_probe(3))
    with pytest.raises(InvalidInput, match=rf"^probes\[0\]\.weight: {U32_MAX}: "):
        commit_ctx(dst, src)
    assert dst.probes == [anon_probe(3)]
    assert not dst.maybe_corrupted


def test_commit_is_by_position_and_keeps_the_hits() -> None:
    dst, src = pair()
    dst.probes += [anon_probe(3), DamonProbe(1, [DamonFilter(MEMCG, True, True, 5), DamonFilter(ANON, False)])]
    first = dst.probes[0]
    dst.targets.append(DamonTarget(regions=regions_of((0, PAGE))))
    dst.targets[0].regions[0].probe_hits[:] = [1, 2, 3, 4]
    src.targets.append(DamonTarget())
    src.probes += [DamonProbe(7, [DamonFilter(MEMCG, False, True, 9)]), anon_probe(), DamonProbe(2)]
    commit_ctx(dst, src)
    assert dst.probes == src.probes
    assert dst.probes[0] is first
    for ours, theirs in zip(dst.probes, src.probes, strict=True):
        assert ours is not theirs
        assert all(a is not b for a, b in zip(ours.filters, theirs.filters, strict=True))
    assert list(dst.targets[0].regions[0].probe_hits) == [1, 2, 3, 4]
    del src.probes[1:]
    commit_ctx(dst, src)
    assert dst.probes == [DamonProbe(7, [DamonFilter(MEMCG, False, True, 9)])]


def _with_hits(*rows: tuple[int, int, list[int], list[int]]) -> RegionArray:
    regions = RegionArray((start, end) for start, end, _, _ in rows)
    for region, (_, _, now, last) in zip(regions, rows, strict=True):
        region.probe_hits[: len(now)] = [*now]
        region.last_probe_hits[: len(last)] = [*last]
    return regions


@pytest.mark.parametrize("reference", [False, True])
def test_merge_example_of_the_specification_with_hits(reference: bool) -> None:
    """Core 5.2's example once more, the counts now weighted sums: 3 * the first hit + 1 * the third."""
    rows = [(0, 100, 0), (100, 112, 0), (114, 122, 10), (122, 130, 10), (130, 156, 20), (156, 170, 30),
            (170, 184, 1), (184, 230, 2), (230, 10170, 5)]  # fmt: skip
    regions = _with_hits(*((start, end, [n // 3, 99, n % 3], []) for start, end, n in rows))
    for region, (_, _, n) in zip(regions, rows, strict=True):
        region.nr_accesses = n * 50 % 97  # of no interest
    adjust._merge_pass(_ctx(regions, 3, 0, 1, reference=reference), 9, 9999, False)
    assert regions.ranges() == [
        (0, 112), (114, 130), (130, 156), (156, 170), (170, 230), (230, 10170),
    ]  # fmt: skip


@pytest.mark.parametrize("reference", [False, True])
def test_merged_hits_are_floor_means_and_the_left_last_hits_stay(reference: bool) -> None:
    regions = _with_hits((0, 100, [10, 0, 255, 7], [1, 2, 3, 4]), (100, 400, [13, 255, 0, 7], [9, 9, 9, 9]))
    adjust._merge_pass(_ctx(regions, 1, reference=reference), 3, 1000, False)
    (region,) = regions
    assert list(region.probe_hits) == [12, 191, 63, 7]  # 12.25, 191.25, 63.75
    assert list(region.last_probe_hits) == [1, 2, 3, 4]


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(
    ("now", "last", "threshold", "age"),
    [(5, 5, 0, 8), (5, 3, 3, 0), (5, 3, 4, 8), (0, 0, 0, 8), (1, 0, 50, 0), (0, 1, 50, 0)],
)
def test_age_goes_by_the_weighted_sum(now: int, last: int, threshold: int, age: int, reference: bool) -> None:
    regions = _with_hits((0, 100, [now], [last]))
    regions[0].age, regions[0].nr_accesses = 7, 20
    adjust._merge_pass(_ctx(regions, 2, reference=reference), threshold, 1000, True)
    assert regions[0].age == age


@given(
    region_arrays(), st.lists(st.integers(0, U32_MAX), max_size=4), st.integers(0, U32_MAX), st.booleans(),
    st.lists(st.integers(0, 255), min_size=40, max_size=40),
)  # fmt: skip
def test_merge_native_equals_reference(
    regions: RegionArray, weights: list[int], threshold: int, age: bool, last: list[int]
) -> None:
    for index, region in enumerate(regions):
        region.last_probe_hits[:] = [last[index], last[-index], 0, 1]
    twin = copied(regions)
    adjust._merge_pass(_ctx(regions, *weights), threshold, 100 * PAGE, age)
    adjust._merge_pass(_ctx(twin, *weights, reference=True), threshold, 100 * PAGE, age)
    assert regions.snapshot() == twin.snapshot()


@pytest.mark.parametrize("reference", [False, True])
def test_repeated_merging_goes_by_the_weighted_sum_too(reference: bool) -> None:
    regions = _with_hits(*((n * PAGE, (n + 1) * PAGE, [n % 2 * 4], []) for n in range(40)))
    for region in regions:
        region.nr_accesses = region.start // PAGE % 3 * 20
    ctx = _ctx(regions, 2, reference=reference)
    ctx.attrs.max_nr_regions = 20
    adjust.kdamond_merge_regions(ctx, 0, 4 * PAGE)
    assert regions.nr == 10
    assert {region.probe_hits[0] for region in regions} == {1}  # 4 and 0: 2, then 1 with each next one


def test_a_cut_copies_hits() -> None:
    regions = _with_hits((0, 10 * PAGE, [1, 2, 3, 4], [5, 6, 7, 8]))
    regions.split_at(0, PAGE)
    adjust._split_target(_ctx(regions), regions, 2)
    assert regions.nr > 2
    assert {(*region.probe_hits, *region.last_probe_hits) for region in regions} == {tuple(range(1, 9))}


@pytest.mark.parametrize("reference", [False, True])
def test_reset_moves_hits(reference: bool) -> None:
    regions = _with_hits((0, PAGE, [1, 2, 3, 4], [9, 9, 9, 9]))
    adjust.kdamond_reset_aggregated(_ctx(regions, reference=reference))
    assert (list(regions[0].probe_hits), list(regions[0].last_probe_hits)) == ([0] * 4, [1, 2, 3, 4])


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
    """Core 4.2: probe hits use the formula of accesses."""
    ctx = DamonCtx(attrs=DamonAttrs(sample_interval=1, aggr_interval=window))
    ctx.passed_sample_intervals, ctx.next_aggregation_sis = 100, 100 + left
    (region,) = _with_hits((0, PAGE, [0, nr], [0, last]))
    assert damon_probe_hits_mvsum(region, 1, left_window_bp(ctx)) == value


def test_new_attributes_convert_hits() -> None:
    """Core 7: the last window's are converted, those of the window under way are thrown away with it."""
    ctx = _ctx(_with_hits((0, PAGE, [3, 20], [10, 7])), 0, 0)
    (region,) = ctx.targets[0].regions
    ctx.next_aggregation_sis = 20
    set_attrs(ctx, DamonAttrs(aggr_interval=200_000))
    assert (list(region.probe_hits[:2]), list(region.last_probe_hits[:2])) == ([0, 0], [20, 14])
    region.probe_hits[:2] = [10, 40]
    ctx.passed_sample_intervals = 40
    set_attrs(ctx, DamonAttrs())
    assert (list(region.probe_hits[:2]), list(region.last_probe_hits[:2])) == ([5, 20], [10, 7])


@pytest.mark.parametrize("aggregating", [False, True])
def test_what_removed_probes_counted_is_not_converted(aggregating: bool) -> None:
    ctx = _ctx(_with_hits((0, PAGE, [3, 20, 5, 6], [10, 7, 8, 9])), 0)
    ctx.next_aggregation_sis = int(aggregating)
    set_attrs(ctx, DamonAttrs(aggr_interval=200_000))
    (region,) = ctx.targets[0].regions
    assert list(region.probe_hits) == [0 if aggregating else 6, 20, 5, 6]
    assert list(region.last_probe_hits) == [20, 7, 8, 9]
