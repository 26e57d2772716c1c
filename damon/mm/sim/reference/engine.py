# SPDX-License-Identifier: GPL-2.0-only
"""The twins behind the engine's interface."""

from __future__ import annotations

from ctypes import c_uint8, c_uint64

from damon.mm.sim.closed import Releasable
from damon.mm.sim.layout import SimSeg
from damon.mm.sim.reference import areas, events, faults, hotplug, migrate, ops, thp, walk
from damon.mm.sim.reference.pages import page_mkold, page_young, resolve, resolve_va
from damon.mm.sim.reference.reclaim import Cost
from damon.mm.sim.state import State
from damon.model.arrays import FolioArray


class ReferenceEngine(Releasable):
    """The routines in plain Python."""

    def __init__(self, state: State) -> None:
        self._s = state

    def area_map(self, area: int, populate: bool, t: int) -> None:
        faults.area_map(self._s, area, populate, t)

    def area_clear(self, area: int, t: int) -> None:
        areas.area_clear(self._s, area, t)

    def area_access(self, area: int, seg: SimSeg) -> None:
        areas.area_access(self._s, area, seg)

    def event_purge(self) -> None:
        events.event_purge(self._s)

    def event_area(self, area: int, t: int) -> None:
        events.event_area(self._s, area, t)

    def advance(self, now: int) -> None:
        faults.advance(self._s, now)

    def phys_mkold(self, addrs: int, nr: int, now: int) -> None:
        for addr in (c_uint64 * nr).from_address(addrs):
            found = resolve(self._s, addr >> 12)
            if found is not None:
                page_mkold(self._s, *found, now)

    def phys_young(self, addrs: int, nr: int, out: int, now: int) -> None:
        result = (c_uint8 * nr).from_address(out)
        for index, addr in enumerate((c_uint64 * nr).from_address(addrs)):
            found = resolve(self._s, addr >> 12)
            result[index] = found is not None and page_young(self._s, *found, now)

    def virt_mkold(self, process: int, addrs: int, nr: int, now: int) -> None:
        for addr in (c_uint64 * nr).from_address(addrs):
            found = resolve_va(self._s, process, addr)
            if found is not None:
                page_mkold(self._s, *found, now)

    def virt_young(self, process: int, addrs: int, nr: int, out: int, now: int) -> None:
        result = (c_uint8 * nr).from_address(out)
        for index, addr in enumerate((c_uint64 * nr).from_address(addrs)):
            found = resolve_va(self._s, process, addr)
            result[index] = found is not None and page_young(self._s, *found, now)

    def folios(self, pfn: int, end: int, out: FolioArray) -> int:
        return ops.folios(self._s, pfn, end, out)

    def folios_at(self, addrs: int, nr: int, out: FolioArray) -> None:
        walk.folios_at(self._s, (c_uint64 * nr).from_address(addrs), out)

    def walk(self, process: int, addr: int, end: int, out: FolioArray) -> int:
        return walk.walk(self._s, process, addr, end, out)

    def folios_young(self, folios: FolioArray, now: int) -> None:
        ops.folios_young(self._s, folios, now)

    def folios_mkold(self, folios: FolioArray, now: int) -> None:
        ops.folios_mkold(self._s, folios, now)

    def pageout(self, folios: FolioArray, now: int) -> tuple[int, int]:
        cost = Cost()
        return ops.pageout(self._s, folios, now, cost), cost.ns

    def migrate(self, folios: FolioArray, now: int) -> tuple[int, int]:
        cost = Cost()
        return migrate.migrate(self._s, folios, now, cost), cost.ns

    def lru_move(self, folios: FolioArray, active: bool) -> int:
        return ops.lru_move(self._s, folios, active)

    def advise(self, area: int, index: int, end: int, advice: int, now: int) -> tuple[int, int]:
        cost = Cost()
        return ops.advise(self._s, area, index, end, advice, now, cost), cost.ns

    def thp_advise(self, area: int, index: int, end: int, advice: int, now: int) -> tuple[int, int]:
        return thp.thp_advise(self._s, area, index, end, advice, now)

    def offline(self, res: int, nr: int, now: int) -> bool:
        return hotplug.offline(self._s, res, nr, now)

    def online(self, res: int, nr: int) -> None:
        hotplug.online(self._s, res, nr)

    def access(self, process: int | None) -> None:
        """It is for Python only."""

    def time(self) -> None:
        """Only Python passes it."""
