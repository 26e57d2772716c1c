# SPDX-License-Identifier: GPL-2.0-only
"""Applying one scheme to one region: charge resume, quota cut, filters, action, statistics (DAMON spec, damos 4)."""

from __future__ import annotations

from damon.core import quota as quotas
from damon.core.damos_filter import damos_core_filter_out
from damon.core.events import BEFORE_APPLY
from damon.core.priority import DamosRates, matches, region_score
from damon.core.trace import trace_before_apply
from damon.errors import InvalidInput
from damon.model.checks import ULONG_MAX, shown, whole
from damon.model.context import DamonCtx
from damon.model.custom import DamosCustomAction
from damon.model.regions import align_down
from damon.model.scheme import Damos, DamosAction
from damon.model.target import DamonTarget
from damon.ops.custom import apply_custom


def _is_last(target: DamonTarget, index: int) -> bool:
    return index == target.regions.nr - 1


def damos_skip_charged_region(ctx: DamonCtx, target: DamonTarget, index: int, scheme: Damos) -> bool:
    """Was region ``index`` charged before the quota ran out? A region that was in part is split there (damos 4)."""
    quota, regions = scheme.quota, target.regions
    if quota.charge_target_from is not None:
        if quota.charge_target_from is not target:
            return True
        resume, region = quota.charge_addr_from, regions[index]
        if resume and region.end <= resume:
            _clear_charge_at_last(target, index, scheme)
            return True
        if resume and region.start < resume:
            cut = align_down(resume - region.start, ctx.min_region_sz)
            if not cut:
                if region.size <= ctx.min_region_sz:
                    _clear_charge_at_last(target, index, scheme)
                    return True
                cut = ctx.min_region_sz
            regions.split_at(index, cut)
            return True
    _clear_charge_at_last(target, index, scheme)
    return False


def _clear_charge_at_last(target: DamonTarget, index: int, scheme: Damos) -> None:
    """The target was walked to its end: the next window starts over."""
    if _is_last(target, index):
        scheme.quota.charge_target_from = None
        scheme.quota.charge_addr_from = 0


def damos_valid_target(ctx: DamonCtx, target: DamonTarget, index: int, scheme: Damos, rates: DamosRates) -> bool:
    """Pattern, and priority where a quota makes regions compete (damos 2)."""
    region = target.regions[index]
    if not matches(region, scheme, rates.left_bp):
        return False
    if not quotas.damos_quota_is_set(scheme.quota):
        return True
    return region_score(ctx, region, scheme, rates) >= scheme.quota.min_score


def try_scheme(ctx: DamonCtx, target: DamonTarget, index: int, scheme: Damos, rates: DamosRates) -> None:
    """One due and active scheme on region ``index``, which becomes its front piece when it is split."""
    if quotas.damos_quota_is_full(ctx, scheme.quota):
        return
    if damos_skip_charged_region(ctx, target, index, scheme):
        return
    if scheme.max_nr_snapshots and scheme.stat.nr_snapshots >= scheme.max_nr_snapshots:
        return
    if damos_valid_target(ctx, target, index, scheme, rates):
        damos_apply_scheme(ctx, target, index, scheme)
    if _is_last(target, index):
        scheme.stat.nr_snapshots += 1


def _fit_quota(ctx: DamonCtx, target: DamonTarget, index: int, scheme: Damos) -> bool:
    """Cut region ``index`` to what is left of the quota; False when nothing fits."""
    quota, size = scheme.quota, target.regions[index].size
    if quotas.damos_quota_is_set(quota) and quota.charged_sz + size > quota.esz:
        size = align_down(quota.esz - quota.charged_sz, ctx.min_region_sz)
        if not size:
            return False
        target.regions.split_at(index, size)
    return True


def _applied(ctx: DamonCtx, result: object) -> tuple[int, int]:
    """What an operations set returned of an attempt: bytes acted on, and bytes that passed its filters."""
    what = f"operations set {ctx.ops.id}: apply_scheme() returned"
    if not isinstance(result, tuple) or len(result) != 2:
        raise InvalidInput(f"{what}: {shown(result)}: is not a pair; give bytes acted on and bytes that passed filters")
    applied, passed = result
    if type(applied) is int and type(passed) is int and 0 <= applied <= ULONG_MAX and 0 <= passed <= ULONG_MAX:
        return applied, passed
    return whole(f"{what} bytes acted on", applied), whole(f"{what} bytes passed", passed)


def damos_apply_scheme(ctx: DamonCtx, target: DamonTarget, index: int, scheme: Damos) -> None:
    size = applied = passed = 0
    if _fit_quota(ctx, target, index, scheme):
        if damos_core_filter_out(ctx, target, index, scheme):
            return
        region = target.regions[index]
        size = region.size
        clock = ctx.machine.clock
        kept = ctx.results if ctx.results is not None and ctx.results.acts else None
        act = (clock.now_ns(), region.start, region.end) if kept is not None else (0, 0, 0)
        began = clock.coarse_ns()
        if ctx.trace is not None and ctx.trace.points[BEFORE_APPLY]:
            trace_before_apply(ctx, target, region, scheme)
        if isinstance(scheme.action, DamosCustomAction):
            applied, passed = apply_custom(ctx, target, region, scheme, scheme.action)
        else:
            applied, passed = _applied(ctx, ctx.ops.apply_scheme(ctx, target, region, scheme))
        if kept is not None:
            kept.act(ctx, scheme, target, act, applied)
        walk = ctx.walking
        if walk is not None and not scheme.walk_completed:
            walk.fn(ctx, target, region, scheme, passed)
        quota = scheme.quota
        quota.total_charged_ns += clock.coarse_ns() - began
        quotas.damos_charge_quota(quota, size, applied)
        if quotas.damos_quota_is_set(quota) and quotas.damos_quota_is_full(ctx, quota):
            quota.charge_target_from = target
            quota.charge_addr_from = region.end
        if scheme.action is not DamosAction.STAT:
            region.age = 0
    stat = scheme.stat
    stat.nr_tried += 1
    stat.sz_tried += size
    if applied > 0:
        stat.nr_applied += 1
    stat.sz_applied += applied
    stat.sz_ops_filter_passed += passed
