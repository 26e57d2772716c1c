# SPDX-License-Identifier: GPL-2.0-only
"""Setting regions: the vectors of the specification (core 6) and its properties."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import InvalidInput
from damon.model.arrays import RegionArray
from damon.model.regions import set_regions
from damon.model.target import DamonTarget

Ranges = list[tuple[int, int]]


@pytest.mark.parametrize(
    ("before", "ranges", "after"),
    [
        ([], [(5, 15), (15, 25)], [(5, 15), (15, 25)]),
        ([(4, 16), (24, 32)], [(18, 23)], [(18, 23)]),
        ([(4, 16), (24, 32)], [(8, 28)], [(8, 16), (16, 24), (24, 28)]),
        ([(0, 4), (4, 17)], [(0, 15), (25, 40)], [(0, 4), (4, 15), (25, 40)]),
        ([(0, 4), (42, 52)], [(0, 15), (25, 40), (44, 50)], [(0, 15), (25, 40), (44, 50)]),
    ],
)
def test_vectors(before: Ranges, ranges: Ranges, after: Ranges) -> None:
    """Core 6, minimum size 1."""
    target = DamonTarget(regions=RegionArray(before))
    set_regions(target, ranges, 1)
    assert target.regions.ranges() == after


def test_survivors_keep_their_counters_even_when_they_grow() -> None:
    target = DamonTarget(regions=RegionArray([(4096, 8192)]))
    target.regions[0].age = 9
    target.regions[0].nr_accesses = 3
    set_regions(target, [(100, 5 * 4096 - 1)], 4096)
    (region,) = target.regions
    assert (region.start, region.end, region.age, region.nr_accesses) == (0, 5 * 4096, 9, 3)


def test_no_range_removes_everything() -> None:
    target = DamonTarget(regions=RegionArray([(4096, 8192)]))
    set_regions(target, [], 4096)
    assert not target.regions.nr


@pytest.mark.parametrize(
    "ranges", [[(5, 5)], [(8, 4)], [(0, 10), (9, 20)], [(20, 30), (0, 10)], [(0, 0)], [(4096, 4096)]]
)
def test_refused_ranges_change_nothing(ranges: Ranges) -> None:
    target = DamonTarget(regions=RegionArray([(3, 7)]))
    with pytest.raises(InvalidInput):
        set_regions(target, ranges, 1)
    assert target.regions.ranges() == [(3, 7)]


def test_ranges_may_not_meet_after_alignment() -> None:
    with pytest.raises(InvalidInput, match=r"^region: 6000-9000: begins below 8192"):
        set_regions(DamonTarget(), [(0, 5000), (6000, 9000)], 4096)


@st.composite
def spans(draw: st.DrawFn) -> Ranges:
    edges = sorted(draw(st.sets(st.integers(0, 300), min_size=2, max_size=20)))
    return [(a, b) for a, b in zip(edges[::2], edges[1::2], strict=False)]


@given(spans(), spans())
def test_the_result_covers_the_ranges_and_nothing_else(before: Ranges, ranges: Ranges) -> None:
    target = DamonTarget(regions=RegionArray(before))
    set_regions(target, ranges, 1)
    got = target.regions.ranges()
    assert all(a < b for a, b in got)
    assert all(left[1] <= right[0] for left, right in zip(got, got[1:], strict=False))
    assert {x for a, b in got for x in range(a, b)} == {x for a, b in ranges for x in range(a, b)}
