# SPDX-License-Identifier: GPL-2.0-only
"""Setting a target's regions to given ranges (DAMON spec, core 6), and the default range of physical memory."""

from __future__ import annotations

from collections.abc import Sequence

from damon.errors import InvalidInput
from damon.model.arrays import RegionArray
from damon.model.checks import ULONG_MAX, whole
from damon.model.machine import Machine
from damon.model.target import DamonTarget


def align_down(value: int, unit: int) -> int:
    return value // unit * unit


def align_up(value: int, unit: int) -> int:
    return -(-value // unit) * unit


def check_ranges(ranges: Sequence[tuple[int, int]], min_region_sz: int) -> None:
    """Refuse ranges that are empty after alignment, overlap, are out of order or leave 64 bits (EINVAL)."""
    last_end = 0
    for start, end in ranges:
        whole("region start", start)
        whole("region end", end, high=ULONG_MAX + 1 - min_region_sz)
        low, high = align_down(start, min_region_sz), align_up(end, min_region_sz)
        if low >= high:
            raise InvalidInput(f"region: {start}-{end}: is empty; give an end above the start")
        if last_end > low:
            raise InvalidInput(f"region: {start}-{end}: begins below {last_end}, the end of the one before; sort them")
        last_end = high


def damon_intersect(start: int, end: int, ranges: Sequence[tuple[int, int]]) -> bool:
    return any(start < high and low < end for low, high in ranges)


def set_regions(target: DamonTarget, ranges: Sequence[tuple[int, int]], min_region_sz: int) -> None:
    """Make ``target`` cover ``ranges`` (half-open, bytes), keeping the counters of regions that survive.

    Raises:
        InvalidInput: a range is empty, or the ranges overlap or are unsorted; the target is unchanged.
    """
    check_ranges(ranges, min_region_sz)
    regions = target.regions
    for index in range(regions.nr - 1, -1, -1):
        region = regions[index]
        if not damon_intersect(region.start, region.end, ranges):
            regions.remove(index)
    if not regions.nr:
        for start, end in ranges:
            regions.append(align_down(start, min_region_sz), align_up(end, min_region_sz))
        return
    index = 0
    for start, end in ranges:
        index = _fit(regions, index, start, end, min_region_sz)


def _fit(regions: RegionArray, index: int, start: int, end: int, min_region_sz: int) -> int:
    """Make the regions from ``index`` on cover ``[start, end)``; where the scan for the next range begins."""
    first = last = -1
    while index < regions.nr:
        region = regions[index]
        if region.start >= end:
            break
        if region.end > start:
            first = index if first < 0 else first
            last = index
        index += 1
    low, high = align_down(start, min_region_sz), align_up(end, min_region_sz)
    if first < 0:
        regions.insert(index, low, high)
        return index + 1
    regions[first].start = low
    regions[last].end = high
    hole = first
    while hole < last:
        hole_start, hole_end = regions[hole].end, regions[hole + 1].start
        hole += 1
        if hole_start != hole_end:
            regions.insert(hole, hole_start, hole_end)
            hole += 1
            last += 1
            index += 1
    return index


def system_ram_region(machine: Machine, start: int, end: int, addr_unit: int = 1) -> tuple[int, int]:
    """``(start, end)`` as given, or from the first to the last System RAM when both are 0 (DAMON spec, modules 3).

    All are in core address units.

    Raises:
        InvalidInput: there is no System RAM.
    """
    if start or end:
        return start, end
    ram = machine.system_ram()
    if not ram or ram[-1][1] <= ram[0][0]:
        raise InvalidInput("System RAM: none found to monitor; set monitor_region_start and monitor_region_end")
    return ram[0][0] // addr_unit, ram[-1][1] // addr_unit
