# SPDX-License-Identifier: GPL-2.0-only
"""The pass of all due schemes over all regions (DAMON spec, damos 3), and walk requests (damos 10).

Regions that no scheme can want are passed natively; Python sees the others and each target's last region.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_uint32, c_uint64, c_void_p

from damon.core import quota as quotas
from damon.core.attrs import damos_set_next_apply_sis
from damon.core.damos import try_scheme
from damon.core.damos_filter import core_filters_reject_all
from damon.core.priority import DamosRates, DamosSpec, fill_pattern, rates_of
from damon.core.regions import damon_region_sz_limit
from damon.core.trace import damos_trace_stat
from damon.model.arrays import RegionArray
from damon.model.context import DamonCtx
from damon.model.operations import Score
from damon.model.regions import align_down
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from damon.native import bind

_ARGUMENTS = (c_void_p, c_void_p, c_uint32, c_void_p, c_uint32, c_void_p, c_uint64)
_next_region = bind("damos_next_region", c_uint32, *_ARGUMENTS)
_skip_rejected = bind(
    "damos_skip_rejected",
    c_uint32, c_void_p, c_void_p, c_uint32, c_void_p, c_void_p, c_uint64, c_uint64,
)  # fmt: skip
_next_after = bind("damos_next_after", c_uint32, *_ARGUMENTS)


def merge_back(regions: RegionArray, index: int, sz_limit: int) -> bool:
    """Undo a cut that left no trace: extend the left neighbour over region ``index`` when they agree in everything."""
    if not index:
        return False
    prev, region = regions[index - 1], regions[index]
    same = (
        prev.end == region.start
        and prev.age == region.age
        and prev.last_nr_accesses == region.last_nr_accesses
        and prev.nr_accesses == region.nr_accesses
        and prev.size + region.size <= sz_limit
    )
    if same:
        prev.end = region.end
        regions.remove(index)
    return same


class _Pass:
    """One pass: what the due and active ``schemes`` want, natively readable."""

    def __init__(self, ctx: DamonCtx, schemes: Sequence[Damos], rates: DamosRates) -> None:
        self.ctx, self.schemes = ctx, schemes
        self.rates = rates
        self.sz_limit = damon_region_sz_limit(ctx)
        self.specs = (DamosSpec * len(schemes))()
        for spec, scheme in zip(self.specs, schemes, strict=True):
            fill_pattern(spec, scheme, ctx.ops.score(scheme))
            spec.wants = True
            spec.min_score = scheme.quota.min_score
        #: Those that an attempt may change something of. Without a quota a scheme tries all of them.
        self._limited = [
            (spec, scheme)
            for spec, scheme in zip(self.specs, schemes, strict=True)
            if quotas.damos_quota_is_set(scheme.quota) or scheme.quota.charge_target_from is not None
        ]
        self._nr = c_uint32()

    def _update_specs(self, target: DamonTarget) -> None:
        """The parts that change with every attempt."""
        for spec, scheme in self._limited:
            quota = scheme.quota
            here = quota.charge_target_from is None or quota.charge_target_from is target
            spec.wants = here and not quotas.damos_quota_is_full(self.ctx, quota)
            spec.skip_below = quota.charge_addr_from if quota.charge_target_from is target else 0
            spec.scored = quotas.damos_quota_is_set(quota)
            spec.min_score = quota.min_score

    def _next(self, target: DamonTarget, index: int, tried: bool) -> int:
        """The next region that Python must look at, from ``index`` on, which was ``tried`` or not yet."""
        regions = target.regions
        if self.ctx.reference:
            return index + 1 if tried and not merge_back(regions, index, self.sz_limit) else index
        self._nr.value = regions.nr
        index = (_next_after if tried else _next_region)(
            regions.pointer, ctypes.addressof(self._nr), index, ctypes.addressof(self.specs), len(self.specs),
            ctypes.addressof(self.rates), self.sz_limit,
        )  # fmt: skip
        regions.nr = self._nr.value
        return index

    def _skip_rejected(self, target: DamonTarget, index: int) -> int:
        """Where the next attempt is, when a small quota would cut region ``index`` into pieces that filters reject.

        A rejected piece is not charged, so the next one is as big: a region takes as many attempts as it has pieces.
        """
        scheme, regions, ctx = self.schemes[0], target.regions, self.ctx
        quota, region = scheme.quota, regions[index]
        if (
            ctx.reference
            or len(self.schemes) > 1
            or not quotas.damos_quota_is_set(quota)
            or quotas.damos_quota_is_full(ctx, quota)
        ):
            return index
        step = align_down(quota.esz - quota.charged_sz, ctx.min_region_sz)
        resumes = quota.charge_target_from is not None or bool(scheme.max_nr_snapshots)
        if resumes or region.size <= 2 * step or self.specs[0].score == Score.CUSTOM:
            return index
        if not core_filters_reject_all(ctx, target, region, scheme):
            return index
        kept = max(self.sz_limit // step, 1) * step  # pieces are merged back up to this size
        regions.reserve(regions.nr + region.size // kept + 2)
        self._nr.value = regions.nr
        index = _skip_rejected(
            regions.pointer, ctypes.addressof(self._nr), index, ctypes.addressof(self.specs),
            ctypes.addressof(self.rates), step, self.sz_limit,
        )  # fmt: skip
        regions.nr = self._nr.value
        scheme.core_allowed = False
        return index

    def run(self, target: DamonTarget) -> None:
        self._update_specs(target)
        index = self._next(target, 0, tried=False)
        while index < target.regions.nr:
            index = self._skip_rejected(target, index)
            for scheme in self.schemes:
                try_scheme(self.ctx, target, index, scheme, self.rates)
            self._update_specs(target)
            index = self._next(target, index, tried=True)


def kdamond_apply_schemes(ctx: DamonCtx) -> None:
    """Apply the schemes that are due now."""
    due = [scheme for scheme in ctx.schemes if ctx.passed_sample_intervals >= scheme.next_apply_sis]
    active = [scheme for scheme in due if scheme.wmarks.activated]
    if not active:
        return
    ctx.walking = ctx.walk_control  # one that comes during the pass would see a part of it: it waits for the next
    rates = rates_of(ctx)
    for scheme in active:
        quotas.damos_adjust_quota(ctx, scheme, rates)
    this = _Pass(ctx, active, rates)
    for target in ctx.targets:
        if ctx.ops.target_valid(target):
            this.run(target)
        else:
            forget_target(ctx, target)
    damos_walk_complete(ctx, due)
    for scheme in due:
        damos_set_next_apply_sis(ctx, scheme)
        scheme.last_applied = None
        damos_trace_stat(ctx, scheme)


def forget_target(ctx: DamonCtx, target: DamonTarget) -> None:
    """Clear every scheme's resume point in ``target``."""
    for scheme in ctx.schemes:
        if scheme.quota.charge_target_from is target:
            scheme.quota.charge_target_from = None
            scheme.quota.charge_addr_from = 0


def damos_walk_complete(ctx: DamonCtx, finished: Sequence[Damos]) -> None:
    """``finished`` did their pass; the request ends once every scheme has (damos 10)."""
    if ctx.walking is None:
        return
    for scheme in finished:
        scheme.walk_completed = True
    if all(scheme.walk_completed for scheme in ctx.schemes):
        damos_walk_cancel(ctx, canceled=False)


def damos_walk_cancel(ctx: DamonCtx, canceled: bool) -> None:
    """Finish or cancel a pending walk request, if there is one."""
    with ctx.lock:
        control, ctx.walk_control = ctx.walk_control, None
    if control is None:
        return
    for scheme in ctx.schemes:
        scheme.walk_completed = False
    ctx.walking = None
    control.canceled = canceled
    control.done.set()
