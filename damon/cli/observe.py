# SPDX-License-Identifier: GPL-2.0-only
"""What a person wants to know of the memory while modules work, from a simulated machine and from this one.

Looking changes nothing: a run gives the same result however often somebody looks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from damon.mm.interface import PAGE_SIZE, Machine

if TYPE_CHECKING:
    from damon.mm.sim import Kill, SimulatedMachine


@dataclass(frozen=True)
class Seen:
    """The whole memory at one moment, in bytes; refaults: reclaimed pages that came back since the start."""

    free: int
    total: int
    resident: int
    refaults: int


class Observer(Protocol):
    """Made when a run begins, which its counts are since."""

    @property
    def machine(self) -> Machine: ...

    def look(self) -> Seen: ...

    def areas(self) -> dict[str, dict[str, int]]:
        """The workload's areas as a result shows them; empty on a machine that has none."""

    def kills(self) -> list[Kill]:
        """The simulated processes that were killed for want of memory; empty on a real machine."""

    def slowdown(self) -> float | None:
        """How much longer the workload takes than with all of its memory present; None where nobody knows."""


def _free(machine: Machine) -> tuple[int, int]:
    free, total = machine.free_mem()
    return free * PAGE_SIZE, total * PAGE_SIZE


class SimObserver:
    """The simulated machine knows its areas and what waiting for memory cost."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self.machine = machine
        self._start = {area.name: area for area in machine.areas()}

    def look(self) -> Seen:
        areas: list[Any] = list(self.machine.areas())
        resident = sum(process.rss_bytes for process in self.machine.processes())
        return Seen(*_free(self.machine), resident, sum(area.refaults for area in areas))

    def areas(self) -> dict[str, dict[str, int]]:
        return {
            area.name: {
                "size_bytes": area.size_bytes,
                "resident_bytes_start": self._start[area.name].resident_bytes,
                "resident_bytes_end": area.resident_bytes,
                "refaults": area.refaults,
            }
            for area in self.machine.areas()
        }

    def kills(self) -> list[Kill]:
        return self.machine.kills()

    def slowdown(self) -> float | None:
        return round(self.machine.slowdown(), 9)


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

    def areas(self) -> dict[str, dict[str, int]]:
        return {}

    def kills(self) -> list[Kill]:
        return []

    def slowdown(self) -> float | None:
        return None
