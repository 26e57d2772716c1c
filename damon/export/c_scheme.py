# SPDX-License-Identifier: GPL-2.0-only
"""A scheme as a C function that adds it to a context."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from damon.export.c_text import Parameters, block, designated
from damon.model.checks import U32_MAX, ULONG_MAX
from damon.model.scheme import (
    NODE_MEMCG_METRICS,
    NODE_METRICS,
    Damos,
    DamosFilter,
    DamosFilterType,
    DamosQuotaGoal,
    DamosQuotaGoalTuner,
    DamosWmarkMetric,
)

_QUOTA_ULONG: Final = ("ms", "sz", "reset_interval")
_QUOTA_UINT: Final = ("weight_sz", "weight_nr_accesses", "weight_age", "fail_charge_num", "fail_charge_denom")
_CGROUP: Final = "id of a cgroup: the inode number of its directory"


def add_scheme(scheme: Damos, name: str, prefix: str, parameters: Parameters) -> str:
    """The function ``int NAME(struct damon_ctx *ctx)``; parameters get the prefix."""
    lines = [
        *designated("struct damos_access_pattern pattern", _pattern(scheme, prefix, parameters)),
        *designated("struct damos_quota quota", _quota(scheme, prefix, parameters)),
        *designated("struct damos_watermarks wmarks", _wmarks(scheme, prefix, parameters)),
    ]
    interval = parameters.ulong(f"{prefix}apply_interval_us", scheme.apply_interval_us)
    nid = parameters.int(f"{prefix}target_nid", scheme.target_nid, usual=-1).replace("-1", "NUMA_NO_NODE")
    goals = [
        line for nr, goal in enumerate(scheme.quota.goals) for line in _goal(goal, f"{prefix}goal{nr}_", parameters)
    ]
    rules = [rule for rule in (*scheme.core_filters, *scheme.ops_filters) if isinstance(rule, DamosFilter)]
    filters = [line for nr, rule in enumerate(rules) for line in _filter(rule, f"{prefix}filter{nr}_", parameters)]
    snapshots = parameters.ulong(f"{prefix}max_nr_snapshots", scheme.max_nr_snapshots)
    action = f"DAMOS_{scheme.action.value.upper()}"
    lines += ["struct damos_quota_goal *goal;"] if goals else []
    lines += ["struct damos_filter *filter;"] if filters else []
    lines += [
        "struct damos *scheme;", "",
        f"scheme = damon_new_scheme(&pattern, {action}, {interval}, &quota, &wmarks, {nid});",
        "if (!scheme)", "\treturn -ENOMEM;", "damon_add_scheme(ctx, scheme);",
        *([f"scheme->max_nr_snapshots = {snapshots};"] if scheme.max_nr_snapshots else []),
    ]  # fmt: skip
    lines += [*goals, *filters, *_dests(scheme, prefix, parameters), "return 0;"]
    return block(f"static int {name}(struct damon_ctx *ctx)", lines)


def _pattern(scheme: Damos, prefix: str, parameters: Parameters) -> dict[str, str]:
    pattern = scheme.pattern
    fields = {}
    for edge, ulong, uint in (("min", 0, 0), ("max", ULONG_MAX, U32_MAX)):
        name = f"{edge}_sz_region"
        fields[name] = parameters.ulong(f"{prefix}{name}", getattr(pattern, name), usual=ulong)
        for what in ("nr_accesses", "age_region"):
            name = f"{edge}_{what}"
            fields[name] = parameters.uint(f"{prefix}{name}", getattr(pattern, name), usual=uint)
    return fields


def _quota(scheme: Damos, prefix: str, parameters: Parameters) -> dict[str, str]:
    quota = scheme.quota
    fields = {name: parameters.ulong(f"{prefix}quota_{name}", getattr(quota, name)) for name in _QUOTA_ULONG}
    fields |= {name: parameters.uint(f"{prefix}quota_{name}", getattr(quota, name)) for name in _QUOTA_UINT}
    if quota.goal_tuner is not DamosQuotaGoalTuner.CONSIST:
        fields["goal_tuner"] = f"DAMOS_QUOTA_GOAL_TUNER_{quota.goal_tuner.value.upper()}"
    return fields


def _wmarks(scheme: Damos, prefix: str, parameters: Parameters) -> dict[str, str]:
    marks = scheme.wmarks
    if marks.metric is DamosWmarkMetric.NONE:
        return {}
    fields = {"metric": f"DAMOS_WMARK_{marks.metric.value.upper()}"}
    return fields | {
        name: parameters.ulong(f"{prefix}wmarks_{name}", getattr(marks, name), always=True)
        for name in ("interval", "high", "mid", "low")
    }


def _goal(goal: DamosQuotaGoal, prefix: str, parameters: Parameters) -> Iterator[str]:
    target = parameters.ulong(f"{prefix}target_value", goal.target_value, always=True)
    # The quota is divided by the target value.
    yield from (f"if (!{target})", "\treturn -EINVAL;")
    yield f"goal = damos_new_quota_goal(DAMOS_QUOTA_{goal.metric.value.upper()}, {target});"
    yield from ("if (!goal)", "\treturn -ENOMEM;")
    if goal.current_value:
        yield f"goal->current_value = {parameters.ulong(f'{prefix}current_value', goal.current_value)};"
    if goal.metric in NODE_METRICS:
        yield f"goal->nid = {parameters.add(f'{prefix}nid', 'int', goal.nid)};"
    if goal.metric in NODE_MEMCG_METRICS:
        yield f"goal->memcg_id = {parameters.add(f'{prefix}memcg_id', 'ulong', goal.memcg_id, _CGROUP)};"
    yield "damos_add_quota_goal(&scheme->quota, goal);"


def _filter(rule: DamosFilter, prefix: str, parameters: Parameters) -> Iterator[str]:
    matching, allow = (str(value).lower() for value in (rule.matching, rule.allow))
    yield f"filter = damos_new_filter(DAMOS_FILTER_TYPE_{rule.type.value.upper()}, {matching}, {allow});"
    yield from ("if (!filter)", "\treturn -ENOMEM;")
    if rule.type is DamosFilterType.MEMCG:
        yield f"filter->memcg_id = {parameters.add(f'{prefix}memcg_id', 'ulong', rule.memcg_id, _CGROUP)};"
    elif rule.type is DamosFilterType.ADDR:
        for edge in ("start", "end"):
            value = parameters.ulong(f"{prefix}addr_{edge}", getattr(rule, f"addr_{edge}"), always=True)
            yield f"filter->addr_range.{edge} = {value};"
    elif rule.type is DamosFilterType.TARGET:
        yield f"filter->target_idx = {rule.target_idx};"
    elif rule.type is DamosFilterType.HUGEPAGE_SIZE:
        for edge in ("min", "max"):
            value = parameters.ulong(f"{prefix}sz_{edge}", getattr(rule, f"sz_{edge}"), always=True)
            yield f"filter->sz_range.{edge} = {value};"
    elif rule.type is DamosFilterType.PROBE_HITS_WSUM:
        for edge in ("min", "max"):
            value = parameters.ulong(f"{prefix}range_{edge}", getattr(rule, f"range_{edge}"), always=True)
            yield f"filter->range_{edge} = {value};"
    yield "damos_add_filter(scheme, filter);"


def _dests(scheme: Damos, prefix: str, parameters: Parameters) -> Iterator[str]:
    """Freed with the scheme."""
    if not scheme.migrate_dests:
        return
    nr = len(scheme.migrate_dests)
    for name in ("node_id_arr", "weight_arr"):
        array = f"scheme->migrate_dests.{name}"
        yield f"{array} = kmalloc_array({nr}, sizeof(*{array}), GFP_KERNEL);"
        yield from (f"if (!{array})", "\treturn -ENOMEM;")
    yield f"scheme->migrate_dests.nr_dests = {nr};"
    for index, dest in enumerate(scheme.migrate_dests):
        node = parameters.add(f"{prefix}dest{index}_nid", "uint", dest.node_id)
        yield f"scheme->migrate_dests.node_id_arr[{index}] = {node};"
        weight = parameters.add(f"{prefix}dest{index}_weight", "uint", dest.weight)
        yield f"scheme->migrate_dests.weight_arr[{index}] = {weight};"
