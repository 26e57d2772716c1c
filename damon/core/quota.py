# SPDX-License-Identifier: GPL-2.0-only
"""Quotas: how much a scheme may do in a window, goals that tune it, charging (DAMON spec, damos 5 and 6)."""

from __future__ import annotations

from damon.core import goals
from damon.core.damos_filter import damos_core_filter_out
from damon.core.goals import TARGET_SCORE, damon_feed_loop_next_input
from damon.core.priority import DamosRates, ScoreHistogram
from damon.core.trace import damos_trace_esz
from damon.model.attrs import ULONG_MAX
from damon.model.context import DamonCtx
from damon.model.scheme import Damos, DamosQuota, DamosQuotaGoalTuner

_DEFAULT_BYTES_PER_MS = 4096 * 1024  # before any throughput is known
_BP = 10000


def damos_quota_is_set(quota: DamosQuota) -> bool:
    """Is there any limit? Then an effective size of 0 means "nothing", else it means "no limit"."""
    return bool(quota.esz or quota.sz or quota.ms or quota.goals)


def damos_quota_is_full(ctx: DamonCtx, quota: DamosQuota) -> bool:
    """Is the window's share used up, or what is left smaller than a region can be (damos 4)?"""
    if not damos_quota_is_set(quota):
        return False
    return quota.charged_sz >= quota.esz or quota.esz - quota.charged_sz < ctx.min_region_sz


def damos_charge_quota(quota: DamosQuota, size: int, applied: int) -> None:
    """Charge an attempt on ``size`` bytes of which ``applied`` were acted on (damos 5.4)."""
    if not quota.fail_charge_denom or applied > size:
        quota.charged_sz += size
    else:
        failed = size - applied
        quota.charged_sz += applied + failed * quota.fail_charge_num // quota.fail_charge_denom


def _tune(ctx: DamonCtx, scheme: Damos) -> None:
    """Run the goal tuner; the result is ``esz_bp`` (damos 6.2)."""
    quota, score = scheme.quota, goals.damos_quota_score(ctx, scheme)
    if quota.goal_tuner is DamosQuotaGoalTuner.CONSIST:
        quota.esz_bp = damon_feed_loop_next_input(max(quota.esz_bp, _BP), score)
    elif score >= TARGET_SCORE:
        quota.esz_bp = 0
    elif quota.sz and quota.sz <= ULONG_MAX // _BP:
        quota.esz_bp = quota.sz * _BP
    else:
        quota.esz_bp = ULONG_MAX


def damos_set_effective_quota(ctx: DamonCtx, scheme: Damos) -> None:
    """Compute ``esz``, the bytes that the next window may charge (damos 5.2)."""
    quota = scheme.quota
    if not quota.ms and not quota.goals:
        quota.esz = quota.sz
        return
    esz = ULONG_MAX
    if quota.goals:
        _tune(ctx, scheme)
        esz = quota.esz_bp // _BP
    if quota.ms:
        throughput = _DEFAULT_BYTES_PER_MS
        if quota.total_charged_ns:
            throughput = quota.total_charged_sz * 1_000_000 // quota.total_charged_ns
        esz = min(esz, max(throughput * quota.ms, ctx.min_region_sz))
    if quota.sz and quota.sz < esz:
        esz = quota.sz
    quota.esz = esz


def window(ctx: DamonCtx, quota: DamosQuota) -> tuple[int, int]:
    """In ticks: when the window began, and when the next one begins."""
    return quota.charged_from, quota.charged_from + ctx.machine.clock.ticks.ms_to_jiffies(quota.reset_interval)


def damos_adjust_quota(ctx: DamonCtx, scheme: Damos, rates: DamosRates | None = None) -> None:
    """Open a new window when it is time, and find the priority that gets a share (damos 5.1); ``rates`` of now."""
    quota = scheme.quota
    if not damos_quota_is_set(quota):
        return
    now = ctx.machine.clock.jiffies()
    if not quota.total_charged_sz and not quota.charged_from:
        quota.charged_from = now
        damos_set_effective_quota(ctx, scheme)
        damos_trace_esz(ctx, scheme)
    begin, end = window(ctx, quota)
    if not begin <= now < end:
        if damos_quota_is_full(ctx, quota):
            scheme.stat.qt_exceeds += 1
        quota.total_charged_sz += quota.charged_sz
        quota.charged_from = now
        quota.charged_sz = 0
        before = quota.esz
        damos_set_effective_quota(ctx, scheme)
        if quota.esz != before:
            damos_trace_esz(ctx, scheme)
    if ctx.ops.scores:
        quota.min_score = _min_score(ctx, scheme, rates)


def _min_score(ctx: DamonCtx, scheme: Damos, rates: DamosRates | None) -> int:
    histogram = ScoreHistogram(ctx, scheme, rates)
    for target in ctx.targets:
        if not scheme.core_filters:
            histogram.add(target.regions)
            continue
        index = 0
        while index < target.regions.nr:
            wanted = histogram.matches(target.regions[index])  # filters split only what the pattern matches
            if wanted and not damos_core_filter_out(ctx, target, index, scheme):
                histogram.add_region(target.regions[index])
            index += 1
    return histogram.min_score(scheme.quota.esz)
