# SPDX-License-Identifier: GPL-2.0-only
"""Contexts of the kernel's C as ``damon.model`` has them, read field by field. ``builder.py`` is the way back."""

from __future__ import annotations

import ctypes
from typing import Final

from damon.kernel.library import Library
from damon.model.arrays import ROW, RegionArray
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.probe import DamonFilter, DamonFilterType, DamonProbe
from damon.model.scheme import (
    NODE_MEMCG_METRICS,
    NODE_METRICS,
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosMigrateDest,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
    DamosStat,
    DamosWatermarks,
    DamosWmarkMetric,
)

U64_MAX: Final = (1 << 64) - 1
ATTRS: Final = ("sample_interval", "aggr_interval", "ops_update_interval", "min_nr_regions", "max_nr_regions")
INTERVALS_GOAL: Final = ("access_bp", "aggrs", "min_sample_us", "max_sample_us")
PATTERN: Final = tuple(
    f"{edge}_{what}" for what in ("sz_region", "nr_accesses", "age_region") for edge in ("min", "max")
)
_STAT: Final = (
    "nr_tried",
    "sz_tried",
    "nr_applied",
    "sz_applied",
    "sz_ops_filter_passed",
    "qt_exceeds",
    "nr_snapshots",
)
QUOTA_USER: Final = (
    "reset_interval", "ms", "sz", "fail_charge_num", "fail_charge_denom", "weight_sz", "weight_nr_accesses",
    "weight_age",
)  # fmt: skip
_QUOTA_STATE: Final = (
    "esz",
    "total_charged_sz",
    "total_charged_ns",
    "charged_sz",
    "charged_from",
    "min_score",
    "esz_bp",
)
WMARKS: Final = ("interval", "high", "mid", "low")
#: Fields of ``struct damon_filter`` that one type has; those of the range are after 7.3.
FILTER_OWN: Final = {
    DamonFilterType.MEMCG: ("memcg_id",),
    DamonFilterType.HUGEPAGE_SIZE: ("range_min", "range_max"),
}
OPS: Final = {"vaddr": "DAMON_OPS_VADDR", "fvaddr": "DAMON_OPS_FVADDR", "paddr": "DAMON_OPS_PADDR"}


def constant_of(prefix: str, value: str) -> str:
    return f"{prefix}{value.upper()}"


class Mirror:
    """Reads the records of one library."""

    def __init__(self, lib: Library) -> None:
        self.lib = lib
        constant = lib.constants
        self.actions = {constant[n]: a for a in DamosAction if (n := constant_of("DAMOS_", a.value)) in constant}
        self.metrics = {
            constant[n]: m for m in DamosQuotaGoalMetric if (n := constant_of("DAMOS_QUOTA_", m.value)) in constant
        }
        self.filters = {
            constant[n]: f for f in DamosFilterType if (n := constant_of("DAMOS_FILTER_TYPE_", f.value)) in constant
        }
        self.probe_filters = {
            constant[n]: f for f in DamonFilterType if (n := constant_of("DAMON_FILTER_TYPE_", f.value)) in constant
        }
        self.ops = {constant[n]: name for name, n in OPS.items() if n in constant}
        self.tuners = {
            constant[n]: t
            for t in DamosQuotaGoalTuner
            if (n := constant_of("DAMOS_QUOTA_GOAL_TUNER_", t.value)) in constant
        }

    def targets(self, ctx: int) -> list[int]:
        return list(self.lib.each(self.lib.at(ctx, "damon_ctx", "adaptive_targets"), "damon_target"))

    def schemes(self, ctx: int) -> list[int]:
        return list(self.lib.each(self.lib.at(ctx, "damon_ctx", "schemes"), "damos"))

    def ops_id(self, ctx: int) -> int:
        return self.lib.get(self.lib.at(ctx, "damon_ctx", "ops"), "damon_operations", "id")

    def space_id(self, target: int) -> int:
        """The number that a target's ``struct pid`` stands for; 0 without one."""
        pid = self.lib.get(target, "damon_target", "pid")
        return ctypes.c_uint64.from_address(pid + 8).value if pid else 0

    def read_regions(self, target: int, regions: RegionArray) -> None:
        """The regions of a C target as rows."""
        nr = self.lib.get(target, "damon_target", "nr_regions")
        regions.nr = 0
        regions.reserve(nr)
        regions.nr = nr
        found = self.lib.shim_regions(target, regions.pointer, nr)
        assert found == nr, f"a target has {found} regions and counts {nr}"

    def read_attrs(self, ctx: int) -> DamonAttrs:
        lib, at = self.lib, self.lib.at(ctx, "damon_ctx", "attrs")
        attrs = DamonAttrs()
        for name in ATTRS:
            setattr(attrs, name, lib.get(at, "damon_attrs", name))
        if lib.has_field("damon_attrs", "intervals_goal"):
            goal = lib.at(at, "damon_attrs", "intervals_goal")
            attrs.intervals_goal = DamonIntervalsGoal(
                *(lib.get(goal, "damon_intervals_goal", name) for name in INTERVALS_GOAL)
            )
            attrs.aggr_samples = lib.get(at, "damon_attrs", "aggr_samples", 0)
        return attrs

    def read_stat(self, scheme: int, stat: DamosStat) -> None:
        at = self.lib.at(scheme, "damos", "stat")
        for name in _STAT:
            setattr(stat, name, self.lib.get(at, "damos_stat", name, 0))

    def read_quota_state(self, scheme: int, quota: DamosQuota) -> None:
        at = self.lib.at(scheme, "damos", "quota")
        for name in _QUOTA_STATE:
            setattr(quota, name, self.lib.get(at, "damos_quota", name, 0))

    def read_progress(self, scheme: int, into: Damos) -> None:
        """What a scheme changes by itself, without a commit."""
        lib = self.lib
        at = lib.at(scheme, "damos", "quota")
        self.read_stat(scheme, into.stat)
        self.read_quota_state(scheme, into.quota)
        for one, goal in zip(
            lib.each(lib.at(at, "damos_quota", "goals"), "damos_quota_goal"), into.quota.goals, strict=True
        ):
            self._read_goal_state(one, goal)
        marks = lib.at(scheme, "damos", "wmarks")
        into.wmarks.activated = bool(lib.get(marks, "damos_watermarks", "activated"))
        self._read_defaults(scheme, into)

    def _read_goal_state(self, at: int, goal: DamosQuotaGoal) -> None:
        goal.current_value = self.lib.get(at, "damos_quota_goal", "current_value")
        if goal.metric is DamosQuotaGoalMetric.SOME_MEM_PSI_US:
            last = self.lib.get(at, "damos_quota_goal", "last_psi_total", 0)
            goal.last_psi_total = None if last == U64_MAX else last

    def _read_defaults(self, scheme: int, into: Damos) -> None:
        """What filters decide of what none of them matches."""
        into.ops_filters_default_reject = bool(self.lib.get(scheme, "damos", "ops_filters_default_reject", 0))
        into.core_filters_default_reject = bool(self.lib.get(scheme, "damos", "core_filters_default_reject", 0))

    def read_scheme(self, scheme: int) -> Damos:
        """All that a scheme is; statistics and the quota's state among it."""
        lib = self.lib
        at = lib.at(scheme, "damos", "pattern")
        pattern = DamosAccessPattern.__new__(DamosAccessPattern)  # min > max is legal there and warns here
        for name in PATTERN:
            setattr(pattern, name, lib.get(at, "damos_access_pattern", name))
        result = Damos(
            pattern=pattern,
            action=self.actions[lib.get(scheme, "damos", "action")],
            apply_interval_us=lib.get(scheme, "damos", "apply_interval_us", 0),
            quota=self._read_quota(lib.at(scheme, "damos", "quota")),
            wmarks=self._read_wmarks(lib.at(scheme, "damos", "wmarks")),
            target_nid=lib.get(scheme, "damos", "target_nid", -1),
        )
        for head in ("core_filters", "ops_filters") if lib.has_field("damos", "ops_filters") else ("filters",):
            for one in lib.each(lib.at(scheme, "damos", head), "damos_filter"):
                result.add_filter(self._read_filter(one))
        self._read_defaults(scheme, result)
        result.max_nr_snapshots = lib.get(scheme, "damos", "max_nr_snapshots", 0)
        if lib.has_field("damos", "migrate_dests"):
            result.migrate_dests.extend(self._read_dests(lib.at(scheme, "damos", "migrate_dests")))
        self.read_stat(scheme, result.stat)
        self.read_quota_state(scheme, result.quota)
        return result

    def _read_quota(self, at: int) -> DamosQuota:
        lib = self.lib
        quota = DamosQuota()
        for name in QUOTA_USER:
            setattr(quota, name, lib.get(at, "damos_quota", name, 0))
        quota.goal_tuner = self.tuners.get(lib.get(at, "damos_quota", "goal_tuner", 0), DamosQuotaGoalTuner.CONSIST)
        for one in lib.each(lib.at(at, "damos_quota", "goals"), "damos_quota_goal"):
            metric = self.metrics[lib.get(one, "damos_quota_goal", "metric")]
            goal = DamosQuotaGoal(metric, lib.get(one, "damos_quota_goal", "target_value"))
            self._read_goal_state(one, goal)
            if metric in NODE_METRICS:
                goal.nid = lib.get(one, "damos_quota_goal", "nid")
            if metric in NODE_MEMCG_METRICS:
                goal.memcg_id = lib.get(one, "damos_quota_goal", "memcg_id")
            quota.goals.append(goal)
        return quota

    def _read_wmarks(self, at: int) -> DamosWatermarks:
        lib = self.lib
        none = lib.constant("DAMOS_WMARK_NONE")
        kind = (
            DamosWmarkMetric.NONE
            if lib.get(at, "damos_watermarks", "metric") == none
            else DamosWmarkMetric.FREE_MEM_RATE
        )
        marks = DamosWatermarks(kind)
        for name in WMARKS:
            setattr(marks, name, lib.get(at, "damos_watermarks", name))
        marks.activated = bool(lib.get(at, "damos_watermarks", "activated"))
        return marks

    def _read_filter(self, at: int) -> DamosFilter:
        lib = self.lib
        kind = self.filters[lib.get(at, "damos_filter", "type")]
        result = DamosFilter(kind, matching=bool(lib.get(at, "damos_filter", "matching")))
        result.allow = bool(lib.get(at, "damos_filter", "allow", 0))
        if kind is DamosFilterType.MEMCG:
            result.memcg_id = lib.get(at, "damos_filter", "memcg_id")
        elif kind is DamosFilterType.ADDR:
            range_at = lib.at(at, "damos_filter", "addr_range")
            result.addr_start = lib.get(range_at, "damon_addr_range", "start")
            result.addr_end = lib.get(range_at, "damon_addr_range", "end")
        elif kind is DamosFilterType.TARGET:
            result.target_idx = lib.get(at, "damos_filter", "target_idx")
        elif kind is DamosFilterType.HUGEPAGE_SIZE:
            range_at = lib.at(at, "damos_filter", "sz_range")
            result.sz_min = lib.get(range_at, "damon_size_range", "min")
            result.sz_max = lib.get(range_at, "damon_size_range", "max")
        return result

    def _read_dests(self, at: int) -> list[DamosMigrateDest]:
        lib = self.lib
        nr = lib.get(at, "damos_migrate_dests", "nr_dests")
        nids = lib.get(at, "damos_migrate_dests", "node_id_arr")
        weights = lib.get(at, "damos_migrate_dests", "weight_arr")
        if not nr:
            return []
        pairs = zip(
            (ctypes.c_uint32 * nr).from_address(nids), (ctypes.c_uint32 * nr).from_address(weights), strict=True
        )
        return [DamosMigrateDest(nid, weight) for nid, weight in pairs]

    def read_probes(self, ctx: int) -> list[DamonProbe]:
        lib = self.lib
        if not lib.has_field("damon_ctx", "probes"):
            return []
        probes = []
        for one in lib.each(lib.at(ctx, "damon_ctx", "probes"), "damon_probe"):
            probe = DamonProbe(weight=lib.get(one, "damon_probe", "weight", 0))
            for at in lib.each(lib.at(one, "damon_probe", "filters"), "damon_filter"):
                kind = self.probe_filters[lib.get(at, "damon_filter", "type")]
                matching, allow = (bool(lib.get(at, "damon_filter", name)) for name in ("matching", "allow"))
                own = {name: lib.get(at, "damon_filter", name) for name in FILTER_OWN.get(kind, ())}
                probe.filters.append(DamonFilter(kind, matching, allow, **own))
            probes.append(probe)
        return probes


assert ROW == 48
