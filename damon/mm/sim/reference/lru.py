# SPDX-License-Identifier: GPL-2.0-only
"""The four LRU lists as rings of runs. Twin of ``sim_lru.c``.

A page carries the number of the run that it was last added with; every other run's claim to it is stale. So moving a
page costs the same wherever it was, and an area that was never moved is one run.
"""

from __future__ import annotations

from damon.mm.sim.layout import (
    ACTIVE,
    BLOCK,
    INACTIVE,
    PG_ACTIVE,
    PG_HUGE,
    PG_PRESENT,
    PG_REFERENCED,
    ST_TAIL,
    SimArea,
    SimPage,
    SimRun,
)
from damon.mm.sim.reference.pages import folio_nr, node_of, page_frame, page_get, state, valid
from damon.mm.sim.state import State


def _page_seq(s: State, a: SimArea, index: int) -> int:
    if valid(a, index):
        return int(a.page[index].seq)
    if index >= a.nr_bulk or state(a, index) == ST_TAIL:
        return 0
    return int(a.bulk_seq[node_of(s, page_frame(a, index))])


def _ring(s: State, node: int, which: int, at: int) -> SimRun:
    return s.runs[node][which].rows[at & s.m.run_mask]  # type: ignore[no-any-return]


def _compact(s: State, node: int, which: int) -> None:
    """Drop stale claims. At least half of the ring is free afterwards: it is twice as long as there are frames."""
    on = s.m.node[node]
    to = on.tail[which]
    for at in range(on.tail[which], on.head[which]):
        r = _ring(s, node, which, at)
        page, nr, seq, area = r.page, r.nr, r.seq, r.area
        a = s.area.rows[area]
        live = 0
        for n in range(nr if a.mapped else 0):
            if _page_seq(s, a, page + n) != seq:
                live = 0
                continue
            live += 1
            if live == 1:
                out = _ring(s, node, which, to)
                out.page, out.seq, out.area, out.pad = page + n, seq, area, 0
                to += 1
            _ring(s, node, which, to - 1).nr = live
    on.head[which] = to


def lru_run(s: State, node: int, which: int, area: int, page: int, nr: int) -> int:
    """Pages ``[page, page + nr)`` to the head of a list; the number of their run."""
    m, on = s.m, s.m.node[node]
    on.nr[which] += nr
    if on.head[which] > on.tail[which]:
        r = _ring(s, node, which, on.head[which] - 1)
        if r.area == area and r.page + r.nr == page:
            r.nr += nr
            return int(r.seq)
    if on.head[which] - on.tail[which] > m.run_mask:
        _compact(s, node, which)
    r = _ring(s, node, which, on.head[which])
    on.head[which] += 1
    m.next_seq += 1
    r.page, r.nr, r.seq, r.area, r.pad = page, nr, m.next_seq, area, 0
    return int(r.seq)


def lru_add(s: State, which: int, area: int, index: int, p: SimPage) -> None:
    """A folio to the head of a list of its node; the caller has taken it off the one where it was. A huge one is on the
    list as its first page and counts as all of them."""
    node = node_of(s, p.frame)
    p.seq = lru_run(s, node, which, area, index, 1)
    if p.flags & PG_HUGE:
        s.m.node[node].nr[which] += BLOCK - 1


def lru_pop(s: State, node: int, which: int) -> tuple[int, int] | None:
    """The area and page at the tail. It still counts as a member and has to be moved or removed."""
    on = s.m.node[node]
    while on.head[which] != on.tail[which]:
        r = _ring(s, node, which, on.tail[which])
        a = s.area.rows[r.area]
        if not r.nr or not a.mapped:
            on.tail[which] += 1
            continue
        index = int(r.page)
        r.page += 1
        r.nr -= 1
        if _page_seq(s, a, index) == r.seq:
            return int(r.area), index
    return None


def lru_activate(s: State, area: int, index: int) -> bool:
    """To the head of the active list, unless it is active."""
    a, m = s.area.rows[area], s.m
    p = page_get(s, area, index)
    if not p.flags & PG_PRESENT or p.flags & PG_ACTIVE:
        return False
    p.flags |= PG_ACTIVE
    p.flags &= ~PG_REFERENCED
    node, nr = node_of(s, p.frame), folio_nr(a, index)
    a.nr_active += nr
    a.node_active[node] += nr
    m.node[node].nr[a.kind * 2 + INACTIVE] -= nr
    lru_add(s, a.kind * 2 + ACTIVE, area, index, p)
    m.pgactivate += nr
    m.age += nr
    return True


def lru_deactivate(s: State, area: int, index: int) -> bool:
    """To the head of the inactive list, unless it is inactive."""
    a, m = s.area.rows[area], s.m
    if not valid(a, index):
        return False  # pristine pages are inactive
    p = a.page[index]
    if not p.flags & PG_PRESENT or not p.flags & PG_ACTIVE:
        return False
    p.flags &= ~(PG_ACTIVE | PG_REFERENCED)
    node, nr = node_of(s, p.frame), folio_nr(a, index)
    a.nr_active -= nr
    a.node_active[node] -= nr
    m.node[node].nr[a.kind * 2 + ACTIVE] -= nr
    lru_add(s, a.kind * 2 + INACTIVE, area, index, p)
    m.pgdeactivate += nr
    return True
