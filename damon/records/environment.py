# SPDX-License-Identifier: GPL-2.0-only
"""What damo records beside accesses: memory footprints, mappings and ``/proc/PID/stat`` of the monitored processes."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from damon.mm.sim import SimulatedMachine

_STATM = ("size", "resident", "shared", "trs", "lrs", "drs", "dt")
_MEMINFO = ("MemTotal", "MemFree", "MemAvailable", "Buffers", "Cached")
_PAGE = 4096
_KIB = 1024
Pairs = dict[str, Any]


class Environment(Protocol):
    """A machine's processes at this moment, in damo's form. A process that is gone has nothing."""

    def time(self) -> float:
        """Seconds, for the snapshots' ``time``."""

    def footprint(self, pids: Sequence[int]) -> Pairs: ...

    def vmas(self, pids: Sequence[int]) -> list[Pairs]: ...

    def stats(self, pids: Sequence[int]) -> list[Pairs]: ...


class LinuxEnvironment:
    """The running kernel's ``/proc``."""

    def time(self) -> float:
        return time.time()

    def footprint(self, pids: Sequence[int]) -> Pairs:
        footprints: list[Pairs] = []
        for pid in pids:
            words = _read(f"/proc/{pid}/statm").split() or ["0"] * len(_STATM)
            footprints.append({"pid": pid, "footprint": dict(zip(_STATM, map(int, words), strict=False))})
        lines = (line.split() for line in _read("/proc/meminfo").splitlines())
        sizes = {words[0].rstrip(":"): int(words[1]) for words in lines if len(words) > 1}
        system = {name.removeprefix("Mem").lower(): sizes.get(name, 0) for name in _MEMINFO}
        return {"time": self.time(), "footprints": [*footprints, {"pid": None, "footprint": system}]}

    def vmas(self, pids: Sequence[int]) -> list[Pairs]:
        return [{"pid": pid, "vmas": [_vma(line) for line in _read(f"/proc/{pid}/maps").splitlines()]} for pid in pids]

    def stats(self, pids: Sequence[int]) -> list[Pairs]:
        return [{"fields": _read(f"/proc/{pid}/stat").split() or None} for pid in pids]


def _vma(line: str) -> Pairs:
    words = line.split()
    start, end = (int(address, 16) for address in words[0].split("-"))
    return {"start": start, "end": end, "name": words[-1]}


def _read(path: str) -> str:
    try:
        with open(path, errors="replace") as file:
            return file.read()
    except OSError:  # the process has ended
        return ""


class SimEnvironment:
    """The processes and areas of a simulated machine; time is virtual."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine

    def time(self) -> float:
        return self._machine.clock.now_ns() / 1e9

    def footprint(self, pids: Sequence[int]) -> Pairs:
        footprints: list[Pairs] = []
        for process in self._machine.processes():
            if process.pid in pids:
                size = sum(area["end"] - area["start"] for area in self._areas(process.name))
                pages = {"size": size // _PAGE, "resident": process.rss_bytes // _PAGE}
                footprints.append({"pid": process.pid, "footprint": dict.fromkeys(_STATM, 0) | pages})
        free, total = (pages * _PAGE // _KIB for pages in self._machine.free_mem())
        system = {"total": total, "free": free, "available": free, "buffers": 0, "cached": 0}
        return {"time": self.time(), "footprints": [*footprints, {"pid": None, "footprint": system}]}

    def vmas(self, pids: Sequence[int]) -> list[Pairs]:
        processes = [process for process in self._machine.processes() if process.pid in pids]
        return [{"pid": process.pid, "vmas": self._areas(process.name)} for process in processes]

    def stats(self, pids: Sequence[int]) -> list[Pairs]:
        return []

    def _areas(self, process: str) -> list[Pairs]:
        areas = (area for area in self._machine.areas() if area.process == process and area.mapped)
        return [{"start": area.start, "end": area.start + area.size_bytes, "name": area.name} for area in areas]
