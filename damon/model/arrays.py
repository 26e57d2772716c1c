# SPDX-License-Identifier: GPL-2.0-only
"""Growable native arrays: regions of a target, addresses, bytes, folios. Python sees a row as a light view.

An array gives its address to C only through ``pointer`` (all ``nr`` rows) or ``pointer_to(nr)``; both check the number
of rows against the memory that there is, so that no caller can have C read or write behind it.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterable, Iterator
from typing import Final

from damon.model import html
from damon.model.attrs import ULONG_MAX
from damon.native.layout import shared

MAX_PROBES: Final = 4
#: Rows of the arrays that one call exchanges.
U64 = ctypes.c_uint64
U8 = ctypes.c_uint8


@shared("damon_region")
class DamonRegion(ctypes.Structure):
    """One monitored region ``[start, end)``: a row of ``struct damon_region`` (DAMON spec, core 2.3).

    A view stays valid until its array grows, or a row before it is inserted or removed.
    """

    start: int
    end: int
    sampling_addr: int
    nr_accesses: int
    last_nr_accesses: int
    age: int
    probe_hits: ctypes.Array[ctypes.c_uint8]
    last_probe_hits: ctypes.Array[ctypes.c_uint8]

    _fields_ = (
        ("start", ctypes.c_uint64),
        ("end", ctypes.c_uint64),
        ("sampling_addr", ctypes.c_uint64),
        ("nr_accesses", ctypes.c_uint32),
        ("last_nr_accesses", ctypes.c_uint32),
        ("age", ctypes.c_uint32),
        ("probe_hits", ctypes.c_uint8 * MAX_PROBES),
        ("last_probe_hits", ctypes.c_uint8 * MAX_PROBES),
        ("reserved", ctypes.c_uint32),
    )

    @property
    def size(self) -> int:
        """Bytes (core address units)."""
        return self.end - self.start

    def __repr__(self) -> str:
        return f"[{self.start:#x}-{self.end:#x}: {self.nr_accesses} {self.age}]"


ROW: Final = ctypes.sizeof(DamonRegion)


class RegionArray:
    """The regions of one target, sorted by address and disjoint: ``nr`` rows of one native array.

    ``pointer`` is what C routines take. Routines that add rows need ``reserve()`` first; they never allocate.
    """

    __slots__ = ("_address", "_capacity", "_rows", "nr")

    _rows: ctypes.Array[DamonRegion]

    def __init__(self, ranges: Iterable[tuple[int, int]] = ()) -> None:
        self.nr = 0
        self._capacity = 0
        self.reserve(16)
        for start, end in ranges:
            self.insert(self.nr, start, end)

    def reserve(self, capacity: int) -> None:
        """Make room for ``capacity`` rows in all; existing rows move, views of them go stale."""
        if capacity <= self._capacity:
            return
        capacity = max(capacity, 2 * self._capacity)
        rows = (DamonRegion * capacity)()
        if self.nr:
            ctypes.memmove(rows, self._rows, self.nr * ROW)
        self._rows = rows
        self._capacity = capacity
        self._address = ctypes.addressof(rows)

    @property
    def capacity(self) -> int:
        return self._capacity

    @property
    def pointer(self) -> int:
        """The address of the rows; ``ValueError`` when ``nr`` is more than there are."""
        if not 0 <= self.nr <= self._capacity:
            raise ValueError(f"{self.nr} regions: the array has memory for {self._capacity}; reserve() more first")
        return self._address

    def __len__(self) -> int:
        return self.nr

    def __getitem__(self, index: int) -> DamonRegion:
        if index < 0:
            index += self.nr
        if not 0 <= index < self.nr:
            raise IndexError(f"region {index} of {self.nr}")
        return self._rows[index]

    def __iter__(self) -> Iterator[DamonRegion]:
        for index in range(self.nr):
            yield self._rows[index]

    def _row(self, index: int, count: int = 1) -> int:
        """The address of row ``index``, with ``count`` rows from there on."""
        base = self.pointer
        if not 0 <= index <= index + count <= self.nr:
            raise IndexError(f"regions {index}..{index + count} of {self.nr}")
        return base + index * ROW

    def insert(self, index: int, start: int, end: int) -> DamonRegion:
        """A new region with zero counters at ``index``; rows from there on move up by one.

        Raises:
            ValueError: an address is not an unsigned integer of 64 bits.
        """
        if not (0 <= start <= ULONG_MAX and 0 <= end <= ULONG_MAX):
            raise ValueError(f"region {start}-{end}: addresses are 0..{ULONG_MAX}")
        self.reserve(self.nr + 1)
        base = self._row(index, 0)
        ctypes.memmove(base + ROW, base, (self.nr - index) * ROW)
        ctypes.memset(base, 0, ROW)
        self.nr += 1
        region = self._rows[index]
        region.start, region.end = start, end
        return region

    def append(self, start: int, end: int) -> DamonRegion:
        return self.insert(self.nr, start, end)

    def remove(self, index: int, count: int = 1) -> None:
        """Drop ``count`` rows from ``index`` on."""
        base = self._row(index, count)
        ctypes.memmove(base, base + count * ROW, (self.nr - index - count) * ROW)
        self.nr -= count

    def split_at(self, index: int, size: int) -> None:
        """Cut region ``index`` after ``size`` bytes; the new right half copies its counters (core 5.5)."""
        self.reserve(self.nr + 1)
        base = self._row(index)
        ctypes.memmove(base + ROW, base, (self.nr - index) * ROW)
        self.nr += 1
        left, right = self._rows[index], self._rows[index + 1]
        left.end = right.start = left.start + size

    def rows(self) -> ctypes.Array[DamonRegion]:
        """The rows as one array and buffer, e.g. for ``numpy.frombuffer(regions.rows(), numpy.dtype(DamonRegion))``.

        What is written there is written to the regions. When the array grows the view goes stale, but stays memory.
        """
        rows: ctypes.Array[DamonRegion] = (DamonRegion * self.nr).from_buffer(self._rows)
        return rows

    def clear(self) -> None:
        self.nr = 0

    def _repr_html_(self) -> str:
        """For notebooks."""
        rows = ((f"{row.start:#x}", f"{row.end:#x}", str(row.nr_accesses), str(row.age)) for row in self)
        return html.table(f"{self.nr} regions", ("start", "end", "nr_accesses", "age"), rows)

    def total_size(self) -> int:
        return sum(region.size for region in self)

    def ranges(self) -> list[tuple[int, int]]:
        return [(region.start, region.end) for region in self]

    def snapshot(self) -> bytes:
        """The rows as bytes: equal bytes, equal regions."""
        return ctypes.string_at(self.pointer, self.nr * ROW)


class Buffer:
    """A native scratch array of ``u64``, ``u32`` or ``u8`` that grows and is reused from call to call."""

    __slots__ = ("_address", "_capacity", "_type", "rows")

    def __init__(self, ctype: type[ctypes.c_uint64 | ctypes.c_uint32 | ctypes.c_uint8], capacity: int = 64) -> None:
        self._type = ctype
        self._capacity = 0
        self.reserve(max(capacity, 1))

    def reserve(self, capacity: int) -> None:
        """Room for ``capacity`` rows; the content is lost when it grows."""
        if capacity > self._capacity:
            self._capacity = max(capacity, 2 * self._capacity)
            self.rows = (self._type * self._capacity)()
            self._address = ctypes.addressof(self.rows)

    def pointer_to(self, nr: int) -> int:
        """The address of ``nr`` rows; ``ValueError`` when there are not so many."""
        if not 0 <= nr <= self._capacity:
            raise ValueError(f"{nr} rows: the buffer has memory for {self._capacity}; reserve() more first")
        return self._address

    def __getitem__(self, index: int) -> int:
        return int(self.rows[index])

    def __setitem__(self, index: int, value: int) -> None:
        self.rows[index] = value


class Batch:
    """The addresses that one ``mkold()`` made old, for ``young()``, which has an answer for each of them.

    The buffer stays the caller's, which leaves it as it is until then. A machine that remembers more derives its own.
    """

    __slots__ = ("addrs", "nr")

    def __init__(self, addrs: Buffer, nr: int) -> None:
        addrs.pointer_to(nr)
        self.addrs, self.nr = addrs, nr


#: Nothing has been made old.
NO_BATCH: Final = Batch(Buffer(U64, 1), 0)


#: ``DamonFolio.flags``. The first group is set by the machine, the second by the filter stage.
FOLIO_ANON: Final = 1 << 0
FOLIO_ACTIVE: Final = 1 << 1
FOLIO_MAPPED: Final = 1 << 2
FOLIO_UNEVICTABLE: Final = 1 << 3
FOLIO_YOUNG: Final = 1 << 4  #: accessed since it was last made old; set by ``PhysicalSpace.folios_young`` only
FOLIO_DECIDED: Final = 1 << 16  #: a filter has decided; later filters leave it alone
FOLIO_PASS: Final = 1 << 17  #: it passed; actions act on folios with this flag and on no other


@shared("damon_folio")
class DamonFolio(ctypes.Structure):
    """One folio on an LRU list: a row of ``struct damon_folio``."""

    pfn: int  #: head page frame number
    memcg: int  #: id of the cgroup that it is charged to, 0 if none
    addr: int  #: in a process's walk: where its first page in the walked range is mapped (bytes)
    ilx: int  #: in a process's walk: place in its mapping in units of folios, which weights are spread over (ops 1.7)
    nr_pages: int
    flags: int
    target_nid: int  #: where ``migrate`` shall move it; -1 nowhere

    _fields_ = (
        ("pfn", ctypes.c_uint64),
        ("memcg", ctypes.c_uint64),
        ("addr", ctypes.c_uint64),
        ("ilx", ctypes.c_uint64),
        ("nr_pages", ctypes.c_uint32),
        ("flags", ctypes.c_uint32),
        ("target_nid", ctypes.c_int32),
        ("reserved", ctypes.c_uint32),
    )


class FolioArray:
    """A batch of folios in address order: ``nr`` rows, ``pointer`` for C routines."""

    __slots__ = ("_address", "_capacity", "nr", "rows")

    def __init__(self, capacity: int) -> None:
        self.nr = 0
        self._allocate(capacity)

    def _allocate(self, capacity: int) -> None:
        self._capacity = capacity
        self.rows = (DamonFolio * capacity)()
        self._address = ctypes.addressof(self.rows)

    @property
    def capacity(self) -> int:
        return self._capacity

    def pointer_to(self, nr: int) -> int:
        """The address of ``nr`` rows; ``ValueError`` when there are not so many."""
        if not 0 <= nr <= self._capacity:
            raise ValueError(f"{nr} folios: the array has memory for {self._capacity}; reserve() more first")
        return self._address

    @property
    def pointer(self) -> int:
        """The address of the rows; ``ValueError`` when ``nr`` is more than there are."""
        return self.pointer_to(self.nr)

    def reserve(self, capacity: int) -> None:
        """Room for ``capacity`` rows; the content is lost when it grows."""
        if capacity > self._capacity:
            self._allocate(max(capacity, 2 * self._capacity))
            self.nr = 0

    def __len__(self) -> int:
        return self.nr

    def __getitem__(self, index: int) -> DamonFolio:
        if not 0 <= index < self.nr:
            raise IndexError(f"folio {index} of {self.nr}")
        return self.rows[index]

    def __iter__(self) -> Iterator[DamonFolio]:
        for index in range(self.nr):
            yield self.rows[index]

    def remove_first(self) -> None:
        """Drop the first row."""
        size = ctypes.sizeof(DamonFolio)
        if not self.nr:
            raise IndexError("there is no folio to drop")
        ctypes.memmove(self.pointer, self.pointer + size, (self.nr - 1) * size)
        self.nr -= 1
