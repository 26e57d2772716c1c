# SPDX-License-Identifier: GPL-2.0-only
"""What DAMON_RECLAIM and DAMON_LRU_SORT share (DAMON spec, modules 1-4): parameters, states, region."""

from __future__ import annotations

import errno
from abc import abstractmethod
from collections.abc import Sequence
from typing import Final

from damon.core import Damon, commit_ctx, set_attrs, set_regions, system_ram_region
from damon.core.commit import rehearse
from damon.core.watermarks import damos_get_wmark_metric_value
from damon.errors import DamonError, InvalidInput
from damon.model.attrs import U32_MAX, ULONG_MAX, DamonAttrs, DamonIntervalsGoal
from damon.model.context import DAMON_MIN_REGION_SZ, DamonCallControl, DamonCtx
from damon.model.scheme import Damos, DamosAccessPattern, DamosStat, DamosWatermarks, DamosWmarkMetric
from damon.model.target import DamonTarget
from damon.modules.params import Parameter, ParamSpec, Value
from damon.modules.switch import KDAMOND_PID, SwitchedModule

#: Sample and aggregation interval, goal and bounds that ``autotune_monitoring_intervals`` starts from.
AUTOTUNE: Final = DamonAttrs(
    sample_interval=5000, aggr_interval=100000, intervals_goal=DamonIntervalsGoal(40, 3, 5000, 10_000_000)
)
_WMARKS: Final = ("wmarks_low", "wmarks_mid", "wmarks_high")


def ulong(name: str, default: int, unit: str, description: str) -> ParamSpec:
    return ParamSpec(name, "ulong", default, description, unit)


def counter(name: str, unit: str, description: str) -> ParamSpec:
    return ParamSpec(name, "ulong", 0, description, unit, perm=0o400)


def common_specs(wmarks: tuple[int, int, int]) -> list[ParamSpec]:
    """The shared parameters; ``wmarks`` are the defaults of high, mid and low (DAMON spec, modules 1)."""
    high, mid, low = wmarks
    return [
        ParamSpec("enabled", "bool", False, "run or stop; reads Y while the worker runs"),
        ParamSpec("commit_inputs", "bool", False, "Y: take over the parameters while running; always reads N"),
        ulong("quota_ms", 10, "ms", "time to spend on the action in each quota window; 0: no limit"),
        ulong("quota_reset_interval_ms", 1000, "ms", "length of a quota window"),
        ulong("wmarks_interval", 5000000, "us", "time between two checks of the watermarks while inactive"),
        ulong("wmarks_high", high, "per mille", "inactive above this rate of free memory"),
        ulong("wmarks_mid", mid, "per mille", "active again below this rate of free memory"),
        ulong("wmarks_low", low, "per mille", "inactive below this rate of free memory"),
        ulong("sample_interval", 5000, "us", "sampling interval"),
        ulong("aggr_interval", 100000, "us", "aggregation interval"),
        ulong("min_nr_regions", 10, "count", "least number of regions, at least 3"),
        ulong("max_nr_regions", 1000, "count", "largest number of regions"),
        ulong("monitor_region_start", 0, "addr_unit", "physical address to monitor from; both 0: all System RAM"),
        ulong("monitor_region_end", 0, "addr_unit", "physical address to monitor up to (exclusive)"),
        ulong("addr_unit", 1, "bytes", "what one address of the monitored region counts; a power of two"),
        ParamSpec(
            "autotune_monitoring_intervals", "bool", False,
            "find sampling and aggregation interval by itself; sample_interval and aggr_interval are ignored",
        ),
        KDAMOND_PID,
    ]  # fmt: skip


class DamonModule(SwitchedModule):
    """A module with one physical address space context that it keeps, and commits its parameters into."""

    def __init__(self, damon: Damon) -> None:
        super().__init__(damon)
        self._ever_started = False
        self._copied = 0  #: sampling intervals that had passed when the statistics were copied

    def _parameter(self, spec: ParamSpec) -> Parameter:
        if spec.name == "commit_inputs":
            return Parameter(spec, setter=self._store_commit_inputs, getter=lambda: False)
        if spec.name == "addr_unit":
            return Parameter(spec, setter=self._check_addr_unit)
        if not spec.writable and spec.name != KDAMOND_PID.name:
            return Parameter(spec, fresh=self._catch_up)
        return super()._parameter(spec)

    # What a module of this kind declares.

    @abstractmethod
    def check_intervals(self) -> None:
        """Refuse an interval of 0 that the module divides by (EINVAL)."""

    @abstractmethod
    def schemes(self, attrs: DamonAttrs) -> list[Damos]:
        """The schemes that the parameters ask for; ``attrs`` are those in force."""

    @abstractmethod
    def copy_stats(self, schemes: Sequence[Damos]) -> None:
        """Bring the read-only counters up to date."""

    # State machine (modules 4).

    def _set_up(self) -> None:
        ctx = self.damon.new_ctx()
        self.damon.select_ops(ctx, "paddr")
        self.ctx = ctx

    def progress(self) -> tuple[int, int]:
        stats = [scheme.stat for scheme in self.ctx.schemes] if self.ctx is not None else []
        return sum(stat.sz_tried for stat in stats), sum(stat.sz_applied for stat in stats)

    def _turn_on(self) -> None:
        if self.ctx is None:
            raise DamonError(errno.ENOMEM, "enabled: Y: the module has no context, its init failed; load it again")
        commit_ctx(self.ctx, self._parameter_context(write_back=True))
        self.damon.start([self.ctx], exclusive=True)
        self._ever_started = True
        self.damon.call(self.ctx, DamonCallControl(self._refresh_stats, repeat=True, actions_only=True))

    def _turn_off(self) -> None:
        assert self.ctx is not None
        self.damon.stop([self.ctx])
        self._refresh_stats(self.ctx)

    def _refresh_stats(self, ctx: DamonCtx) -> None:
        self._copied = ctx.passed_sample_intervals
        self.copy_stats(ctx.schemes)

    def _catch_up(self) -> None:
        """Before statistics are read: they are those of the last sampling interval.

        The worker copies them before schemes act only. What an application changes is to be seen from the next
        sampling interval on.
        """
        if self.ctx is not None and self.ctx.passed_sample_intervals not in (0, self._copied):
            self._refresh_stats(self.ctx)

    def _store_commit_inputs(self, value: Value) -> None:
        if not value:
            return
        if self.ctx is None or not self._ever_started:
            raise InvalidInput("commit_inputs: Y: the module was never started; write Y to enabled")
        ctx = self.ctx

        def commit(ctx: DamonCtx) -> None:
            commit_ctx(ctx, self._parameter_context(write_back=True))

        self.damon.call(ctx, DamonCallControl(commit))

    def _check_addr_unit(self, value: Value) -> None:
        if not value:
            raise InvalidInput("addr_unit: 0: is not a unit; give 1 or more")

    # Parameters to context (modules 2, 3).

    def check(self) -> None:
        rehearse(self._blank_ctx(), self.context())

    def context(self) -> DamonCtx:
        """What the parameters ask for, not started."""
        return self._parameter_context(write_back=False)

    def _blank_ctx(self) -> DamonCtx:
        ctx = DamonCtx(machine=self.damon.machine)
        self.damon.select_ops(ctx, "paddr")
        return ctx

    def _parameter_context(self, write_back: bool) -> DamonCtx:
        """A context from the parameters. ``write_back``: the region found goes into its parameters."""
        ctx = self._blank_ctx()
        ctx.addr_unit = self._number("addr_unit")
        ctx.min_region_sz = max(DAMON_MIN_REGION_SZ // ctx.addr_unit, 1)
        self.check_intervals()
        set_attrs(ctx, self._attrs())
        ctx.schemes.extend(self.schemes(ctx.attrs))
        start, end = (self._number(f"monitor_region_{edge}") for edge in ("start", "end"))
        start, end = system_ram_region(self.damon.machine, start, end, ctx.addr_unit)
        ctx.targets.append(DamonTarget())
        if ctx.min_region_sz & (ctx.min_region_sz - 1):
            return ctx  # the commit refuses it, with the reason
        try:
            set_regions(ctx.targets[0], [(start, end)], ctx.min_region_sz)
        except InvalidInput as error:
            raise InvalidInput(f"monitor_region_start, monitor_region_end: {error.strerror}") from None
        if write_back:
            self.parameters["monitor_region_start"].value = start
            self.parameters["monitor_region_end"].value = end
        return ctx

    def _attrs(self) -> DamonAttrs:
        attrs = DamonAttrs(
            sample_interval=self._number("sample_interval"),
            aggr_interval=self._number("aggr_interval"),
            ops_update_interval=0,
            min_nr_regions=self._number("min_nr_regions"),
            max_nr_regions=self._number("max_nr_regions"),
        )
        if self.parameters["autotune_monitoring_intervals"].value:
            tuned = AUTOTUNE.copy()
            attrs.sample_interval, attrs.aggr_interval = tuned.sample_interval, tuned.aggr_interval
            attrs.intervals_goal = tuned.intervals_goal
        return attrs

    def watermarks(self) -> DamosWatermarks:
        """From the parameters, on the rate of free memory."""
        return DamosWatermarks(
            DamosWmarkMetric.FREE_MEM_RATE,
            interval=self._number("wmarks_interval"),
            high=self._number("wmarks_high"),
            mid=self._number("wmarks_mid"),
            low=self._number("wmarks_low"),
        )

    def state(self) -> str:
        if not self.running or self.ctx is None:
            return "off"
        if any(scheme.wmarks.activated for scheme in self.ctx.schemes):
            return "active"
        rate, low, mid, high = damos_get_wmark_metric_value(self.damon.machine), *map(self._number, _WMARKS)
        if rate > high:
            return f"waits: free memory is {rate} per mille, above wmarks_high={high}"
        if rate < low:
            return f"waits: free memory is {rate} per mille, below wmarks_low={low}"
        if rate >= mid:
            return f"waits: free memory is {rate} per mille, not below wmarks_mid={mid}"
        return f"waits: free memory is {rate} per mille, below wmarks_mid={mid}: it should be active"

    def store_stats(self, names: Sequence[str], stat: DamosStat) -> None:
        """tried regions, tried bytes, applied regions, applied bytes, exceeded quotas -> the parameters ``names``."""
        values = (stat.nr_tried, stat.sz_tried, stat.nr_applied, stat.sz_applied, stat.qt_exceeds)
        for name, value in zip(names, values, strict=True):
            self.parameters[name].value = value


def cold_pattern(min_age: int, aggr_interval: int) -> DamosAccessPattern:
    """Not accessed for ``min_age`` us."""
    return DamosAccessPattern(
        min_sz_region=DAMON_MIN_REGION_SZ,
        max_sz_region=ULONG_MAX,
        min_nr_accesses=0,
        max_nr_accesses=0,
        min_age_region=min(min_age // aggr_interval, U32_MAX),
        max_age_region=U32_MAX,
    )


def refuse_zero(name: str, value: int) -> None:
    """EINVAL when ``value`` of the interval ``name`` is 0."""
    if not value:
        raise DamonError(errno.EINVAL, f"{name}: 0: is not an interval; give microseconds above 0")
