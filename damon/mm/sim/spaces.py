# SPDX-License-Identifier: GPL-2.0-only
"""The simulated machine's physical and virtual address spaces, as operations sets see them."""

from __future__ import annotations

import ctypes
import errno
from array import array
from collections.abc import Iterator, Mapping, Sequence
from typing import Final

from damon.mm.ahead import as_written
from damon.mm.clock import VirtualClock
from damon.mm.sim.engine import Engine
from damon.mm.sim.state import PROGRAM, STACK, State
from damon.model.arrays import Batch, Buffer, FolioArray
from damon.model.machine import PAGE_SHIFT, PAGE_SIZE, Advice

#: Folios of one batch. The caller's time passes between batches, so it is not bigger than need be.
BATCH: Final = 1024


class SimulatedPhysical:
    """Physical memory as folios on LRU lists: single pages, and huge pages of 2 MiB whole.

    Args:
        engine: acts on ``state``.
        state: the machine's.
        clock: the machine's, which callers' costs are charged to.
    """

    def __init__(self, engine: Engine, state: State, clock: VirtualClock) -> None:
        self.engine, self.state, self.clock = engine, state, clock
        self._access = engine.access(None)
        self._spare: list[FolioArray] = []  # batches of walks that have ended; several may be under way

    def native_access(self) -> int | None:
        if self.state.released or not as_written(self, *_PHYSICAL):
            return None
        return ctypes.addressof(self._access)

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        self.engine.phys_mkold(addrs.pointer_to(nr), nr, self.clock.now_ns())
        return Batch(addrs, nr)

    def young(self, batch: Batch, out: Buffer) -> None:
        addrs, nr = batch.addrs.pointer_to(batch.nr), batch.nr
        self.engine.phys_young(addrs, nr, out.pointer_to(nr), self.clock.now_ns())

    def folios(self, start: int, end: int) -> Iterator[FolioArray]:
        pfn, end_pfn = start >> PAGE_SHIFT, -(-end // PAGE_SIZE)
        batch = self._spare.pop() if self._spare else FolioArray(BATCH)
        try:
            while pfn < end_pfn:
                pfn = self.engine.folios(pfn, end_pfn, batch)
                if batch.nr:
                    yield batch
        finally:
            self._spare.append(batch)

    def folios_at(self, addrs: Buffer, nr: int, out: FolioArray, sizes: bool = False) -> None:
        self.engine.folios_at(addrs.pointer_to(nr), nr, out)

    def folios_young(self, folios: FolioArray) -> None:
        self.engine.folios_young(folios, self.clock.now_ns())

    def folios_mkold(self, folios: FolioArray) -> None:
        self.engine.folios_mkold(folios, self.clock.now_ns())

    def migrate(self, folios: FolioArray) -> int:
        """The caller spends the time of looking at each folio, and of moving those that move."""
        pages, cost = self.engine.migrate(folios, self.clock.now_ns())
        self.clock.charge_ns(cost + folios.nr * self.state.m.scan_ns)
        return pages

    def pageout(self, folios: FolioArray) -> int:
        """Reclaim; the caller spends the time of looking at each folio, taking pages away and writing them."""
        pages, cost = self.engine.pageout(folios, self.clock.now_ns())
        self.clock.charge_ns(cost + folios.nr * self.state.m.scan_ns)
        return pages

    def activate(self, folios: FolioArray) -> int:
        return self._lru_move(folios, True)

    def deactivate(self, folios: FolioArray) -> int:
        return self._lru_move(folios, False)

    def _lru_move(self, folios: FolioArray, active: bool) -> int:
        pages = self.engine.lru_move(folios, active)
        self.clock.charge_ns(folios.nr * self.state.m.scan_ns)
        return pages


class SimulatedProcess:
    """One process's address space: its areas, and without memory behind them its program and stack.

    Args:
        phys: the machine's memory.
        pids: the id that each process has now.
        index: of the process in the machine's state.
        pid: its id when it was opened.
    """

    def __init__(self, phys: SimulatedPhysical, pids: Mapping[str, int], index: int, pid: int) -> None:
        self.pid = pid
        self._phys, self._pids, self.index = phys, pids, index
        self._engine, self._state, self._clock = phys.engine, phys.state, phys.clock
        self._closed = False
        self._access = phys.engine.access(index)

    def native_access(self) -> int | None:
        if not as_written(self, *_PROCESS) or not self.alive():
            return None
        return ctypes.addressof(self._access)

    def alive(self) -> bool:
        if self._closed or self._state.released:
            return False
        state = self._state
        here = self._pids[state.processes[self.index]] == self.pid  # else a later one of that name
        return here and bool(state.process.rows[self.index].alive)

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        rows = addrs.pointer_to(nr)
        if self.alive():
            self._engine.virt_mkold(self.index, rows, nr, self._clock.now_ns())
        return Batch(addrs, nr)

    def young(self, batch: Batch, out: Buffer) -> None:
        addrs, nr = batch.addrs.pointer_to(batch.nr), batch.nr
        answers = out.pointer_to(nr)
        if self.alive():
            self._engine.virt_young(self.index, addrs, nr, answers, self._clock.now_ns())
        else:
            ctypes.memset(answers, 0, nr)

    def protect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """From now on accesses to the present pages of ``ranges`` (bytes, ascending) are noticed (``vaddr-exact``)."""
        for start, end in ranges:
            for pages in self._pages(start, end):
                self._engine.virt_mkold(self.index, pages.buffer_info()[0], len(pages), self._clock.now_ns())

    def accessed(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of ``[start, end)`` with pages that were accessed since, or came since, in ascending order."""
        for pages in self._pages(start, end):
            answers = bytearray(len(pages) + 1)
            rows = (ctypes.c_uint8 * len(pages)).from_buffer(answers)
            self._engine.virt_young(
                self.index, pages.buffer_info()[0], len(pages), ctypes.addressof(rows), self._clock.now_ns()
            )
            first = answers.find(1)
            while first >= 0:
                last = answers.find(0, first)
                yield pages[first], pages[last - 1] + PAGE_SIZE
                first = answers.find(1, last)

    def _pages(self, start: int, end: int) -> Iterator[array[int]]:
        """The addresses of the pages in ``[start, end)`` that areas map."""
        for low, high, area in self._mapped() if self.alive() else ():
            if area >= 0 and low < end and high > start:
                yield array("Q", range(max(low, start), min(high, end), PAGE_SIZE))

    def _mapped(self) -> list[tuple[int, int, int]]:
        """``(start, end, area)`` of the mapped areas by address; program and stack are area -1."""
        state = self._state
        areas = [
            (placed.start, placed.end, placed.id)
            for placed in state.placed.values()
            if state.area.rows[placed.id].process == self.index and state.area.rows[placed.id].mapped
        ]
        return sorted([(*PROGRAM, -1), *areas, (*STACK, -1)])

    def mappings(self) -> Sequence[tuple[int, int]]:
        return [(start, end) for start, end, _ in self._mapped()] if self.alive() else []

    def madvise(self, start: int, length: int, advice: Advice) -> int:
        """As ``madvise(2)``: what lies in holes is left out, and the result is then ``-ENOMEM``."""
        if not self.alive():
            return -errno.ESRCH
        if start % PAGE_SIZE or length < 0:
            return -errno.EINVAL
        end = start + -(-length // PAGE_SIZE) * PAGE_SIZE
        at, hole, failed, cost = start, False, 0, 0
        for first, last, area in self._mapped():
            low, high = max(first, start), min(last, end)
            if low >= high or failed:
                continue
            hole |= low > at
            at = high
            if area >= 0:
                failed, spent = self._advise(area, low, high, advice)
                cost += spent
            elif advice is Advice.COLLAPSE:
                failed = -errno.EINVAL  # too small for a huge page
        self._clock.charge_ns(cost)
        return failed or (-errno.ENOMEM if hole or at < end else 0)

    def _advise(self, area: int, low: int, high: int, advice: Advice) -> tuple[int, int]:
        """One advice for addresses ``[low, high)`` of one area: 0 or a negative errno, and the cost."""
        now = self._clock.now_ns()
        base = self._state.area.rows[area].start
        index, end = (low - base) >> PAGE_SHIFT, (high - base) >> PAGE_SHIFT
        if advice in (Advice.HUGEPAGE, Advice.NOHUGEPAGE, Advice.COLLAPSE):
            return self._engine.thp_advise(area, index, end, advice, now)
        if advice is Advice.NORMAL:
            return 0, 0
        if self._state.area.rows[area].locked and advice is not Advice.WILLNEED:
            return -errno.EINVAL, 0
        _done, cost = self._engine.advise(area, index, end, advice, now)
        return 0, cost + (end - index) * self._state.m.scan_ns

    def folios(self, start: int, end: int) -> Iterator[FolioArray]:
        batch = FolioArray(BATCH)
        while start < end and self.alive():
            start = self._engine.walk(self.index, start, end, batch)
            if batch.nr:
                yield batch

    def folios_young(self, folios: FolioArray) -> None:
        self._phys.folios_young(folios)

    def folios_mkold(self, folios: FolioArray) -> None:
        self._phys.folios_mkold(folios)

    def migrate(self, folios: FolioArray) -> int:
        return self._phys.migrate(folios)

    def close(self) -> None:
        self._closed = True


#: What C asks instead.
_PHYSICAL: Final = (SimulatedPhysical.mkold, SimulatedPhysical.young, SimulatedPhysical.folios)
_PROCESS: Final = (SimulatedProcess.mkold, SimulatedProcess.young, SimulatedProcess.alive)
