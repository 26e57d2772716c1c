# SPDX-License-Identifier: GPL-2.0-only
"""The readable reference of region adjustment (DAMON spec, core 5): plain Python twins of ``native/src/region.c``.

``regions.py`` calls these when a context asks for the reference; property tests hold both together bit for bit.
"""

from __future__ import annotations

import enum

from damon.model.arrays import DamonRegion, RegionArray
from damon.model.attrs import U32_MAX
from damon.model.probe import Weights
from damon.model.random import Random
from damon.model.regions import align_down


class RegionFault(enum.IntEnum):
    """``enum damon_region_fault``."""

    RIGHT = 0
    EMPTY = 1
    OVERLAPS = 2
    UNALIGNED = 3


def _weighted(left: int, left_size: int, right: int, right_size: int) -> int:
    return (left * left_size + right * right_size) // (left_size + right_size)


def damon_merge_two_regions(left: DamonRegion, right: DamonRegion) -> None:
    """``left`` takes over ``right``: size-weighted means; ``last_nr_accesses`` stays the left one's."""
    sizes = left.size, right.size
    left.nr_accesses = _weighted(left.nr_accesses, sizes[0], right.nr_accesses, sizes[1])
    left.age = _weighted(left.age, sizes[0], right.age, sizes[1])
    for index, hits in enumerate(right.probe_hits):
        left.probe_hits[index] = _weighted(left.probe_hits[index], sizes[0], hits, sizes[1])
    left.end = right.end


def damon_merge_score(region: DamonRegion, weights: Weights | None, last: bool = False) -> int:
    """What regions differ by: accesses, or with ``weights`` the weighted sum of probe hits (core 2.7)."""
    if weights is None:
        return region.last_nr_accesses if last else region.nr_accesses
    hits = region.last_probe_hits if last else region.probe_hits
    return int(sum(hit * weight for hit, weight in zip(hits, weights, strict=True))) & U32_MAX


def count_age(region: DamonRegion, threshold: int, weights: Weights | None = None) -> None:
    """One aggregation older, or newborn when the access rate changed (core 5.2 step 2)."""
    now, before = damon_merge_score(region, weights), damon_merge_score(region, weights, last=True)
    if abs(now - before) > threshold or (now == 0) != (before == 0):
        region.age = 0
    else:
        region.age += 1


def damon_merge_regions_of(
    regions: RegionArray, threshold: int, sz_limit: int, with_age: bool, weights: Weights | None = None
) -> None:
    """One merge pass in address order (core 5.2)."""
    index = 0
    while index < regions.nr:
        region = regions[index]
        if with_age:
            count_age(region, threshold, weights)
        if index:
            prev = regions[index - 1]
            if (
                prev.end == region.start
                and abs(damon_merge_score(prev, weights) - damon_merge_score(region, weights)) <= threshold
                and prev.size + region.size <= sz_limit
            ):
                damon_merge_two_regions(prev, region)
                regions.remove(index)
                continue
        index += 1


def reset_aggregated(regions: RegionArray) -> None:
    for region in regions:
        region.last_nr_accesses, region.nr_accesses = region.nr_accesses, 0
        for index in range(len(region.probe_hits)):
            region.last_probe_hits[index], region.probe_hits[index] = region.probe_hits[index], 0


def _random_cut(size: int, min_sz: int, rnd: Random) -> int:
    """Where to cut ``size`` bytes; 0 for not this time."""
    sub = align_down(rnd.rand(1, 10) * size // 10, min_sz)
    return 0 if sub >= size else sub


def damon_split_regions_of(regions: RegionArray, nr_subs: int, min_sz: int, rnd: Random) -> None:
    """Cut every region into up to ``nr_subs`` pieces (core 5.5); a later cut hits the left piece again."""
    index = 0
    while index < regions.nr:
        before = regions.nr
        size = regions[index].size
        for _ in range(nr_subs - 1):
            if size <= 2 * min_sz:
                break
            sub = _random_cut(size, min_sz, rnd)
            if sub:
                regions.split_at(index, sub)
                size = sub
        index += 1 + regions.nr - before


def split_some_regions_of(regions: RegionArray, first: int, step: int, offset: int, min_sz: int, rnd: Random) -> None:
    """Cut in two each region whose index over all targets falls on ``offset`` modulo ``step`` (core 5.5)."""
    index, running = 0, first
    while index < regions.nr:
        size = regions[index].size
        if running % step == offset and size >= 2 * min_sz:
            sub = _random_cut(size, min_sz, rnd)
            if sub:
                regions.split_at(index, sub)
                index += 1
        index += 1
        running += 1


def first_fault(regions: RegionArray, unit: int) -> tuple[RegionFault, int]:
    """What is wrong with the first wrong region, and its index; ``unit`` is what bounds are multiples of."""
    last_end = 0
    for index, region in enumerate(regions):
        if region.start >= region.end:
            return RegionFault.EMPTY, index
        if region.start < last_end:
            return RegionFault.OVERLAPS, index
        if (region.start | region.end) & (unit - 1):
            return RegionFault.UNALIGNED, index
        last_end = region.end
    return RegionFault.RIGHT, max(regions.nr - 1, 0)


def split_to_limit(regions: RegionArray, limit: int) -> None:
    """Cut pieces of ``limit`` bytes off the front of longer regions (core 5.4)."""
    index = 0
    while index < regions.nr:
        if regions[index].size > limit:
            regions.split_at(index, limit)
        index += 1
