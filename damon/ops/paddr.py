# SPDX-License-Identifier: GPL-2.0-only
"""``paddr``: the physical address space (DAMON spec, ops 2). The kernel's ``mm/damon/paddr.c``."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Final

from damon.mm.ahead import as_written
from damon.model.arrays import DamonRegion, FolioArray
from damon.model.context import DamonCtx
from damon.model.machine import PAGE_SIZE, PhysicalSpace
from damon.model.operations import Operations, Score, Stretch
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosFilterType, DamosMigrateDest
from damon.model.target import DamonTarget
from damon.ops import ahead, probes, sampling
from damon.ops.folio_walk import MIGRATIONS, Act, migration, walk_folios

#: Appended to a ``pageout`` scheme without a ``young`` filter of its own: recently accessed folios stay.
REJECT_YOUNG: Final = DamosFilter(DamosFilterType.YOUNG, matching=True, allow=False)

_SCORES: Final[dict[object, Score]] = {
    DamosAction.PAGEOUT: Score.COLD,
    DamosAction.LRU_DEPRIO: Score.COLD,
    DamosAction.MIGRATE_COLD: Score.COLD,
    DamosAction.LRU_PRIO: Score.HOT,
    DamosAction.MIGRATE_HOT: Score.HOT,
}


class Paddr(Operations):
    """Physical memory. Regions come from the user or from a module; holes in them never count as accessed."""

    id: ClassVar[str] = "paddr"

    def prepare_access_checks(self, ctx: DamonCtx) -> None:
        for target in ctx.targets:
            sampling.prepare(ctx, target, ctx.machine.phys, ctx.addr_unit)

    def check_accesses(self, ctx: DamonCtx) -> int:
        return max((sampling.check(ctx, target, ctx.machine.phys) for target in ctx.targets), default=0)

    def sample_ahead(self, ctx: DamonCtx, nr: int, stretch: Stretch) -> tuple[int, int]:
        if not as_written(self, *_STEPS):
            return ahead.NONE
        return ahead.sample_ahead(ctx, [ctx.machine.phys] * len(ctx.targets), nr, stretch, ctx.addr_unit)

    def prep_probes(self, ctx: DamonCtx, set_samples: bool) -> None:
        for target in ctx.targets:
            probes.prepare(ctx, target, ctx.machine.phys, set_samples)

    def apply_probes(self, ctx: DamonCtx, set_samples: bool, return_max_wsum: bool) -> int:
        phys: PhysicalSpace = ctx.machine.phys
        return max((probes.apply(ctx, target, phys, set_samples, return_max_wsum) for target in ctx.targets), default=0)

    def score(self, scheme: Damos) -> Score:
        return _SCORES.get(scheme.action, Score.MAX)

    def idle_where_empty(self, scheme: Damos) -> bool:
        return isinstance(scheme.action, DamosAction)

    def apply_scheme(self, ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos) -> tuple[int, int]:
        phys: PhysicalSpace = ctx.machine.phys
        filters = list(scheme.ops_filters)
        act: Act | None
        if scheme.action is DamosAction.PAGEOUT:
            act = phys.pageout
            if not any(getattr(wanted, "type", None) is DamosFilterType.YOUNG for wanted in filters):
                filters.append(REJECT_YOUNG)
        elif scheme.action is DamosAction.LRU_PRIO:
            act = phys.activate
        elif scheme.action is DamosAction.LRU_DEPRIO:
            act = phys.deactivate
        elif scheme.action in MIGRATIONS:  # weighted destinations are for processes' memory only
            act = migration(ctx, phys, [DamosMigrateDest(scheme.target_nid, 1)])
        elif scheme.action is DamosAction.STAT and filters:
            act = None
        else:
            return 0, 0
        batches = self._batches(ctx, region, scheme)
        applied, passed = walk_folios(ctx, batches, phys, scheme, filters, act)
        return applied * PAGE_SIZE // ctx.addr_unit, passed * PAGE_SIZE // ctx.addr_unit

    @staticmethod
    def _batches(ctx: DamonCtx, region: DamonRegion, scheme: Damos) -> Iterator[FolioArray]:
        """The region's folios; one that reaches out of it is left to the region that it was met in first (ops 2.5)."""
        end = region.end * ctx.addr_unit
        last: int | None = None
        for folios in ctx.machine.phys.folios(region.start * ctx.addr_unit, end):
            if not folios.nr:
                continue
            folio = folios[folios.nr - 1]
            last = folio.pfn if (folio.pfn + folio.nr_pages) * PAGE_SIZE >= end else None
            if folios[0].pfn == scheme.last_applied:
                folios.remove_first()
            if folios.nr:
                yield folios
        scheme.last_applied = last


#: What a whole stretch of sampling stands for; a subclass that has others of its own is asked interval by interval.
_STEPS: Final = (Paddr.prepare_access_checks, Paddr.check_accesses)
