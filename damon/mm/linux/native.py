# SPDX-License-Identifier: GPL-2.0-only
"""The C routines of ``linux*.c``, and the records that they share with Python."""

from __future__ import annotations

import ctypes
import os
from ctypes import c_int, c_int32, c_size_t, c_ssize_t, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass
from typing import Final

from damon.model.arrays import Buffer
from damon.native import bind
from damon.native.layout import shared

#: System calls that are counted, in the order of ``enum lx_call``.
CALLS: Final = (
    "pagemap_read",
    "kpageflags_read",
    "kpagecgroup_read",
    "bitmap_read",
    "bitmap_write",
    "pagemap_scan",
    "process_madvise",
    "process_vm_readv",
    "move_pages",
    "open",
    "rwprotect",
)


@shared("lx_files")
class Files(ctypes.Structure):
    """``struct lx_files``: a machine's open kernel files (-1: not there), tuning, and system calls made so far.

    ``gap_*`` are the greatest holes read (entries) or written (words of 64 page frames) over to save a system call.
    """

    bitmap: int
    kpageflags: int
    kpagecgroup: int
    proc: int
    gap_pagemap: int
    gap_kpageflags: int
    gap_write: int
    calls: ctypes.Array[c_uint64]

    _fields_ = (
        ("bitmap", c_int32),
        ("kpageflags", c_int32),
        ("kpagecgroup", c_int32),
        ("proc", c_int32),
        ("gap_pagemap", c_uint32),
        ("gap_kpageflags", c_uint32),
        ("gap_write", c_uint32),
        ("reserved", c_uint32),
        ("calls", c_uint64 * len(CALLS)),
    )

    def __init__(self, bitmap: int = -1, kpageflags: int = -1, kpagecgroup: int = -1, proc: int = -1) -> None:
        super().__init__(bitmap, kpageflags, kpagecgroup, proc, GAP_PAGEMAP, GAP_KPAGEFLAGS, GAP_WRITE, 0)

    @property
    def pointer(self) -> int:
        return ctypes.addressof(self)

    def counters(self) -> dict[str, int]:
        """System calls by kind."""
        return dict(zip(CALLS, self.calls, strict=True))


# A hole costs what the kernel does for its entries; a system call, entering the kernel and finding the first one.
GAP_PAGEMAP: Final = 8
GAP_KPAGEFLAGS: Final = 8
GAP_WRITE: Final = 1


@shared("lx_result")
class Result(ctypes.Structure):
    """``struct lx_result``: what became of the pages that an action wanted."""

    wanted: int
    missing: int
    own: int
    stale: int
    shared: int
    acted: int
    left: int
    moved: int
    unmapped: int
    unevictable: int

    _fields_ = tuple(
        (name, c_uint64)
        for name in (
            *("wanted", "missing", "own", "stale", "shared", "acted", "left", "moved"),
            *("unmapped", "unevictable"),
        )
    )


@shared("lx_key")
class Key(ctypes.Structure):
    """``struct lx_key``: a page or page frame and the row that it belongs to."""

    key: int
    row: int
    aux: int

    _fields_ = (("key", c_uint64), ("row", c_uint32), ("aux", c_uint32))


#: ``enum lx_action``.
PAGEOUT: Final = 0
DEACTIVATE: Final = 1
ACTIVATE: Final = 2
MIGRATE: Final = 3

_sample_new = bind("linux_sample_new", c_void_p)
_sample_free = bind("linux_sample_free", None, c_void_p)
_mkold_phys = bind("linux_mkold_phys", c_int, c_void_p, c_void_p, c_void_p, c_uint32)
_young_phys = bind("linux_young_phys", c_int, c_void_p, c_void_p, c_uint32, c_void_p)
_mkold_virt = bind("linux_mkold_virt", c_int, c_void_p, c_void_p, c_int, c_void_p, c_uint32)
_young_virt = bind("linux_young_virt", c_int, c_void_p, c_void_p, c_int, c_uint32, c_void_p)

walk_new = bind("linux_walk_new", c_void_p, c_void_p, c_uint64, c_uint64)
walk_next = bind("linux_walk_next", c_uint32, c_void_p, c_void_p, c_void_p, c_uint32)
walk_free = bind("linux_walk_free", None, c_void_p)
folios_at = bind("linux_folios_at", c_int, c_void_p, c_void_p, c_uint32, c_int, c_void_p)
folios_young = bind("linux_folios_young", c_int, c_void_p, c_void_p, c_uint32)
folios_mkold = bind("linux_folios_mkold", c_int, c_void_p, c_void_p, c_uint32)

vwalk_new = bind("linux_vwalk_new", c_void_p, c_void_p, c_int, c_int, c_uint64, c_uint64)
vwalk_next = bind("linux_vwalk_next", c_uint32, c_void_p, c_void_p, c_void_p, c_uint32)
vwalk_free = bind("linux_vwalk_free", None, c_void_p)
mappings_parse = bind("linux_mappings_parse", c_size_t, ctypes.c_char_p, c_size_t, c_void_p, c_size_t)
migrate_virt = bind("linux_migrate_virt", c_int, c_void_p, c_int32, c_int, c_int, c_void_p, c_uint32, c_void_p)
move_pages_there = bind("linux_move_pages_there", c_int, c_void_p)

rmap_new = bind("linux_rmap_new", c_void_p)
rmap_free = bind("linux_rmap_free", None, c_void_p)
rmap_build = bind("linux_rmap_build", c_int, c_void_p, c_void_p, c_int32, c_uint64, c_uint64)
rmap_entries = bind("linux_rmap_entries", c_uint64, c_void_p)
rmap_get = bind("linux_rmap_get", c_uint64, c_void_p, c_uint64, c_void_p)
rmap_lookup = bind("linux_rmap_lookup", c_size_t, c_void_p, c_void_p, c_uint32, c_int, c_void_p, c_size_t, c_void_p)
verify = bind("linux_verify", c_size_t, c_void_p, c_int, c_void_p, c_void_p, c_size_t, c_int, c_void_p, c_void_p)
count_left = bind("linux_count_left", c_uint64, c_void_p, c_int, c_void_p, c_void_p, c_size_t, c_void_p, c_void_p)
passing_pages = bind("linux_passing_pages", c_uint64, c_void_p, c_uint32)
act = bind("linux_act", c_int, c_void_p, c_void_p, c_void_p, c_uint32, c_int, c_void_p)
drain = bind("linux_drain", c_int, c_void_p)

madvise = bind("linux_madvise", c_int, c_void_p, c_int, c_uint64, c_uint64, c_int)
pidfd_alive = bind("linux_pidfd_alive", c_int, c_int)
maps_parse = bind("linux_maps_parse", c_size_t, ctypes.c_char_p, c_size_t, c_void_p, c_size_t)
maps_read = bind("linux_maps_read", c_ssize_t, c_void_p, c_int, c_void_p, c_size_t)
_free_mem = bind("linux_free_mem", c_int, c_void_p)


def checked(result: int) -> int:
    """``result``, or ``OSError`` for a negative errno."""
    if result < 0:
        raise OSError(-result, os.strerror(-result))
    return result


def free_mem() -> tuple[int, int]:
    """Free and total pages, by sysinfo(2)."""
    pages = (c_uint64 * 2)()
    checked(_free_mem(ctypes.addressof(pages)))
    return pages[0], pages[1]


@dataclass(slots=True)
class Mappings:
    """A reused array of ``[start, end)`` pairs."""

    rows: ctypes.Array[c_uint64]

    @classmethod
    def empty(cls) -> Mappings:
        return cls((c_uint64 * 512)())

    def read(self, files: Files, directory: int) -> list[tuple[int, int]]:
        """The mappings of the process behind ``directory`` (an open ``/proc/PID``); empty when it is gone."""
        while True:
            room = len(self.rows) // 2
            nr = maps_read(files.pointer, directory, ctypes.addressof(self.rows), room)
            if nr < 0:
                return []
            if nr <= room:
                flat = self.rows[: 2 * nr]
                return list(zip(flat[::2], flat[1::2], strict=True))
            self.rows = (c_uint64 * (4 * nr))()


class Sampler:
    """One batch of sampling addresses between "make old" and "is it young?"."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._state: int | None = _sample_new()
        if not self._state:
            raise MemoryError

    def _open(self) -> int:
        if self._state is None:
            raise ValueError("this batch of samples is closed: make a new one old")
        return self._state

    def mkold_phys(self, addrs: Buffer, nr: int) -> int:
        """Physical addresses; the number of them whose page was made old."""
        return checked(_mkold_phys(self._files.pointer, self._open(), addrs.pointer_to(nr), nr))

    def young_phys(self, nr: int, out: Buffer) -> None:
        """``EINVAL`` if the last batch made old was not ``nr`` long."""
        checked(_young_phys(self._files.pointer, self._open(), nr, out.pointer_to(nr)))

    def mkold_virt(self, pagemap: int, addrs: Buffer, nr: int) -> int:
        """Virtual addresses of the process whose pagemap is given; ``ProcessLookupError`` when its memory is gone."""
        return checked(_mkold_virt(self._files.pointer, self._open(), pagemap, addrs.pointer_to(nr), nr))

    def young_virt(self, pagemap: int, nr: int, out: Buffer) -> None:
        checked(_young_virt(self._files.pointer, self._open(), pagemap, nr, out.pointer_to(nr)))

    def close(self) -> None:
        _sample_free(self._state)
        self._state = None

    def __del__(self) -> None:
        if getattr(self, "_state", None):
            self.close()
