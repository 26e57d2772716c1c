# SPDX-License-Identifier: GPL-2.0-only
"""What an operations set may ask of a machine. Addresses and sizes are bytes, page frames are 4096 bytes."""

from __future__ import annotations

import enum
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Protocol, Self

from damon.model.arrays import Batch, Buffer, FolioArray
from damon.model.clock import Clock

PAGE_SIZE: Final = 4096
PAGE_SHIFT: Final = 12


@dataclass(frozen=True)
class SwapStat:
    """One swap device now, as in ``/proc/swaps``."""

    priority: int
    size_bytes: int
    used_bytes: int


class Advice(enum.IntEnum):
    """``madvise(2)`` advice that schemes give; values are those of the system call."""

    NORMAL = 0
    WILLNEED = 3
    HUGEPAGE = 14
    NOHUGEPAGE = 15
    COLD = 20
    PAGEOUT = 21
    COLLAPSE = 25


class AccessBits(Protocol):
    """The pair "make old / young?" on an address space (DAMON spec, ops 1.3, 1.4, 2.2, 2.3 and 3)."""

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        """Clear the accessed state of the page (the whole folio) behind each of ``addrs[0:nr]`` (u64, bytes).

        Addresses that are unmapped, not RAM or not on an LRU list are left alone, without error. Any number of batches
        may wait for their ``young``; the space keeps none of them. ``ValueError``: ``addrs`` has fewer than ``nr``.
        """

    def young(self, batch: Batch, out: Buffer) -> None:
        """``out[i]`` (u8) := 1 if the batch's ``addrs[i]`` was accessed since it was last made old, else 0.

        ``batch`` comes from ``mkold`` of this space and may be asked about again: nothing is cleared. No page there
        (any more): 0. ``ValueError``: ``out`` has no memory for ``batch.nr`` answers, or the batch is another space's.
        """


class FolioSpace(Protocol):
    """Folios, looked at and acted on one by one. Only those on LRU lists; free, slab and hugetlb pages are skipped."""

    def folios(self, start: int, end: int) -> Iterator[FolioArray]:
        """The folios with a page in ``[start, end)``, in address order, in batches.

        A process's are those that its page tables map there; a folio is met again when it is mapped again elsewhere.
        A batch is reused: it is valid until the next one is asked for.
        """

    def folios_young(self, folios: FolioArray) -> None:
        """Set or clear ``FOLIO_YOUNG`` on each folio without ``FOLIO_DECIDED``; nothing else changes."""

    def folios_mkold(self, folios: FolioArray) -> None:
        """Make old each folio with ``FOLIO_YOUNG`` and without ``FOLIO_DECIDED``."""

    def migrate(self, folios: FolioArray) -> int:
        """Move the folios with ``FOLIO_PASS`` to their ``target_nid``; the number of pages that moved.

        A folio that is there already, or whose node is -1, does not exist or has no memory, stays, without error.
        """


class TargetSpace(Protocol):
    """A process that is a target. It holds the process, not the number: a reused pid is another process."""

    pid: int

    def alive(self) -> bool:
        """A zombie not yet reaped still counts."""

    def close(self) -> None:
        """Release the process. Safe to call twice."""


class ProcessSpace(TargetSpace, AccessBits, FolioSpace, Protocol):
    """A process's virtual address space."""

    def mappings(self) -> Sequence[tuple[int, int]]:
        """``[start, end)`` of the mapped areas in address order; empty when the address space is gone."""

    def madvise(self, start: int, length: int, advice: Advice) -> int:
        """Give ``advice`` for ``[start, start + length)``; 0, or a negative errno of ``madvise(2)``: all or nothing."""


class PhysicalSpace(AccessBits, FolioSpace, Protocol):
    """Physical memory as folios on LRU lists."""

    def folios_at(self, addrs: Buffer, nr: int, out: FolioArray, sizes: bool = False) -> None:
        """Row ``i`` of ``out`` := the folio that ``addrs[i]`` (u64, bytes) is in; ``out`` has room for ``nr`` rows.

        No folio there: its ``nr_pages`` is 0 and the rest of the row means nothing. Of a folio that is there, ``flags``
        and ``memcg`` are as ``folios`` has them; so is ``nr_pages`` with ``sizes``, else it may be 1 whatever its size.
        """

    def pageout(self, folios: FolioArray) -> int:
        """Reclaim the folios with ``FOLIO_PASS``; the number of pages that really left memory."""

    def activate(self, folios: FolioArray) -> int:
        """Move the folios with ``FOLIO_PASS`` to the active list; the pages of all of them (DAMON spec, ops 2.5)."""

    def deactivate(self, folios: FolioArray) -> int:
        """Move the folios with ``FOLIO_PASS`` to the inactive list; the pages of all of them."""


class Closing(ABC):
    """What a ``with`` block closes at its end; ``close()`` does it without one, and may be called twice."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @abstractmethod
    def close(self) -> None: ...


class Machine(Protocol):
    """One machine: its clock, its physical memory, its processes. A ``with`` block closes it at its end."""

    name: str

    @property
    def clock(self) -> Clock: ...

    @property
    def phys(self) -> PhysicalSpace: ...

    def require(self, ops: str, actions: Sequence[str]) -> None:
        """Raise ``MissingCapability`` (what is missing, and the remedy) unless this machine can monitor with
        ``ops`` (``vaddr``, ``fvaddr``, ``paddr``) and apply ``actions`` (kernel names; ``pageout`` of anonymous memory
        needs swap and is then named ``pageout``, file-only ``pageout:file``)."""

    def open_process(self, pid: int) -> ProcessSpace:
        """The address space of ``pid``. ``DamonError(EINVAL)`` when there is no such process."""

    def system_ram(self) -> Sequence[tuple[int, int]]:
        """``[start, end)`` of each System RAM resource in address order, as in ``/proc/iomem`` (end exclusive here)."""

    def free_mem(self) -> tuple[int, int]:
        """Free and total pages (``NR_FREE_PAGES``, ``totalram_pages``)."""

    def swaps(self) -> Sequence[SwapStat]:
        """Every swap device, the one that is filled first at first."""

    def node_spans(self) -> Sequence[tuple[int, int, int]]:
        """``(start, end, nid)``: which memory belongs to which NUMA node, in address order, end exclusive.

        Ranges cover all System RAM, and may cover holes in it. Empty: the kernel has no NUMA support.
        """

    def node_mem(self, nid: int) -> tuple[int, int] | None:
        """Free and total pages of a NUMA node; None when there is no such node, or it has no memory."""

    def node_memcg_pages(self, nid: int, memcg_id: int) -> int | None:
        """Pages of the cgroup and those below it on the LRU lists of a NUMA node; None without such node or cgroup."""

    def memcg_id(self, path: str) -> int:
        """The id of the cgroup at ``path`` (``/a/b``, from the root of its hierarchy), as folios have it.

        ``DamonError(EINVAL)`` when there is none.
        """

    def psi_some_us(self) -> int:
        """Total "some" memory stall of the system in microseconds; 0 when pressure accounting is off."""

    def lru_pages(self) -> tuple[int, int]:
        """Pages on the active and on the inactive lists of the whole machine, anonymous and file together."""

    def close(self) -> None:
        """Release everything that this machine holds. Safe to call twice."""

    def __enter__(self) -> Self: ...

    def __exit__(self, *_: object) -> None: ...


class Placeholder(Protocol):
    """A process of the running system that stands for a worker or a simulated process, until it is closed."""

    pid: int

    def close(self) -> None: ...


#: Makes one with the name given.
Show = Callable[[str], Placeholder]
