# SPDX-License-Identifier: GPL-2.0-only
"""Where the areas of a simulated machine's workload are in physical memory, in rows of bounded number."""

from __future__ import annotations

import ctypes
from ctypes import c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from damon.mm.sim.layout import BLOCK
from damon.model.machine import PAGE_SIZE
from damon.native import bind

if TYPE_CHECKING:
    from damon.mm.sim.machine import SimulatedMachine

#: Blocks of memory, and rows, at most; of a machine with more frames than the last number, some are looked at.
MAX_BLOCKS: Final = 512
MAX_ROWS: Final = 2048
_MAX_FRAMES: Final = 1 << 18
_placed = bind("sim_placed", c_uint32, c_void_p, c_uint64, c_uint64, c_void_p, c_uint32)


@dataclass(frozen=True)
class Placed:
    """``resident_bytes`` of ``area`` are in the physical range from ``start`` to ``end``, bytes."""

    area: str
    start: int
    end: int
    resident_bytes: int


def placement(machine: SimulatedMachine) -> list[Placed]:
    """The ranges by address: whole where an area has all of them, else blocks of at least 2 MiB with a part of each.

    On a machine of more than 1 GiB the parts are estimates, from every so many frames.
    """
    state = machine.state
    frames = sum(state.m.res[number].nr for number in range(state.m.nr_res))
    block = BLOCK
    while frames > block * MAX_BLOCKS:
        block *= 2
    stride = max(frames // _MAX_FRAMES, 1)
    words = (c_uint64 * (4 * MAX_ROWS))()
    nr = _placed(ctypes.addressof(state.m), block, stride, ctypes.addressof(words), MAX_ROWS)
    names = {placed.id: name for name, placed in state.placed.items()}
    rows = [words[at : at + 4] for at in range(0, 4 * nr, 4)]
    return [
        Placed(names[area], pfn * PAGE_SIZE, (pfn + frames) * PAGE_SIZE, pages * PAGE_SIZE)
        for area, pfn, frames, pages in rows
    ]
