# SPDX-License-Identifier: GPL-2.0-only
"""The cgroups of a simulated machine: their limits, what they are charged, and their LRU lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from damon.errors import InvalidInput
from damon.mm.sim.layout import (
    MAX_MEMCG,
    MEMORY_EVENTS,
    NO_LIMIT,
    NR_LIST,
    SimLruvec,
    SimMemcg,
    SimRun,
    SimState,
)
from damon.mm.sim.reserve import Reserve
from damon.model.machine import PAGE_SIZE
from damon.workload.model import Workload

#: Number of the root, which areas without a cgroup are charged to.
ROOT: Final = 0


@dataclass(frozen=True)
class CgroupStat:
    """One cgroup now, with those below it; counts are since the start."""

    name: str
    resident_bytes: int  #: ``memory.current``, as far as it is of areas
    swapped_bytes: int  #: ``memory.swap.current``
    faults: int  #: of its areas
    refaults: int  #: ... because the page had been reclaimed
    reclaimed_pages: int  #: for want of memory below its own limits
    psi_some_us: int  #: ``some`` of ``memory.pressure``: time in which some process waited for memory
    events: dict[str, int]  #: ``memory.events``


class Memcgs:
    """All cgroups: the root first, each after the one that it is in, in the order in which the workload names them.

    Args:
        m: the machine's record, with its nodes.
        workload: names cgroups by its areas, processes and limits.
        nr_frames: the most pages that a list can have.

    Raises:
        InvalidInput: there are too many.
    """

    def __init__(self, m: SimState, workload: Workload, nr_frames: int) -> None:
        self._m = m
        self.ids: dict[str, int] = {}  #: by name
        for process in workload.processes:
            for area in workload.areas:
                if area.process == process:
                    self._name(workload.memcg(area))
        for limits in workload.cgroups:
            self._name(limits.name)
        if len(self.ids) > MAX_MEMCG:
            raise InvalidInput(f"cgroups: {len(self.ids)}: are too many; give at most {MAX_MEMCG}")
        m.nr_memcg = len(self.ids) + 1
        self.memcg = Reserve(SimMemcg, m.nr_memcg)
        m.memcg = self.memcg.pointer
        self._limits(workload)
        self._lists(nr_frames)

    def _name(self, name: str) -> None:
        above = ""
        for part in filter(None, name.split("/")):
            above = f"{above}/{part}".lstrip("/")
            self.ids.setdefault(above, len(self.ids) + 1)

    def _limits(self, workload: Workload) -> None:
        for name, number in self.ids.items():
            row = self.memcg.rows[number]
            row.parent = self.ids.get(name.rpartition("/")[0], ROOT)
            row.max = row.high = row.swap_max = NO_LIMIT
        self.memcg.rows[ROOT].max = self.memcg.rows[ROOT].high = self.memcg.rows[ROOT].swap_max = NO_LIMIT
        for given in workload.cgroups:
            row = self.memcg.rows[self.ids[given.name]]
            row.max, row.high, row.swap_max = (_pages(one) for one in (given.max, given.high, given.swap_max))
            row.low, row.min = _pages(given.low), _pages(given.min)
            self._m.protected = bool(self._m.protected or row.low or row.min)

    def _lists(self, nr_frames: int) -> None:
        """Rings of lists are twice as long as there are frames: after dropping stale runs half of one is free."""
        m = self._m
        length = 1 << (2 * nr_frames + 1024).bit_length()
        m.run_mask = length - 1
        count = m.nr_memcg * m.nr_node
        self.lruvec = Reserve(SimLruvec, count)
        m.lruvec = self.lruvec.pointer
        self.runs = [[Reserve(SimRun, length) for _ in range(NR_LIST)] for _ in range(count)]
        for vec, rings in zip(self.lruvec.rows, self.runs, strict=True):
            for index, ring in enumerate(rings):
                vec.run[index] = ring.pointer

    def id(self, name: str) -> int:
        """The number of a cgroup; of no name, the root's."""
        return self.ids[name] if name else ROOT

    def name(self, number: int) -> str:
        """The cgroup with that number; empty: the root, or none."""
        return next((name for name, known in self.ids.items() if known == number), "")

    def tree(self, number: int) -> set[int]:
        """The numbers of a cgroup and of those below it; empty when there is none."""
        above = self.name(number)
        if not above:
            return set()
        return {known for name, known in self.ids.items() if f"{name}/".startswith(f"{above}/")}

    def lists(self) -> list[int]:
        """Pages on each list, of all cgroups."""
        return list(self.memcg.rows[ROOT].nr)

    def stat(self, name: str, now: int) -> CgroupStat:
        """A cgroup at the time ``now`` of the machine."""
        row = self.memcg.rows[self.ids[name]]
        return CgroupStat(
            name=name, resident_bytes=sum(row.nr) * PAGE_SIZE, swapped_bytes=row.nr_swapped * PAGE_SIZE,
            faults=row.faults, refaults=row.refaults, reclaimed_pages=row.pgsteal,
            psi_some_us=(row.psi_ns - max(row.psi_end - now, 0)) // 1000,
            events={event: int(getattr(row, f"event_{event}")) for event in MEMORY_EVENTS},
        )  # fmt: skip

    def snapshot(self) -> dict[str, bytes]:
        """All of it as bytes, addresses left out: equal bytes, equal cgroups and lists."""
        m = self._m
        image = {"memcg": self.memcg.head(m.nr_memcg)}
        for number, rings in enumerate(self.runs):
            vec = self.lruvec.rows[number]
            image[f"lruvec {number}"] = bytes(vec)[SimLruvec.head.offset :]
            for index, ring in enumerate(rings):
                image[f"list {number} {index}"] = b"".join(
                    bytes(ring.rows[at & m.run_mask]) for at in range(vec.tail[index], vec.head[index])
                )
        return image


def _pages(size: int | None) -> int:
    """As the kernel takes the text of a limit: whole pages; None is no limit."""
    return NO_LIMIT if size is None else size // PAGE_SIZE
