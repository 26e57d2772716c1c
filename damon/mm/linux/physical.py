# SPDX-License-Identifier: GPL-2.0-only
"""Physical memory of the running kernel (DAMON spec, ops 2 and 3). What is out of reach: docs/explanation/linux.md."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Final

from damon.mm.linux import native
from damon.mm.linux.native import Files, Result, Sampler
from damon.mm.linux.rmap import ReverseMap
from damon.model.arrays import Batch, Buffer, FolioArray
from damon.model.machine import PAGE_SHIFT, PAGE_SIZE

#: Folios of a batch at most.
BATCH: Final = 16384


#: Why pages are not acted on; fields of ``Result``.
UNREACHED: Final = ("missing", "own", "stale", "shared", "unmapped", "unevictable")


class SampledBatch(Batch):
    """With what "make old" found behind the addresses. ``sampler`` None: there was no memory to sample."""

    __slots__ = ("sampler", "space")

    def __init__(self, addrs: Buffer, nr: int, space: object) -> None:
        super().__init__(addrs, nr)
        self.space = space
        self.sampler: Sampler | None = None


def sampled(batch: Batch, space: object) -> Sampler | None:
    """The sampler of a batch that ``space`` made; ``ValueError`` when it did not."""
    if not isinstance(batch, SampledBatch) or batch.space is not space:
        raise ValueError("young() takes what mkold() of the same space returned, not another batch")
    return batch.sampler


class LinuxPhysicalSpace:
    """Folios on LRU lists, by their page frames.

    The accessed state lives in the idle bitmap: one bit a page frame, for the head page of a folio. Actions go through
    the processes that map a folio; page cache that no process maps is monitored but not acted on.
    """

    def __init__(self, files: Callable[[], Files]) -> None:
        self._open = files
        self._rmap: ReverseMap | None = None
        #: What became of the pages of the last action, and of all actions but moves.
        self.last_result, self.total = Result(), Result()

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        batch = SampledBatch(addrs, nr, self)
        batch.sampler = Sampler(self._open())
        batch.sampler.mkold_phys(addrs, nr)
        return batch

    def young(self, batch: Batch, out: Buffer) -> None:
        sampler = sampled(batch, self)
        if sampler is not None:
            sampler.young_phys(batch.nr, out)

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

    def folios_at(self, addrs: Buffer, nr: int, out: FolioArray, sizes: bool = False) -> None:
        files, at = self._open().pointer, addrs.pointer_to(nr)
        native.checked(native.folios_at(files, at, nr, sizes, out.pointer_to(nr)))
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
        return self._act(folios, native.PAGEOUT).left

    def activate(self, folios: FolioArray) -> int:
        self._act(folios, native.ACTIVATE)
        return int(native.passing_pages(folios.pointer, folios.nr))

    def deactivate(self, folios: FolioArray) -> int:
        self._act(folios, native.DEACTIVATE)
        return int(native.passing_pages(folios.pointer, folios.nr))

    def _act(self, folios: FolioArray, action: int) -> Result:
        self.last_result = result = self.rmap.act(folios, action)
        for name in ("wanted", "acted", "left", *UNREACHED):
            setattr(self.total, name, getattr(self.total, name) + getattr(result, name))
        return result

    def unreached(self) -> dict[str, int]:
        """Bytes that passed a scheme's filters and that no advice reached, by reason; ``wanted``: all that passed.

        ``missing``: the reverse map is behind, or /proc does not show who maps them. ``own``: this process's.
        ``stale``: gone from where they were. ``shared``: mapped by several processes, which the kernel refuses from
        outside. ``unmapped``: page cache that no process maps. ``unevictable``: locked (mlock(2)), which the kernel's
        own actions leave alone, too.
        """
        total = self.total
        pages = {name: getattr(total, name) for name in UNREACHED}
        wanted = total.wanted + total.unmapped + total.unevictable
        return {name: count * PAGE_SIZE for name, count in ({"wanted": wanted} | pages).items()}

    def close(self) -> None:
        if self._rmap is not None:
            self._rmap.close()
            self._rmap = None
