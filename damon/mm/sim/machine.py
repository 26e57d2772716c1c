# SPDX-License-Identifier: GPL-2.0-only
"""The simulated machine: a workload's areas and processes in memory, phase after phase, in virtual time."""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Sequence
from typing import Final

from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.mm.clock import VirtualClock
from damon.mm.sim.closed import Releasable
from damon.mm.sim.engine import Engine
from damon.mm.sim.kills import Kill
from damon.mm.sim.layout import ACTIVE, COUNTERS, INACTIVE, NEVER, SimArea
from damon.mm.sim.memcgs import CgroupStat
from damon.mm.sim.phases import truth
from damon.mm.sim.placing import Places, place
from damon.mm.sim.play import Play
from damon.mm.sim.report import AreaStat, ProcessStat, area_stat, process_stat, touches
from damon.mm.sim.spaces import SimulatedPhysical, SimulatedProcess
from damon.mm.sim.state import State
from damon.model.clock import Clock
from damon.model.machine import PAGE_SIZE, Closing, PhysicalSpace, Show, SwapStat
from damon.model.operations import Stretch
from damon.model.ticks import Ticks
from damon.workload.model import Phase, Workload

LISTS: Final = ("nr_inactive_anon", "nr_active_anon", "nr_inactive_file", "nr_active_file", "nr_unevictable")


class SimulatedMachine(Closing, Releasable):
    """Plays ``workload`` from time 0 on, as far as its clock goes.

    What it simplifies, on purpose:

    - Accesses come at the workload's rates whether their process waits for a fault or not (open loop), and the faults
      of one process are served one after the other. So the work done in a time is known, and ``slowdown()`` is the time
      that it would really have taken, waits included, by the time it took here.
    - Populating an area takes no time unless memory has to be reclaimed for it. Readahead, page tables, the page cache
      of unmapped files and slab are not modelled; the kernel's own memory is a fixed part.
    - One zone a node, the classic LRU lists, kswapd and direct reclaim as in ``mm/vmscan.c``, watermarks as the kernel
      sets them. When nothing can be reclaimed the biggest process is killed and everything of it is unmapped.
    - Anonymous pages always are written when they leave, and give up their swap slot when they come back.
    - NUMA nodes: what touches cost is summed and slows no process; a touch of an absent page costs its fault only. No
      balancing and no demotion but by schemes; the age that refaults are tested by is the machine's, not each node's.
    - Memory comes and goes in steps of 2 MiB, the highest of a node first; what goes offline is moved in no time, first
      to other nodes. What the kernel itself needs stays: a node's memory map, and the memory that is held.
    - Cgroups have lists of their own, limits and protection as in ``mm/memcontrol.c``. Only pages of areas are charged,
      each at once and not in batches; a huge page that does not fit below the limits of its cgroup comes as single
      pages.
    - Huge pages are of anonymous memory. Nothing is moved to make room in one piece (free frames do grow together
      again), a split folio's pages go to the head of its list, khugepaged costs no process time, and of a block advised
      differently in parts no huge page comes until one advice is given for all of it.

    Args:
        workload: areas, phases and the machine's size and speed.
        seed: the same seed, the same run, on any machine.
        places: page frames that areas' pages are in at first; free frames are used as the kernel's page allocator does
            then. None: pages are in a row, and what was freed last is used first.

    Raises:
        InvalidInput: a workload that cannot be played. MissingCapability: no address space for it.
    """

    name: str = "sim"
    clock: Clock
    phys: PhysicalSpace

    def __init__(self, workload: Workload, seed: int, places: Places | None = None) -> None:
        _check(workload)
        self.workload = workload
        self.closed = False
        self.state = State(workload, seed)
        self._m = self.state.m
        if places is not None:
            place(self.state, places, any(phase.hotplug for phase in workload.phases))
        self._engine = Engine(self.state)
        spec = workload.machine
        #: What a worker's look at a page that was sampled takes of the next sampling interval, ns.
        self.check_ns = round(spec.check_us * 1000)
        self.clock = self.virtual_clock = VirtualClock(self._advance, Ticks(spec.hz, round(spec.wake_us * 1000)))
        self.phys = self._phys = SimulatedPhysical(self._engine, self.state, self.virtual_clock)
        self._time, self._passes = self._engine.time(), self.virtual_clock.advance
        self._play = Play(workload, self.state, self._engine)
        self.pids = self._play.pids

    @property
    def engine(self) -> Engine:
        return self._engine

    @property
    def phase(self) -> Phase:
        """The phase that is running."""
        return self._play.phase

    @property
    def offline_failures(self) -> int:
        """Memory that should have gone offline and could not."""
        return self._play.offline_failures

    # -- the Machine interface

    def require(self, ops: str, actions: Sequence[str]) -> None:
        if ops not in ("vaddr", "fvaddr", "vaddr-exact", "paddr"):
            raise MissingCapability(
                f"operations set: {ops!r}: the simulated machine has none such; use vaddr, fvaddr or paddr"
            )
        if "pageout" in actions and not self._m.swap_pages:
            raise MissingCapability(
                "action: pageout: the simulated machine has no swap for anonymous memory; "
                "give the workload file's machine a swap device"
            )

    def open_process(self, pid: int) -> SimulatedProcess:
        for index, name in enumerate(self.state.processes):
            if self.pids[name] == pid and self.state.process.rows[index].alive:
                return SimulatedProcess(self._phys, self.pids, index, pid)
        for kill in self.kills():
            if kill.pid == pid:
                raise DamonError(errno.ESRCH, f"pid: {pid}: was {kill}; give a running process")
        known = ", ".join(f"{one.pid} ({one.name})" for one in self.processes() if one.alive)
        raise DamonError(
            errno.EINVAL, f"pid: {pid}: the simulated machine has no such process; it runs {known or 'none'}"
        )

    def system_ram(self) -> Sequence[tuple[int, int]]:
        return tuple(self.state.ram.ranges())

    def free_mem(self) -> tuple[int, int]:
        free = total = 0
        for node in self.state.nodes():
            free += node.nr_free
            total += node.total
        return free, total

    def node_spans(self) -> Sequence[tuple[int, int, int]]:
        return tuple(self.state.ram.spans())

    def node_mem(self, nid: int) -> tuple[int, int] | None:
        if not 0 <= nid < self._m.nr_node or not self._m.node[nid].total:
            return None
        return int(self._m.node[nid].nr_free), int(self._m.node[nid].total)

    def node_memcg_pages(self, nid: int, memcg_id: int) -> int | None:
        below = self.state.cgroups.tree(memcg_id)
        if not 0 <= nid < self._m.nr_node or not below:
            return None
        return sum(int(row.node_present[nid]) for row in self.state.areas() if row.memcg in below)

    def memcg_id(self, path: str) -> int:
        try:
            return self.state.cgroups.ids[path.lstrip("/")]
        except KeyError:
            known = ", ".join(self.state.cgroups.ids) or "none"
            raise InvalidInput(f"cgroup: {path!r}: the workload has none such; its are {known}") from None

    def psi_some_us(self) -> int:
        m = self._m
        ahead = max(m.psi_end - self.clock.now_ns(), 0)  # waits that have begun, or queue, count as time passes
        return int(m.psi_ns - ahead) // 1000

    def lru_pages(self) -> tuple[int, int]:
        nr = self.state.lists()
        return nr[ACTIVE] + nr[2 + ACTIVE], nr[INACTIVE] + nr[2 + INACTIVE]

    def close(self) -> None:
        """Release the machine's memory. What is asked of it later is refused (ENODEV); its processes have ended."""
        self.closed = True
        self.virtual_clock.advance = self._passes = None
        self._play.close()
        self.release("_m")
        self._engine.release()
        self.state.release()

    def show_processes(self, show: Show) -> None:
        """From now on a process of the running system stands for each one here, and lends it its number."""
        self._play.show_processes(show)

    # -- what users ask for

    def areas(self) -> list[AreaStat]:
        """Every area, in the workload's order."""
        now = self.clock.now_ns()
        return [area_stat(self.state, area, now) for area in self.workload.areas]

    def processes(self) -> list[ProcessStat]:
        """Every process, in the workload's order."""
        now = self.clock.now_ns()
        return [
            process_stat(self.state, index, self.pids[name], now) for index, name in enumerate(self.state.processes)
        ]

    def kills(self) -> list[Kill]:
        """The processes that were killed for want of memory so far, the first at first."""
        return self._play.kills()

    def cgroups(self) -> list[CgroupStat]:
        """Every cgroup, each after the one that it is in."""
        return [self.state.cgroups.stat(name, self.clock.now_ns()) for name in self.state.cgroups.ids]

    def swaps(self) -> list[SwapStat]:
        """Every swap device, the one that is filled first at first."""
        devices = [self._m.swap[n] for n in range(self._m.nr_swap)]
        return [SwapStat(dev.priority, dev.pages * PAGE_SIZE, dev.used * PAGE_SIZE) for dev in devices]

    def slowdown(self) -> float:
        """The worst process's: (elapsed + waited) / elapsed.

        Not elapsed / (elapsed - waited): accesses do not slow down here while their process waits, so what was done in
        the elapsed time is the work of all of it, and the waits come on top. Finite, even when a machine thrashes.
        """
        return max((process.slowdown for process in self.processes()), default=1.0)

    def truth(self, area: str, interval_us: int) -> float:
        """The size-weighted share of sampling intervals of that length in which a page of ``area`` is touched, in the
        phase that is running: what monitoring should see of it while it is in memory (0..1)."""
        row, placed = self.row(area), self.state.placed[area]
        if row.mapped and placed.area.replay is not None:
            return self._play.replays.truth(placed, interval_us * 1000, self.clock.now_ns())
        return truth(row.seg[row.nr_seg - 1], row.nr_pages, interval_us * 1000) if row.mapped else 0.0

    def touches(self, area: str) -> int:
        """Touches of ``area`` so far."""
        return touches(self.row(area), self.clock.now_ns())

    def counters(self) -> dict[str, int]:
        """The machine's event counters, free pages and lists, by the names of ``/proc/vmstat`` where it has them."""
        m = self._m
        result: dict[str, int] = {"nr_free_pages": self.free_mem()[0], "nr_swap_pages": m.swap_pages - m.swap_used}
        result.update(zip(LISTS, self.state.lists(), strict=True))
        result.update((name, getattr(m, name)) for name in COUNTERS)
        result["nr_anon_transparent_hugepages"] = sum(row.nr_huge for row in self.state.areas())
        return result

    # -- time

    def _advance(self, now: int) -> None:
        """The clock has moved to ``now``."""
        if now >= self._play.change_ns or now >= self._m.next_event:
            self._play.advance(now)

    def sampled(self) -> int:
        """Pages that samples were taken of so far."""
        return int(self._m.sampled)

    def begin_stretch(self, us: int, stretch: Stretch) -> int | None:
        """The address of this machine's ``NativeTime``, up to the next phase, mapping of a trace or another thread's
        turn; None: no sleep of ``us`` ends before."""
        clock, time = self.virtual_clock, self._time
        if self.closed or clock.advance is not self._passes:
            return None
        now, wake = clock.now_ns(), clock.next_wake_ns()
        change = self._play.change_ns
        limit = change if wake is None else min(wake, change)
        if now + us * 1000 >= limit or us >> 50:
            return None
        time.now, time.limit, time.due, time.check_ns = now, limit, min(stretch.due_ns, NEVER), self.check_ns
        time.free_low, time.free_high = stretch.free_low, stretch.free_high
        time.set_sleep(clock.ticks, us)
        return ctypes.addressof(time)

    def end_stretch(self) -> None:
        """Time has passed up to the ``now`` of ``NativeTime``."""
        self.virtual_clock.pass_to(self._time.now)
        self._play.note_kills()

    def row(self, area: str) -> SimArea:
        """The native record of an area."""
        return self.state.row(area)


def _check(workload: Workload) -> None:
    if not workload.phases:
        raise InvalidInput(f"workload: {workload.name!r}: phases is empty; give at least one")
    if not workload.areas:
        raise InvalidInput(f"workload: {workload.name!r}: areas is empty; give at least one")
    for phase in workload.phases:
        names = [access.area for access in phase.accesses]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInput(f"phase: {phase.name!r}: accesses area {name!r} more than once; join the accesses")
