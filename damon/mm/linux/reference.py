# SPDX-License-Identifier: GPL-2.0-only
"""Plain Python twins of the C routines: one page after the other, a system call for each thing asked.

What they say is what the C routines have to say; ``LinuxMachine(reference=True)`` samples with them.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator, Sequence
from errno import EINVAL, ESRCH
from typing import Final

from damon.mm.linux.native import CALLS, Files
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON, FOLIO_MAPPED, FOLIO_UNEVICTABLE, Buffer, DamonFolio
from damon.model.machine import PAGE_SHIFT, PAGE_SIZE

KPF_REFERENCED: Final = 1 << 2
KPF_UPTODATE: Final = 1 << 3
KPF_LRU: Final = 1 << 5
KPF_ACTIVE: Final = 1 << 6
KPF_SLAB: Final = 1 << 7
KPF_MMAP: Final = 1 << 11
KPF_ANON: Final = 1 << 12
KPF_SWAPCACHE: Final = 1 << 13
KPF_COMPOUND_HEAD: Final = 1 << 15
KPF_COMPOUND_TAIL: Final = 1 << 16
KPF_HUGE: Final = 1 << 17
KPF_UNEVICTABLE: Final = 1 << 18
KPF_NOPAGE: Final = 1 << 20
KPF_THP: Final = 1 << 22
KPF_OFFLINE: Final = 1 << 23
KPF_ZERO_PAGE: Final = 1 << 24
KPF_IDLE: Final = 1 << 25
KPF_RESERVED: Final = 1 << 32
#: Never pages of a process that idle page tracking could know.
KPF_FOREIGN: Final = KPF_SLAB | KPF_HUGE | KPF_NOPAGE | KPF_OFFLINE | KPF_ZERO_PAGE | KPF_RESERVED

PM_PFN_MASK: Final = (1 << 55) - 1
PM_EXCLUSIVE: Final = 1 << 56
PM_PRESENT: Final = 1 << 63


def _read(files: Files, call: str, fd: int, index: int) -> int | None:
    """The u64 at ``index`` of ``fd``; None if it has none."""
    files.calls[CALLS.index(call)] += 1
    try:
        raw = os.pread(fd, 8, index * 8)
    except OSError:
        return None
    return int(struct.unpack("=Q", raw)[0]) if len(raw) == 8 else None


def page_flags(files: Files, pfn: int) -> int:
    return _read(files, "kpageflags_read", files.kpageflags, pfn) or 0


def is_idle(files: Files, pfn: int) -> bool:
    """The bit of ``pfn`` in the idle bitmap; a page frame that it does not have counts as idle."""
    word = _read(files, "bitmap_read", files.bitmap, pfn >> 6)
    return word is None or bool(word >> (pfn & 63) & 1)


def set_idle(files: Files, pfn: int, words: dict[int, int]) -> None:
    """Set the bit of ``pfn``. ``words`` are this batch's: a plain file, unlike the kernel, takes the zero bits too."""
    word = words[pfn >> 6] = words.get(pfn >> 6, 0) | 1 << (pfn & 63)
    files.calls[CALLS.index("bitmap_write")] += 1
    try:
        os.pwrite(files.bitmap, struct.pack("=Q", word), (pfn >> 6) * 8)
    except OSError:
        return  # behind the last page frame


def head_of(files: Files, pfn: int) -> tuple[int, int] | None:
    """Head page frame and its flags of the folio at ``pfn``; None if no page of a process can be there."""
    flags = page_flags(files, pfn)
    if flags & KPF_FOREIGN:
        return None
    if not flags & KPF_COMPOUND_TAIL:
        return pfn, flags
    while flags & KPF_COMPOUND_TAIL and pfn:
        pfn -= 1
        flags = page_flags(files, pfn)
    return (pfn, flags) if flags & KPF_COMPOUND_HEAD else None


def _present(entry: int | None) -> int | None:
    """The page frame of a pagemap entry."""
    if entry is None or not entry & PM_PRESENT or not entry & PM_PFN_MASK:
        return None
    return entry & PM_PFN_MASK


class ReferenceSampler:
    """Twin of ``native.NativeSampler``."""

    def __init__(self, files: Files) -> None:
        self._files = files
        self._pages: list[int] = []
        self._frames: list[int | None] = []
        self._heads: list[int | None] = []

    def _make_old(self, frames: list[int | None]) -> int:
        words: dict[int, int] = {}
        self._heads = []
        for pfn in frames:
            head = None if pfn is None else head_of(self._files, pfn)
            settable = head is not None and bool(head[1] & KPF_LRU)
            self._heads.append(head[0] if head and settable else None)
            if head and settable:
                set_idle(self._files, head[0], words)
        return sum(head is not None for head in self._heads)

    def _still_head(self, head: int) -> bool:
        return page_flags(self._files, head) & (KPF_LRU | KPF_COMPOUND_TAIL) == KPF_LRU

    def mkold_phys(self, addrs: Buffer, nr: int) -> int:
        return self._make_old([addrs[row] >> PAGE_SHIFT for row in range(nr)])

    def young_phys(self, nr: int, out: Buffer) -> None:
        if nr != len(self._heads):
            raise OSError(EINVAL, "not the batch made old")
        for row, head in enumerate(self._heads):
            out[row] = head is not None and not is_idle(self._files, head) and self._still_head(head)

    def _pagemap(self, pagemap: int, page: int) -> int | None:
        return _read(self._files, "pagemap_read", pagemap, page)

    def mkold_virt(self, pagemap: int, addrs: Buffer, nr: int) -> int:
        self._pages = [addrs[row] >> PAGE_SHIFT for row in range(nr)]
        entries = [self._pagemap(pagemap, page) for page in self._pages]
        self._frames = [_present(entry) for entry in entries]
        if nr and all(entry is None for entry in entries):
            self._heads = []
            raise ProcessLookupError(ESRCH, "the address space is gone")
        return self._make_old(self._frames)

    def young_virt(self, pagemap: int, nr: int, out: Buffer) -> None:
        if nr != len(self._heads):
            raise OSError(EINVAL, "not the batch made old")
        for row, (page, frame, head) in enumerate(zip(self._pages, self._frames, self._heads, strict=True)):
            clear = head is not None and not is_idle(self._files, head)
            if not clear and frame is not None:
                out[row] = 0
                continue
            now = _present(self._pagemap(pagemap, page))
            if now is not None and now == frame:
                out[row] = head is not None and self._still_head(head)
            else:
                out[row] = now is not None and self._newcomer(now)

    def _newcomer(self, pfn: int) -> bool:
        """A page that came after "make old": accessed unless still idle."""
        head = head_of(self._files, pfn)
        if head is None:
            return False
        if head[1] & KPF_LRU:
            return not is_idle(self._files, head[0])
        return head[1] & (KPF_MMAP | KPF_IDLE) == KPF_MMAP

    def close(self) -> None:
        self._heads = []


def folio_flags(flags: int) -> int:
    """``DamonFolio.flags`` of page flags."""
    pairs = (
        (KPF_ANON, FOLIO_ANON),
        (KPF_ACTIVE, FOLIO_ACTIVE),
        (KPF_MMAP, FOLIO_MAPPED),
        (KPF_UNEVICTABLE, FOLIO_UNEVICTABLE),
    )
    return sum(folio for page, folio in pairs if flags & page)


def folios(files: Files, start: int, end: int) -> Iterator[DamonFolio]:
    """The folios with a page among the page frames ``[start, end)``."""
    pfn = start
    if start < end and page_flags(files, start) & KPF_COMPOUND_TAIL:
        head = head_of(files, start)
        pfn = head[0] if head else start
    while pfn < end:
        flags = _read(files, "kpageflags_read", files.kpageflags, pfn)
        if flags is None:
            return
        folio = DamonFolio(pfn=pfn, nr_pages=1, flags=folio_flags(flags), target_nid=-1)
        pfn += 1
        if flags & KPF_COMPOUND_HEAD:
            while (tail := page_flags(files, pfn)) & KPF_COMPOUND_TAIL:
                folio.flags |= folio_flags(tail) & FOLIO_MAPPED
                folio.nr_pages += 1
                pfn += 1
        if flags & KPF_LRU and not flags & (KPF_COMPOUND_TAIL | KPF_FOREIGN):
            if files.kpagecgroup >= 0:
                folio.memcg = _read(files, "kpagecgroup_read", files.kpagecgroup, folio.pfn) or 0
            yield folio


def folios_at(files: Files, addrs: Sequence[int]) -> list[DamonFolio]:
    """Row by row the folio at each address; ``nr_pages`` is 1, or 0 where there is none."""
    found = []
    for addr in addrs:
        head = head_of(files, addr >> PAGE_SHIFT)
        folio = DamonFolio()
        if head is not None and head[1] & KPF_LRU:
            folio.pfn, folio.nr_pages, folio.flags, folio.target_nid = head[0], 1, folio_flags(head[1]), -1
            if files.kpagecgroup >= 0:
                folio.memcg = _read(files, "kpagecgroup_read", files.kpagecgroup, folio.pfn) or 0
        found.append(folio)
    return found


def maps(text: bytes) -> list[tuple[int, int]]:
    """``[start, end)`` of each line of ``/proc/PID/maps``; ``[vsyscall]`` is no mapping of the process."""
    found = []
    for line in text.splitlines():
        start, dash, rest = line.partition(b"-")
        end = rest.split(b" ", 1)[0]
        if dash and start and end and int(end, 16) >> 63 == 0:
            found.append((int(start, 16), int(end, 16)))
    return found


def reverse_map(files: Files, own: int, first: int, nr: int) -> dict[int, tuple[int, int]]:
    """Page frame -> (pid, virtual page): the first process that /proc lists, ``own`` last."""
    found: dict[int, tuple[int, int]] = {}
    names = [name for name in os.listdir(files.proc) if name.isdigit() and int(name) != own]
    for name in [*names, str(own)]:
        try:
            pagemap = os.open(f"{name}/pagemap", os.O_RDONLY, dir_fd=files.proc)
        except OSError:
            continue
        try:
            maps_fd = os.open(f"{name}/maps", os.O_RDONLY, dir_fd=files.proc)
            with os.fdopen(maps_fd, "rb") as file:
                ranges = maps(file.read())
            for start, end in ranges:
                for page in range(start // PAGE_SIZE, end // PAGE_SIZE):
                    pfn = _present(_read(files, "pagemap_read", pagemap, page))
                    if pfn is not None and first <= pfn < first + nr:
                        found.setdefault(pfn, (int(name), page))
        except OSError:
            continue
        finally:
            os.close(pagemap)
    return found
