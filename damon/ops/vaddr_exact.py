# SPDX-License-Identifier: GPL-2.0-only
"""``vaddr-exact``: processes' memory, each page asked about, where the machine can tell in one go.

An addition to the kernel's sets. A sampling interval is a read of all pages: what was accessed in it, exactly. With N
reads an aggregation interval ``nr_accesses`` has N levels, so one read gives accessed or not. Regions are cut where the
answers change, as far as ``max_nr_regions`` permits; schemes, ages and statistics work on them as on any other.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import ClassVar, Final, Protocol, cast

from damon.model.arrays import DamonRegion, RegionArray
from damon.model.context import DamonCtx
from damon.model.machine import ProcessSpace
from damon.model.operations import Stretch
from damon.model.regions import align_down
from damon.model.target import DamonTarget
from damon.ops import ahead
from damon.ops.vaddr import Vaddr

#: Bytes of a target's regions up to which all pages are asked about; above, one block of each region. An emulated
#: processor reads so much in half of an aggregation interval of 100 ms (docs/explanation/linux.md). No constant: the
#: benchmark changes it.
EXACT_MAX = 4 << 30
#: Bytes of such a block: what one entry of a page table for huge pages maps.
BLOCK: Final = 2 << 20
Ranges = Sequence[tuple[int, int]]


class ExactSpace(ProcessSpace, Protocol):
    """A process's address space that can tell exactly which pages were accessed."""

    def protect(self, ranges: Ranges) -> None:
        """From now on accesses to the present pages of ``ranges`` (bytes, ascending) are noticed."""

    def accessed(self, start: int, end: int) -> Iterable[tuple[int, int]]:
        """The parts of ``[start, end)`` with pages that were accessed since, or came since, in ascending order."""


def exact_space(target: DamonTarget) -> ExactSpace:
    """The address space of a target."""
    return cast(ExactSpace, target.space)


def _is_small(regions: RegionArray) -> bool:
    return regions.total_size() <= EXACT_MAX


def _block(region: DamonRegion) -> tuple[int, int]:
    """The block that a region's sampling address is in, within the region."""
    start = align_down(region.sampling_addr, BLOCK)
    return max(start, region.start), min(start + BLOCK, region.end)


def _joined(ranges: Iterable[tuple[int, int]]) -> Iterator[tuple[int, int]]:
    """Ascending ranges, those that touch as one."""
    last: tuple[int, int] | None = None
    for start, end in ranges:
        if last is not None and start <= last[1]:
            last = last[0], max(end, last[1])
            continue
        if last is not None:
            yield last
        last = start, end
    if last is not None:
        yield last


def coarsened(runs: Ranges, most: int) -> Ranges:
    """At most ``most`` runs (ascending, apart): the smallest of runs and gaps become part of what is around them."""
    runs = list(runs)
    while len(runs) > max(most, 1):
        sizes = sorted(
            [end - start for start, end in runs] + [after[0] - run[1] for run, after in itertools.pairwise(runs)]
        )
        limit = sizes[min(len(runs) - max(most, 1), len(sizes)) - 1]
        filled: list[tuple[int, int]] = []
        for start, end in runs:
            if filled and start - filled[-1][1] <= limit:
                filled[-1] = filled[-1][0], end
            else:
                filled.append((start, end))
        kept = [run for run in filled if run[1] - run[0] > limit]
        runs = kept if kept else [max(filled, key=lambda run: run[1] - run[0])]
    return runs


def cut(regions: RegionArray, edges: Iterable[int]) -> None:
    """Split the regions that ``edges`` (ascending addresses) are within."""
    index = 0
    for edge in edges:
        while index < regions.nr and regions[index].end <= edge:
            index += 1
        if index == regions.nr:
            return
        if regions[index].start < edge:
            regions.split_at(index, edge - regions[index].start)
            index += 1


def count(regions: RegionArray, runs: Ranges) -> int:
    """Count one read; a region was accessed when most of it was. The highest ``nr_accesses``."""
    highest, at = 0, 0
    for region in regions:
        while at < len(runs) and runs[at][1] <= region.start:
            at += 1
        inside, n = 0, at
        while n < len(runs) and runs[n][0] < region.end:
            inside += min(runs[n][1], region.end) - max(runs[n][0], region.start)
            n += 1
        region.nr_accesses += 2 * inside > region.size
        highest = max(highest, region.nr_accesses)
    return highest


class VaddrExact(Vaddr):
    """Virtual address spaces, page by page up to ``EXACT_MAX``, and by blocks of 2 MiB above."""

    id: ClassVar[str] = "vaddr-exact"

    def prepare_access_checks(self, ctx: DamonCtx) -> None:
        for target in ctx.targets:
            regions = target.regions
            if _is_small(regions):
                wanted = regions.ranges()
            else:
                for region in regions:
                    region.sampling_addr = ctx.rnd.rand(region.start, region.end)
                wanted = [_block(region) for region in regions]
            exact_space(target).protect(list(_joined(wanted)))

    def check_accesses(self, ctx: DamonCtx) -> int:
        room = max(ctx.attrs.max_nr_regions // max(len(ctx.targets), 1), 1)
        return max((self._check(target, room) for target in ctx.targets), default=0)

    def sample_ahead(self, ctx: DamonCtx, nr: int, stretch: Stretch) -> tuple[int, int]:
        return ahead.NONE

    def _check(self, target: DamonTarget, room: int) -> int:
        space, regions = exact_space(target), target.regions
        if not _is_small(regions):
            return self._check_blocks(space, regions)
        whole = list(_joined(regions.ranges()))
        runs = list(_joined(run for start, end in whole for run in space.accessed(start, end)))
        runs = list(coarsened(runs, (room - len(whole)) // 2))
        cut(regions, (edge for run in runs for edge in run))
        return count(regions, runs)

    @staticmethod
    def _check_blocks(space: ExactSpace, regions: RegionArray) -> int:
        """A region was accessed when most of its block was."""
        highest = 0
        for region in regions:
            start, end = _block(region)
            inside = sum(last - first for first, last in space.accessed(start, end))
            region.nr_accesses += 2 * inside > end - start
            highest = max(highest, region.nr_accesses)
        return highest
