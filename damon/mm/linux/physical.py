# SPDX-License-Identifier: GPL-2.0-only
"""Physical memory of the running kernel (DAMON spec, ops 2 and 3). What is out of reach: docs/linux.md."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator
from typing import Final

from damon.mm.interface import PAGE_SHIFT, PAGE_SIZE
from damon.mm.linux import native
from damon.mm.linux.native import Files, NativeSampler, Result
from damon.mm.linux.reference import ReferenceSampler
from damon.mm.linux.rmap import ReverseMap
from damon.model.arrays import Buffer, FolioArray

#: Folios of a batch at most.
BATCH: Final = 16384
#: Batches remembered between "make old" and "is it young?": one for each target that is monitored at the same time.
MAX_SAMPLERS: Final = 64

Sampler = NativeSampler | ReferenceSampler


class LinuxPhysicalSpace:
    """Folios on LRU lists, by their page frames.

    The accessed state lives in the idle bitmap: one bit a page frame, for the head page of a folio. Actions go through
    the processes that map a folio; page cache that nobody maps is monitored but not acted on.
    """

    def __init__(self, files: Callable[[], Files], sampler: Callable[[Files], Sampler] = NativeSampler) -> None:
        self._open = files
        self._new_sampler = sampler
        self._samplers: OrderedDict[int, Sampler] = OrderedDict()
        self._rmap: ReverseMap | None = None
        #: What became of the pages of the last action.
        self.last_result = Result()

    def _sampler(self, addrs: Buffer) -> Sampler:
        """Contexts share this space: each target's batch is told apart by its array of addresses."""
        sampler = self._samplers.pop(addrs.pointer, None)
        if sampler is None:
            if len(self._samplers) >= MAX_SAMPLERS:
                self._samplers.popitem(last=False)
            sampler = self._new_sampler(self._open())
        self._samplers[addrs.pointer] = sampler
        return sampler

    def mkold(self, addrs: Buffer, nr: int) -> None:
        self._sampler(addrs).mkold_phys(addrs, nr)

    def young(self, addrs: Buffer, nr: int, out: Buffer) -> None:
        sampler = self._samplers.get(addrs.pointer)
        if sampler is None:
            raise ValueError("young() without mkold() of the same addresses before")
        sampler.young_phys(nr, out)

    def folios(self, start: int, end: int) -> Iterator[FolioArray]:
        files = self._open()
        first, last = start >> PAGE_SHIFT, (end + PAGE_SIZE - 1) >> PAGE_SHIFT
        if first >= last:
            return
        batch = FolioArray(min(BATCH, last - first))
        walk = native.walk_new(files.pointer, first, last)
        if not walk:
            raise MemoryError
        try:
            while nr := native.walk_next(files.pointer, walk, batch.pointer, batch.capacity):
                batch.nr = nr
                yield batch
        finally:
            native.walk_free(walk)

    def folios_at(self, addrs: Buffer, nr: int, out: FolioArray) -> None:
        native.checked(native.folios_at(self._open().pointer, addrs.pointer, nr, out.pointer))
        out.nr = nr

    def folios_young(self, folios: FolioArray) -> None:
        native.checked(native.folios_young(self._open().pointer, folios.pointer, folios.nr))

    def folios_mkold(self, folios: FolioArray) -> None:
        native.checked(native.folios_mkold(self._open().pointer, folios.pointer, folios.nr))

    def migrate(self, folios: FolioArray) -> int:
        self.last_result = self.rmap.act(folios, native.MIGRATE)
        return self.last_result.moved

    @property
    def rmap(self) -> ReverseMap:
        if self._rmap is None:
            self._rmap = ReverseMap(self._open())
        return self._rmap

    def pageout(self, folios: FolioArray) -> int:
        self.last_result = self.rmap.act(folios, native.PAGEOUT)
        return self.last_result.left

    def activate(self, folios: FolioArray) -> int:
        self.last_result = self.rmap.act(folios, native.ACTIVATE)
        return int(native.passing_pages(folios.pointer, folios.nr))

    def deactivate(self, folios: FolioArray) -> int:
        self.last_result = self.rmap.act(folios, native.DEACTIVATE)
        return int(native.passing_pages(folios.pointer, folios.nr))

    def close(self) -> None:
        for sampler in self._samplers.values():
            sampler.close()
        self._samplers.clear()
        if self._rmap is not None:
            self._rmap.close()
            self._rmap = None
