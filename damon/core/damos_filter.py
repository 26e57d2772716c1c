# SPDX-License-Identifier: GPL-2.0-only
"""Filters of the core layer, on regions (DAMON spec, damos 7.2), and the default of both layers."""

from __future__ import annotations

from damon.core.priority import left_window_bp
from damon.core.probes import damon_probe_hits_wsum
from damon.model.arrays import DamonRegion
from damon.model.checks import called, truth
from damon.model.context import DamonCtx
from damon.model.custom import DamosRegionFilter
from damon.model.regions import align_down
from damon.model.scheme import Damos, DamosFilter, DamosFilterType
from damon.model.target import DamonTarget


def damos_set_filters_default_reject(scheme: Damos) -> None:
    """What happens to units that no filter hits, from the last filter of each layer."""
    ops, core = scheme.ops_filters, scheme.core_filters
    scheme.ops_filters_default_reject = bool(ops) and ops[-1].allow
    scheme.core_filters_default_reject = not ops and bool(core) and core[-1].allow


def _inside(ctx: DamonCtx, target: DamonTarget, index: int, wanted: DamosFilter) -> bool:
    """The test of an ``addr`` filter; a region across one of its bounds is split there, the front piece is tested."""
    region = target.regions[index]
    start = align_down(wanted.addr_start, ctx.min_region_sz)
    end = align_down(wanted.addr_end, ctx.min_region_sz)
    if start <= region.start and region.end <= end:
        return True
    if region.end <= start or end <= region.start:
        return False
    if region.start < start:
        target.regions.split_at(index, start - region.start)
        return False
    target.regions.split_at(index, end - region.start)
    return True


def damos_filter_match(ctx: DamonCtx, target: DamonTarget, index: int, wanted: DamosFilter | DamosRegionFilter) -> bool:
    if isinstance(wanted, DamosRegionFilter):
        result = wanted.test(ctx, target, target.regions[index])
        if result is not True and result is not False:
            result = truth(called("region filter", wanted.test), result)
        return result == wanted.matching
    if wanted.type is DamosFilterType.ADDR:
        inside = _inside(ctx, target, index, wanted)
    else:
        inside = _whole_inside(ctx, target, target.regions[index], wanted)
    return inside == wanted.matching


def _whole_inside(ctx: DamonCtx, target: DamonTarget, region: DamonRegion, wanted: DamosFilter) -> bool:
    """The test of a filter for which a region counts as a whole, and any part of it the same."""
    if wanted.type is DamosFilterType.PROBE_HITS_WSUM:
        return wanted.range_min <= damon_probe_hits_wsum(region, ctx, left_window_bp(ctx)) <= wanted.range_max
    return next(i for i, other in enumerate(ctx.targets) if other is target) == wanted.target_idx


def _rejects(ctx: DamonCtx, target: DamonTarget, region: DamonRegion, wanted: DamosFilter) -> bool | None:
    """Does a filter of the kernel's reject each part of ``region`` (True), or hit none (False)? None: neither."""
    if wanted.type is DamosFilterType.ADDR:
        start = align_down(wanted.addr_start, ctx.min_region_sz)
        end = align_down(wanted.addr_end, ctx.min_region_sz)
        inside = start <= region.start and region.end <= end
        if not inside and region.start < end and start < region.end:
            return None
    else:
        inside = _whole_inside(ctx, target, region, wanted)
    if inside != wanted.matching:
        return False
    return None if wanted.allow else True


def core_filters_reject_all(ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos) -> bool:
    """Is every part of ``region`` rejected, and by filters without code or a memory of their own?"""
    if not scheme.core_filters or any(isinstance(wanted, DamosRegionFilter) for wanted in scheme.core_filters):
        return False
    for wanted in scheme.core_filters:
        assert isinstance(wanted, DamosFilter)
        verdict = _rejects(ctx, target, region, wanted)
        if verdict is not False:
            return bool(verdict)
    return scheme.core_filters_default_reject


def damos_core_filter_out(ctx: DamonCtx, target: DamonTarget, index: int, scheme: Damos) -> bool:
    """Is region ``index`` rejected? When it was split, this is so for its front piece."""
    scheme.core_allowed = False
    for wanted in scheme.core_filters:
        if damos_filter_match(ctx, target, index, wanted):
            scheme.core_allowed = wanted.allow
            return not wanted.allow
    return scheme.core_filters_default_reject
