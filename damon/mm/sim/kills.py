# SPDX-License-Identifier: GPL-2.0-only
"""Which simulated processes were killed for want of memory, and why."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from damon.mm.sim.state import State
from damon.model.machine import PAGE_SIZE


@dataclass(frozen=True)
class Kill:
    """A process that was killed for want of memory, and the machine at that moment."""

    name: str
    pid: int
    time_ns: int
    rss_bytes: int
    swapped_bytes: int
    free_bytes: int
    swap_bytes: int
    swap_free_bytes: int
    cgroup: str = ""  #: that had no more memory; empty: the machine
    limit_bytes: int = 0  #: its ``memory.max``

    @property
    def seconds(self) -> float:
        """When, on the machine's clock."""
        return self.time_ns / 1e9

    def __str__(self) -> str:
        remedy = f"give cgroup {self.cgroup} a higher memory.max" if self.cgroup else (
            "give the workload's machine more memory or swap"
        )  # fmt: skip
        return f"killed at {self.seconds:g} s ({self.name}): {self.why}; {remedy}"

    def as_object(self) -> dict[str, Any]:
        """For results and for ``damon status``."""
        return {"process": self.name, "pid": self.pid, "when_s": self.seconds, "why": self.why}

    @property
    def why(self) -> str:
        """One line: what there was no more of."""
        swap = f"{_mib(self.swap_free_bytes)} of {_mib(self.swap_bytes)} swap free" if self.swap_bytes else "no swap"
        own = f"{_mib(self.rss_bytes)} resident, {_mib(self.swapped_bytes)} swapped"
        if self.cgroup:
            limit = f"cgroup {self.cgroup} out of memory (memory.max {_mib(self.limit_bytes)}, {swap})"
            return f"{limit}; it was its largest process ({own})"
        return f"out of memory ({_mib(self.free_bytes)} free, {swap}); it was the largest process ({own})"


def _mib(size: int) -> str:
    return f"{size / (1 << 20):.1f} MiB"


class Kills:
    """The kills of one machine. The native records have the last one of each process only: ``note()`` must be called
    before a process starts again.

    Args:
        state: the machine's.
        pids: the id that each process has now.
    """

    def __init__(self, state: State, pids: Mapping[str, int]) -> None:
        self._state, self._pids = state, pids
        self._noted: dict[tuple[int, int], Kill] = {}

    def note(self) -> list[Kill]:
        """Those that were not known yet. Any thread may call it."""
        new = []
        for index in range(len(self._state.processes)):
            count = self._state.process.rows[index].killed
            if count and (index, count) not in self._noted:
                new.append(self._noted.setdefault((index, count), _kill(self._state, self._pids, index)))
        return new

    def __len__(self) -> int:
        return len(self._noted)

    def in_order(self) -> list[Kill]:
        """The first at first."""
        return sorted(self._noted.values(), key=lambda kill: kill.time_ns)


def _kill(state: State, pids: Mapping[str, int], index: int) -> Kill:
    """The last one of a process."""
    name, row = state.processes[index], state.process.rows[index]
    memcg = int(row.killed_memcg)
    limit = int(state.cgroups.memcg.rows[memcg].max) * PAGE_SIZE if memcg else 0
    return Kill(
        name=name, pid=pids[name], time_ns=row.killed_t, rss_bytes=row.killed_present * PAGE_SIZE,
        swapped_bytes=row.killed_swapped * PAGE_SIZE, free_bytes=row.killed_free * PAGE_SIZE,
        swap_bytes=state.m.swap_pages * PAGE_SIZE, swap_free_bytes=row.killed_swap * PAGE_SIZE,
        cgroup=state.cgroups.name(memcg), limit_bytes=limit,
    )  # fmt: skip
