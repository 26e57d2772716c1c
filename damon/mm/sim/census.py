# SPDX-License-Identifier: GPL-2.0-only
"""Which areas' pages are in which ranges of addresses of a simulated machine. Looking changes nothing."""

from __future__ import annotations

import ctypes
from array import array
from collections.abc import Sequence
from ctypes import c_uint32, c_uint64, c_void_p
from typing import TYPE_CHECKING, Final

from damon.model.machine import PAGE_SIZE
from damon.native import bind

if TYPE_CHECKING:
    from damon.mm.sim.machine import SimulatedMachine

_census = bind("sim_census", None, c_void_p, c_uint32, c_void_p, c_uint32, c_uint64, c_void_p)
_PHYSICAL: Final = (1 << 32) - 1
#: Of more pages, every so many-th one is looked at.
_PAGES: Final = 1 << 20


def census(
    machine: SimulatedMachine, ranges: Sequence[tuple[int, int]], process: int | None = None
) -> list[dict[str, int]]:
    """Bytes in memory of each area that has some: of each of ``ranges``, and then of those in none.

    Args:
        ranges: bytes, ascending and disjoint; physical addresses, or those of ``process``.
        process: the index of one in the machine's state; None: physical memory.
    """
    state = machine.state
    names = list(state.placed)
    bounds = array("Q", [bound for pair in ranges for bound in pair] or [0])
    found = array("Q", bytes(8 * (len(ranges) + 1) * len(names)))
    step = max(sum(area.size for area in machine.workload.areas) // PAGE_SIZE // _PAGES, 1)
    _census(
        ctypes.addressof(state.m), _PHYSICAL if process is None else process, bounds.buffer_info()[0], len(ranges),
        step, found.buffer_info()[0],
    )  # fmt: skip
    result = []
    for row in range(len(ranges) + 1):
        counts = found[row * len(names) : (row + 1) * len(names)]
        result.append({name: nr * PAGE_SIZE for name, nr in zip(names, counts, strict=True) if nr})
    return result
