# SPDX-License-Identifier: GPL-2.0-only
"""A process's mappings and folios, entry by entry: plain Python twins of ``linux_maps.c`` and ``linux_vwalk.c``."""

from __future__ import annotations

from collections.abc import Iterator

from damon.mm.linux.native import Files
from damon.mm.linux.reference import (
    KPF_COMPOUND_HEAD,
    KPF_COMPOUND_TAIL,
    KPF_FOREIGN,
    KPF_LRU,
    _present,
    _read,
    folio_flags,
    head_of,
    page_flags,
)
from damon.model.arrays import FOLIO_MAPPED, DamonFolio
from damon.model.machine import PAGE_SHIFT


def mappings(text: bytes) -> list[tuple[int, int, int]]:
    """``(start, end, page offset)`` in pages of each line of ``/proc/PID/maps``.

    An anonymous mapping's offset is that of its address, as the kernel has it unless ``mremap(2)`` moved it.
    """
    found = []
    for line in text.splitlines():
        words = line.split()
        start, _, end = words[0].partition(b"-")
        if int(end, 16) >> 63:
            continue  # [vsyscall] is no mapping of the process
        offset = int(words[2], 16) if words[4] != b"0" else int(start, 16)
        found.append((int(start, 16) >> PAGE_SHIFT, int(end, 16) >> PAGE_SHIFT, offset >> PAGE_SHIFT))
    return found


def process_folios(files: Files, maps: bytes, pagemap: int, first: int, end: int) -> Iterator[DamonFolio]:
    """The folios that the virtual pages ``[first, end)`` map; one that is met page after page comes once."""
    last = None
    for start, stop, pgoff in mappings(maps):
        for page in range(max(start, first), min(stop, end)):
            pfn = _present(_read(files, "pagemap_read", pagemap, page))
            found = folio_of(files, pfn) if pfn else None
            if found is not None and found.pfn != last:
                order = found.nr_pages.bit_length() - 1
                found.addr = page << PAGE_SHIFT
                found.ilx = (pgoff >> order) + ((page - start) >> order)
                yield found
            last = found.pfn if found else None


def folio_of(files: Files, pfn: int) -> DamonFolio | None:
    """The folio that a mapped page belongs to; None when it is on no LRU list."""
    if page_flags(files, pfn) & KPF_FOREIGN:
        return None
    head = head_of(files, pfn)
    if head is None or head[1] & (KPF_COMPOUND_TAIL | KPF_FOREIGN) or not head[1] & KPF_LRU:
        return None
    folio = DamonFolio(pfn=head[0], nr_pages=1, flags=folio_flags(head[1]) | FOLIO_MAPPED, target_nid=-1)
    if head[1] & KPF_COMPOUND_HEAD:
        while page_flags(files, folio.pfn + folio.nr_pages) & KPF_COMPOUND_TAIL:
            folio.nr_pages += 1
    if files.kpagecgroup >= 0:
        folio.memcg = _read(files, "kpagecgroup_read", files.kpagecgroup, folio.pfn) or 0
    return folio
