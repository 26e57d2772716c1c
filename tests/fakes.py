# SPDX-License-Identifier: GPL-2.0-only
"""A machine whose answers a test dictates, in virtual time: for tests of the core and the operations sets."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, ClassVar

from damon.errors import InvalidInput
from damon.mm.clock import VirtualClock
from damon.model.arrays import (
    FOLIO_DECIDED,
    FOLIO_PASS,
    FOLIO_YOUNG,
    Batch,
    Buffer,
    FolioArray,
    RegionArray,
)
from damon.model.clock import Clock
from damon.model.context import DamonCtx
from damon.model.machine import Advice, Closing, Machine, SwapStat
from damon.model.operations import Operations
from damon.model.ticks import Ticks

PAGE = 4096
NODE_SIZE = 1 << 30


def regions_of(*rows: tuple[int, ...]) -> RegionArray:
    """Regions from ``(start, end[, nr_accesses[, last_nr_accesses[, age]]])``."""
    regions = RegionArray()
    for row in rows:
        region = regions.append(row[0], row[1])
        for field, value in zip(("nr_accesses", "last_nr_accesses", "age"), row[2:], strict=False):
            setattr(region, field, value)
    return regions


class FakeSpace:
    """Physical memory or a process: what is accessed in every interval is ``hot(addr)``."""

    def __init__(self, hot: Callable[[int], bool] = lambda addr: False) -> None:
        self.hot = hot
        self.pid = 7
        self.exists = True
        self.sampled: list[list[int]] = []
        self.probed: list[list[int]] = []
        self.advice: list[tuple[int, int, Advice]] = []
        self.areas: list[tuple[int, int]] = []
        self.pages: dict[int, int] = {}  # pfn: flags
        self.charged: dict[int, int] = {}  # pfn: cgroup
        self.sizes: dict[int, int] = {}  # pfn: pages of its folio
        self.young_pages: set[int] = set()
        self.paged_out: list[int] = []
        self.activated: list[int] = []
        self.deactivated: list[int] = []
        self.migrated: list[tuple[int, int]] = []  # page frame, node
        self.on_pageout: Callable[[], None] = lambda: None

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        self.sampled.append([addrs[i] for i in range(nr)])
        return Batch(addrs, nr)

    def young(self, batch: Batch, out: Buffer) -> None:
        for i in range(batch.nr):
            out[i] = self.hot(batch.addrs[i])

    def alive(self) -> bool:
        return self.exists

    def mappings(self) -> Sequence[tuple[int, int]]:
        return self.areas

    def madvise(self, start: int, length: int, advice: Advice) -> int:
        self.advice.append((start, length, advice))
        return 0

    def close(self) -> None:
        self.exists = False

    def folios(self, start: int, end: int) -> Iterator[FolioArray]:
        batch = FolioArray(len(self.pages) or 1)
        for pfn in sorted(self.pages):
            if start <= pfn * PAGE < end:
                folio = batch.rows[batch.nr]
                folio.pfn, folio.nr_pages, folio.flags = pfn, 1, self.pages[pfn]
                folio.addr = pfn * PAGE
                folio.ilx = pfn
                batch.nr += 1
        yield batch

    def folios_at(self, addrs: Buffer, nr: int, out: FolioArray, sizes: bool = False) -> None:
        self.probed.append([addrs[i] for i in range(nr)])
        out.nr = nr
        for index, folio in enumerate(out):
            pfn = addrs[index] // PAGE
            folio.pfn, folio.nr_pages = pfn, int(pfn in self.pages)
            if sizes and folio.nr_pages:
                folio.nr_pages = self.sizes.get(pfn, 1)
            folio.flags, folio.memcg = self.pages.get(pfn, 0xFFFF), self.charged.get(pfn, 0)

    def folios_young(self, folios: FolioArray) -> None:
        for folio in folios:
            if not folio.flags & FOLIO_DECIDED:
                folio.flags &= ~FOLIO_YOUNG
                folio.flags |= FOLIO_YOUNG if folio.pfn in self.young_pages else 0

    def folios_mkold(self, folios: FolioArray) -> None:
        for folio in folios:
            if folio.flags & FOLIO_YOUNG and not folio.flags & FOLIO_DECIDED:
                self.young_pages.discard(folio.pfn)

    def _passing(self, folios: FolioArray) -> list[int]:
        return [folio.pfn for folio in folios if folio.flags & FOLIO_PASS]

    def pageout(self, folios: FolioArray) -> int:
        pfns = self._passing(folios)
        self.paged_out += pfns
        for pfn in pfns:
            del self.pages[pfn]
        self.on_pageout()
        return len(pfns)

    def migrate(self, folios: FolioArray) -> int:
        """Page frames from ``NODE_SIZE`` times a node's number on are that node's."""
        moving = [
            (folio.pfn, folio.target_nid)
            for folio in folios
            if folio.flags & FOLIO_PASS and folio.target_nid >= 0 and folio.pfn * PAGE // NODE_SIZE != folio.target_nid
        ]
        self.migrated += moving
        return len(moving)

    def activate(self, folios: FolioArray) -> int:
        self.activated += self._passing(folios)
        return len(self._passing(folios))

    def deactivate(self, folios: FolioArray) -> int:
        self.deactivated += self._passing(folios)
        return len(self._passing(folios))


class FakeOperations(Operations):
    """A set that samples nothing, but for what is given by name."""

    id: ClassVar[str] = "fake"

    def __init__(self, **given: Any) -> None:
        vars(self).update(given)

    def prepare_access_checks(self, ctx: DamonCtx) -> None:
        """Nothing."""

    def check_accesses(self, ctx: DamonCtx) -> int:
        return 0


def fake(machine: Machine) -> FakeMachine:
    """``machine`` of a context that a test built with a ``FakeMachine``."""
    assert isinstance(machine, FakeMachine)
    return machine


class FakeMachine(Closing):
    """One fake physical space, processes as given, free memory and pressure as set."""

    name = "fake"

    def __init__(
        self, hot: Callable[[int], bool] = lambda addr: False, processes: Iterable[FakeSpace] = (), hz: int = 0,
        nodes: Mapping[int, tuple[int, int]] = MappingProxyType({}),
    ) -> None:  # fmt: skip
        self.clock: Clock = VirtualClock(ticks=Ticks(hz))
        self.phys = FakeSpace(hot)
        self.processes = {space.pid: space for space in processes}
        self.free = (500, 1000)
        self.swap_devices: list[SwapStat] = []
        self.psi = 0
        self.lru = (0, 0)
        self.ram = [(0, NODE_SIZE)]
        self.nodes = dict(nodes)  # nid: free and total pages
        self.memcg_ids: dict[str, int] = {}  # path: id
        self.memcgs: dict[tuple[int, int], int] = {}  # nid and cgroup id: pages

    def require(self, ops: str, actions: Sequence[str]) -> None:
        """Everything works here."""

    def open_process(self, pid: int) -> FakeSpace:
        if pid not in self.processes:
            raise InvalidInput(f"no process {pid}")
        return self.processes[pid]

    def system_ram(self) -> Sequence[tuple[int, int]]:
        return self.ram

    def free_mem(self) -> tuple[int, int]:
        return self.free

    def swaps(self) -> Sequence[SwapStat]:
        return self.swap_devices

    def lru_pages(self) -> tuple[int, int]:
        return self.lru

    def node_spans(self) -> Sequence[tuple[int, int, int]]:
        return [(nid * NODE_SIZE, (nid + 1) * NODE_SIZE, nid) for nid in sorted(self.nodes)]

    def node_mem(self, nid: int) -> tuple[int, int] | None:
        return self.nodes.get(nid)

    def node_memcg_pages(self, nid: int, memcg_id: int) -> int | None:
        return self.memcgs.get((nid, memcg_id))

    def memcg_id(self, path: str) -> int:
        if path not in self.memcg_ids:
            raise InvalidInput(f"no cgroup {path}")
        return self.memcg_ids[path]

    def psi_some_us(self) -> int:
        return self.psi

    def close(self) -> None:
        """Nothing to release."""
