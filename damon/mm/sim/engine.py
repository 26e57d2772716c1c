# SPDX-License-Identifier: GPL-2.0-only
"""The C routines on a machine's state.

Times are ns of virtual time, costs ns of the caller's, pages and areas numbers within the state.
"""

from __future__ import annotations

import ctypes
from ctypes import byref, c_double, c_int, c_int64, c_uint32, c_uint64, c_void_p
from typing import Any

from damon.mm.ahead import NativeAccess, NativeTime
from damon.mm.sim.closed import Releasable
from damon.mm.sim.layout import SimArea, SimSeg, SimSpace
from damon.mm.sim.state import State
from damon.model.arrays import FolioArray
from damon.native import bind

_area_map = bind("sim_area_map", None, c_void_p, c_uint32, c_int, c_int64)
_area_clear = bind("sim_area_clear", None, c_void_p, c_uint32, c_int64)
_area_access = bind("sim_area_access", None, c_void_p, c_uint32, c_void_p)
_event_purge = bind("sim_event_purge", None, c_void_p)
_event_area = bind("sim_event_area", None, c_void_p, c_uint32, c_int64)
_advance = bind("sim_advance", None, c_void_p, c_int64)
_phys_mkold = bind("sim_phys_mkold", None, c_void_p, c_void_p, c_uint32, c_int64)
_phys_young = bind("sim_phys_young", None, c_void_p, c_void_p, c_uint32, c_void_p, c_int64)
_virt_mkold = bind("sim_virt_mkold", None, c_void_p, c_uint32, c_void_p, c_uint32, c_int64)
_virt_young = bind("sim_virt_young", None, c_void_p, c_uint32, c_void_p, c_uint32, c_void_p, c_int64)
_folios = bind("sim_folios", c_uint32, c_void_p, c_void_p, c_uint64, c_void_p, c_uint32)
_folios_at = bind("sim_folios_at", None, c_void_p, c_void_p, c_uint32, c_void_p)
_walk = bind("sim_walk", c_uint32, c_void_p, c_uint32, c_void_p, c_uint64, c_void_p, c_uint32)
_folios_young = bind("sim_folios_young", None, c_void_p, c_void_p, c_uint32, c_int64)
_folios_mkold = bind("sim_folios_mkold", None, c_void_p, c_void_p, c_uint32, c_int64)
_pageout = bind("sim_pageout", c_uint64, c_void_p, c_void_p, c_uint32, c_int64, c_void_p)
_migrate = bind("sim_migrate", c_uint64, c_void_p, c_void_p, c_uint32, c_int64, c_void_p)
_lru_move = bind("sim_lru_move", c_uint64, c_void_p, c_void_p, c_uint32, c_int)
_advise = bind("sim_advise", c_uint64, c_void_p, c_uint32, c_uint64, c_uint64, c_int, c_int64, c_void_p)
_thp_advise = bind("sim_thp_advise", c_int, c_void_p, c_uint32, c_uint64, c_uint64, c_int, c_int64, c_void_p)
_offline = bind("sim_offline", c_int, c_void_p, c_uint64, c_uint64, c_int64)
_online = bind("sim_online", None, c_void_p, c_uint64, c_uint64)
_trace_stage = bind("sim_trace_stage", c_int64, c_void_p, c_uint32, c_int64)
_trace_touches = bind("sim_trace_touches", c_double, c_void_p, c_int64, c_int64)
_trace_page = bind("sim_trace_page", c_int64, c_void_p, c_int64, c_double, c_double)
_trace_write = bind("sim_trace_write", c_double, c_void_p, c_uint64, c_int64)
_access = bind("sim_access", None, c_void_p, c_void_p, c_int)
_time = bind("sim_time", None, c_void_p, c_void_p)


def trace_touches(area: SimArea, lo: int, to: int) -> float:
    """Touches after ``lo`` and not after ``to`` of an area that replays a trace."""
    return float(_trace_touches(byref(area), lo, to))


def trace_page(area: SimArea, t: int, which: float, slot: float) -> int:
    """The page that one of the touches at ``t`` hits, by two numbers above 0 and up to 1; -1: there is none."""
    return int(_trace_page(byref(area), t, which, slot))


def trace_write(area: SimArea, page: int, t: int) -> float:
    """The share of writes among the touches of a page at ``t``."""
    return float(_trace_write(byref(area), page, t))


class Engine(Releasable):
    """What can be done with a machine's state. Addresses and folios come as pointers to native arrays.

    After ``release()`` everything is refused (ENODEV).
    """

    def __init__(self, state: State) -> None:
        self._state = state  # keeps the memory
        self._m = ctypes.addressof(state.m)

    def area_map(self, area: int, populate: bool, t: int) -> None:
        """Map an area; its pages at once when ``populate``."""
        _area_map(self._m, area, populate, t)

    def area_clear(self, area: int, t: int) -> None:
        """Unmap an area; nothing of its pages stays."""
        _area_clear(self._m, area, t)

    def area_access(self, area: int, seg: SimSeg) -> None:
        """The area is accessed as ``seg`` describes from ``seg.t0`` on."""
        _area_access(self._m, area, byref(seg))

    def event_purge(self) -> None:
        """Forget the events of areas that changed."""
        _event_purge(self._m)

    def event_area(self, area: int, t: int) -> None:
        """Events for the next touches of all absent pages of an area that changed at ``t``."""
        _event_area(self._m, area, t)

    def advance(self, now: int) -> None:
        """Everything that happens up to ``now``."""
        _advance(self._m, now)

    def phys_mkold(self, addrs: int, nr: int, now: int) -> None:
        _phys_mkold(self._m, addrs, nr, now)

    def phys_young(self, addrs: int, nr: int, out: int, now: int) -> None:
        _phys_young(self._m, addrs, nr, out, now)

    def virt_mkold(self, process: int, addrs: int, nr: int, now: int) -> None:
        _virt_mkold(self._m, process, addrs, nr, now)

    def virt_young(self, process: int, addrs: int, nr: int, out: int, now: int) -> None:
        _virt_young(self._m, process, addrs, nr, out, now)

    def folios(self, pfn: int, end: int, out: FolioArray) -> int:
        """The folios in frames ``[pfn, end)``, as many as fit; where to go on."""
        at = c_uint64(pfn)
        out.nr = _folios(self._m, byref(at), end, out.pointer, out.capacity)
        return at.value

    def folios_at(self, addrs: int, nr: int, out: FolioArray) -> None:
        """Row by row the folio at each address; ``nr_pages`` 0: none."""
        _folios_at(self._m, addrs, nr, out.pointer_to(nr))
        out.nr = nr

    def walk(self, process: int, addr: int, end: int, out: FolioArray) -> int:
        """The folios that a process maps in ``[addr, end)``, as many as fit; where to go on."""
        at = c_uint64(addr)
        out.nr = _walk(self._m, process, byref(at), end, out.pointer, out.capacity)
        return at.value

    def folios_young(self, folios: FolioArray, now: int) -> None:
        _folios_young(self._m, folios.pointer, folios.nr, now)

    def folios_mkold(self, folios: FolioArray, now: int) -> None:
        _folios_mkold(self._m, folios.pointer, folios.nr, now)

    def pageout(self, folios: FolioArray, now: int) -> tuple[int, int]:
        """Pages that left, and the cost."""
        return self._costs(_pageout, folios.pointer, folios.nr, now)

    def migrate(self, folios: FolioArray, now: int) -> tuple[int, int]:
        """Pages that moved, and the cost."""
        return self._costs(_migrate, folios.pointer, folios.nr, now)

    def lru_move(self, folios: FolioArray, active: bool) -> int:
        """Pages of the chosen folios."""
        return int(_lru_move(self._m, folios.pointer, folios.nr, active))

    def advise(self, area: int, index: int, end: int, advice: int, now: int) -> tuple[int, int]:
        """Pages acted on, and the cost."""
        return self._costs(_advise, area, index, end, advice, now)

    def thp_advise(self, area: int, index: int, end: int, advice: int, now: int) -> tuple[int, int]:
        """0 or a negative errno, and the cost."""
        return self._costs(_thp_advise, area, index, end, advice, now)

    def offline(self, res: int, nr: int, now: int) -> bool:
        """The last pages of a resource, if they can be moved away."""
        return bool(_offline(self._m, res, nr, now))

    def online(self, res: int, nr: int) -> None:
        """The next pages of a resource."""
        _online(self._m, res, nr)

    def trace_stage(self, area: int, t: int) -> int:
        """The area's rates are those of the trace's stage at ``t`` from now on; when the next one begins."""
        return int(_trace_stage(self._m, area, t))

    def access(self, process: int | None) -> NativeAccess:
        """Physical memory, or a process, for C."""
        access, space = NativeAccess(), SimSpace(self._m, process or 0)
        _access(byref(access), byref(space), process is None)
        access.owner = space
        return access

    def time(self) -> NativeTime:
        """The machine's time for C."""
        time = NativeTime()
        _time(byref(time), self._m)
        return time

    def _costs(self, routine: Any, *arguments: int) -> tuple[int, int]:
        cost = c_int64(0)
        return int(routine(self._m, *arguments, byref(cost))), cost.value
