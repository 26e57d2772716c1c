# SPDX-License-Identifier: GPL-2.0-only
"""Physical memory of a simulated machine: System RAM, NUMA nodes, watermarks, frames and lists."""

from __future__ import annotations

import ctypes
from dataclasses import dataclass
from math import isqrt
from typing import Final

from damon.errors import InvalidInput
from damon.mm.sim.layout import BLOCK, MAX_NODE, SimFree, SimState
from damon.mm.sim.reserve import Reserve
from damon.model.machine import PAGE_SIZE
from damon.workload.model import Node, Workload

MIB: Final = 1 << 20
GIB: Final = 1 << 30
#: What the kernel calls local, and its default for another node.
LOCAL, REMOTE = 10, 20
#: Memory that comes later begins at a multiple of this (``SECTION_SIZE_BITS``).
SECTION: Final = 128 * MIB


def system_ram(memory: int) -> list[tuple[int, int]]:
    """System RAM as a PC's ``/proc/iomem`` has it: below 640 KiB, up to the hole below 4 GiB, and above it."""
    low = min(memory, 3 * GIB)
    ranges = [(0x1000, 0x9FC00), (MIB, low)]
    if memory > low:
        ranges.append((4 * GIB, 4 * GIB + memory - low))
    return ranges


def node_ram(sizes: list[int]) -> list[tuple[int, int, int]]:
    """``(start, end, nid)`` in address order: the nodes' memory one after the other, the hole left out."""
    low = min(sum(sizes), 3 * GIB)
    pieces, at = [], 0
    for nid, size in enumerate(sizes):
        first = at if at < low else 4 * GIB + at - low
        at += size
        last = at if at <= low else 4 * GIB + at - low
        for start, end in system_ram(sum(sizes)):
            if max(start, first) < min(end, last):
                pieces.append((max(start, first), min(end, last), nid))
    return sorted(pieces)


def watermarks(pages: int, of: int = 0) -> tuple[int, int, int]:
    """min, low and high free pages of a node with ``pages`` of all the machine's (``of``), as
    ``init_per_zone_wmark_min`` and ``__setup_per_zone_wmarks`` set them."""
    of = of or pages
    if not pages:
        return 0, 0, 0
    min_free_kbytes = min(max(isqrt(of * 4 * 16), 128), 262144)
    low = min_free_kbytes // 4 * pages // of
    step = max(low // 4, pages * 10 // 10000)
    return low, low + step, low + 2 * step


@dataclass
class Piece:
    """A resource, native record by record: ``[start, end)`` is online, ``[end, limit)`` may be."""

    start: int
    end: int
    limit: int
    nid: int
    held: bool = False  #: the kernel's and what is held: stays online
    frame: int = 0

    @property
    def pages(self) -> int:
        return self.end // PAGE_SIZE - self.start // PAGE_SIZE


def growth(workload: Workload) -> list[int]:
    """The most bytes that each node ever has more than at the start."""
    now = [0] * max(len(workload.machine.nodes), 1)
    most = list(now)
    for phase in workload.phases:
        for one in phase.hotplug:
            if one.node >= len(now):
                raise InvalidInput(f"phase {phase.name!r}: node {one.node}: does not exist; there are {len(now)}")
            now[one.node] += one.size if one.online else -one.size
            most[one.node] = max(most[one.node], now[one.node])
    return most


def _own(size: int) -> int:
    """What the kernel itself has of a machine's first node, bytes: ``totalram_pages`` is without it."""
    return min(size // 64 + 8 * MIB, size // 4)


def memory_of(total: int) -> int:
    """``machine.memory`` of a machine of which the kernel has ``total`` bytes in use (``MemTotal``): whole MiB."""
    total += (
        MIB - sum(end - start for start, end in system_ram(MIB)[:1]) + PAGE_SIZE
    )  # no System RAM, and half of a page
    least = min((total + 8 * MIB) * 64 / 63, total * 4 / 3)
    return -(-int(least) // MIB) * MIB


class Ram:
    """The frames of all nodes, and which of them are free.

    Raises:
        InvalidInput: the workload's machine is too small.
    """

    def __init__(self, m: SimState, workload: Workload) -> None:
        self._m = m
        self._spec = spec = workload.machine
        self.specs = spec.nodes or (Node(spec.memory, 0.0),)
        self._check()
        self._held = [size // 64 // PAGE_SIZE for size in (node.size for node in self.specs)]
        self._held[0] = _own(self.specs[0].size) // PAGE_SIZE
        self.held_pages = -(-spec.reserved // PAGE_SIZE)
        self._pieces(any(phase.hotplug for phase in workload.phases), growth(workload))
        self._nodes()
        self._distances()
        self._tables()

    def _check(self) -> None:
        spec = self._spec
        if len(spec.nodes) > MAX_NODE:
            raise InvalidInput(f"machine.nodes: {len(spec.nodes)}: are too many; give at most {MAX_NODE}")
        sizes = [("memory", spec.memory), *((f"nodes[{n}].size", node.size) for n, node in enumerate(spec.nodes))]
        for number, (field, size) in enumerate(sizes):
            if (size or number < 2) and (size < 4 * MIB or size % PAGE_SIZE):
                raise InvalidInput(
                    f"machine.{field}: {size}: is not valid; give a multiple of {PAGE_SIZE}, at least {4 * MIB}"
                )

    def _pieces(self, plugged: bool, growing: list[int]) -> None:
        """Frames in the order of nodes, of a node the highest memory first, so that it is used first, as the kernel's
        zone order does. The kernel and what is held have the last frames: the lowest memory, the top below 4 GiB.
        Memory that comes later lies above all, in whole sections."""
        self.pieces = [Piece(start, end, end, nid) for start, end, nid in node_ram([node.size for node in self.specs])]
        self.first_frame: list[int] = []
        self.nr_frames = 0
        for nid in range(len(self.specs)):
            self.first_frame.append(self.nr_frames)
            own = [piece for piece in reversed(self.pieces) if piece.nid == nid]
            free = sum(piece.pages for piece in own) - self._held[nid] - (0 if nid else self.held_pages)
            for piece in own:
                piece.frame = self.nr_frames
                self.nr_frames += piece.pages
                if plugged and piece.pages > free:  # what stays apart from what may go
                    cut = piece.start + max(free, 0) * PAGE_SIZE
                    if cut > piece.start:
                        rest = Piece(cut, piece.end, piece.end, nid, True, piece.frame + free)
                        self.pieces.insert(self.pieces.index(piece) + 1, rest)
                        piece.end = piece.limit = cut
                    else:
                        piece.held = True
                free -= piece.pages
        at = max(piece.end for piece in self.pieces)
        for nid, size in enumerate(growing):
            if size:
                at = -(-at // SECTION) * SECTION
                self.pieces.append(Piece(at, at, at + size, nid, frame=self.nr_frames))
                self.nr_frames += size // PAGE_SIZE
                at += size

    def _nodes(self) -> None:
        m = self._m
        m.nr_res, m.nr_node = len(self.pieces), len(self.specs)
        for res, piece in zip(m.res, self.pieces, strict=False):
            res.pfn, res.nr, res.frame, res.node = piece.start // PAGE_SIZE, piece.pages, piece.frame, piece.nid
        for nid in range(m.nr_node):
            m.node[nid].total = sum(piece.pages for piece in self.pieces if piece.nid == nid) - self._held[nid]
            m.node[nid].nr_free = m.node[nid].total - (0 if nid else self.held_pages)
        if self.held_pages > m.node[0].total - MIB // PAGE_SIZE:
            most = m.node[0].total * PAGE_SIZE - MIB
            raise InvalidInput(
                f"machine.reserved: {self._spec.reserved}: leaves nothing to run in; give at most {most}"
            )
        self.set_watermarks()

    def set_watermarks(self) -> None:
        """Each node's, for the memory that it has now."""
        nodes = [self._m.node[nid] for nid in range(self._m.nr_node)]
        for on in nodes:
            on.wmark_min, on.wmark_low, on.wmark_high = watermarks(on.total, sum(node.total for node in nodes))

    def spans(self) -> list[tuple[int, int, int]]:
        """``(start, end, nid)`` of what is online, in address order."""
        spans: list[tuple[int, int, int]] = []
        for piece in self.pieces:
            if piece.end == piece.start:
                continue
            if spans and spans[-1][1:] == (piece.start, piece.nid):
                spans[-1] = (spans[-1][0], piece.end, piece.nid)
            else:
                spans.append((piece.start, piece.end, piece.nid))
        return spans

    def ranges(self) -> list[tuple[int, int]]:
        """System RAM in address order."""
        ranges: list[tuple[int, int]] = []
        for start, end, _nid in self.spans():
            if ranges and ranges[-1][1] == start:
                ranges[-1] = (ranges[-1][0], end)
            else:
                ranges.append((start, end))
        return ranges

    def _distances(self) -> None:
        m = self._m
        m.latency = bool(self._spec.nodes)
        everyone = range(m.nr_node)
        for here in everyone:
            given = self.specs[here].distances
            distance = given or [LOCAL if there == here else REMOTE for there in everyone]
            by_distance = sorted(everyone, key=lambda there: (distance[there], there != here, there))
            for there in everyone:
                m.node[here].order[there] = by_distance[there]
                m.node[here].touch_ns[there] = round(self.specs[there].latency_ns * distance[there] / LOCAL)

    def _tables(self) -> None:
        m = self._m
        self.block = Reserve(ctypes.c_uint64, self.nr_frames // BLOCK + 1, huge=True)
        self.leaf = Reserve(ctypes.c_uint64, self.nr_frames + BLOCK)
        self.vacant = Reserve(ctypes.c_uint64, (self.nr_frames // BLOCK + 1) * (BLOCK // 64), huge=True)
        self.used = Reserve(ctypes.c_uint64, self.nr_frames // BLOCK // 64 + 1)
        m.block, m.leaf = self.block.pointer, self.leaf.pointer
        m.vacant, m.used = self.vacant.pointer, self.used.pointer
        self.free: list[Reserve] = []
        for nid in range(m.nr_node):
            self.free.append(Reserve(SimFree, self.nr_frames + 1))
            m.free[nid] = self.free[nid].pointer
            if m.node[nid].nr_free:
                self.free[nid].rows[0].frame, self.free[nid].rows[0].nr = self.first_frame[nid], m.node[nid].nr_free
                m.node[nid].nr_free_runs = 1

    def snapshot(self) -> dict[str, bytes]:
        """What there is of it as bytes: equal bytes, equal memory."""
        m = self._m
        image = {"block": self.block.head(self.block.length), "leaf": self.leaf.head(self.leaf.length)}
        for nid in range(m.nr_node):
            image[f"free {nid}"] = self.free[nid].head(m.node[nid].nr_free_runs)
        return image
