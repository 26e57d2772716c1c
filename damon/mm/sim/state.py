# SPDX-License-Identifier: GPL-2.0-only
"""The memory that a simulated machine lives in, and how a workload's machine and areas are laid out in it."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput
from damon.mm.sim.buddy import Buddy
from damon.mm.sim.closed import Releasable
from damon.mm.sim.layout import (
    ANON,
    BLOCK,
    FILE,
    MAX_SEG,
    MAX_SWAP,
    NEVER,
    SimArea,
    SimEvent,
    SimExt,
    SimNode,
    SimPage,
    SimProc,
    SimSeg,
    SimState,
    SimTrace,
    Thp,
)
from damon.mm.sim.memcgs import Memcgs
from damon.mm.sim.ram import Ram
from damon.mm.sim.reserve import Reserve
from damon.model.machine import PAGE_SIZE
from damon.quoting import quoted
from damon.workload.model import Area, Kind, MachineSpec, Replay, Workload
from damon.workload.tracefile.change import scaled_page
from damon.workload.tracefile.form import TRUTH, TracedArea
from damon.workload.tracefile.mapping import area_of
from damon.workload.tracefile.reader import Trace

#: Processes have their program and their stack at the usual places; both stay without memory here.
PROGRAM: Final = (0x5555_5555_4000, 0x5555_5556_4000)
STACK: Final = (0x7FFF_FFFD_E000, 0x7FFF_FFFF_F000)
MMAP_BASE: Final = 0x7000_0000_0000
HUGE: Final = 2 << 20
#: Records of so many pages (64 MiB) come in huge pages: a fault for each 64 of them costs more than they do.
_FEW_PAGES: Final = 1 << 20


@dataclass(frozen=True)
class PlacedArea:
    """An area of the workload, its id in the native array and its address."""

    area: Area
    id: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.area.size


class State(Releasable):
    """All memory of one simulated machine.

    Raises:
        InvalidInput: the workload's machine is too small.
        MissingCapability: this system refuses the address space.
    """

    def __init__(self, workload: Workload, seed: int) -> None:
        self.m = SimState()
        self.m.seed = seed & (2**64 - 1)
        self.ram = Ram(self.m, workload)
        self.free, self.block, self.leaf = self.ram.free, self.ram.block, self.ram.leaf
        self.cgroups = Memcgs(self.m, workload, self.ram.nr_frames)
        self._nodes: list[SimNode] = [self.m.node[nid] for nid in range(self.m.nr_node)]
        self._costs(workload.machine)
        self.placed: dict[str, PlacedArea] = {}
        self.traces: dict[str, Trace] = {}
        self.traced: dict[str, TracedArea] = {}  #: what each area that replays a trace is in its file
        self.buddy: Buddy | None = None
        self.wanted: list[ctypes.Array[ctypes.c_uint64]] = []  #: what areas' records refer to
        self._areas(workload)

    def _costs(self, spec: MachineSpec) -> None:
        m = self.m
        if len(spec.swaps) > MAX_SWAP:
            raise InvalidInput(f"machine.swap: {len(spec.swaps)}: are too many; give at most {MAX_SWAP}")
        m.nr_swap = len(spec.swaps)
        for index, (device, priority) in enumerate(spec.swaps):
            row = m.swap[index]
            row.priority, row.pages = priority, device.size // PAGE_SIZE
            row.read_ns, row.write_ns = round(device.read_us * 1000), round(device.write_us * 1000)
            m.swap_pages += row.pages
        m.file_read_ns = round(spec.file_read_us * 1000)
        m.file_write_ns = round(spec.file_write_us * 1000)
        m.fault_ns = round(spec.fault_us * 1000)
        m.reclaim_ns = round(spec.reclaim_us * 1000)
        m.scan_ns = round(spec.scan_us * 1000)
        m.migrate_ns = round(spec.migrate_us * 1000)
        m.huge_ns = round(spec.huge_us * 1000)
        m.thp = Thp[spec.thp.upper()]

    def _areas(self, workload: Workload) -> None:
        m = self.m
        self.processes = workload.processes
        m.nr_area, m.nr_process = len(workload.areas), len(self.processes)
        self.area = Reserve(SimArea, len(workload.areas))
        self.process = Reserve(SimProc, len(self.processes))
        m.area, m.process = self.area.pointer, self.process.pointer
        self.maps: list[tuple[Reserve, Reserve, Reserve, Reserve, Reserve]] = []
        pages = 0
        for index, name in enumerate(self.processes):
            proc = self.process.rows[index]
            proc.first_area = len(self.maps)
            proc.node = workload.process_spec(name).node
            if proc.node >= m.nr_node:
                raise InvalidInput(f"processes.{name}.node: {proc.node}: does not exist; give a node below {m.nr_node}")
            at = MMAP_BASE
            for area in workload.areas:
                if area.process != name:
                    continue
                memcg = self.cgroups.id(workload.memcg(area))
                if area.size >= HUGE:  # aligned for huge pages, as the kernel does
                    at = (at + HUGE - 1) & -HUGE
                self._area(area, at, index, memcg)
                at += area.size + PAGE_SIZE
                pages += area.size // PAGE_SIZE
            proc.nr_area = len(self.maps) - proc.first_area
        self.event = Reserve(SimEvent, 2 * pages + 64)
        m.event = self.event.pointer
        m.next_event = NEVER

    def nodes(self) -> list[SimNode]:
        """The native records of all nodes."""
        return self._nodes

    def lists(self) -> list[int]:
        """Pages on each list, all nodes together."""
        return self.cgroups.lists()

    def row(self, area: str) -> SimArea:
        """The native record of an area."""
        try:
            return self.area.rows[self.placed[area].id]  # type: ignore[no-any-return]
        except KeyError:
            raise InvalidInput(f"area: {area!r}: is unknown; give one of {', '.join(self.placed)}") from None

    def areas(self) -> list[SimArea]:
        """The native records of all areas."""
        return [self.area.rows[placed.id] for placed in self.placed.values()]

    def _area(self, area: Area, start: int, process: int, memcg: int) -> None:
        nr, row = area.size // PAGE_SIZE, self.area.rows[len(self.maps)]
        maps = (
            Reserve(SimPage, nr, huge=nr <= _FEW_PAGES),
            Reserve(ctypes.c_uint8, -(-nr // 4), huge=True),
            Reserve(SimSeg, MAX_SEG),
            Reserve(SimExt, min(nr, self.ram.nr_frames // BLOCK + 2)),
            Reserve(ctypes.c_uint8, nr // BLOCK + 1),
        )
        row.page, row.st, row.seg, row.ext, row.thp = (part.pointer for part in maps)
        row.start, row.nr_pages, row.process = start, nr, process
        row.memcg = memcg
        row.locked = area.locked
        row.kind = FILE if area.kind is Kind.FILE else ANON
        if area.replay is not None:
            row.trace = ctypes.pointer(self._trace(area, area.replay))
        self.placed[area.name] = PlacedArea(area, len(self.maps), start)
        self.maps.append(maps)

    def _trace(self, area: Area, replay: Replay) -> SimTrace:
        """The native record of what an area replays.

        Raises:
            InvalidInput: the file is another one than when the workload was read.
        """
        if replay.path not in self.traces:
            self.traces[replay.path] = Trace(Path(replay.path))
        trace = self.traces[replay.path]
        traced = area_of(trace, replay.area) if replay.area < len(trace.description.areas) else None
        if traced is None or max(scaled_page(traced.nr_pages, replay.size_scale), 1) * PAGE_SIZE != area.size:
            raise InvalidInput(f"trace: {quoted(replay.path)}: is another file than before; start again")
        self.traced[area.name] = traced
        levels = trace.description.spaces[traced.space].levels
        record = SimTrace(
            data=trace.data, first=traced.first, nr_pages=traced.nr_pages, begin=replay.begin_ns,
            length=replay.end_ns - replay.begin_ns, time_scale=replay.time_scale, size_scale=replay.size_scale,
            nr_levels=len(levels), loop=replay.loop, exact=trace.description.origin == TRUTH,
        )  # fmt: skip
        for number, level in enumerate(levels):
            record.table[number], record.nr[number] = level.offset, level.nr
        return record

    def snapshot(self) -> dict[str, bytes]:
        """The whole state as bytes, addresses left out: equal bytes, equal machines."""
        m = self.m

        def fields(record: ctypes.Structure, skip: int) -> bytes:
            return bytes(record)[skip:]

        image = {
            "machine": fields(m, SimState.seed.offset),
            "event": self.event.head(m.nr_event),
            "process": self.process.head(m.nr_process),
            **self.ram.snapshot(),
            **(self.buddy.snapshot() if self.buddy is not None else {}),
            **self.cgroups.snapshot(),
        }
        for index, (page, st, seg, ext, thp) in enumerate(self.maps):
            row = self.area.rows[index]
            image[f"area {index}"] = fields(row, SimArea.start.offset)
            image[f"pages {index}"] = page.head(row.nr_pages)
            image[f"states {index}"] = st.head(st.length)
            image[f"segments {index}"] = seg.head(row.nr_seg)
            image[f"advice {index}"] = thp.head(thp.length)
            image[f"extents {index}"] = ext.head(row.nr_ext)
        return image
