# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_STAT: how much memory is accessed, and for how long the rest was not (DAMON spec, modules 5).

The kernel's ``mm/damon/stat.c``. It watches all System RAM and changes nothing; ``idle.py`` computes the numbers.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar, Final

from damon.core import set_attrs, set_regions, system_ram_region
from damon.errors import DamonError
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.clock import Clock
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.target import DamonTarget
from damon.modules.params import ParamSpec
from damon.modules.stat.idle import NR_PERCENTILES, idle_ms_percentiles, memory_bandwidth
from damon.modules.switch import KDAMOND_PID, SwitchedModule

#: What the kernel's build option CONFIG_DAMON_STAT_ENABLED_DEFAULT is, and it is set by default.
ENABLED_DEFAULT: Final = True
ATTRS: Final = DamonAttrs(intervals_goal=DamonIntervalsGoal(400, 3, 5000, 10_000_000))
REFRESH_MS: Final = 5000
#: Percentiles that a person is shown.
_SHOWN: Final = {0: "least idle", 25: "", 50: "half of it", 75: "", 90: "", 99: "", 100: "most idle"}
_UNITS: Final = ((3_600_000, "h"), (60_000, "min"), (1000, "s"))


class Stat(SwitchedModule):
    """Watches; the numbers are fresh at most every 5 seconds, and stay when it is turned off."""

    name: ClassVar[str] = "damon_stat"
    description: ClassVar[str] = "estimate memory bandwidth and how long memory was idle"

    SPECS: Sequence[ParamSpec] = (
        ParamSpec("enabled", "bool", ENABLED_DEFAULT, "run or stop; reads Y while the worker runs"),
        ParamSpec(
            "estimated_memory_bandwidth", "ulong", 0, "memory accessed in a second, at the last refresh",
            "bytes/s", perm=0o400,
        ),
        ParamSpec(
            "memory_idle_ms_percentiles", "array of long", (0,) * NR_PERCENTILES,
            "idle time of 0 %, 1 % ... 100 % of memory, least idle first; negative: in use for so long",
            "ms", perm=0o400, length=NR_PERCENTILES,
        ),
        ParamSpec("aggr_interval_us", "ulong", 0, "aggregation interval at the last refresh", "us", perm=0o400),
        KDAMOND_PID,
    )  # fmt: skip

    _next_refresh = 0  # jiffies
    _control: DamonCallControl

    def check(self) -> None:
        self.context()

    def context(self) -> DamonCtx:
        """What it watches, not started."""
        return self._build(DamonCtx(machine=self.damon.machine))

    def _build(self, ctx: DamonCtx) -> DamonCtx:
        """All System RAM with auto-tuned intervals. Whatever fails is ENOMEM, as in the kernel."""
        try:
            self.damon.select_ops(ctx, "paddr")
            set_attrs(ctx, ATTRS.copy())
            ctx.targets.append(DamonTarget())
            set_regions(ctx.targets[0], [system_ram_region(self.damon.machine, 0, 0)], ctx.min_region_sz)
        except DamonError as error:
            raise DamonError(errno.ENOMEM, f"enabled: Y: System RAM cannot be monitored: {error.strerror}") from error
        return ctx

    def _turn_on(self) -> None:
        if self.running:
            raise DamonError(errno.EAGAIN, "enabled: Y: the module is starting already; read enabled again")
        self.ctx = None
        ctx = self._build(self.damon.new_ctx())
        self.damon.start([ctx], exclusive=True)
        self.ctx = ctx
        self._control = DamonCallControl(self._refresh, repeat=True)
        self._refreshed(self.damon.machine.clock)
        self.damon.call(ctx, self._control)

    def _turn_off(self) -> None:
        assert self.ctx is not None
        self.damon.stop([self.ctx])
        self.ctx = None

    def _refreshed(self, clock: Clock) -> None:
        self._next_refresh = clock.jiffies() + clock.ticks.ms_to_jiffies(REFRESH_MS) + 1
        self._control.due_ns = clock.ticks.begin_ns(self._next_refresh)

    def _refresh(self, ctx: DamonCtx) -> None:
        """In the worker, in its first iteration more than ``REFRESH_MS`` after the last time."""
        clock = ctx.machine.clock
        if clock.jiffies() < self._next_refresh:
            return
        self._refreshed(clock)
        aggr_interval = ctx.attrs.aggr_interval
        self.parameters["aggr_interval_us"].value = aggr_interval
        bandwidth = memory_bandwidth((target.regions for target in ctx.targets), aggr_interval)
        self.parameters["estimated_memory_bandwidth"].value = bandwidth
        percentiles = idle_ms_percentiles(ctx.targets[0].regions, aggr_interval)
        self.parameters["memory_idle_ms_percentiles"].value = percentiles

    # For people.

    def _percentiles(self) -> Sequence[int]:
        value = self.parameters["memory_idle_ms_percentiles"].value
        assert isinstance(value, tuple)
        return value

    def _bandwidth(self) -> str:
        return f"{self._number('estimated_memory_bandwidth') / 2**20:.1f} MiB/s"

    def progress(self) -> tuple[int, int] | None:
        return None

    def state(self) -> str:
        if not self.running:
            return "off"
        if not self._number("aggr_interval_us"):
            return "active; its first numbers come after 5 s"
        return f"active; {self._bandwidth()}; half of the memory {_said(self._percentiles()[50])}"

    def summary(self) -> Sequence[tuple[str, str]]:
        if not self._number("aggr_interval_us"):
            return [("memory_idle_ms_percentiles", "none yet: they come after 5 s")]
        percentiles = self._percentiles()
        rows = [("estimated_memory_bandwidth", self._bandwidth())]
        for percent, meaning in _SHOWN.items():
            label = f"memory_idle_ms_percentiles[{percent}]" + (f" ({meaning})" if meaning else "")
            rows.append((label, _said(percentiles[percent])))
        return [*rows, ("aggr_interval_us", str(self._number("aggr_interval_us")))]


def _said(ms: int) -> str:
    """``idle for 12.3 s``, or ``in use for`` when negative."""
    length, unit = next((known for known in _UNITS if abs(ms) >= known[0]), _UNITS[-1])
    return f"{'in use' if ms < 0 else 'idle'} for {abs(ms) / length:.1f} {unit}"


MODULE: Final[type[Stat]] = Stat
