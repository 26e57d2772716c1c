# SPDX-License-Identifier: GPL-2.0-only
"""Folios as operations sets see them, and the walk of a process's. Twin of ``sim_walk.c``."""

from __future__ import annotations

from ctypes import Array, c_uint64

from damon.mm.sim.layout import ANON, BLOCK_SHIFT, PG_ACTIVE
from damon.mm.sim.reference.pages import folio_nr, head, page_frame, page_pfn, page_present, resolve, valid
from damon.mm.sim.state import State
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON, FOLIO_MAPPED, DamonFolio, FolioArray


def describe(s: State, area: int, index: int, pfn: int, folio: DamonFolio) -> None:
    """The folio that begins with a page of an area, which is in frame number ``pfn`` unless it is huge."""
    a = s.area.rows[area]
    folio.nr_pages = folio_nr(a, index)
    folio.pfn = page_pfn(s, a.page[index].frame) if folio.nr_pages > 1 else pfn
    folio.memcg = a.memcg
    folio.addr = folio.ilx = 0
    folio.target_nid = -1
    folio.flags = FOLIO_MAPPED | (FOLIO_ANON if a.kind == ANON else 0)
    if valid(a, index) and a.page[index].flags & PG_ACTIVE:
        folio.flags |= FOLIO_ACTIVE


def folios_at(s: State, addrs: Array[c_uint64], out: FolioArray) -> None:
    """Row by row the folio at each address; ``nr_pages`` 0: none. Twin of ``sim_probe.c``."""
    out.nr = len(addrs)
    for folio, addr in zip(out, addrs, strict=True):
        found = resolve(s, addr >> 12)
        if found is None:
            folio.nr_pages = 0
        else:
            describe(s, *found, addr >> 12, folio)


def walk(s: State, process: int, addr: int, end: int, out: FolioArray) -> int:
    """The folios that a process maps in ``[addr, end)``, as many as ``out`` has room for; where to go on."""
    p = s.process.rows[process]
    out.nr = 0
    for area in range(p.first_area, p.first_area + p.nr_area):
        a = s.area.rows[area]
        if not a.mapped:
            continue
        pgoff = a.start >> 12 if a.kind == ANON else 0
        first = max(addr - a.start, 0) >> 12
        after = first
        for index in range(first, min(a.nr_pages, -(-(end - a.start) // 4096))):
            if index < after or not page_present(a, index):
                continue
            if out.nr == out.capacity:
                return int(a.start + index * 4096)
            folio = out.rows[out.nr]
            start = head(a, index)
            describe(s, area, start, page_pfn(s, page_frame(a, start)), folio)
            order = BLOCK_SHIFT if folio.nr_pages > 1 else 0
            folio.addr = a.start + index * 4096
            folio.ilx = (pgoff >> order) + (index >> order)
            after = start + folio.nr_pages
            out.nr += 1
    return end
