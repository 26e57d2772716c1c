# SPDX-License-Identifier: GPL-2.0-only
"""C contexts from ``damon.model``, made by the functions that the kernel's own users of DAMON call."""

from __future__ import annotations

import ctypes
from collections.abc import Callable

from damon.errors import InvalidInput
from damon.kernel.library import Library
from damon.kernel.mirror import ATTRS, FILTER_OWN, INTERVALS_GOAL, OPS, PATTERN, QUOTA_USER, WMARKS, constant_of
from damon.kernel.spaces import Spaces
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.model.probe import DamonProbe
from damon.model.scheme import (
    NODE_MEMCG_METRICS,
    NODE_METRICS,
    Damos,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosMigrateDest,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
    DamosWatermarks,
)
from damon.model.target import DamonTarget


class Builder:
    """Builds for one library.

    Args:
        lib: the library.
        spaces: where the processes of targets get their numbers.
        destroy: frees a C context.
    """

    def __init__(self, lib: Library, spaces: Spaces, destroy: Callable[[int], None]) -> None:
        self.lib, self._spaces, self._destroy = lib, spaces, destroy

    def build(self, ctx: DamonCtx) -> int:
        """A C context like ``ctx``, made by the functions that the kernel's own users call.

        Raises:
            InvalidInput: it has a part that this version does not have; nothing is left.
            DamonError: the C refuses a part of it.
        """
        result = self.lib.damon_new_ctx()
        try:
            self._fill(result, ctx)
        except BaseException:
            self._destroy(result)
            raise
        return int(result)

    def _fill(self, at: int, ctx: DamonCtx) -> None:
        lib = self.lib
        if ctx.ops.id not in OPS:
            raise InvalidInput(
                f"operations set: {ctx.ops.id!r}: the kernel's C cannot run it; give one of {', '.join(OPS)}"
            )
        lib.check(lib.damon_select_ops(at, lib.constant(OPS[ctx.ops.id])), f"operations set {ctx.ops.id}")
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
            self._add_target(at, target)
        for probe in ctx.probes:
            self._add_probe(at, probe)
        for scheme in ctx.schemes:
            lib.damon_add_scheme(at, self.build_scheme(scheme))

    def _write_attrs(self, at: int, attrs: DamonAttrs) -> None:
        lib = self.lib
        for name in ATTRS:
            lib.set(at, "damon_attrs", name, getattr(attrs, name))
        for name in INTERVALS_GOAL:
            value = getattr(attrs.intervals_goal, name)
            if lib.has_field("damon_attrs", "intervals_goal"):
                lib.set(lib.at(at, "damon_attrs", "intervals_goal"), "damon_intervals_goal", name, value)
            elif value:
                raise lib.lacks(f"intervals_goal: {name} {value}")

    def _add_target(self, at: int, target: DamonTarget) -> None:
        lib = self.lib
        one = lib.damon_new_target()
        lib.damon_add_target(at, one)
        lib.set(one, "damon_target", "obsolete", target.obsolete)
        if number := self._spaces.number(target.space):
            lib.set(one, "damon_target", "pid", lib.shim_new_pid(number))
        for region in target.regions:
            lib.check(lib.shim_add_region(one, region.start, region.end), "region")

    def _add_probe(self, at: int, probe: DamonProbe) -> None:
        lib = self.lib
        one = lib.damon_new_probe()
        lib.damon_add_probe(at, one)
        lib.set(one, "damon_probe", "weight", probe.weight)
        if probe.preps:
            raise lib.lacks(f"preps: {probe.preps[0].action.value}")
        for wanted in probe.filters:
            kind = lib.constant(constant_of("DAMON_FILTER_TYPE_", wanted.type.value))
            made = lib.damon_new_filter(kind, wanted.matching, wanted.allow)
            for name in FILTER_OWN.get(wanted.type, ()):
                lib.set(made, "damon_filter", name, getattr(wanted, name))
            lib.damon_add_filter(one, made)

    def build_scheme(self, scheme: Damos) -> int:
        """A C scheme that belongs to no context yet.

        Raises:
            InvalidInput: it has a part that this version does not have; nothing is left.
        """
        one = self._new_scheme(scheme)
        try:
            self._fill_scheme(one, scheme)
        except BaseException:
            self.lib.damon_destroy_scheme(one)
            raise
        return one

    def _new_scheme(self, scheme: Damos) -> int:
        lib = self.lib
        if not isinstance(scheme.action, DamosAction):
            raise InvalidInput(
                f"action: {scheme.action.value!r}: the kernel's C cannot run it; give one of the kernel's"
            )
        pattern = ctypes.create_string_buffer(lib.size("damos_access_pattern"))
        for name in PATTERN:
            lib.set(ctypes.addressof(pattern), "damos_access_pattern", name, getattr(scheme.pattern, name))
        quota, wmarks = (ctypes.create_string_buffer(lib.size(name)) for name in ("damos_quota", "damos_watermarks"))
        self._write_quota(ctypes.addressof(quota), scheme.quota)
        self._write_wmarks(ctypes.addressof(wmarks), scheme.wmarks)
        action = lib.constant(constant_of("DAMOS_", scheme.action.value))
        one = lib.damon_new_scheme(pattern, action, scheme.apply_interval_us, quota, wmarks, scheme.target_nid)
        return int(one)

    def _fill_scheme(self, one: int, scheme: Damos) -> None:
        lib = self.lib
        lib.set(one, "damos", "max_nr_snapshots", scheme.max_nr_snapshots)
        quota_at = lib.at(one, "damos", "quota")
        for goal in scheme.quota.goals:
            lib.damos_add_quota_goal(quota_at, self._new_goal(goal))
        for wanted in (*scheme.core_filters, *scheme.ops_filters):
            if not isinstance(wanted, DamosFilter):
                raise InvalidInput(f"filter: {type(wanted).__name__}: the kernel's C cannot run it; give a DamosFilter")
            lib.damos_add_filter(one, self._new_filter(wanted))
        if scheme.migrate_dests:
            self._write_dests(lib.at(one, "damos", "migrate_dests"), scheme.migrate_dests)

    def _write_quota(self, at: int, quota: DamosQuota) -> None:
        for name in QUOTA_USER:
            self.lib.set(at, "damos_quota", name, getattr(quota, name))
        if quota.goal_tuner is not DamosQuotaGoalTuner.CONSIST:
            name = constant_of("DAMOS_QUOTA_GOAL_TUNER_", quota.goal_tuner.value)
            self.lib.set(at, "damos_quota", "goal_tuner", self.lib.constant(name))

    def _write_wmarks(self, at: int, wmarks: DamosWatermarks) -> None:
        metric = self.lib.constant(constant_of("DAMOS_WMARK_", wmarks.metric.value))
        self.lib.set(at, "damos_watermarks", "metric", metric)
        for name in WMARKS:
            self.lib.set(at, "damos_watermarks", name, getattr(wmarks, name))

    def _new_goal(self, goal: DamosQuotaGoal) -> int:
        lib = self.lib
        if not isinstance(goal.metric, DamosQuotaGoalMetric):
            raise InvalidInput(
                f"metric: {goal.metric.value!r}: the kernel's C cannot measure it; give one of the kernel's"
            )
        one = lib.damos_new_quota_goal(lib.constant(constant_of("DAMOS_QUOTA_", goal.metric.value)), goal.target_value)
        lib.set(one, "damos_quota_goal", "current_value", goal.current_value)
        if goal.metric in NODE_METRICS:
            lib.set(one, "damos_quota_goal", "nid", goal.nid)
        if goal.metric in NODE_MEMCG_METRICS:
            lib.set(one, "damos_quota_goal", "memcg_id", goal.memcg_id)
        return int(one)

    def _new_filter(self, wanted: DamosFilter) -> int:
        lib = self.lib
        kind = lib.constant(constant_of("DAMOS_FILTER_TYPE_", wanted.type.value))
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
        elif wanted.type is DamosFilterType.PROBE_HITS_WSUM:
            for name in ("range_min", "range_max"):
                lib.set(one, "damos_filter", name, getattr(wanted, name))
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
