# SPDX-License-Identifier: GPL-2.0-only
"""Contexts of the kernel's C as ``damon.model`` has them, and back: read field by field, built by the C API."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from typing import Final

from damon.errors import InvalidInput
from damon.kernel.library import Library
from damon.model.arrays import ROW, RegionArray
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
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
from damon.model.target import DamonTarget

U64_MAX: Final = (1 << 64) - 1
_ATTRS: Final = ("sample_interval", "aggr_interval", "ops_update_interval", "min_nr_regions", "max_nr_regions")
_GOAL: Final = ("access_bp", "aggrs", "min_sample_us", "max_sample_us")
_PATTERN: Final = tuple(
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
_QUOTA_USER: Final = (
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
_WMARKS: Final = ("interval", "high", "mid", "low")
_OPS: Final = {"vaddr": "DAMON_OPS_VADDR", "fvaddr": "DAMON_OPS_FVADDR", "paddr": "DAMON_OPS_PADDR"}


def _constant(prefix: str, value: str) -> str:
    return f"{prefix}{value.upper()}"


class Mirror:
    """Reads and builds the records of one library."""

    def __init__(self, lib: Library) -> None:
        self.lib = lib
        constant = lib.constants
        self.actions = {constant[n]: a for a in DamosAction if (n := _constant("DAMOS_", a.value)) in constant}
        self.metrics = {
            constant[n]: m for m in DamosQuotaGoalMetric if (n := _constant("DAMOS_QUOTA_", m.value)) in constant
        }
        self.filters = {
            constant[n]: f for f in DamosFilterType if (n := _constant("DAMOS_FILTER_TYPE_", f.value)) in constant
        }
        self.probe_filters = {
            constant[n]: f for f in DamonFilterType if (n := _constant("DAMON_FILTER_TYPE_", f.value)) in constant
        }
        self.ops = {constant[n]: name for name, n in _OPS.items() if n in constant}
        self.tuners = {
            constant[n]: t
            for t in DamosQuotaGoalTuner
            if (n := _constant("DAMOS_QUOTA_GOAL_TUNER_", t.value)) in constant
        }

    # -- reading

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
        for name in _ATTRS:
            setattr(attrs, name, lib.get(at, "damon_attrs", name))
        if lib.has_field("damon_attrs", "intervals_goal"):
            goal = lib.at(at, "damon_attrs", "intervals_goal")
            attrs.intervals_goal = DamonIntervalsGoal(*(lib.get(goal, "damon_intervals_goal", name) for name in _GOAL))
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

    def read_scheme(self, scheme: int) -> Damos:
        """All that a scheme is; statistics and the quota's state among it."""
        lib = self.lib
        at = lib.at(scheme, "damos", "pattern")
        pattern = DamosAccessPattern.__new__(DamosAccessPattern)  # min > max is legal there and warns here
        for name in _PATTERN:
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
        result.ops_filters_default_reject = bool(lib.get(scheme, "damos", "ops_filters_default_reject", 0))
        result.core_filters_default_reject = bool(lib.get(scheme, "damos", "core_filters_default_reject", 0))
        result.max_nr_snapshots = lib.get(scheme, "damos", "max_nr_snapshots", 0)
        if lib.has_field("damos", "migrate_dests"):
            result.migrate_dests.extend(self._read_dests(lib.at(scheme, "damos", "migrate_dests")))
        self.read_stat(scheme, result.stat)
        self.read_quota_state(scheme, result.quota)
        return result

    def _read_quota(self, at: int) -> DamosQuota:
        lib = self.lib
        quota = DamosQuota()
        for name in _QUOTA_USER:
            setattr(quota, name, lib.get(at, "damos_quota", name, 0))
        quota.goal_tuner = self.tuners.get(lib.get(at, "damos_quota", "goal_tuner", 0), DamosQuotaGoalTuner.CONSIST)
        for one in lib.each(lib.at(at, "damos_quota", "goals"), "damos_quota_goal"):
            metric = self.metrics[lib.get(one, "damos_quota_goal", "metric")]
            goal = DamosQuotaGoal(metric, lib.get(one, "damos_quota_goal", "target_value"))
            goal.current_value = lib.get(one, "damos_quota_goal", "current_value")
            if metric is DamosQuotaGoalMetric.SOME_MEM_PSI_US:
                last = lib.get(one, "damos_quota_goal", "last_psi_total", 0)
                goal.last_psi_total = None if last == U64_MAX else last
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
        for name in _WMARKS:
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
                memcg = lib.get(at, "damon_filter", "memcg_id") if kind is DamonFilterType.MEMCG else 0
                probe.filters.append(DamonFilter(kind, matching=matching, allow=allow, memcg_id=memcg))
            probes.append(probe)
        return probes

    # -- building

    def build(self, ctx: DamonCtx, space_id: Callable[[DamonTarget], int]) -> int:
        """A C context as ``ctx`` says, made by the functions that the kernel's own users call.

        Raises:
            InvalidInput: it has a part that this version does not have; nothing is left.
            DamonError: the C refuses a part of it.
        """
        result = self.lib.damon_new_ctx()
        try:
            self._fill(result, ctx, space_id)
        except BaseException:
            self.lib.damon_destroy_ctx(result)
            raise
        return int(result)

    def _fill(self, at: int, ctx: DamonCtx, space_id: Callable[[DamonTarget], int]) -> None:
        lib = self.lib
        if ctx.ops.id not in _OPS:
            raise InvalidInput(f"operations set {ctx.ops.id!r}: only {', '.join(_OPS)} can work for the kernel's own C")
        lib.check(lib.damon_select_ops(at, lib.constant(_OPS[ctx.ops.id])), f"operations set {ctx.ops.id}")
        for name, value in (("addr_unit", ctx.addr_unit), ("min_region_sz", ctx.min_region_sz)):
            if lib.has_field("damon_ctx", name):
                lib.set(at, "damon_ctx", name, value)
            elif value != (1 if name == "addr_unit" else 4096):
                raise lib.lacks(f"{name} {value}")
        lib.set(at, "damon_ctx", "pause", ctx.pause)
        attrs = ctypes.create_string_buffer(lib.size("damon_attrs"))
        self._write_attrs(ctypes.addressof(attrs), ctx.attrs)
        lib.check(lib.damon_set_attrs(at, attrs), "attributes")
        for target in ctx.targets:
            self._add_target(at, target, space_id(target))
        for probe in ctx.probes:
            self._add_probe(at, probe)
        for scheme in ctx.schemes:
            self._add_scheme(at, scheme)

    def _write_attrs(self, at: int, attrs: DamonAttrs) -> None:
        lib = self.lib
        for name in _ATTRS:
            lib.set(at, "damon_attrs", name, getattr(attrs, name))
        for name in _GOAL:
            value = getattr(attrs.intervals_goal, name)
            if lib.has_field("damon_attrs", "intervals_goal"):
                lib.set(lib.at(at, "damon_attrs", "intervals_goal"), "damon_intervals_goal", name, value)
            elif value:
                raise lib.lacks(f"intervals_goal: {name} {value}")

    def _add_target(self, at: int, target: DamonTarget, space: int) -> None:
        lib = self.lib
        one = lib.damon_new_target()
        lib.damon_add_target(at, one)
        lib.set(one, "damon_target", "obsolete", target.obsolete)
        if space:
            lib.set(one, "damon_target", "pid", lib.shim_new_pid(space))
        for region in target.regions:
            lib.check(lib.shim_add_region(one, region.start, region.end), "region")

    def _add_probe(self, at: int, probe: DamonProbe) -> None:
        lib = self.lib
        one = lib.damon_new_probe()
        lib.damon_add_probe(at, one)
        lib.set(one, "damon_probe", "weight", probe.weight)
        for wanted in probe.filters:
            kind = lib.constant(_constant("DAMON_FILTER_TYPE_", wanted.type.value))
            made = lib.damon_new_filter(kind, wanted.matching, wanted.allow)
            if wanted.type is DamonFilterType.MEMCG:
                lib.set(made, "damon_filter", "memcg_id", wanted.memcg_id)
            lib.damon_add_filter(one, made)

    def _add_scheme(self, at: int, scheme: Damos) -> None:
        lib = self.lib
        if not isinstance(scheme.action, DamosAction):
            raise InvalidInput(f"action {scheme.action.value!r}: is Python's own; the kernel's C cannot run it")
        pattern = ctypes.create_string_buffer(lib.size("damos_access_pattern"))
        for name in _PATTERN:
            lib.set(ctypes.addressof(pattern), "damos_access_pattern", name, getattr(scheme.pattern, name))
        quota, wmarks = (ctypes.create_string_buffer(lib.size(name)) for name in ("damos_quota", "damos_watermarks"))
        self._write_quota(ctypes.addressof(quota), scheme.quota)
        self._write_wmarks(ctypes.addressof(wmarks), scheme.wmarks)
        action = lib.constant(_constant("DAMOS_", scheme.action.value))
        one = lib.damon_new_scheme(pattern, action, scheme.apply_interval_us, quota, wmarks, scheme.target_nid)
        lib.damon_add_scheme(at, one)
        lib.set(one, "damos", "max_nr_snapshots", scheme.max_nr_snapshots)
        quota_at = lib.at(one, "damos", "quota")
        for goal in scheme.quota.goals:
            lib.damos_add_quota_goal(quota_at, self._new_goal(goal))
        for wanted in (*scheme.core_filters, *scheme.ops_filters):
            if not isinstance(wanted, DamosFilter):
                raise InvalidInput("a filter is Python's own; the kernel's C cannot run it")
            lib.damos_add_filter(one, self._new_filter(wanted))
        if scheme.migrate_dests:
            self._write_dests(lib.at(one, "damos", "migrate_dests"), scheme.migrate_dests)

    def _write_quota(self, at: int, quota: DamosQuota) -> None:
        for name in _QUOTA_USER:
            self.lib.set(at, "damos_quota", name, getattr(quota, name))
        if quota.goal_tuner is not DamosQuotaGoalTuner.CONSIST:
            name = _constant("DAMOS_QUOTA_GOAL_TUNER_", quota.goal_tuner.value)
            self.lib.set(at, "damos_quota", "goal_tuner", self.lib.constant(name))

    def _write_wmarks(self, at: int, wmarks: DamosWatermarks) -> None:
        metric = self.lib.constant(_constant("DAMOS_WMARK_", wmarks.metric.value))
        self.lib.set(at, "damos_watermarks", "metric", metric)
        for name in _WMARKS:
            self.lib.set(at, "damos_watermarks", name, getattr(wmarks, name))

    def _new_goal(self, goal: DamosQuotaGoal) -> int:
        lib = self.lib
        if not isinstance(goal.metric, DamosQuotaGoalMetric):
            raise InvalidInput(f"metric {goal.metric.value!r}: is Python's own; the kernel's C cannot measure it")
        one = lib.damos_new_quota_goal(lib.constant(_constant("DAMOS_QUOTA_", goal.metric.value)), goal.target_value)
        lib.set(one, "damos_quota_goal", "current_value", goal.current_value)
        if goal.metric in NODE_METRICS:
            lib.set(one, "damos_quota_goal", "nid", goal.nid)
        if goal.metric in NODE_MEMCG_METRICS:
            lib.set(one, "damos_quota_goal", "memcg_id", goal.memcg_id)
        return int(one)

    def _new_filter(self, wanted: DamosFilter) -> int:
        lib = self.lib
        kind = lib.constant(_constant("DAMOS_FILTER_TYPE_", wanted.type.value))
        if wanted.allow and not lib.has_field("damos_filter", "allow"):
            raise lib.lacks("a filter that allows")
        one = lib.shim_new_filter(kind, wanted.matching, wanted.allow)
        if wanted.type is DamosFilterType.MEMCG:
            lib.set(one, "damos_filter", "memcg_id", wanted.memcg_id)
        elif wanted.type is DamosFilterType.ADDR:
            at = lib.at(one, "damos_filter", "addr_range")
            lib.set(at, "damon_addr_range", "start", wanted.addr_start)
            lib.set(at, "damon_addr_range", "end", wanted.addr_end)
        elif wanted.type is DamosFilterType.TARGET:
            lib.set(one, "damos_filter", "target_idx", wanted.target_idx)
        elif wanted.type is DamosFilterType.HUGEPAGE_SIZE:
            at = lib.at(one, "damos_filter", "sz_range")
            lib.set(at, "damon_size_range", "min", wanted.sz_min)
            lib.set(at, "damon_size_range", "max", wanted.sz_max)
        return int(one)

    def _write_dests(self, at: int, dests: list[DamosMigrateDest]) -> None:
        lib = self.lib
        nids, weights = (lib.shim_alloc(4 * len(dests)) for _ in range(2))
        for index, dest in enumerate(dests):
            ctypes.c_uint32.from_address(nids + 4 * index).value = dest.node_id
            ctypes.c_uint32.from_address(weights + 4 * index).value = dest.weight
        lib.set(at, "damos_migrate_dests", "node_id_arr", nids)
        lib.set(at, "damos_migrate_dests", "weight_arr", weights)
        lib.set(at, "damos_migrate_dests", "nr_dests", len(dests))


assert ROW == 48
