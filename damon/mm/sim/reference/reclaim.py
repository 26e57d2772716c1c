# SPDX-License-Identifier: GPL-2.0-only
"""Reclaim, as ``mm/vmscan.c`` does it with the classic lists. Twin of ``sim_reclaim.c``. Costs are returned in ns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from damon.mm.sim.layout import (
    ACTIVE,
    ANON,
    BLOCK,
    CLUSTER,
    INACTIVE,
    PG_ACTIVE,
    PG_DIRTY,
    PG_EVICTED,
    PG_HUGE,
    PG_REFERENCED,
    PG_SWAPPED,
    PRIORITY,
    SWAPPINESS,
    SimNode,
    SimPage,
)
from damon.mm.sim.reference.access import page_advance
from damon.mm.sim.reference.events import event_cover
from damon.mm.sim.reference.frames import frame_free
from damon.mm.sim.reference.lru import lru_activate, lru_add, lru_deactivate, lru_pop
from damon.mm.sim.reference.nodes import latency_change
from damon.mm.sim.reference.pages import folio_nr, node_of, page_get, page_referenced
from damon.mm.sim.reference.swap import swap_take
from damon.mm.sim.reference.thp import thp_split
from damon.mm.sim.state import State


@dataclass
class Cost:
    """What a reclaimer spends."""

    ns: int = 0
    scanned: int = 0


def _reclaim_huge(s: State, area: int, first: int, t: int, cost: Cost) -> int:
    """In one piece as long as swap has room for all of it, else page by page as far as it has. In swap it is pages
    either way."""
    if s.m.swap_pages - s.m.swap_used >= BLOCK:
        s.m.thp_swpout += 1
    else:
        s.m.thp_swpout_fallback += 1
        s.m.thp_split_page += 1
    thp_split(s, area, first, t)
    pages = s.area.rows[area].page
    return sum(reclaim_page(s, area, i, pages[i], t, cost) for i in range(first, first + BLOCK))


def reclaim_page(s: State, area: int, index: int, p: SimPage, t: int, cost: Cost) -> int:
    """A folio out of memory; its pages, or 0: anonymous memory without room in swap becomes active instead."""
    if p.flags & PG_HUGE:
        return _reclaim_huge(s, area, index, t, cost)
    m, a = s.m, s.area.rows[area]
    process = s.process.rows[a.process]
    node = node_of(s, p.frame)
    cost.ns += m.reclaim_ns
    if a.kind == ANON:
        if m.swap_used >= m.swap_pages:
            lru_activate(s, area, index)
            return 0
        swap_take(s, p)
        m.pswpout += 1
        a.nr_swapped += 1
        process.nr_swapped += 1
        cost.ns += m.swap[p.swap].write_ns
    else:
        page_advance(s, area, index, p, t)  # for the dirty bit
        if p.flags & PG_DIRTY:
            m.writeback += 1
            cost.ns += m.file_write_ns
    active = bool(p.flags & PG_ACTIVE)
    m.node[node].nr[a.kind * 2 + active] -= 1
    a.nr_active -= active
    a.node_active[node] -= active
    p.flags = PG_EVICTED | (PG_SWAPPED if a.kind == ANON else 0)
    p.seq = 0
    m.age += 1
    p.shadow = m.age
    a.nr_present -= 1
    a.node_present[node] -= 1
    latency_change(s, area, index, 1, node, -1, t)
    a.reclaimed += 1
    process.nr_present -= 1
    frame_free(s, p.frame, 1)
    event_cover(s, area, index, p, t)
    return 1


def _shrink_active(s: State, node: int, kind: int, nr: int, t: int, cost: Cost) -> None:
    """Active pages lose their place whether accessed or not; the access only counts again on the inactive list."""
    while nr > 0:
        popped = lru_pop(s, node, kind * 2 + ACTIVE)
        if popped is None:
            return
        area, index = popped
        nr -= folio_nr(s.area.rows[area], index)
        cost.ns += s.m.scan_ns
        s.area.rows[area].page[index].t_ref = t
        lru_deactivate(s, area, index)


def _shrink_inactive(s: State, node: int, kind: int, nr: int, t: int, cost: Cost) -> int:
    """First access seen: stay; second: become active; none: leave."""
    which, reclaimed = kind * 2 + INACTIVE, 0
    while nr > 0:
        popped = lru_pop(s, node, which)
        if popped is None:
            break
        area, index = popped
        p = page_get(s, area, index)
        pages = folio_nr(s.area.rows[area], index)
        nr -= pages
        cost.ns += s.m.scan_ns
        cost.scanned += pages
        if not page_referenced(s, area, index, p, t):
            reclaimed += reclaim_page(s, area, index, p, t, cost)
        elif p.flags & PG_REFERENCED:
            lru_activate(s, area, index)
        else:
            p.flags |= PG_REFERENCED
            s.m.node[node].nr[which] -= pages
            lru_add(s, which, area, index, p)
    return reclaimed


def _inactive_is_low(on: SimNode, kind: int) -> bool:
    inactive, active = on.nr[kind * 2 + INACTIVE], on.nr[kind * 2 + ACTIVE]
    gb, ratio = (inactive + active) >> 18, 1
    while gb and (ratio + 1) * (ratio + 1) <= 10 * gb:
        ratio += 1
    return bool(inactive * ratio < active)


def _shrink_node(s: State, node: int, priority: int, goal: int, t: int, cost: Cost) -> int:
    """One node at one priority; reclaimed pages, ``goal`` is enough."""
    m, on, reclaimed = s.m, s.m.node[node], 0
    left = [0, 0]
    for kind in range(2):
        weight = SWAPPINESS if kind == ANON else 200 - SWAPPINESS
        if m.swap_used >= m.swap_pages:
            weight = 0 if kind == ANON else 200
        elif not priority:
            weight = 200
        left[kind] = ((on.nr[kind * 2] + on.nr[kind * 2 + 1]) >> priority) * weight // 200
    while left[0] or left[1]:
        for kind in range(2):
            nr = min(left[kind], CLUSTER)
            if not nr:
                continue
            left[kind] -= nr
            if _inactive_is_low(on, kind):
                _shrink_active(s, node, kind, nr, t, cost)
            reclaimed += _shrink_inactive(s, node, kind, nr, t, cost)
            if reclaimed >= goal:
                return reclaimed
    return reclaimed


def shrink(s: State, nodes: Sequence[int], goal: int, t: int, cost: Cost) -> int:
    """Reclaim from ``nodes`` until ``goal`` pages have left, looking harder and harder; the number that did."""
    reclaimed = 0
    for priority in range(PRIORITY, -1, -1):
        for node in nodes:
            got = _shrink_node(s, node, priority, goal - reclaimed, t, cost)
            if got:
                s.m.node[node].kswapd_failures = 0
            reclaimed += got
            if reclaimed >= goal:
                return reclaimed
    return reclaimed
