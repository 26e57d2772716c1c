# SPDX-License-Identifier: GPL-2.0-only
"""Physical memory of a simulated machine: System RAM, NUMA nodes, watermarks, frames and lists."""

from __future__ import annotations

import ctypes
from math import isqrt
from typing import Final

from damon.errors import InvalidInput
from damon.mm.interface import PAGE_SIZE
from damon.mm.sim.layout import BLOCK, MAX_NODE, NR_LIST, SimFree, SimRun, SimState
from damon.mm.sim.reserve import Reserve
from damon.workload.model import MachineSpec, Node

MIB: Final = 1 << 20
GIB: Final = 1 << 30
#: What the kernel calls local, and its default for another node.
LOCAL, REMOTE = 10, 20


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
    min_free_kbytes = min(max(isqrt(of * 4 * 16), 128), 262144)
    low = min_free_kbytes // 4 * pages // of
    step = max(low // 4, pages * 10 // 10000)
    return low, low + step, low + 2 * step


class Ram:
    """The frames of all nodes, which of them are free, and the LRU lists.

    Raises:
        InvalidInput: the workload's machine is too small.
    """

    def __init__(self, m: SimState, spec: MachineSpec) -> None:
        self._m = m
        self._spec = spec
        if len(spec.nodes) > MAX_NODE:
            raise InvalidInput(f"machine.nodes: {len(spec.nodes)} nodes are too many; give at most {MAX_NODE}")
        self.specs = spec.nodes or (Node(spec.memory, 0.0),)
        for field, size in [("memory", spec.memory)] + [
            (f"nodes[{n}].size", node.size) for n, node in enumerate(spec.nodes)
        ]:
            if size < 4 * MIB or size % PAGE_SIZE:
                raise InvalidInput(f"machine.{field}: {size} must be a multiple of {PAGE_SIZE}, at least {4 * MIB}")
        self.ranges = system_ram(spec.memory)
        self.pieces = node_ram([node.size for node in self.specs])
        self.held_pages = -(-spec.reserved // PAGE_SIZE)
        self._nodes()
        self._distances()
        self._tables()

    def _nodes(self) -> None:
        """Frames in the order of nodes, of a node the highest memory first, so that it is used first, as the kernel's
        zone order does. The kernel and what is held have the last frames: the lowest memory, the top below 4 GiB."""
        m = self._m
        m.nr_res, m.nr_node = len(self.pieces), len(self.specs)
        for index, (start, end, nid) in enumerate(self.pieces):
            m.res[index].pfn, m.res[index].nr = start // PAGE_SIZE, end // PAGE_SIZE - start // PAGE_SIZE
            m.res[index].node = nid
        self.first_frame: list[int] = []
        self.nr_frames = 0
        for nid, spec in enumerate(self.specs):
            self.first_frame.append(self.nr_frames)
            for index in reversed(range(m.nr_res)):
                if m.res[index].node == nid:
                    m.res[index].frame = self.nr_frames
                    self.nr_frames += m.res[index].nr
            kernel = spec.size // 64
            if not nid:
                kernel = min(kernel + 8 * MIB, spec.size // 4)
            m.node[nid].total = self.nr_frames - self.first_frame[nid] - kernel // PAGE_SIZE
        self.total_pages = sum(m.node[nid].total for nid in range(m.nr_node))
        if self.held_pages > m.node[0].total - MIB // PAGE_SIZE:
            most = m.node[0].total * PAGE_SIZE - MIB
            raise InvalidInput(f"machine.reserved: {self._spec.reserved} leaves nothing to run in; give at most {most}")
        for nid in range(m.nr_node):
            on = m.node[nid]
            on.wmark_min, on.wmark_low, on.wmark_high = watermarks(on.total, self.total_pages)
            on.nr_free = on.total - (0 if nid else self.held_pages)

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
        """Rings of lists are twice as long as there are frames: after dropping stale runs half of one is free."""
        m = self._m
        self.block = Reserve(ctypes.c_uint64, self.nr_frames // BLOCK + 1, huge=True)
        self.leaf = Reserve(ctypes.c_uint64, self.nr_frames + BLOCK)
        m.block, m.leaf = self.block.pointer, self.leaf.pointer
        length = 1 << (2 * self.nr_frames + 1024).bit_length()
        m.run_mask = length - 1
        self.free: list[Reserve] = []
        self.runs: list[list[Reserve]] = []
        for nid in range(m.nr_node):
            self.free.append(Reserve(SimFree, self.nr_frames + 1))
            m.free[nid] = self.free[nid].pointer
            self.free[nid].rows[0].frame, self.free[nid].rows[0].nr = self.first_frame[nid], m.node[nid].nr_free
            m.node[nid].nr_free_runs = 1
            self.runs.append([Reserve(SimRun, length) for _ in range(NR_LIST)])
            for index, ring in enumerate(self.runs[nid]):
                m.run[nid][index] = ring.pointer

    def snapshot(self) -> dict[str, bytes]:
        """What there is of it as bytes: equal bytes, equal memory."""
        m = self._m
        image = {"block": self.block.head(self.block.length), "leaf": self.leaf.head(self.leaf.length)}
        for nid in range(m.nr_node):
            on = m.node[nid]
            image[f"free {nid}"] = self.free[nid].head(on.nr_free_runs)
            for index, ring in enumerate(self.runs[nid]):
                image[f"list {nid} {index}"] = b"".join(
                    bytes(ring.rows[at & m.run_mask]) for at in range(on.tail[index], on.head[index])
                )
        return image
