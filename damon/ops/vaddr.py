# SPDX-License-Identifier: GPL-2.0-only
"""``vaddr`` and ``fvaddr``: virtual address spaces of processes (DAMON spec, ops 1), as ``mm/damon/vaddr.c``."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from typing import ClassVar, Final, cast

from damon.errors import InvalidInput
from damon.mm.ahead import as_written
from damon.model.arrays import DamonRegion, FolioArray
from damon.model.context import DamonCtx
from damon.model.machine import PAGE_SIZE, Advice, ProcessSpace
from damon.model.operations import Operations, Score, Stretch
from damon.model.regions import align_up, set_regions
from damon.model.scheme import Damos, DamosAction, DamosMigrateDest
from damon.model.target import DamonTarget
from damon.ops import ahead, sampling
from damon.ops.folio_walk import MIGRATIONS, Act, migration, walk_folios

_ADVICE: Final[dict[object, Advice]] = {
    DamosAction.WILLNEED: Advice.WILLNEED,
    DamosAction.COLD: Advice.COLD,
    DamosAction.PAGEOUT: Advice.PAGEOUT,
    DamosAction.HUGEPAGE: Advice.HUGEPAGE,
    DamosAction.NOHUGEPAGE: Advice.NOHUGEPAGE,
    DamosAction.COLLAPSE: Advice.COLLAPSE,
}


def damon_va_three_regions(mappings: Sequence[tuple[int, int]], align: int = PAGE_SIZE) -> list[tuple[int, int]]:
    """The mapped areas with the two biggest gaps between them cut out (ops 1.2), every bound aligned up.

    Raises:
        InvalidInput: there are fewer than two gaps.
    """
    first = second = (0, 0)
    for (_, start), (end, _) in itertools.pairwise(mappings):
        if end - start > first[1] - first[0]:
            first, second = (start, end), first
        elif end - start > second[1] - second[0]:
            second = (start, end)
    if first[0] == first[1] or second[0] == second[1]:
        raise InvalidInput(f"mappings: {len(mappings)}: fewer than two gaps are between them; give the target regions")
    low, high = sorted((first, second))
    ranges = [(mappings[0][0], low[0]), (low[1], high[0]), (high[1], mappings[-1][1])]
    return [(align_up(start, align), align_up(end, align)) for start, end in ranges]


def process_space(target: DamonTarget) -> ProcessSpace:
    """The address space of a target that is a process."""
    assert target.space is not None
    return cast(ProcessSpace, target.space)


def _batches(space: ProcessSpace, region: DamonRegion, scheme: Damos) -> Iterator[FolioArray]:
    """The folios mapped in ``region``; ``stat`` counts one that it has just met once (ops 1.6)."""
    for folios in space.folios(region.start, region.end):
        if scheme.action is DamosAction.STAT:
            if folios.nr and folios[0].pfn == scheme.last_applied:
                folios.remove_first()
            if folios.nr:
                scheme.last_applied = folios[folios.nr - 1].pfn
        yield folios


class Fvaddr(Operations):
    """Virtual address spaces, in fixed ranges that the user gives."""

    id: ClassVar[str] = "fvaddr"
    has_pid: ClassVar[bool] = True

    def prepare_access_checks(self, ctx: DamonCtx) -> None:
        for target in ctx.targets:
            sampling.prepare(ctx, target, process_space(target))

    def check_accesses(self, ctx: DamonCtx) -> int:
        return max((sampling.check(ctx, target, process_space(target)) for target in ctx.targets), default=0)

    def sample_ahead(self, ctx: DamonCtx, nr: int, stretch: Stretch) -> tuple[int, int]:
        if not as_written(self, *_STEPS):
            return ahead.NONE
        return ahead.sample_ahead(ctx, [process_space(target) for target in ctx.targets], nr, stretch)

    def score(self, scheme: Damos) -> Score:
        if scheme.action in (DamosAction.PAGEOUT, DamosAction.MIGRATE_COLD):
            return Score.COLD
        return Score.HOT if scheme.action is DamosAction.MIGRATE_HOT else Score.MAX

    def apply_scheme(self, ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos) -> tuple[int, int]:
        if scheme.action in MIGRATIONS or scheme.action is DamosAction.STAT:
            return self._walk(ctx, process_space(target), region, scheme)
        advice = _ADVICE.get(scheme.action)
        if advice is None:
            return 0, 0
        start, length = align_up(region.start, PAGE_SIZE), align_up(region.size, PAGE_SIZE)
        return (0 if process_space(target).madvise(start, length, advice) else length), 0

    @staticmethod
    def _walk(ctx: DamonCtx, space: ProcessSpace, region: DamonRegion, scheme: Damos) -> tuple[int, int]:
        """The actions on what the page tables map in a region; only they ask the operations layer's filters."""
        act: Act | None = None
        if scheme.action in MIGRATIONS:
            act = migration(ctx, space, scheme.migrate_dests or [DamosMigrateDest(scheme.target_nid, 1)])
        elif not scheme.ops_filters:
            return 0, 0
        batches = _batches(space, region, scheme)
        applied, passed = walk_folios(ctx, batches, space, scheme, scheme.ops_filters, act)
        return applied * PAGE_SIZE, passed * PAGE_SIZE

    def target_valid(self, target: DamonTarget) -> bool:
        return process_space(target).alive()

    def cleanup_target(self, target: DamonTarget) -> None:
        process_space(target).close()


#: What a whole stretch of sampling stands for; a subclass that has others of its own is asked interval by interval.
_STEPS: Final = (Fvaddr.prepare_access_checks, Fvaddr.check_accesses)


class Vaddr(Fvaddr):
    """Virtual address spaces: all mappings but the two biggest gaps, followed as they change."""

    id: ClassVar[str] = "vaddr"

    def init(self, ctx: DamonCtx) -> None:
        for target in ctx.targets:
            if not target.regions.nr:
                self._set_three_regions(ctx, target)

    def update(self, ctx: DamonCtx) -> None:
        for target in ctx.targets:
            self._set_three_regions(ctx, target)

    def _set_three_regions(self, ctx: DamonCtx, target: DamonTarget) -> None:
        try:
            ranges = damon_va_three_regions(process_space(target).mappings())
            set_regions(target, ranges, ctx.min_region_sz)
        except InvalidInput:
            return  # exiting, or too few mappings: the old regions stay
