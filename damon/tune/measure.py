# SPDX-License-Identifier: GPL-2.0-only
"""What a run of a study is measured by: counts of the simulated machine over time.

``counts()`` makes of them what figures are made of (``damon.results.figures``), beside those of a run of the same
workload and seed without any module.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

import msgspec

from damon.model.machine import PAGE_SIZE
from damon.results.figures import Counts

if TYPE_CHECKING:
    from damon.mm.sim import SimulatedMachine
    from damon.model.context import DamonCtx

#: The working set is what is touched within so many microseconds.
WSS_WINDOW_US: Final = 120_000_000


class Measured(msgspec.Struct, frozen=True):
    """Counts since the run's start.

    Attributes:
        seconds: of the machine's time.
        resident_byte_s: memory that was there: bytes x seconds.
        evicted_byte_s: memory that had left and was not back.
        wss_byte_s: working set.
        refaults: pages that came back.
        stall_us: time that the process waited that waited most.
        psi_us: time in which any process waited.
        samples: pages that were checked for accesses.
        kills: processes that were killed for want of memory.
    """

    seconds: float
    resident_byte_s: float
    evicted_byte_s: float
    wss_byte_s: float
    refaults: int
    stall_us: int
    psi_us: int
    samples: float
    kills: int


class Meter:
    """Measures a machine from its start on. ``look()`` at moments of a grid, and at least as often as ``read()``."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine
        self._last_ns = machine.clock.now_ns()
        self._wss = self._samples = 0.0
        self._sets: dict[int, float] = {}  # by the phase's identity
        self._traced = [area.name for area in machine.workload.areas if area.replay is not None]

    def look(self, ctxs: Sequence[DamonCtx] = ()) -> None:
        """Add the time since the last look, with what is there now; ``ctxs`` are those whose workers run."""
        now = self._machine.clock.now_ns()
        seconds, self._last_ns = (now - self._last_ns) / 1e9, now
        self._wss += self._working_set() * seconds
        for ctx in ctxs:
            regions = sum(len(target.regions) for target in ctx.targets)
            self._samples += regions * seconds * 1e6 / max(ctx.attrs.sample_interval, 1)

    def _working_set(self) -> float:
        """Bytes that are touched within the window, as the running phase goes on, or the trace at this time."""
        phase = self._machine.phase
        if id(phase) not in self._sets:
            self._sets[id(phase)] = sum(self._touched(access.area) for access in phase.accesses)
        return self._sets[id(phase)] + sum(map(self._touched, self._traced))

    def _touched(self, area: str) -> float:
        return self._machine.truth(area, WSS_WINDOW_US) * int(self._machine.row(area).nr_pages) * PAGE_SIZE

    def read(self) -> Measured:
        """All counts now."""
        areas, processes = self._machine.areas(), self._machine.processes()
        return Measured(
            seconds=self._last_ns / 1e9, resident_byte_s=sum(area.resident_byte_seconds for area in areas),
            evicted_byte_s=sum(area.evicted_byte_seconds for area in areas), wss_byte_s=self._wss,
            refaults=sum(area.refaults for area in areas),
            stall_us=max((process.stall_us for process in processes), default=0),
            psi_us=self._machine.psi_some_us(), samples=self._samples, kills=len(self._machine.kills()),
        )  # fmt: skip


def counts(run: Measured, base: Measured | None = None) -> Counts:
    """What figures of ``run`` are made of; ``base``: the run without a module, at the same moment."""
    return Counts(
        seconds=run.seconds, refaults=run.refaults, psi_some_us=run.psi_us,
        slowdown=1.0 + run.stall_us / 1e6 / run.seconds, resident_byte_s=run.resident_byte_s,
        evicted_byte_s=run.evicted_byte_s, samples=run.samples, wss_byte_s=run.wss_byte_s,
        base=None if base is None else counts(base),
    )  # fmt: skip
