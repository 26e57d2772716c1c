# SPDX-License-Identifier: GPL-2.0-only
"""A running context as the kernel's structures have it, for a debugger's script (``damon.damond.drgn``).

Field by field as in ``include/linux/damon.h`` of 7.3: enums are numbers, lists are the entries of a ``list_head``.
"""

from __future__ import annotations

import enum
from typing import Any, Final

from damon.model.arrays import DamonRegion
from damon.model.context import DamonCtx
from damon.model.custom import DamosCustomAction, DamosCustomMetric
from damon.model.scheme import (
    Damos,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
    DamosWmarkMetric,
)
from damon.model.target import DamonTarget

#: ``enum damon_ops_id``.
OPS: Final = ("vaddr", "fvaddr", "paddr")


def _number(member: enum.Enum) -> int:
    """The value that the kernel's enum has: ours are in its order."""
    return list(type(member)).index(member)


def _region(region: DamonRegion) -> dict[str, Any]:
    return {
        "ar": {"start": region.start, "end": region.end},
        "sampling_addr": region.sampling_addr,
        "nr_accesses": region.nr_accesses,
        "last_nr_accesses": region.last_nr_accesses,
        "age": region.age,
    }


def _target(target: DamonTarget) -> dict[str, Any]:
    return {
        "pid": target.pid,
        "nr_regions": target.regions.nr,
        "regions_list": [_region(region) for region in target.regions],
        "obsolete": target.obsolete,
    }


def _goal(goal: DamosQuotaGoal) -> dict[str, Any]:
    metric = goal.metric
    return {
        "metric": _number(metric) if not isinstance(metric, DamosCustomMetric) else len(DamosQuotaGoalMetric),
        "target_value": goal.target_value,
        "current_value": goal.current_value,
        "last_psi_total": goal.last_psi_total or 0,
        "nid": goal.nid,
        "memcg_id": goal.memcg_id,
    }


def _quota(quota: DamosQuota) -> dict[str, Any]:
    names = (
        "reset_interval", "ms", "sz", "esz", "fail_charge_num", "fail_charge_denom", "weight_sz",
        "weight_nr_accesses", "weight_age", "total_charged_sz", "total_charged_ns", "charged_sz", "min_score",
    )  # fmt: skip
    values = {name: getattr(quota, name) for name in names}
    return values | {"goals": [_goal(goal) for goal in quota.goals], "goal_tuner": _number(quota.goal_tuner)}


def _filter(one: DamosFilter) -> dict[str, Any]:
    return {
        "type": _number(one.type),
        "matching": one.matching,
        "allow": one.allow,
        "memcg_id": one.memcg_id,
        "addr_range": {"start": one.addr_start, "end": one.addr_end},
        "target_idx": one.target_idx,
        "sz_range": {"min": one.sz_min, "max": one.sz_max},
    }


def _scheme(scheme: Damos) -> dict[str, Any]:
    wmarks, action = scheme.wmarks, scheme.action
    return {
        "pattern": dict(vars(scheme.pattern)),
        "action": len(DamosAction) if isinstance(action, DamosCustomAction) else _number(action),
        "apply_interval_us": scheme.apply_interval_us,
        "quota": _quota(scheme.quota),
        "wmarks": {name: getattr(wmarks, name) for name in ("interval", "high", "mid", "low", "activated")}
        | {"metric": _number(wmarks.metric)},
        "target_nid": scheme.target_nid,
        "migrate_dests": {
            "nr_dests": len(scheme.migrate_dests),
            "node_id_arr": [dest.node_id for dest in scheme.migrate_dests],
            "weight_arr": [dest.weight for dest in scheme.migrate_dests],
        },
        "core_filters": [_filter(one) for one in scheme.core_filters if isinstance(one, DamosFilter)],
        "ops_filters": [_filter(one) for one in scheme.ops_filters if isinstance(one, DamosFilter)],
        "max_nr_snapshots": scheme.max_nr_snapshots,
        "stat": dict(vars(scheme.stat)),
    }


def damon_ctx(ctx: DamonCtx) -> dict[str, Any]:
    """``struct damon_ctx``, called while the worker does nothing else."""
    attrs = ctx.attrs
    names = ("sample_interval", "aggr_interval", "ops_update_interval", "min_nr_regions", "max_nr_regions")
    goal = attrs.intervals_goal
    goals = {name: getattr(goal, name) for name in ("access_bp", "aggrs", "min_sample_us", "max_sample_us")}
    return {
        "ops": {"id": OPS.index(ctx.ops.id) if ctx.ops.id in OPS else len(OPS)},
        "attrs": {name: getattr(attrs, name) for name in names} | {"intervals_goal": goals},
        "adaptive_targets": [_target(target) for target in ctx.targets],
        "schemes": [_scheme(scheme) for scheme in ctx.schemes],
        "pause": ctx.pause,
        "addr_unit": ctx.addr_unit,
        "min_region_sz": ctx.min_region_sz,
        "passed_sample_intervals": ctx.passed_sample_intervals,
        "next_aggregation_sis": ctx.next_aggregation_sis,
    }


#: In the kernel's order, which ``_number`` relies on; the tests hold them against a kernel tree.
ENUMS: Final[dict[str, type[enum.Enum]]] = {
    "damos_action": DamosAction,
    "damos_filter_type": DamosFilterType,
    "damos_quota_goal_metric": DamosQuotaGoalMetric,
    "damos_quota_goal_tuner": DamosQuotaGoalTuner,
    "damos_wmark_metric": DamosWmarkMetric,
}
