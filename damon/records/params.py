# SPDX-License-Identifier: GPL-2.0-only
"""The parameters of workers as damo has them: its ``.kdamonds`` file. Times and sizes are plain numbers in strings."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from damon.model.context import DamonCtx
from damon.model.probe import DamonFilterType, DamonProbe
from damon.model.scheme import Damos, DamosFilter, DamosFilterType, DamosQuota, DamosQuotaGoal
from damon.model.target import DamonTarget
from damon.records.form import intervals

Pairs = dict[str, Any]


#: The path of a cgroup by its id.
Cgroups = Callable[[int], str]


def _unknown(memcg_id: int) -> str:
    return f"memcg {memcg_id}"


def kdamond(ctx: DamonCtx, pid: int, cgroups: Cgroups = _unknown) -> Pairs:
    """A running worker and its context."""
    return {"state": "on", "pid": str(pid), "refresh_ms": 0, "contexts": [_context(ctx, cgroups)]}


def _context(ctx: DamonCtx, cgroups: Cgroups) -> Pairs:
    return {
        "ops": getattr(ctx.ops, "id", "vaddr"),  # of a worker that ended before it was asked only attrs are known
        "addr_unit": str(ctx.addr_unit),
        "targets": [_target(target) for target in ctx.targets],
        "intervals": intervals(ctx.attrs),
        "nr_regions": {"min": str(ctx.attrs.min_nr_regions), "max": str(ctx.attrs.max_nr_regions)},
        "probes": [_probe(probe, cgroups) for probe in ctx.probes],
        "sample_control": {"primitives_enabled": {"page_table": True, "page_fault": False}, "sample_filters": []},
        "pause": ctx.pause,
        "schemes": [_scheme(scheme, cgroups) for scheme in ctx.schemes],
    }


def _target(target: DamonTarget) -> Pairs:
    ranges: list[list[int]] = []
    for start, end in target.regions.ranges():  # cuts between neighbours mean nothing here
        if ranges and ranges[-1][1] == start:
            ranges[-1][1] = end
        else:
            ranges.append([start, end])
    return {
        "pid": str(target.pid) if target.space is not None else None,
        "obsolete": target.obsolete,
        "regions": [{"start": str(start), "end": str(end)} for start, end in ranges],
    }


def _probe(probe: DamonProbe, cgroups: Cgroups) -> Pairs:
    filters = [
        {
            "filter_type": rule.type.value,
            "matching": rule.matching,
            "allow": rule.allow,
            "path": cgroups(rule.memcg_id) if rule.memcg_id else None,
            "range_min": str(rule.range_min) if rule.type is DamonFilterType.HUGEPAGE_SIZE else None,
            "range_max": str(rule.range_max) if rule.type is DamonFilterType.HUGEPAGE_SIZE else None,
        }
        for rule in probe.filters
    ]
    preps = [{"prep_action": prep.action.value} for prep in probe.preps]
    return {"preps": preps, "filters": filters, "weight": probe.weight}


def _scheme(scheme: Damos, cgroups: Cgroups) -> Pairs:
    pattern, marks, stat = scheme.pattern, scheme.wmarks, scheme.stat
    rates = (f"{count} samples" for count in (pattern.min_nr_accesses, pattern.max_nr_accesses))
    ages = (f"{age} aggr_intervals" for age in (pattern.min_age_region, pattern.max_age_region))
    return {
        "action": scheme.action.value,
        "dests": [{"id": dest.node_id, "weight": dest.weight} for dest in scheme.migrate_dests],
        "target_nid": scheme.target_nid,
        "access_pattern": {
            "sz_bytes": {"min": str(pattern.min_sz_region), "max": str(pattern.max_sz_region)},
            "nr_accesses": dict(zip(("min", "max"), rates, strict=True)),
            "age": dict(zip(("min", "max"), ages, strict=True)),
        },
        "apply_interval_us": str(scheme.apply_interval_us),
        "quotas": _quota(scheme.quota, cgroups),
        "watermarks": {
            "metric": marks.metric.value,
            "interval_us": f"{marks.interval} us",
            "high_permil": str(marks.high),
            "mid_permil": str(marks.mid),
            "low_permil": str(marks.low),
        },
        # A prototype's own filters have no form in other tools.
        "filters": [
            _filter(rule, cgroups)
            for rule in (*scheme.core_filters, *scheme.ops_filters)
            if isinstance(rule, DamosFilter)
        ],
        "stats": {
            "nr_tried": str(stat.nr_tried),
            "sz_tried": str(stat.sz_tried),
            "nr_applied": str(stat.nr_applied),
            "sz_applied": str(stat.sz_applied),
            "sz_ops_filter_passed": str(stat.sz_ops_filter_passed),
            "qt_exceeds": str(stat.qt_exceeds),
            "nr_snapshots": str(stat.nr_snapshots),
            "max_nr_snapshots": str(scheme.max_nr_snapshots),
        },
    }


def _quota(quota: DamosQuota, cgroups: Cgroups) -> Pairs:
    return {
        "time_ms": str(quota.ms),
        "sz_bytes": str(quota.sz),
        "reset_interval_ms": str(quota.reset_interval),
        "fail_charge_num": str(quota.fail_charge_num),
        "fail_charge_denom": str(quota.fail_charge_denom),
        "goals": [_goal(goal, cgroups) for goal in quota.goals],
        "goal_tuner": quota.goal_tuner.value,
        "effective_sz_bytes": str(quota.esz),
        "weights": {
            "sz_permil": str(quota.weight_sz),
            "nr_accesses_permil": str(quota.weight_nr_accesses),
            "age_permil": str(quota.weight_age),
        },
    }


def _goal(goal: DamosQuotaGoal, cgroups: Cgroups) -> Pairs:
    return {
        "metric": goal.metric.value,
        "complement": False,
        "nid": str(goal.nid),
        "memcg_path": cgroups(goal.memcg_id) if goal.memcg_id else None,
        "target_value": str(goal.target_value),
        "current_value": str(goal.current_value),
    }


def _filter(rule: DamosFilter, cgroups: Cgroups) -> Pairs:
    kind = rule.type
    of_addresses, of_sizes = kind is DamosFilterType.ADDR, kind is DamosFilterType.HUGEPAGE_SIZE
    of_sums = kind is DamosFilterType.PROBE_HITS_WSUM
    return {
        "filter_type": kind.value,
        "matching": rule.matching,
        "allow": rule.allow,
        "memcg_path": cgroups(rule.memcg_id) if kind is DamosFilterType.MEMCG else None,
        "address_range": {"start": str(rule.addr_start), "end": str(rule.addr_end)} if of_addresses else None,
        "damon_target_idx": str(rule.target_idx) if kind is DamosFilterType.TARGET else None,
        "hugepage_size": [str(rule.sz_min), str(rule.sz_max)] if of_sizes else None,
        "probe_hits_wsum_range": [str(rule.range_min), str(rule.range_max)] if of_sums else None,
    }
