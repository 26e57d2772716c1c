# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel's samples have in common (``samples/damon``; DAMON spec, modules 7): ``enabled`` and a process.

``enabled`` reads the value that was written last: unlike the other modules' it stays Y when the worker ends by itself,
because the process has ended, and a write of Y then changes nothing.
"""

from __future__ import annotations

import logging
from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar, Final

from damon.core import Damon
from damon.errors import DamonError, InvalidInput
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.target import DamonTarget
from damon.modules.params import Parameter, ParamSpec, Value
from damon.modules.switch import SwitchedModule

ENABLED: Final = ParamSpec("enabled", "bool", False, "run or stop; reads what was written last")
TARGET_PID: Final = ParamSpec("target_pid", "int", 0, "process to monitor; read when the module is turned on", "pid")


class SampleModule(SwitchedModule):
    """A sample: it starts exclusively, with new contexts each time that it is turned on."""

    built_in: ClassVar[bool] = False

    def __init__(self, damon: Damon) -> None:
        self._enabled = False
        super().__init__(damon)

    def _parameter(self, spec: ParamSpec) -> Parameter:
        if spec.name == "enabled":
            return Parameter(spec, setter=self._store_enabled, getter=lambda: self._enabled)
        return super()._parameter(spec)

    def _store_enabled(self, value: Value) -> None:
        if not self._initialized:
            self._wanted = bool(value)
        elif value != self._enabled:
            if value:
                self._turn_on()
            else:
                self._turn_off()

    def _turn_on(self) -> None:
        self._start()
        self._enabled = True

    def _turn_off(self) -> None:
        self._enabled = False
        self.damon.stop(self.ctxs)

    @abstractmethod
    def _start(self) -> None:
        """Build the contexts and start their workers; an error leaves none."""

    def progress(self) -> tuple[int, int] | None:
        stats = [scheme.stat for ctx in self.ctxs for scheme in ctx.schemes]
        return (sum(stat.sz_tried for stat in stats), sum(stat.sz_applied for stat in stats)) if stats else None


@dataclass
class WorkingSet:
    """The working set size of a process: bytes of its regions with an access, one number an aggregation."""

    last: int = 0
    least: int = 0
    most: int = 0
    total: int = 0
    nr: int = 0  #: aggregations seen

    def add(self, size: int) -> None:
        self.least = min(self.least, size) if self.nr else size
        self.last, self.most = size, max(self.most, size)
        self.total, self.nr = self.total + size, self.nr + 1

    @property
    def mean(self) -> int:
        return self.total // self.nr if self.nr else 0


class ProcessSample(SampleModule):
    """A sample that monitors the virtual address space of ``target_pid``, and reports the size of its working set.

    The kernel logs ``wss: BYTES`` after each sampling interval, where a window that has just begun has few accesses.
    Here it is logged (logger ``damon.NAME``) when a window is complete.
    """

    SPECS: Sequence[ParamSpec] = (TARGET_PID, ENABLED)

    def __init__(self, damon: Damon) -> None:
        super().__init__(damon)
        self.working_set = WorkingSet()
        self._log = logging.getLogger(f"damon.{self.name}")

    def _add_schemes(self, ctx: DamonCtx) -> None:
        """What it does to the process's memory, if anything."""

    def check(self) -> None:
        ctx = self._build(DamonCtx(machine=self.damon.machine))
        ctx.ops.cleanup_target(ctx.targets[0])

    def _build(self, ctx: DamonCtx) -> DamonCtx:
        self.damon.select_ops(ctx, "vaddr")
        pid = self._number("target_pid")
        try:
            space = self.damon.machine.open_process(pid)
        except DamonError as error:
            reason = (error.strerror or "").removeprefix("pid: ").removeprefix(f"{pid}: ")
            raise InvalidInput(f"target_pid: {pid}: {reason}") from error
        ctx.targets.append(DamonTarget(space))
        self._add_schemes(ctx)
        return ctx

    def _start(self) -> None:
        ctx = self._build(self.damon.new_ctx())
        try:
            self.damon.start([ctx], exclusive=True)
        except BaseException:
            if ctx.targets:  # no worker has begun, which would have released it
                ctx.ops.cleanup_target(ctx.targets[0])
            raise
        self.ctx, self.working_set = ctx, WorkingSet()
        self.damon.call(ctx, DamonCallControl(self._report, repeat=True, results_only=True))

    def _report(self, ctx: DamonCtx) -> None:
        """In the worker, at the end of an aggregation: there is nothing else that it waits for, and no scheme apart."""
        self.working_set.add(self._size())
        self._log.info("wss: %d", self.working_set.last)

    def _size(self) -> int:
        """Bytes of the regions with an access in the window that is open."""
        targets = self.ctx.targets if self.ctx is not None else ()
        return sum(region.size for target in targets for region in target.regions if region.nr_accesses)

    def state(self) -> str:
        if not self.running:
            return "off: the process has ended" if self._enabled else "off"
        if not self.working_set.nr:
            return f"active; working set {_mib(self._size())} in the window that is open"
        return f"active; working set {_mib(self.working_set.last)}"

    def stats(self) -> dict[str, Value]:
        """The working set size in bytes: the last one, and the least, mean and greatest since it was turned on."""
        seen = self.working_set
        return {"wss": seen.last, "wss_min": seen.least, "wss_mean": seen.mean, "wss_max": seen.most}

    def summary(self) -> Sequence[tuple[str, str]]:
        if not self.working_set.nr:
            return [("wss", "none: no aggregation is complete")]
        return [(name, _mib(size)) for name, size in self.stats().items() if name.startswith("wss")]


def _mib(size: Value) -> str:
    assert isinstance(size, int)
    return f"{size / 2**20:.1f} MiB"
