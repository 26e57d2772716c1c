# SPDX-License-Identifier: GPL-2.0-only
"""The memory that a simulated machine lives in, and how a workload's machine and areas are laid out in it."""

from __future__ import annotations

import contextlib
import ctypes
import mmap
from dataclasses import dataclass
from math import isqrt
from typing import Any, Final

from damon.errors import InvalidInput, MissingCapability
from damon.mm.interface import PAGE_SIZE
from damon.mm.sim.layout import (
    ANON,
    BLOCK,
    FILE,
    MAX_SEG,
    NEVER,
    NR_LIST,
    SimArea,
    SimEvent,
    SimExt,
    SimFree,
    SimPage,
    SimProc,
    SimRun,
    SimSeg,
    SimState,
)
from damon.workload.model import Area, Kind, MachineSpec, Workload

MAP_NORESERVE: Final = getattr(mmap, "MAP_NORESERVE", 0x4000)
MIB: Final = 1 << 20
GIB: Final = 1 << 30
#: Processes have their program and their stack at the usual places; both stay without memory here.
PROGRAM: Final = (0x5555_5555_4000, 0x5555_5556_4000)
STACK: Final = (0x7FFF_FFFD_E000, 0x7FFF_FFFF_F000)
MMAP_BASE: Final = 0x7000_0000_0000
HUGE: Final = 2 * MIB


class Reserve:
    """An array in reserved address space: zero, and free of cost until it is touched, however long."""

    def __init__(self, ctype: Any, length: int, *, huge: bool = False) -> None:
        self.ctype = ctype
        self.length = max(length, 1)
        try:
            self._map = mmap.mmap(
                -1, self.length * ctypes.sizeof(ctype), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | MAP_NORESERVE
            )
        except OSError as error:
            size = self.length * ctypes.sizeof(ctype) >> 20
            raise MissingCapability(
                f"cannot reserve {size} MiB of address space for the simulated machine ({error.strerror}); "
                "simulate less memory, or set vm.overcommit_memory to 0 or 1"
            ) from None
        if huge:  # wanted where samples fall at random: a page walk costs more than the read
            with contextlib.suppress(OSError):
                self._map.madvise(mmap.MADV_HUGEPAGE)
        self.rows: Any = (ctype * self.length).from_buffer(self._map)
        self.pointer = ctypes.cast(self.rows, ctypes.POINTER(ctype))

    def discard(self) -> None:
        """All zero again."""
        self._map.madvise(mmap.MADV_DONTNEED)


@dataclass(frozen=True)
class PlacedArea:
    """An area of the workload, its id in the native array and its address."""

    area: Area
    id: int
    start: int

    @property
    def end(self) -> int:
        return self.start + self.area.size


def system_ram(memory: int) -> list[tuple[int, int]]:
    """System RAM as a PC's ``/proc/iomem`` has it: below 640 KiB, up to the hole below 4 GiB, and above it."""
    low = min(memory, 3 * GIB)
    ranges = [(0x1000, 0x9FC00), (MIB, low)]
    if memory > low:
        ranges.append((4 * GIB, 4 * GIB + memory - low))
    return ranges


def watermarks(pages: int) -> tuple[int, int, int]:
    """min, low and high free pages as ``init_per_zone_wmark_min`` and ``__setup_per_zone_wmarks`` set them."""
    min_free_kbytes = min(max(isqrt(pages * 4 * 16), 128), 262144)
    low = min_free_kbytes // 4
    step = max(low // 4, pages * 10 // 10000)
    return low, low + step, low + 2 * step


class State:
    """All memory of one simulated machine.

    Raises:
        InvalidInput: the workload's machine is too small.
        MissingCapability: this system refuses the address space.
    """

    def __init__(self, workload: Workload, seed: int) -> None:
        spec = workload.machine
        if spec.memory < 4 * MIB or spec.memory % PAGE_SIZE:
            raise InvalidInput(f"machine.memory: {spec.memory} must be a multiple of {PAGE_SIZE}, at least {4 * MIB}")
        self.m = SimState()
        self.m.seed = seed & (2**64 - 1)
        self.ranges = system_ram(spec.memory)
        self.nr_frames = self._resources()
        kernel = min(spec.memory // 64 + 8 * MIB, spec.memory // 4) // PAGE_SIZE
        self.total_pages = self.nr_frames - kernel
        self.held_pages = -(-spec.reserved // PAGE_SIZE)
        if self.held_pages > self.total_pages - MIB // PAGE_SIZE:
            most = self.total_pages * PAGE_SIZE - MIB
            raise InvalidInput(f"machine.reserved: {spec.reserved} leaves nothing to run in; give at most {most}")
        self._costs(spec)
        self._frames()
        self.placed: dict[str, PlacedArea] = {}
        self.memcgs: dict[str, int] = {}
        self._areas(workload)
        self._lists()

    def _resources(self) -> int:
        """Frame numbers: the highest memory first, so that it is used first, as the kernel's zone order does."""
        spans = [(start // PAGE_SIZE, end // PAGE_SIZE - start // PAGE_SIZE) for start, end in self.ranges]
        frame = 0
        for index in reversed(range(len(spans))):
            res = self.m.res[index]
            res.pfn, res.nr = spans[index]
            res.frame = frame
            frame += res.nr
        self.m.nr_res = len(spans)
        return frame

    def _costs(self, spec: MachineSpec) -> None:
        m = self.m
        m.wmark_min, m.wmark_low, m.wmark_high = watermarks(self.total_pages)
        if spec.swap is not None:
            m.swap_pages = spec.swap.size // PAGE_SIZE
            m.swap_read_ns = round(spec.swap.read_us * 1000)
            m.swap_write_ns = round(spec.swap.write_us * 1000)
        m.file_read_ns = round(spec.file_read_us * 1000)
        m.file_write_ns = round(spec.file_write_us * 1000)
        m.fault_ns = round(spec.fault_us * 1000)
        m.reclaim_ns = round(spec.reclaim_us * 1000)
        m.scan_ns = round(spec.scan_us * 1000)

    def _frames(self) -> None:
        """All but the last frames are free; the kernel and what is held has those: the lowest memory, and the top
        below 4 GiB."""
        m = self.m
        self.block = Reserve(ctypes.c_uint64, self.nr_frames // BLOCK + 1, huge=True)
        self.leaf = Reserve(ctypes.c_uint64, self.nr_frames + BLOCK)
        self.free = Reserve(SimFree, self.nr_frames + 1)
        m.block, m.leaf, m.free = self.block.pointer, self.leaf.pointer, self.free.pointer
        self.free.rows[0].frame, self.free.rows[0].nr = 0, self.total_pages - self.held_pages
        m.nr_free_runs, m.nr_free = 1, self.total_pages - self.held_pages

    def _areas(self, workload: Workload) -> None:
        m = self.m
        self.processes = workload.processes
        m.nr_area, m.nr_process = len(workload.areas), len(self.processes)
        self.area = Reserve(SimArea, len(workload.areas))
        self.process = Reserve(SimProc, len(self.processes))
        m.area, m.process = self.area.pointer, self.process.pointer
        self.maps: list[tuple[Reserve, Reserve, Reserve, Reserve]] = []
        pages = 0
        for index, name in enumerate(self.processes):
            proc = self.process.rows[index]
            proc.first_area = len(self.maps)
            at = MMAP_BASE
            for area in workload.areas:
                if area.process != name:
                    continue
                memcg = self._memcg(workload.memcg(area))
                if area.size >= HUGE:  # aligned for huge pages, as the kernel does
                    at = (at + HUGE - 1) & -HUGE
                self._area(area, at, index, memcg)
                at += area.size + PAGE_SIZE
                pages += area.size // PAGE_SIZE
            proc.nr_area = len(self.maps) - proc.first_area
        self.event = Reserve(SimEvent, 2 * pages + 64)
        m.event = self.event.pointer
        m.next_event = NEVER

    def _memcg(self, name: str) -> int:
        """The id of a cgroup; it and those above it get one at the first mention. 0: no cgroup."""
        above = ""
        for part in filter(None, name.split("/")):
            above = f"{above}/{part}".lstrip("/")
            self.memcgs.setdefault(above, len(self.memcgs) + 1)
        return self.memcgs.get(name, 0)

    def memcg_tree(self, memcg_id: int) -> set[int]:
        """The ids of a cgroup and of those below it; empty when there is none."""
        above = next((name for name, known in self.memcgs.items() if known == memcg_id), None)
        if above is None:
            return set()
        return {known for name, known in self.memcgs.items() if f"{name}/".startswith(f"{above}/")}

    def areas(self) -> list[SimArea]:
        """The native records of all areas."""
        return [self.area.rows[placed.id] for placed in self.placed.values()]

    def _area(self, area: Area, start: int, process: int, memcg: int) -> None:
        nr, row = area.size // PAGE_SIZE, self.area.rows[len(self.maps)]
        maps = (
            Reserve(SimPage, nr),
            Reserve(ctypes.c_uint8, -(-nr // 4), huge=True),
            Reserve(SimSeg, MAX_SEG),
            Reserve(SimExt, min(nr, self.nr_frames // BLOCK + 2)),
        )
        row.page, row.st, row.seg, row.ext = (part.pointer for part in maps)
        row.start, row.nr_pages, row.process = start, nr, process
        row.memcg = memcg
        row.kind = FILE if area.kind is Kind.FILE else ANON
        self.placed[area.name] = PlacedArea(area, len(self.maps), start)
        self.maps.append(maps)

    def _lists(self) -> None:
        """Rings twice as long as there are frames: after dropping stale runs at least half of one is free."""
        length = 1 << (2 * self.nr_frames + 1024).bit_length()
        self.m.run_mask = length - 1
        self.runs = [Reserve(SimRun, length) for _ in range(NR_LIST)]
        for index, ring in enumerate(self.runs):
            self.m.run[index] = ring.pointer

    def snapshot(self) -> dict[str, bytes]:
        """The whole state as bytes, addresses left out: equal bytes, equal machines."""
        m = self.m

        def head(array: Reserve, length: int) -> bytes:
            return ctypes.string_at(array.pointer, length * ctypes.sizeof(array.ctype))

        def fields(record: ctypes.Structure, skip: int) -> bytes:
            return bytes(record)[skip:]

        image = {
            "machine": fields(m, SimState.seed.offset),
            "block": head(self.block, self.block.length),
            "leaf": head(self.leaf, self.leaf.length),
            "free": head(self.free, m.nr_free_runs),
            "event": head(self.event, m.nr_event),
            "process": head(self.process, m.nr_process),
        }
        for index, ring in enumerate(self.runs):
            image[f"list {index}"] = b"".join(
                bytes(ring.rows[at & m.run_mask]) for at in range(m.tail[index], m.head[index])
            )
        for index, (page, st, seg, ext) in enumerate(self.maps):
            row = self.area.rows[index]
            image[f"area {index}"] = fields(row, SimArea.start.offset)
            image[f"pages {index}"] = head(page, row.nr_pages)
            image[f"states {index}"] = head(st, st.length)
            image[f"segments {index}"] = head(seg, row.nr_seg)
            image[f"extents {index}"] = head(ext, row.nr_ext)
        return image
