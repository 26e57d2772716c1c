# SPDX-License-Identifier: GPL-2.0-only
"""Free frames as the kernel's page allocator has them: the memory of ``sim_buddy.c``."""

from __future__ import annotations

import ctypes

from damon.mm.sim.layout import SimBuddy, SimState
from damon.mm.sim.reserve import Reserve
from damon.native import bind

_begin = bind("sim_buddy_begin", None, ctypes.c_void_p)
_add = bind("sim_buddy_add", None, ctypes.c_void_p, ctypes.c_uint64, ctypes.c_uint64)


class Buddy:
    """The lists of free blocks and the processor's list, empty at first.

    Args:
        m: a machine of one node, with its memory; none of it is used yet.
        nr_frames: of the machine.
    """

    def __init__(self, m: SimState, nr_frames: int) -> None:
        self._m, self._own = m, SimBuddy(nr_frames=nr_frames, nr_pcp_max=nr_frames + 1)
        self._order = Reserve(ctypes.c_uint8, nr_frames)
        self._links = [Reserve(ctypes.c_uint32, nr_frames) for _ in range(2)]
        self._pcp = Reserve(ctypes.c_uint32, nr_frames + 1)
        self._own.order, self._own.pcp = self._order.pointer, self._pcp.pointer
        self._own.next, self._own.prev = (links.pointer for links in self._links)
        m.buddy = ctypes.pointer(self._own)
        _begin(ctypes.addressof(m))

    def add(self, frame: int, nr: int) -> None:
        """``nr`` frames from ``frame`` on are free."""
        _add(ctypes.addressof(self._m), frame, nr)

    def blocks(self) -> list[tuple[int, int]]:
        """Free blocks: the first frame, the order; ascending."""
        order = self._order.rows
        return [(frame, order[frame] - 1) for frame in range(self._own.nr_frames) if order[frame]]

    def listed(self) -> list[int]:
        """The processor's list, the newest first."""
        own, ring = self._own, self._pcp.rows
        return [int(ring[(own.last - at) % own.nr_pcp_max]) for at in range(own.nr_pcp)]

    def snapshot(self) -> dict[str, bytes]:
        """What there is of it as bytes."""
        return {"buddy": self._order.head(self._own.nr_frames), "pcp": bytes(str(self.listed()), "ascii")}
