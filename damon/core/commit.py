# SPDX-License-Identifier: GPL-2.0-only
"""Online commit: a running context takes over new parameters (DAMON spec, core 9).

Rehearsed on a scratch context first, so that parameters which the kernel would refuse change nothing. Lists match by
position. Results, statistics and quota state survive.
"""

from __future__ import annotations

import errno
from dataclasses import replace

from damon.core.attrs import damos_set_next_apply_sis, set_attrs
from damon.core.damos_filter import damos_set_filters_default_reject
from damon.core.damos_walk import forget_target
from damon.core.level import check_level
from damon.core.probes import damon_commit_probes, damon_valid_probe_params
from damon.errors import DamonError, InvalidInput
from damon.model.arrays import RegionArray
from damon.model.attrs import DamonAttrs
from damon.model.checks import instance, truth, whole
from damon.model.context import DamonCtx
from damon.model.machine import TargetSpace
from damon.model.probe import DamonProbe
from damon.model.regions import set_regions
from damon.model.scheme import (
    NODE_MEMCG_METRICS,
    NODE_METRICS,
    Damos,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosStat,
)
from damon.model.target import DamonTarget


def check_min_region_sz(ctx: DamonCtx) -> None:
    """A power of two, or EINVAL."""
    size = ctx.min_region_sz
    if size <= 0 or size & (size - 1):
        raise InvalidInput(
            f"min_region_sz: {size}: 4096 / addr_unit {ctx.addr_unit} is not a power of two; "
            "give an addr_unit that is one"
        )


def check_types(ctx: DamonCtx) -> None:
    """Every part of ``ctx`` has the types and ranges that it is made with, also after it was changed (EINVAL)."""
    instance("DamonCtx.attrs", ctx.attrs, DamonAttrs)
    ctx.attrs.check()
    whole("DamonCtx.addr_unit", ctx.addr_unit, 1)
    ctx.pause = truth("DamonCtx.pause", ctx.pause)
    for target in ctx.targets:
        instance("DamonCtx.targets", target, DamonTarget)
    for scheme in ctx.schemes:
        instance("DamonCtx.schemes", scheme, Damos)
        scheme.check()
    for probe in ctx.probes:
        instance("DamonCtx.probes", probe, DamonProbe)
        probe.check()


def _check_eligible_goals(ctx: DamonCtx) -> None:
    """What a pattern matches is measured in physical memory only."""
    wanted = DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP
    for scheme in ctx.schemes:
        if ctx.ops.id != "paddr" and any(goal.metric is wanted for goal in scheme.quota.goals):
            raise InvalidInput(f"quota goal: {wanted.value}: operations set {ctx.ops.id} has no such metric; use paddr")


def rehearse(dst: DamonCtx, src: DamonCtx) -> None:
    """Raise what committing ``src`` into ``dst`` would raise; both stay as they are. ``dst`` is looked at first."""
    scratch = DamonCtx(machine=dst.machine, ops=dst.ops, level=dst.level)
    try:
        _rehearse(scratch, dst)
    except InvalidInput as error:
        raise DamonError(errno.ENOMEM, f"the context to change: {error.strerror}") from error
    check_types(src)
    check_level(dst.level, src.probes, src.schemes)
    _rehearse(scratch, src)


def commit_ctx(dst: DamonCtx, src: DamonCtx) -> None:
    """Make ``dst`` do what ``src`` describes. Call it in the worker of ``dst`` (``Damon.call``), or before its start.

    Raises:
        InvalidInput: ``src`` has a field that is refused; ``dst`` is unchanged.
        DamonError: ENOMEM, ``dst`` itself has one.
    """
    if dst.engine is not None:
        dst.engine.commit(dst, src)
        return
    rehearse(dst, src)
    spaces = [target.space for target in dst.targets]
    dst.maybe_corrupted = True
    _commit(dst, src)
    dst.maybe_corrupted = False
    _release(spaces, dst)


def _release(spaces: list[TargetSpace | None], ctx: DamonCtx) -> None:
    """Release those processes that no target of ``ctx`` is any more."""
    kept = {id(target.space) for target in ctx.targets}
    for space in spaces:
        if space is not None and id(space) not in kept:
            space.close()


def _commit(dst: DamonCtx, src: DamonCtx) -> None:
    damon_commit_schemes(dst, src)
    _commit_rest(dst, src)


def _rehearse(scratch: DamonCtx, src: DamonCtx) -> None:
    """As ``_commit``. Of schemes only the goals can be refused: there may be thousands, and no copy of them is made."""
    check_min_region_sz(src)
    _check_eligible_goals(src)
    damon_valid_probe_params(src)
    for scheme in src.schemes:
        _check_quota_goals(scheme.quota)
    _commit_rest(scratch, src)


def _commit_rest(dst: DamonCtx, src: DamonCtx) -> None:
    damon_commit_targets(dst, src)
    if _differs(dst, src):
        set_attrs(dst, src.attrs)
    dst.pause = src.pause
    dst.ops = src.ops
    damon_commit_probes(dst, src)
    dst.addr_unit, dst.min_region_sz = src.addr_unit, src.min_region_sz


def _differs(dst: DamonCtx, src: DamonCtx) -> bool:
    return replace(dst.attrs, aggr_samples=0) != replace(src.attrs, aggr_samples=0)


def damon_commit_schemes(dst: DamonCtx, src: DamonCtx) -> None:
    del dst.schemes[len(src.schemes) :]
    for scheme in src.schemes[len(dst.schemes) :]:
        new = Damos(stat=DamosStat())
        dst.schemes.append(new)
        new.apply_interval_us = scheme.apply_interval_us
        damos_set_next_apply_sis(dst, new)
    for ours, theirs in zip(dst.schemes, src.schemes, strict=True):
        damos_commit(ours, theirs)


def damos_commit(dst: Damos, src: Damos) -> None:
    dst.pattern = replace(src.pattern)
    dst.action = src.action
    dst.apply_interval_us = src.apply_interval_us
    damos_commit_quota(dst.quota, src.quota)
    dst.wmarks = replace(src.wmarks)
    dst.target_nid = src.target_nid
    dst.migrate_dests = [replace(dest) for dest in src.migrate_dests]
    dst.core_filters = [replace(wanted) for wanted in src.core_filters]
    dst.ops_filters = [replace(wanted) for wanted in src.ops_filters]
    damos_set_filters_default_reject(dst)
    dst.max_nr_snapshots = src.max_nr_snapshots


def damos_commit_quota(dst: DamosQuota, src: DamosQuota) -> None:
    dst.reset_interval, dst.ms, dst.sz = src.reset_interval, src.ms, src.sz
    commit_quota_goals(dst, src)
    dst.goal_tuner = src.goal_tuner
    dst.fail_charge_num, dst.fail_charge_denom = src.fail_charge_num, src.fail_charge_denom
    dst.weight_sz, dst.weight_nr_accesses, dst.weight_age = src.weight_sz, src.weight_nr_accesses, src.weight_age


def _check_quota_goals(quota: DamosQuota) -> None:
    for goal in quota.goals:
        if not goal.target_value:
            raise InvalidInput(f"quota goal {goal.metric.value}: target_value 0: is not a target; give one above 0")


def commit_quota_goals(dst: DamosQuota, src: DamosQuota) -> None:
    """Goals only: by position, measured values survive, a zero target is EINVAL."""
    _check_quota_goals(src)
    del dst.goals[len(src.goals) :]
    for ours, theirs in zip(dst.goals, src.goals, strict=False):
        ours.metric, ours.target_value = theirs.metric, theirs.target_value
        _commit_goal_values(ours, theirs)
    for theirs in src.goals[len(dst.goals) :]:
        dst.goals.append(DamosQuotaGoal(theirs.metric, theirs.target_value))
        _commit_goal_values(dst.goals[-1], theirs)


def commit_scheme_goals(ctx: DamonCtx, index: int, src: DamosQuota) -> None:
    """As ``commit_quota_goals``, for scheme ``index`` of a context, whichever engine runs it. Call it in the worker."""
    if ctx.engine is not None:
        ctx.engine.commit_goals(ctx, index, src)
        return
    commit_quota_goals(ctx.schemes[index].quota, src)


def _commit_goal_values(dst: DamosQuotaGoal, src: DamosQuotaGoal) -> None:
    if dst.metric is DamosQuotaGoalMetric.USER_INPUT:
        dst.current_value = src.current_value
    elif dst.metric is DamosQuotaGoalMetric.SOME_MEM_PSI_US:
        dst.last_psi_total = None
    if dst.metric in NODE_METRICS:
        dst.nid = src.nid
    if dst.metric in NODE_MEMCG_METRICS:
        dst.memcg_id = src.memcg_id


def _joined(regions: RegionArray) -> list[tuple[int, int]]:
    """The ranges of ``regions``, contiguous ones as one."""
    ranges: list[tuple[int, int]] = []
    for region in regions:
        if ranges and ranges[-1][1] == region.start:
            ranges[-1] = ranges[-1][0], region.end
        else:
            ranges.append((region.start, region.end))
    return ranges


def damon_commit_targets(dst: DamonCtx, src: DamonCtx) -> None:
    kept: list[DamonTarget] = []
    for index, theirs in enumerate(src.targets):
        if theirs.obsolete:
            if index >= len(dst.targets):
                raise InvalidInput(f"targets[{index}]: obsolete: there is no such target to remove; leave it out")
            continue
        ours = dst.targets[index] if index < len(dst.targets) else DamonTarget()
        if theirs.regions.nr:
            set_regions(ours, _joined(theirs.regions), src.min_region_sz)
        ours.space = theirs.space
        kept.append(ours)
    still = set(map(id, kept))
    for target in dst.targets:
        if id(target) not in still:
            forget_target(dst, target)
    dst.targets[:] = kept
