# SPDX-License-Identifier: GPL-2.0-only
"""Where a workload that is performed is in physical memory, and what is beside it, before the modules are loaded."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from damon.workload.performed import cgroup_of

if TYPE_CHECKING:
    from damon.mm.linux import LinuxMachine
    from damon.results.frames import Frames
    from damon.workload.performed import Performed


class PlacedWorkload:
    """Looks when it is made, for two to three seconds; nothing else may monitor then.

    Args:
        machine: this one.
        workload: at work.
        every_s: interval at which this process will look at it.

    Raises:
        MissingCapability: no idle page tracking, or not root.
    """

    def __init__(self, machine: LinuxMachine, workload: Performed, every_s: float = 1.0) -> None:
        from damon.mm.linux.beside import Watch, sleeps_late_ns

        self._clock = machine.clock
        self._workload = workload
        self._own_rate = 1 / every_s
        reports = workload.reports()
        self._began_ns = self._clock.now_ns() - round(max(one.seconds for one in reports.values()) * 1e9)
        self._lead_s = 0.0
        self._ram = list(machine.system_ram())
        self._areas = self._frames_of_areas()
        cgroup = cgroup_of(workload.workload)
        whole = (pfn for frames in self._areas.values() for pfn in frames)
        self._watch = Watch(machine, whole, cgroup.stat().st_ino if cgroup is not None else 0)
        self._late_us = sleeps_late_ns(self._clock) / 1000

    def begin(self) -> None:
        """The modules have been loaded. Areas have grown since: what their program touches first comes then."""
        self._lead_s = (self._clock.now_ns() - self._began_ns) / 1e9
        self._areas = self._frames_of_areas()

    def _frames_of_areas(self) -> dict[str, list[int]]:
        from damon.mm.linux.beside import frames_of

        return {
            name: frames_of(report.pid, start, end)
            for report in self._workload.reports().values()
            for name, (start, end) in report.areas.items()
        }

    def frames(self) -> Frames:
        """What was found; the work is done here, after the run."""
        from damon.results.frames import Frames

        areas = {name: rows(frames) for name, frames in self._areas.items()}
        own = {pfn for frames in self._areas.values() for pfn in frames}
        beside = self._watch.runs(own, self._own_rate)
        return Frames(round(self._lead_s, 6), self._ram, areas, beside, round(self._late_us, 3))


def rows(frames: Iterable[int]) -> list[tuple[int, int, int]]:
    """Pages in a row that lie in a row in memory: the first page and frame, and their number; -1: not in memory."""
    found: list[tuple[int, int, int]] = []
    for page, pfn in enumerate(frames):
        if pfn < 0:
            continue
        if found and found[-1][0] + found[-1][2] == page and found[-1][1] + found[-1][2] == pfn:
            found[-1] = (*found[-1][:2], found[-1][2] + 1)
        else:
            found.append((page, pfn, 1))
    return found
