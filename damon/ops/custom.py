# SPDX-License-Identifier: GPL-2.0-only
"""Actions of the user's own, on every operations set (``damon.model.custom``)."""

from __future__ import annotations

from typing import cast

from damon.model.arrays import FOLIO_PASS, DamonRegion, FolioArray
from damon.model.checks import called, whole
from damon.model.context import DamonCtx
from damon.model.custom import DamosCustomAction
from damon.model.machine import PAGE_SIZE, FolioSpace
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from damon.ops.folio_walk import walk_folios


def apply_custom(
    ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos, action: DamosCustomAction
) -> tuple[int, int]:
    """Bytes acted on, and bytes that passed the operations layer's filters, which only folios are asked."""
    if action.on_region is not None:
        most = region.size
        result = action.on_region(ctx, target, region)
        return whole(f"action {action.value}: {called('on_region', action.on_region)} bytes", result, high=most), 0
    assert action.on_folios is not None
    act, space = action.on_folios, _space(ctx, target)
    what = f"action {action.value}: {called('on_folios', act)} pages"

    def checked_act(folios: FolioArray) -> int:
        most = sum(folio.nr_pages for folio in folios if folio.flags & FOLIO_PASS)
        return whole(what, act(ctx, folios), high=most)

    batches = space.folios(region.start * ctx.addr_unit, region.end * ctx.addr_unit)
    applied, passed = walk_folios(ctx, batches, space, scheme, scheme.ops_filters, checked_act)
    return applied * PAGE_SIZE // ctx.addr_unit, passed * PAGE_SIZE // ctx.addr_unit


def _space(ctx: DamonCtx, target: DamonTarget) -> FolioSpace:
    return ctx.machine.phys if target.space is None else cast(FolioSpace, target.space)
