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
from damon.model.scheme import (
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


_core_filters = st.lists(
    st.builds(
        lambda addr, matching, allow, target, start, end: DamosFilter(
            DamosFilterType.ADDR if addr else DamosFilterType.TARGET, matching, allow,
            addr_start=min(start, end) * PAGE, addr_end=max(start, end) * PAGE, target_idx=target,
        ),
        st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1), st.integers(0, 400), st.integers(0, 400),
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
