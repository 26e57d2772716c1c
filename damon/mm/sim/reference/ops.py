# SPDX-License-Identifier: GPL-2.0-only
"""What operations sets ask for, in batches. Twin of ``sim_ops.c``."""

from __future__ import annotations

from damon.mm.sim.layout import (
    ANON,
    BLOCK,
    BLOCK_SHIFT,
    PG_IDLE,
    PG_REFERENCED,
    PG_SWAPPED,
    SimPattern,
)
from damon.mm.sim.reference.access import seg_now
from damon.mm.sim.reference.faults import page_insert
from damon.mm.sim.reference.frames import frame_alloc
from damon.mm.sim.reference.lru import lru_activate, lru_deactivate
from damon.mm.sim.reference.nodes import node_pick, node_wake_all
from damon.mm.sim.reference.pages import folio_nr, head, page_get, page_mkold, page_present, page_young, resolve
from damon.mm.sim.reference.reclaim import Cost, reclaim_page
from damon.mm.sim.reference.thp import thp_split
from damon.mm.sim.reference.walk import describe
from damon.mm.sim.state import State
from damon.model.arrays import (
    FOLIO_DECIDED,
    FOLIO_PASS,
    FOLIO_YOUNG,
    FolioArray,
)
from damon.model.machine import Advice


def folios(s: State, pfn: int, end: int, out: FolioArray) -> int:
    """The folios in frames ``[pfn, end)``, as many as ``out`` has room for; where to go on."""
    out.nr = 0
    for n in range(s.m.nr_res):
        res = s.m.res[n]
        stop = min(res.pfn + res.nr, end)
        pfn = max(pfn, res.pfn)
        while pfn < stop:
            frame = res.frame + pfn - res.pfn
            if not s.block.rows[frame >> BLOCK_SHIFT]:
                pfn = min(pfn + BLOCK - (frame & (BLOCK - 1)), stop)  # the next frames are elsewhere
                continue
            found = resolve(s, pfn)
            if found is None:
                pfn += 1
                continue
            if out.nr == out.capacity:
                return int(pfn)
            describe(s, *found, pfn, out.rows[out.nr])
            pfn = out.rows[out.nr].pfn + out.rows[out.nr].nr_pages
            out.nr += 1
    return end


def folios_young(s: State, folios: FolioArray, now: int) -> None:
    for folio in folios:
        if folio.flags & FOLIO_DECIDED:
            continue
        found = resolve(s, folio.pfn)
        if found is not None and page_young(s, *found, now):
            folio.flags |= FOLIO_YOUNG
        else:
            folio.flags &= ~FOLIO_YOUNG


def folios_mkold(s: State, folios: FolioArray, now: int) -> None:
    for folio in folios:
        if folio.flags & (FOLIO_DECIDED | FOLIO_YOUNG) == FOLIO_YOUNG:
            found = resolve(s, folio.pfn)
            if found is not None:
                page_mkold(s, *found, now)


def pageout(s: State, folios: FolioArray, now: int, cost: Cost) -> int:
    """Reclaim the chosen folios, accessed or not; the pages that left."""
    reclaimed = 0
    for folio in folios:
        found = resolve(s, folio.pfn) if folio.flags & FOLIO_PASS else None
        if found is not None:
            reclaimed += reclaim_page(s, *found, page_get(s, *found), now, cost)
    s.m.pgsteal_advised += reclaimed
    return reclaimed


def lru_move(s: State, folios: FolioArray, active: bool) -> int:
    """Put the chosen folios on the active or the inactive list; their pages."""
    pages = 0
    for folio in folios:
        found = resolve(s, folio.pfn) if folio.flags & FOLIO_PASS else None
        if found is None:
            continue
        if active:
            lru_activate(s, *found)
        else:
            lru_deactivate(s, *found)
        pages += folio_nr(s.area.rows[found[0]], found[1])
    return pages


def _willneed(s: State, area: int, index: int, now: int) -> None:
    """Read in what is in swap or on disk, as far as free memory goes; nobody waits for it."""
    a = s.area.rows[area]
    if page_present(a, index):
        return
    found = node_pick(s, area)
    if found is None:
        return
    p = page_get(s, area, index)
    if a.kind == ANON and not p.flags & PG_SWAPPED:
        return
    node, short = found
    p.frame = frame_alloc(s, node, area, index)
    page_insert(s, area, index, p, now, False)
    p.t_ref = now
    if seg_now(a).pattern != SimPattern.NONE:
        p.covered = a.epoch
    if short:
        node_wake_all(s, now)


def advise(s: State, area: int, index: int, end: int, advice: int, now: int, cost: Cost) -> int:
    """One advice for pages ``[index, end)`` of one area; the pages that left (pageout) or changed lists (cold)."""
    a = s.area.rows[area]
    done = 0
    after = index
    for i in range(index, end):
        if advice == Advice.WILLNEED:
            _willneed(s, area, i, now)
            continue
        if i < after or not page_present(a, i):
            continue
        first, nr = head(a, i), 1
        if folio_nr(a, first) > 1:  # a part of a huge folio: it is split
            if first == i and end - i >= BLOCK:
                nr = BLOCK
            else:
                s.m.thp_split_page += 1
                thp_split(s, area, first, now)
        after = i + nr
        if advice == Advice.PAGEOUT:
            done += reclaim_page(s, area, i, page_get(s, area, i), now, cost)
        else:  # the accessed bit goes, with it what monitoring has not seen yet
            p = page_get(s, area, i)
            p.t_ref = now
            if p.flags & PG_IDLE:
                p.t_old = now
            p.flags &= ~PG_REFERENCED
            done += nr * lru_deactivate(s, area, i)
    if advice == Advice.PAGEOUT:
        s.m.pgsteal_advised += done
    return done
