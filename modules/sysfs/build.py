# SPDX-License-Identifier: GPL-2.0-only
"""Contexts made of the staged tree (DAMON spec, sysfs 3, 4). Refused values raise; nothing stays open then."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from typing import Final

from damon.core import Damon, set_attrs, set_regions
from damon.errors import DamonError, InvalidInput
from damon.model.attrs import U32_MAX, DamonAttrs, DamonIntervalsGoal
from damon.model.context import DAMON_MIN_REGION_SZ, DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe
from damon.model.scheme import (
    NODE_MEMCG_METRICS,
    Damos,
    DamosAccessPattern,
    DamosFilter,
    DamosFilterType,
    DamosMigrateDest,
    DamosQuota,
    DamosQuotaGoal,
    DamosStat,
    DamosWatermarks,
)
from damon.model.target import DamonTarget
from damon.modules.sysfs import context, filters, schemes

#: Schemes of one context. The kernel's limit is its memory: a scheme and its directory take some 10 KiB there.
MAX_SCHEMES: Final = 1 << 17


def fill_context(damon: Damon, ctx: DamonCtx, tree: context.Context) -> None:
    """Put the values of ``tree`` into ``ctx``, an empty context.

    Raises:
        DamonError: EINVAL as a rule; ENOMEM for whatever is wrong with a scheme.
    """
    try:
        damon.select_ops(ctx, tree.operations.value)
        ctx.addr_unit = tree.addr_unit.value
        ctx.min_region_sz = max(DAMON_MIN_REGION_SZ // ctx.addr_unit, 1)
        ctx.pause = tree.pause.value
        set_attrs(ctx, _attrs(tree.attrs))
        ctx.probes.extend(_probe(damon, probe) for probe, _ in tree.attrs.probes.staged())
        _add_targets(damon, ctx, tree)
        try:
            ctx.schemes.extend(_schemes(damon, tree.schemes))
        except DamonError as error:
            raise DamonError(errno.ENOMEM, f"scheme: {error.strerror}") from None
    except BaseException:
        close_targets(ctx)
        raise


def close_targets(ctx: DamonCtx) -> None:
    """Release the processes of a context that will not run."""
    for target in ctx.targets:
        with suppress(DamonError):
            ctx.ops.cleanup_target(target)
    ctx.targets.clear()


def _attrs(tree: context.MonitoringAttrs) -> DamonAttrs:
    intervals, goal = tree.intervals, tree.intervals.goal
    return DamonAttrs(
        sample_interval=intervals.sample_us.value,
        aggr_interval=intervals.aggr_us.value,
        ops_update_interval=intervals.update_us.value,
        min_nr_regions=tree.nr_regions.min.value,
        max_nr_regions=tree.nr_regions.max.value,
        intervals_goal=DamonIntervalsGoal(
            goal.access_bp.value, goal.aggrs.value, goal.min_sample_us.value, goal.max_sample_us.value
        ),
    )


def memcg_id(damon: Damon, path: str) -> int:
    """The id of the cgroup at ``path`` from the root of its hierarchy; EINVAL when there is none."""
    if not path:
        raise InvalidInput("memcg path: none was written; give the path of a cgroup from the root of its hierarchy")
    return damon.machine.memcg_id(path.removesuffix("\n"))


def _probe(damon: Damon, tree: filters.Probe) -> DamonProbe:
    probe = DamonProbe(tree.weight.value, preps=[DamonPrep(part.prep_action.member) for part, _ in tree.preps.staged()])
    for part, _ in tree.filters.staged():
        wanted = DamonFilter(part.type.member, part.matching.value, part.allow.value)
        if wanted.type is DamonFilterType.MEMCG:
            wanted.memcg_id = memcg_id(damon, part.path.value)
        elif wanted.type is DamonFilterType.HUGEPAGE_SIZE:
            wanted.range_min, wanted.range_max = part.min.value, part.max.value
            wanted.check()
        probe.filters.append(wanted)
    return probe


def _add_targets(damon: Damon, ctx: DamonCtx, tree: context.Context) -> None:
    if not ctx.ops.has_pid and len(tree.targets) > 1:
        raise InvalidInput(f"targets: {len(tree.targets)}: {ctx.ops.id} has one address space; give one")
    for part, _ in tree.targets.staged():
        space = damon.machine.open_process(part.pid_target.value) if ctx.ops.has_pid else None
        target = DamonTarget(space=space, obsolete=part.obsolete_target.value)
        ctx.targets.append(target)
        ranges = [(region.start.value, region.end.value) for region, _ in part.regions.staged()]
        set_regions(target, ranges, ctx.min_region_sz)


def _schemes(damon: Damon, tree: schemes.Schemes) -> Iterator[Damos]:
    """One for each directory; those that no client has opened are all like the first."""
    if len(tree) > MAX_SCHEMES:
        raise InvalidInput(f"schemes: {len(tree)}: are too many; give at most {MAX_SCHEMES}")
    default: Damos | None = None
    for part, made in tree.staged():
        if made:
            yield _scheme(damon, part)
            continue
        if default is None:
            default = _scheme(damon, part)
        yield replace(
            default, pattern=replace(default.pattern), quota=replace(default.quota, goals=[]),
            wmarks=replace(default.wmarks), migrate_dests=[], core_filters=[], ops_filters=[], stat=DamosStat(),
        )  # fmt: skip


def _scheme(damon: Damon, tree: schemes.Scheme) -> Damos:
    pattern = tree.access_pattern
    scheme = Damos(
        pattern=DamosAccessPattern(
            min_sz_region=pattern.sz.min.value,
            max_sz_region=pattern.sz.max.value,
            min_nr_accesses=pattern.nr_accesses.min.value & U32_MAX,
            max_nr_accesses=pattern.nr_accesses.max.value & U32_MAX,
            min_age_region=pattern.age.min.value & U32_MAX,
            max_age_region=pattern.age.max.value & U32_MAX,
        ),
        action=tree.action.member,
        apply_interval_us=tree.apply_interval_us.value,
        quota=_quota(damon, tree.quotas),
        wmarks=_watermarks(tree.watermarks),
        target_nid=tree.target_nid.value,
        migrate_dests=[DamosMigrateDest(dest.id.value, dest.weight.value) for dest, _ in tree.dests.staged()],
        max_nr_snapshots=tree.stats.max_nr_snapshots.value,
    )
    for layer in tree.filters:
        for part, _ in layer.staged():
            scheme.add_filter(_filter(damon, part))
    return scheme


def _filter(damon: Damon, tree: filters.Filter) -> DamosFilter:
    wanted = DamosFilter(tree.type.member, tree.matching.value, tree.allow.value)
    if wanted.type is DamosFilterType.MEMCG:
        wanted.memcg_id = memcg_id(damon, tree.memcg_path.value)
    elif wanted.type is DamosFilterType.ADDR:
        wanted.addr_start, wanted.addr_end = tree.addr_start.value, tree.addr_end.value
        if wanted.addr_end < wanted.addr_start:
            raise InvalidInput(
                f"filter.addr_end: {wanted.addr_end}: is below addr_start, {wanted.addr_start}; raise it"
            )
    elif wanted.type is DamosFilterType.TARGET:
        wanted.target_idx = tree.damon_target_idx.value
    elif wanted.type is DamosFilterType.HUGEPAGE_SIZE:
        wanted.sz_min, wanted.sz_max = tree.min.value, tree.max.value
        if wanted.sz_min > wanted.sz_max:
            raise InvalidInput(f"filter.min: {wanted.sz_min}: is above max, {wanted.sz_max}; lower it")
    elif wanted.type is DamosFilterType.PROBE_HITS_WSUM:
        wanted.range_min, wanted.range_max = tree.min.value, tree.max.value
        wanted.check()
    return wanted


def _quota(damon: Damon, tree: schemes.Quotas) -> DamosQuota:
    return DamosQuota(
        ms=tree.ms.value,
        sz=tree.bytes.value,
        reset_interval=tree.reset_interval_ms.value,
        weight_sz=tree.weights.sz.value,
        weight_nr_accesses=tree.weights.nr_accesses.value,
        weight_age=tree.weights.age.value,
        goals=quota_goals(damon, tree),
        goal_tuner=tree.goal_tuner.member,
        fail_charge_num=tree.fail_charge_num.value,
        fail_charge_denom=tree.fail_charge_denom.value,
    )


def quota_goals(damon: Damon, tree: schemes.Quotas) -> list[DamosQuotaGoal]:
    """The goals with a target value; EINVAL for a cgroup that is not there."""
    goals = []
    for part, _ in tree.goals.staged():
        if not part.target_value.value:
            continue
        goal = DamosQuotaGoal(
            part.target_metric.member, part.target_value.value, part.current_value.value, nid=part.nid.value
        )
        if goal.metric in NODE_MEMCG_METRICS:
            goal.memcg_id = memcg_id(damon, part.path.value)
        goals.append(goal)
    return goals


def _watermarks(tree: schemes.Watermarks) -> DamosWatermarks:
    return DamosWatermarks(tree.metric.member, tree.interval_us.value, tree.high.value, tree.mid.value, tree.low.value)
