# SPDX-License-Identifier: GPL-2.0-only
"""The walk over a folios of a region: filters, then the action (DAMON spec, ops 1.6, 1.7, 2.5)."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Sequence
from ctypes import c_uint32, c_void_p
from typing import Final

from damon.model.arrays import FolioArray
from damon.model.context import DamonCtx
from damon.model.custom import DamosFolioFilter
from damon.model.machine import FolioSpace
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosMigrateDest
from damon.native import bind
from damon.ops.folio_filter import Native, Reference, filter_folios

MIGRATIONS: Final = frozenset({DamosAction.MIGRATE_HOT, DamosAction.MIGRATE_COLD})
Act = Callable[[FolioArray], int]

_pick = bind("folio_pick_dests", None, c_void_p, c_uint32, c_void_p, c_void_p, c_uint32)


def walk_folios(
    ctx: DamonCtx,
    batches: Iterator[FolioArray],
    space: FolioSpace,
    scheme: Damos,
    filters: Sequence[DamosFilter | DamosFolioFilter],
    act: Act | None,
) -> tuple[int, int]:
    """Filter the folios of ``batches`` and ``act`` on those that pass: pages acted on, and pages that passed."""
    if scheme.core_allowed:
        filters = ()
    reject = scheme.ops_filters_default_reject and not scheme.core_allowed
    applied = passed = 0
    for folios in batches:
        passed += filter_folios(space, folios, filters, reject, Reference if ctx.reference else Native)
        if act is not None:
            applied += act(folios)
    return applied, passed


def pick_dests(folios: FolioArray, dests: Sequence[DamosMigrateDest]) -> None:
    """Reference: each folio's destination by its place in its mapping and the weights (DAMON spec, ops 1.7)."""
    total = sum(dest.weight for dest in dests)
    for folio in folios:
        place = folio.ilx % total if total else 0
        folio.target_nid = -1
        for dest in dests if total else ():
            if place < dest.weight:
                folio.target_nid = dest.node_id
                break
            place -= dest.weight


def migration(ctx: DamonCtx, space: FolioSpace, dests: Sequence[DamosMigrateDest]) -> Act:
    """The action that moves folios to ``dests`` by weight; with a sum of 0, nowhere."""
    nids = (ctypes.c_int32 * len(dests))(*(dest.node_id for dest in dests))
    weights = (ctypes.c_uint32 * len(dests))(*(dest.weight for dest in dests))

    def act(folios: FolioArray) -> int:
        if ctx.reference:
            pick_dests(folios, dests)
        else:
            _pick(folios.pointer, folios.nr, ctypes.addressof(nids), ctypes.addressof(weights), len(dests))
        return space.migrate(folios)

    return act
