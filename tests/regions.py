# SPDX-License-Identifier: GPL-2.0-only
"""Random arrays of regions, copies of them, and the ranges that they cover."""

from __future__ import annotations

import ctypes

from hypothesis import strategies as st

from damon.model.arrays import ROW, RegionArray

PAGE = 4096
Ranges = list[tuple[int, int]]


@st.composite
def region_arrays(draw: st.DrawFn, most: int = 40) -> RegionArray:
    """Sorted, disjoint regions with random counters; neighbours touch or leave a hole."""
    regions = RegionArray()
    end = 0
    for _ in range(draw(st.integers(0, most))):
        start = end + draw(st.sampled_from([0, 0, 0, 1, 7])) * PAGE
        end = start + draw(st.integers(1, 60)) * PAGE
        region = regions.append(start, end)
        region.nr_accesses = draw(st.integers(0, 20))
        region.last_nr_accesses = draw(st.integers(0, 20))
        region.age = draw(st.integers(0, 2000))
        for index in range(4):
            region.probe_hits[index] = draw(st.integers(0, 255))
    return regions


def copied(regions: RegionArray) -> RegionArray:
    """The same rows in memory of their own."""
    new = RegionArray(regions.ranges())
    ctypes.memmove(new.pointer, regions.pointer, ROW * regions.nr)
    return new


def joined(regions: RegionArray) -> Ranges:
    """The ranges that regions cover, contiguous ones as one."""
    ranges: Ranges = []
    for region in regions:
        if ranges and ranges[-1][1] == region.start:
            ranges[-1] = ranges[-1][0], region.end
        else:
            ranges.append((region.start, region.end))
    return ranges
