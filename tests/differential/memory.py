# SPDX-License-Identifier: GPL-2.0-only
"""Memory whose answers a case dictates, the same for both engines whatever order they ask in."""

from __future__ import annotations

import errno
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import lru_cache

from damon.mm.clock import VirtualClock
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON, FOLIO_MAPPED, Batch, Buffer, FolioArray
from damon.model.machine import Advice, SwapStat
from damon.model.random import mix64
from damon.model.ticks import Ticks
from tests.fakes import PAGE, FakeMachine, FakeSpace

#: Page frames of the machine; processes have as many pages.
PAGES = 4096


@dataclass(frozen=True)
class Pattern:
    """What is accessed: blocks of ``block`` pages, ``share`` of 256 of them, another choice every ``epoch_us``."""

    block: int
    share: int
    epoch_us: int
    seed: int

    def hot(self, addr: int, now_ns: int) -> bool:
        epoch = now_ns // 1000 // self.epoch_us
        return mix64(self.seed << 40 ^ epoch << 20 ^ addr // PAGE // self.block) & 255 < self.share


@lru_cache
def _pages(seed: int) -> tuple[dict[int, int], dict[int, int]]:
    """Flags and cgroup of each page that is there: every third."""
    pages, charged = {}, {}
    for pfn in range(0, PAGES, 3):
        bits = mix64(seed ^ pfn << 8)
        flags = (FOLIO_ANON, FOLIO_ACTIVE, FOLIO_MAPPED)
        pages[pfn] = sum(flag for index, flag in enumerate(flags) if bits >> index & 1)
        charged[pfn] = bits >> 8 & 1
    return pages, charged


class Space(FakeSpace):
    """Physical memory or a process. Work takes time: so many ns a page."""

    def __init__(self, machine: Machine, pattern: Pattern, pid: int, cost_ns: int) -> None:
        super().__init__()
        self.pid = pid
        self._open = True
        self._machine, self._pattern, self._cost_ns = machine, pattern, cost_ns
        self.areas = [(0, 256 * PAGE), (1000 * PAGE, 2000 * PAGE), (3000 * PAGE, PAGES * PAGE)]
        self.pages, self.charged = _pages(pattern.seed % 8)

    def alive(self) -> bool:
        return self._open and self.pid not in self._machine.gone

    def close(self) -> None:
        """This handle only: others may have the process open."""
        self._open = False

    def folios(self, start: int, end: int) -> Iterator[FolioArray]:
        # As on every machine, with the page that start is in: another addr_unit leaves regions that begin in one.
        pfns = range(-(-(start // PAGE) // 3) * 3, min(-(-end // PAGE), PAGES), 3)
        batch = FolioArray(len(pfns) or 1)
        for pfn in pfns:
            folio = batch.rows[batch.nr]
            folio.pfn = folio.ilx = pfn
            folio.addr, folio.nr_pages = pfn * PAGE, 1
            folio.flags, folio.memcg = self.pages[pfn], self.charged[pfn]
            batch.nr += 1
        yield batch

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        self._machine.on_sample()
        self._machine.note("mkold", self.pid, zlib.crc32(memoryview(addrs.rows).cast("B")[: 8 * nr]))
        return Batch(addrs, nr)

    def young(self, batch: Batch, out: Buffer) -> None:
        now = self._machine.clock.now_ns()
        for index in range(batch.nr):
            out[index] = self._pattern.hot(batch.addrs[index], now)

    def _work(self, name: str, pages: int) -> int:
        self._machine.note(name, self.pid, pages)
        self._machine.clock.charge_ns(pages * self._cost_ns)
        return pages

    def madvise(self, start: int, length: int, advice: Advice) -> int:
        self._work(advice.name, length // PAGE)
        return -errno.ENOMEM if mix64(start ^ self._pattern.seed) & 7 == 0 else 0

    def pageout(self, folios: FolioArray) -> int:
        pages = self._passing(folios)
        return self._work("pageout", len(pages) - len(pages) // 4)  # some cannot be

    def activate(self, folios: FolioArray) -> int:
        return self._work("activate", len(self._passing(folios)))

    def deactivate(self, folios: FolioArray) -> int:
        return self._work("deactivate", len(self._passing(folios)))

    def migrate(self, folios: FolioArray) -> int:
        return self._work("migrate", super().migrate(folios))


class Machine(FakeMachine):
    """``on_sample`` is called before addresses are made old; ``note`` gets every action."""

    clock: VirtualClock

    def __init__(self, pattern: Pattern, hz: int, cost_ns: int) -> None:
        super().__init__()
        self.clock = VirtualClock(ticks=Ticks(hz))
        self.on_sample: Callable[[], None] = lambda: None
        self.note: Callable[..., None] = lambda *what: None
        self.phys = Space(self, pattern, 0, cost_ns)
        self.gone: set[int] = set()  #: processes that have ended
        self._pattern, self._cost_ns = pattern, cost_ns
        self.ram = [(0, PAGES * PAGE)]
        self.nodes = {0: (300, 1000), 1: (900, 2000)}
        self.memcgs = {(0, 1): 100, (1, 1): 50}
        self.memcg_ids = {"/none": 0, "/one": 1, "/two": 2}
        self.lru = (1000, 3000)
        #: Free memory from that time on, in ns and per mille, in the order of decision.
        self.later: list[tuple[int, int]] = []
        self.set_free(300)

    def set_free(self, per_mille: int) -> None:
        """Free memory, now and until something else is due."""
        self.free = per_mille, 1000

    def swaps(self) -> list[SwapStat]:
        return []

    def free_mem(self) -> tuple[int, int]:
        now = self.clock.now_ns()
        for due in [due for due in self.later if due[0] <= now]:
            self.later.remove(due)
            self.set_free(due[1])
        return self.free

    def open_process(self, pid: int) -> Space:
        return Space(self, self._pattern, pid, self._cost_ns)

    def node_spans(self) -> list[tuple[int, int, int]]:
        half = PAGES // 2 * PAGE
        return [(0, half, 0), (half, 2 * half, 1)]
