# SPDX-License-Identifier: GPL-2.0-only
"""From the plain data of a case to contexts of ``damon.model``."""

from __future__ import annotations

from typing import Any

from damon.core import Damon, set_attrs
from damon.errors import DamonError
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.model.machine import Machine
from damon.model.probe import DamonFilter, DamonProbe
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosFilter,
    DamosMigrateDest,
    DamosQuota,
    DamosQuotaGoal,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.model.target import DamonTarget
from tests.differential.memory import PAGES
from tests.fakes import PAGE

Plain = dict[str, Any]


def make(damon: Damon, machine: Machine, plain: Plain, ctx: DamonCtx | None = None) -> DamonCtx:
    """The context that ``plain`` describes; what the model itself refuses is refused for both engines."""
    ctx = damon.new_ctx() if ctx is None else ctx
    damon.select_ops(ctx, plain["ops"])
    ctx.addr_unit = plain["unit"]
    ctx.min_region_sz = max(PAGE // ctx.addr_unit, 1)
    set_attrs(ctx, _attrs(plain["attrs"]))
    ctx.pause = plain["pause"]
    for wanted in plain["targets"]:
        target = DamonTarget()
        target.obsolete = wanted["obsolete"]
        if plain["ops"] != "paddr":
            target.space = machine.open_process(wanted["pid"])
        for start, end in joined(wanted["ranges"]):
            target.regions.append(start * PAGE // ctx.addr_unit, end * PAGE // ctx.addr_unit)
        ctx.targets.append(target)
    ctx.probes[:] = [
        DamonProbe(one["weight"], [DamonFilter(*parts) for parts in one["filters"]]) for one in plain["probes"]
    ]
    ctx.schemes[:] = [_scheme(one, ctx) for one in plain["schemes"]]
    return ctx


def _attrs(plain: Plain) -> DamonAttrs:
    sample = plain["sample"]
    attrs = DamonAttrs(
        sample_interval=sample,
        aggr_interval=max(sample, 1) * plain["samples"],
        ops_update_interval=max(sample, 1) * plain["updates"],
        min_nr_regions=plain["min"],
        max_nr_regions=plain["min"] + plain["more"],
    )
    if plain["goal"]:
        bp, aggrs, down, up = plain["goal"]
        attrs.intervals_goal = DamonIntervalsGoal(bp, aggrs, sample // down, sample * up)
    return attrs


def joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, disjoint, in bounds, of two pages or more."""
    result: list[tuple[int, int]] = []
    for start, length in sorted(ranges):
        start = max(start, result[-1][1] + 2 if result else 0) & ~1
        end = min(start + max(length & ~1, 2), PAGES)
        if end - start >= 2:
            result.append((start, end))
    return result or [(0, PAGES)]


def _scheme(plain: Plain, ctx: DamonCtx) -> Damos:
    low, high = plain["pattern"]["sz"]
    pattern = DamosAccessPattern.__new__(DamosAccessPattern)  # bounds the wrong way round are legal, and warn
    pattern.min_sz_region, pattern.max_sz_region = low * PAGE // ctx.addr_unit, high * PAGE // ctx.addr_unit
    pattern.min_nr_accesses, pattern.max_nr_accesses = plain["pattern"]["nr_accesses"]
    pattern.min_age_region, pattern.max_age_region = plain["pattern"]["age"]
    apply_us = plain["apply"] * ctx.attrs.sample_interval // 2
    scheme = Damos(pattern, plain["action"], apply_us, target_nid=plain["nid"])
    if plain["quota"]:
        scheme.quota = _quota(plain["quota"])
    if plain["wmarks"]:
        low, mid, high = sorted(plain["wmarks"]["marks"])
        metric = DamosWmarkMetric.FREE_MEM_RATE
        scheme.wmarks = DamosWatermarks(metric, plain["wmarks"]["interval"], high, mid, low)
    for one in plain["filters"]:
        start, end = (page * PAGE // ctx.addr_unit + one["off"] for page in sorted(one["range"]))
        scheme.add_filter(
            DamosFilter(
                one["type"], one["matching"], one["allow"], memcg_id=one["memcg"], target_idx=one["index"],
                addr_start=start, addr_end=end, sz_min=one["size"][0], sz_max=one["size"][1],
            )
        )  # fmt: skip
    scheme.max_nr_snapshots = plain["snapshots"]
    scheme.migrate_dests = [DamosMigrateDest(nid, weight) for nid, weight in plain["dests"]]
    return scheme


def _quota(plain: Plain) -> DamosQuota:
    size, accesses, age = plain["weights"]
    quota = DamosQuota(plain["ms"], plain["sz"], plain["reset"], size, accesses, age)
    quota.goal_tuner = plain["tuner"]
    quota.fail_charge_num, quota.fail_charge_denom = plain["fail"]
    quota.goals = quota_goals(plain["goals"])
    return quota


def quota_goals(plain: list[Plain]) -> list[DamosQuotaGoal]:
    return [
        DamosQuotaGoal(one["metric"], one["target"], one["current"], nid=one["nid"], memcg_id=one["memcg"])
        for one in plain
    ]


def errno_of(error: BaseException) -> int:
    """What of an error both engines must have in common."""
    return (error.errno or 0) if isinstance(error, DamonError) else -1
