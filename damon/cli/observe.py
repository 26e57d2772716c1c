# SPDX-License-Identifier: GPL-2.0-only
"""Figures of the memory while modules work, from a simulated machine and from this one.

Both have the same of a workload: how much of each area is in memory, which of them it uses in the phase that it is in,
how many pages came back, and how much longer it takes than with all of its memory there.

Looking changes nothing: a run gives the same result however often it is read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

from damon.model.machine import PAGE_SIZE, Machine
from damon.workload.residence import major_faults, process_resident_bytes, resident_bytes

if TYPE_CHECKING:
    from damon.mm.sim import Kill, SimulatedMachine
    from damon.workload.model import Workload
    from damon.workload.performed import Performed, Report


@dataclass(frozen=True)
class Seen:
    """The whole memory at one moment, in bytes; refaults: reclaimed pages that came back since the start."""

    free: int
    total: int
    resident: int
    refaults: int


#: By name: sizes in bytes, ``refaults`` (None where they are not known by area), ``hot``: accessed in this phase, and
#: ``part_of``: the area of the workload file that this is a part of, where it is one; bytes x seconds that were in
#: memory, and that had left it (None where they are not known).
Areas = dict[str, dict[str, int | float | bool | str | None]]


def _parts(workload: Workload) -> dict[str, dict[str, str]]:
    """Of each area that is a part of one of the file: whose."""
    return {area.name: {"part_of": area.part_of} for area in workload.areas if area.part_of}


class Observer(Protocol):
    """Made when a run begins, which its counts are since."""

    @property
    def machine(self) -> Machine: ...

    def look(self) -> Seen: ...

    def areas(self) -> Areas:
        """The workload's areas as a result shows them; empty where there is no workload."""

    def kills(self) -> list[Kill]:
        """The simulated processes that were killed for want of memory; empty on a real machine."""

    def slowdown(self) -> float | None:
        """How much longer the workload takes than with all of its memory present; None where it is not known."""

    def best(self) -> dict[str, Any] | None:
        """The run, held against the best possible one; None where that is not known."""


def _free(machine: Machine) -> tuple[int, int]:
    free, total = machine.free_mem()
    return free * PAGE_SIZE, total * PAGE_SIZE


class SimObserver:
    """The simulated machine has its areas and the cost of waiting for memory."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self.machine = machine
        self._start = {area.name: area for area in machine.areas()}
        self._parts = _parts(machine.workload)

    def look(self) -> Seen:
        areas: list[Any] = list(self.machine.areas())
        resident = sum(process.rss_bytes for process in self.machine.processes())
        return Seen(*_free(self.machine), resident, sum(area.refaults for area in areas))

    def areas(self) -> Areas:
        hot = {access.area for access in self.machine.phase.accesses}
        return {
            area.name: {
                "size_bytes": area.size_bytes,
                "resident_bytes_start": self._start[area.name].resident_bytes,
                "resident_bytes_end": area.resident_bytes,
                "refaults": area.refaults,
                "hot": area.name in hot,
                **self._parts.get(area.name, {}),
                "resident_byte_seconds": round(area.resident_byte_seconds, 3),
                "evicted_byte_seconds": round(area.evicted_byte_seconds, 3),
            }
            for area in self.machine.areas()
        }

    def kills(self) -> list[Kill]:
        return self.machine.kills()

    def slowdown(self) -> float | None:
        return round(self.machine.slowdown(), 9)

    def best(self) -> dict[str, Any] | None:
        from damon.results.best import held_against_best

        if self.kills():  # the workload was another one from then on
            return None
        areas = self.machine.areas()
        saved = sum(area.evicted_byte_seconds for area in areas)
        seconds = self.machine.clock.now_ns() / 1e9
        return held_against_best(self.machine.workload, seconds, saved, sum(area.refaults for area in areas))


class LinuxObserver:
    """The running kernel's own counters, over all processes (``/proc/vmstat``)."""

    def __init__(self, machine: Machine, vmstat: Path = Path("/proc/vmstat")) -> None:
        self.machine = machine
        self._vmstat = vmstat
        self._refaults = self._counters()[1]

    def _counters(self) -> tuple[int, int]:
        try:
            words = (line.split() for line in self._vmstat.read_text().splitlines())
            counts = {name: int(value) for name, value in words}
        except (OSError, ValueError):
            return 0, 0
        resident = counts.get("nr_anon_pages", 0) + counts.get("nr_mapped", 0)
        return resident, sum(count for name, count in counts.items() if name.startswith("workingset_refault"))

    def look(self) -> Seen:
        resident, refaults = self._counters()
        return Seen(*_free(self.machine), resident * PAGE_SIZE, refaults - self._refaults)

    def areas(self) -> Areas:
        return {}

    def kills(self) -> list[Kill]:
        return []

    def slowdown(self) -> float | None:
        return None

    def best(self) -> dict[str, Any] | None:
        return None


#: How long a workload is watched before anything manages its memory, and in how many parts. What it does in the best
#: one is what it can do: an emulated processor stops now and then, when the host has other work.
BASELINE_S: Final = 2.0
_PARTS: Final = 4


class PerformedObserver(LinuxObserver):
    """A workload that is performed on this machine: its processes' memory by /proc, its work by their own counts.

    Args:
        machine: this one.
        workload: at work.
        baseline_s: seconds to watch it for before the run begins.
    """

    def __init__(self, machine: Machine, workload: Performed, baseline_s: float = BASELINE_S) -> None:
        super().__init__(machine)
        self._workload = workload
        self._sizes = {area.name: area.size for area in workload.workload.areas}
        self._parts = _parts(workload.workload)
        self._begin = workload.reports()
        self._baseline: dict[str, float] = {}
        for _ in range(_PARTS):
            machine.clock.sleep_us(round(baseline_s * 1e6) // _PARTS)
            before, self._begin = self._begin, workload.reports()
            for name, report in self._begin.items():
                part = _due_by_done(before[name], report) if name in before else None
                if part is not None:
                    self._baseline[name] = min(part, self._baseline.get(name, part))
        self._start = self._resident(self._begin)
        self._faults = {report.pid: major_faults(report.pid) for report in self._begin.values()}

    @staticmethod
    def _resident(reports: Mapping[str, Report]) -> dict[str, int]:
        return {
            name: resident_bytes(report.pid, start, end) if start < end else 0
            for report in reports.values()
            for name, (start, end) in report.areas.items()
        }

    def look(self) -> Seen:
        """As on a simulated machine, of the workload's processes only."""
        pids = [report.pid for report in self._workload.latest().values()]
        refaults = sum(max(major_faults(pid) - self._faults.get(pid, 0), 0) for pid in pids)  # 0: it has just ended
        return Seen(*_free(self.machine), sum(map(process_resident_bytes, pids)), refaults)

    def areas(self) -> Areas:
        reports = self._workload.latest()
        resident = self._resident(reports)
        phases = {report.phase for report in reports.values()}
        hot = {
            access.area for phase in self._workload.workload.phases if phase.name in phases for access in phase.accesses
        }
        return {
            name: {
                "size_bytes": size,
                "resident_bytes_start": self._start.get(name, 0),
                "resident_bytes_end": resident.get(name, 0),
                "refaults": None,
                "hot": name in hot,
                **self._parts.get(name, {}),
                "resident_byte_seconds": None,
                "evicted_byte_seconds": None,
            }
            for name, size in self._sizes.items()
        }

    def look_at_all(self) -> None:
        """All that a recording asks for at each of its rows."""
        self.look(), self.areas(), self.slowdown()

    def slowdown(self) -> float | None:
        """Of the process that lost most: what was due by what was done, over the same in the best part before."""
        now = self._workload.latest()
        lost = [
            (_due_by_done(self._begin[name], report) or 1.0) / self._baseline.get(name, 1.0)
            for name, report in now.items()
            if name in self._begin and report.pid == self._begin[name].pid
        ]
        return round(max(lost), 9) if lost else None


def _due_by_done(before: Report, after: Report) -> float | None:
    """Touches that were due between two reports, by those that were made; None where none was due."""
    done, dropped = after.touches - before.touches, after.dropped - before.dropped
    return (done + dropped) / max(done, 1) if done or dropped else None
