# SPDX-License-Identifier: GPL-2.0-only
"""Where a workload that is performed is in physical memory, and what is beside it, before the modules are loaded."""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
from array import array
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from damon.cli.steps import STEP_US
from damon.errors import MissingCapability
from damon.mm.frames import FrameRun
from damon.workload.performed import cgroup_of

if TYPE_CHECKING:
    from damon.mm.linux import LinuxMachine
    from damon.mm.linux.beside import Using
    from damon.results.frames import Frames
    from damon.workload.performed import Performed


class PlacedWorkload:
    """Has all frames looked at when it is made, for two to eight seconds; nothing else may monitor then.

    Another process does it (``damon.cli.watching``), which looks at this one as well. This one does what it will do
    while modules work, so that its own memory is accessed as often then.

    Args:
        machine: this one.
        workload: at work.
        every_s: interval at which this process will look at it.
        look: a look at it.

    Raises:
        MissingCapability: no idle page tracking, or not root.
    """

    def __init__(self, machine: LinuxMachine, workload: Performed, every_s: float, look: Callable[[], object]) -> None:
        self._clock = machine.clock
        self._files = machine.files()  # later it would warn of the modules
        self._workload = workload
        self._own_rate = 1 / every_s
        self._own: set[int] = set()
        self._using: Using | None = None
        reports = workload.reports()
        self._began_ns = self._clock.now_ns() - round(max(one.seconds for one in reports.values()) * 1e9)
        self._loaded_ns = self._recorded_ns = self._began_ns
        self._ram = list(machine.system_ram())
        self._areas = self._frames_of_areas()
        self._seen = os.fdopen(os.memfd_create("frames"), "w+b")
        self._watch(every_s, look)

    def _watch(self, every_s: float, look: Callable[[], object]) -> None:
        cgroup = cgroup_of(self._workload.workload)
        number = 0 if cgroup is None else cgroup.stat().st_ino
        words = [sys.executable, "-m", "damon.cli.watching", str(number), str(self._own_rate)]
        known = array("Q", (pfn for frames in self._areas.values() for pfn in frames if pfn >= 0)).tobytes()
        with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=self._seen, stderr=subprocess.PIPE) as watch:
            assert watch.stdin is not None
            assert watch.stderr is not None
            try:
                with contextlib.suppress(BrokenPipeError), watch.stdin:  # it may have ended, and says why
                    watch.stdin.write(known)
                next_ns = self._clock.now_ns()
                while watch.poll() is None:
                    if self._clock.now_ns() >= next_ns:
                        look()
                        next_ns = self._clock.now_ns() + round(every_s * 1e9)
                    self._clock.sleep_us(STEP_US)
            except BaseException:
                watch.kill()
                self._seen.close()
                raise
            said = watch.stderr.read().decode(errors="replace").strip()
        if watch.returncode:
            self._seen.close()
            why = f"page frames: the look at them ended with code {watch.returncode}; look again"
            raise MissingCapability(said.splitlines()[-1] if said else why)

    def begin(self) -> None:
        """The modules have been loaded. Areas have grown since: what their program touches first comes then."""
        from damon.mm.linux.beside import Using, own_frames

        self._loaded_ns = self._recorded_ns = self._clock.now_ns()
        self._areas = self._frames_of_areas()
        self._using = Using.now(self._files)
        self._own = own_frames(os.getpid())

    def recorded(self, epoch_ns: int) -> None:
        """The run is recorded from then on: an emulated processor has been busy with its beginning for a while."""
        self._recorded_ns = epoch_ns

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
        taken = {pfn for frames in self._areas.values() for pfn in frames}
        beside, (late_us, run_delay) = self._beside(taken)
        free = None if self._using is None else self._using.free_runs()
        lead_s, unrecorded_s = (
            round((end - start) / 1e9, 6)
            for start, end in ((self._began_ns, self._loaded_ns), (self._loaded_ns, self._recorded_ns))
        )
        return Frames(lead_s, self._ram, areas, beside, late_us, free, unrecorded_s, run_delay)

    def _beside(self, taken: set[int]) -> tuple[list[FrameRun], tuple[float, float]]:
        """What was seen, but for ``taken`` and what has become free, and what has come since; how long a thread
        waits for the processor: after a sleep, us, and for each unit of its processor time.

        What this process has is accessed at each look. How often the rest of it is accessed is not known.
        """
        from damon.mm.linux.beside import runs

        self._seen.seek(0)
        found: dict[int, FrameRun] = {}
        seen = json.load(self._seen)
        for pfn, nr, *rest in seen["frames"]:
            found |= {at: FrameRun(at, 1, *rest) for at in range(pfn, pfn + nr) if at not in taken}
        self._seen.close()
        known = taken.union(found)
        found |= {at: FrameRun(at, 1, self._own_rate) for at in self._own - known if at >= 0}
        if self._using is not None:
            found |= {at: FrameRun(at, 1, 0.0) for at in self._using.listed_frames() - known - self._own}
            for pfn, nr in self._using.free_runs():
                for at in range(pfn, pfn + nr):
                    found.pop(at, None)
        pace = round(seen["late_ns"] / 1000, 3), round(seen["run_delay"], 3)
        return runs(found[at] for at in sorted(found)), pace


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
