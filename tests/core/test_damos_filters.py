# SPDX-License-Identifier: GPL-2.0-only
"""Core filters: cuts, defaults, and what they cost (damos 7)."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import damos_walk
from damon.core.damos import try_scheme
from damon.core.damos_filter import damos_core_filter_out, damos_set_filters_default_reject
from damon.model.arrays import RegionArray
from damon.model.probe import DamonProbe
from damon.model.scheme import (
    CORE_FILTER_TYPES,
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
)
from damon.model.target import DamonTarget
from tests.core.passes import one_pass, recorded
from tests.fakes import regions_of
from tests.regions import copied, region_arrays

K = 1024
PAGE = 4096


_KINDS = sorted(CORE_FILTER_TYPES, key=str)
_core_filters = st.lists(
    st.builds(
        lambda kind, matching, allow, target, start, end: DamosFilter(
            kind, matching, allow, addr_start=min(start, end) * PAGE, addr_end=max(start, end) * PAGE,
            target_idx=target, range_min=min(start, end), range_max=max(start, end),
        ),
        st.sampled_from(_KINDS), st.booleans(), st.booleans(), st.integers(0, 1), st.integers(0, 400),
        st.integers(0, 400),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@given(region_arrays(), st.integers(1, 40), _core_filters, st.integers(3, 40), st.integers(0, 20), st.integers(0, 60))
def test_pieces_that_filters_reject_in_one_go(
    regions: RegionArray, pages: int, filters: list[DamosFilter], min_nr: int, nr: int, least: int
) -> None:
    """A small quota cuts a region into many pieces. Skipping those that filters reject leaves what attempts leave."""
    results = []
    for use_reference in (False, True):
        pattern = DamosAccessPattern(min_sz_region=least * PAGE, max_nr_accesses=nr)
        scheme = Damos(pattern, DamosAction.PAGEOUT, quota=DamosQuota(sz=pages * PAGE, reset_interval=100))
        for wanted in filters:
            scheme.add_filter(wanted)
        damos_set_filters_default_reject(scheme)
        ctx = recorded(scheme, regions=copied(regions))
        ctx.reference, ctx.attrs.min_nr_regions = use_reference, min_nr
        ctx.probes = [DamonProbe(1), DamonProbe(30)]
        for index, region in enumerate(ctx.targets[0].regions):
            region.last_probe_hits[0], region.last_probe_hits[1] = index % 20, index % 9
        seen = [one_pass(ctx, 60) for _ in range(4)]
        # Not core_allowed: it belongs to the last attempt, is set before the next, and read only while that applies.
        results.append((seen, ctx.targets[0].regions.snapshot(), scheme.stat, scheme.quota.charged_sz))
    assert results[0] == results[1]


def test_a_rejecting_filter_costs_by_regions_not_by_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 GiB in pieces of 1 MiB: a handful of attempts, not 16384."""
    tried = []

    def count(*arguments: Any) -> None:
        tried.append(arguments[2])
        try_scheme(*arguments)

    monkeypatch.setattr(damos_walk, "try_scheme", count)
    scheme = Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(sz=1 << 20, reset_interval=100))
    scheme.add_filter(DamosFilter(DamosFilterType.TARGET, matching=True, allow=False, target_idx=0))
    damos_set_filters_default_reject(scheme)
    ctx = recorded(scheme, regions=regions_of((0, 16 << 30)))
    assert one_pass(ctx) == []
    assert len(tried) <= 4
    assert (scheme.stat.nr_tried, scheme.stat.nr_snapshots) == (0, 1)
    assert ctx.targets[0].regions.total_size() == 16 << 30


@pytest.mark.parametrize(
    ("start", "end", "allow", "matching", "applied"),
    [
        (2, 4, True, True, [(2, 4)]),
        (2, 4, False, True, [(0, 2), (4, 8)]),
        (2, 4, True, False, [(0, 2), (4, 8)]),
        (2, 4, False, False, [(2, 4)]),
        (0, 8, True, True, [(0, 8)]),
        (9, 12, True, True, []),
    ],
)
def test_addr_filter_splits_at_its_bounds(
    start: int, end: int, allow: bool, matching: bool, applied: list[tuple[int, int]]
) -> None:
    scheme = Damos(action=DamosAction.PAGEOUT)
    scheme.add_filter(
        DamosFilter(DamosFilterType.ADDR, matching, allow, addr_start=start * PAGE, addr_end=end * PAGE + 17)
    )
    damos_set_filters_default_reject(scheme)
    ctx = recorded(scheme, regions=regions_of((0, 8 * PAGE)))
    assert one_pass(ctx) == [(a * PAGE, b * PAGE) for a, b in applied]
    assert scheme.stat.nr_tried == len(applied)


def test_target_filter() -> None:
    scheme = Damos(action=DamosAction.STAT)
    scheme.add_filter(DamosFilter(DamosFilterType.TARGET, matching=True, allow=True, target_idx=1))
    damos_set_filters_default_reject(scheme)
    ctx = recorded(scheme, regions=regions_of((0, PAGE)))
    ctx.targets.append(DamonTarget(regions=regions_of((PAGE, 2 * PAGE))))
    assert one_pass(ctx) == [(PAGE, 2 * PAGE)]


@pytest.mark.parametrize(
    ("core", "ops", "reject_core", "reject_ops"),
    [([], [], False, False), ([True], [], True, False), ([True, False], [], False, False),
     ([True], [True], False, True), ([], [True, False], False, False), ([], [False, True], False, True)],
)  # fmt: skip
def test_default_reject_follows_the_last_filter(
    core: list[bool], ops: list[bool], reject_core: bool, reject_ops: bool
) -> None:
    """Damos 7.2: the lists hold the ``allow`` of each filter."""
    scheme = Damos()
    for allow in core:
        scheme.add_filter(DamosFilter(DamosFilterType.ADDR, True, allow, addr_start=1, addr_end=2))
    for allow in ops:
        scheme.add_filter(DamosFilter(DamosFilterType.ANON, True, allow))
    damos_set_filters_default_reject(scheme)
    assert (scheme.core_filters_default_reject, scheme.ops_filters_default_reject) == (reject_core, reject_ops)
    ctx = recorded(scheme)
    assert damos_core_filter_out(ctx, ctx.targets[0], 0, scheme) == reject_core


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(
    ("matching", "allow", "tried"),
    [(True, True, [2, 3]), (True, False, [0, 1, 4]), (False, True, [0, 1, 4]), (False, False, [2, 3])],
)
def test_a_filter_by_the_weighted_sum_of_hits(matching: bool, allow: bool, tried: list[int], reference: bool) -> None:
    """Moving sums, as all else that a scheme looks at; both bounds belong to the range, and no region is split."""
    scheme = Damos(action=DamosAction.PAGEOUT)
    scheme.add_filter(DamosFilter(DamosFilterType.PROBE_HITS_WSUM, matching, allow, range_min=100, range_max=200))
    assert scheme.ops_filters == []
    damos_set_filters_default_reject(scheme)
    regions = regions_of(*((n * PAGE, (n + 1) * PAGE) for n in range(5)))
    ctx = recorded(scheme, regions=regions)
    ctx.reference, ctx.probes = reference, [DamonProbe(10), DamonProbe(), DamonProbe(1)]
    ctx.next_aggregation_sis, ctx.passed_sample_intervals = 20, 10  # half of the window is to come
    hits = [(0, 0, 99), (4, 10, 9), (5, 10, 0), (20, 0, 0), (20, 0, 1)]  # the first probe's, those before, the last's
    for region, (now, last, other) in zip(regions, hits, strict=True):
        region.probe_hits[0], region.last_probe_hits[0], region.probe_hits[2] = now, last, other
        region.probe_hits[1] = 255
    assert [start // PAGE for start, *_ in one_pass(ctx, 10)] == tried
    assert ctx.targets[0].regions.nr == 5


def test_the_weighted_sum_wraps_at_32_bits() -> None:
    scheme = Damos(action=DamosAction.STAT)
    scheme.add_filter(DamosFilter(DamosFilterType.PROBE_HITS_WSUM, True, True, range_min=4, range_max=4))
    damos_set_filters_default_reject(scheme)
    ctx = recorded(scheme, regions=regions_of((0, PAGE)))
    ctx.probes = [DamonProbe(1 << 31), DamonProbe(2)]
    ctx.targets[0].regions[0].probe_hits[:2] = [2, 2]
    assert not damos_core_filter_out(ctx, ctx.targets[0], 0, scheme)
