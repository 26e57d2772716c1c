# SPDX-License-Identifier: GPL-2.0-only
"""Many sampling intervals of all targets in one native call, where the machine lets C pass its time.

What happens is what ``sampling.prepare()``, a sleep and ``sampling.check()`` do, once for each interval.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import byref, c_uint32, c_uint64, c_void_p
from typing import Final

from damon.model.arrays import Buffer
from damon.model.context import DamonCtx
from damon.model.operations import Stretch
from damon.model.target import DamonTarget
from damon.native import bind
from damon.native.layout import shared

_sample = bind(
    "damon_sample",
    c_uint32, c_void_p, c_uint32, c_void_p, c_uint64, c_uint32, c_uint32, c_void_p, c_void_p, c_void_p, c_void_p,
)  # fmt: skip

#: Samples of regions in one call at most: others want to have a turn, too.
_MOST: Final = 1 << 21
#: More regions than the limit for a while, where a quota ends within one and the next window goes on.
_CUTS: Final = 32
#: No interval has passed: the worker has to go through it step by step.
NONE: Final = (0, 0)


@shared("damon_sampled")
class Sampled(ctypes.Structure):
    """What is sampled of one target: ``struct damon_sampled``."""

    _fields_ = (
        *((name, c_void_p) for name in ("regions", "spans", "addrs", "hits", "accessed", "access")),
        *((name, c_uint64) for name in ("nr", "capacity", "room", "nr_spans")),
    )


class Rows:
    """The native view of a context's targets, kept from call to call."""

    def __init__(self, nr: int) -> None:
        self.nr = nr
        self.rows = (Sampled * nr)()
        self.pointer = ctypes.addressof(self.rows)
        self.highest = c_uint32()
        self.found = c_uint64()
        self.spans = [Buffer(c_uint64) for _ in range(nr)]
        self.hits = [Buffer(c_uint32) for _ in range(nr)]

    def fill(self, index: int, target: DamonTarget, room: int) -> None:
        """Target ``index`` and scratch for ``room`` regions of it."""
        spans, hits, row, regions = self.spans[index], self.hits[index], self.rows[index], target.regions
        spans.reserve(3 * room)
        for scratch in (hits, target.addrs, target.accessed):
            scratch.reserve(room)
        row.spans, row.hits = spans.pointer_to(3 * room), hits.pointer_to(room)
        row.regions, row.nr, row.capacity, row.room = regions.pointer, regions.nr, regions.capacity, room
        row.addrs, row.accessed = target.addrs.pointer_to(room), target.accessed.pointer_to(room)


def sample_ahead(
    ctx: DamonCtx, spaces: Sequence[object], nr: int, stretch: Stretch, addr_unit: int = 1
) -> tuple[int, int]:
    """Up to ``nr`` sampling intervals of ``ctx``, whose targets are in ``spaces``, and more with a boundary in
    ``stretch``: how many there were, and the highest ``nr_accesses`` after the last."""
    machine = ctx.machine
    begin, finish = getattr(machine, "begin_stretch", None), getattr(machine, "end_stretch", None)
    if begin is None or finish is None or ctx.reference:
        return NONE
    view = ctx.sampled
    if not isinstance(view, Rows) or view.nr != len(spaces):
        view = ctx.sampled = Rows(len(spaces))
    nr_regions = 1
    for index, (row, target, space) in enumerate(zip(view.rows, ctx.targets, spaces, strict=True)):
        access = getattr(space, "native_access", None)
        row.access = access() if access is not None else None
        if not row.access:
            return NONE
        regions = target.regions
        room = regions.nr
        if stretch.boundary:
            room = max(room, min(regions.capacity, ctx.attrs.max_nr_regions + _CUTS))
        view.fill(index, target, room)
        nr_regions += regions.nr
    time = begin(max(ctx.attrs.sample_interval, 1), stretch)
    if time is None:
        return NONE
    view.found.value = ctx.found
    done = _sample(
        view.pointer, view.nr, ctx.rnd.pointer, addr_unit, min(nr, 1 << 31), _MOST // nr_regions, time,
        stretch.boundary, byref(view.highest), byref(view.found),
    )  # fmt: skip
    ctx.found = view.found.value
    for row, target in zip(view.rows, ctx.targets, strict=True):
        target.regions.nr = row.nr
    finish()
    return done, view.highest.value
