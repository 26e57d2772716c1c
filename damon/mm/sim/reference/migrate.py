# SPDX-License-Identifier: GPL-2.0-only
"""Folios that move to another node. Twin of ``sim_migrate.c``."""

from __future__ import annotations

from damon.mm.sim.layout import PG_ACTIVE
from damon.mm.sim.reference.frames import frame_alloc, frame_free, frame_huge
from damon.mm.sim.reference.lru import lru_add
from damon.mm.sim.reference.nodes import latency_change, node_wake
from damon.mm.sim.reference.pages import folio_nr, node_of, page_frame, page_get, resolve
from damon.mm.sim.reference.reclaim import Cost
from damon.mm.sim.reference.thp import thp_split
from damon.mm.sim.state import State
from damon.model.arrays import FOLIO_PASS, FolioArray


def _move(s: State, area: int, index: int, frame: int, t: int) -> None:
    """A folio from its frames to others. What monitoring and reclaim know of it goes with it."""
    a = s.area.rows[area]
    p = page_get(s, area, index)
    before, nr = int(p.frame), folio_nr(a, index)
    source, node = node_of(s, before), node_of(s, frame)
    active = nr if p.flags & PG_ACTIVE else 0
    which = a.kind * 2 + bool(active)
    s.m.node[source].nr[which] -= nr
    a.node_present[source] -= nr
    a.node_active[source] -= active
    latency_change(s, area, index, nr, source, -1, t)
    p.frame = frame
    frame_free(s, before, nr)
    a.node_present[node] += nr
    a.node_active[node] += active
    latency_change(s, area, index, nr, node, 1, t)
    lru_add(s, which, area, index, p)


def migrate_folio(s: State, area: int, index: int, target: int, t: int) -> int:
    """One folio to a node, a huge one in pieces when no free piece there is as big; the pages that moved."""
    m, on = s.m, s.m.node[target]
    nr = folio_nr(s.area.rows[area], index)
    if nr == 1:
        page_get(s, area, index)
        if on.nr_free <= on.wmark_min:
            return 0
        _move(s, area, index, frame_alloc(s, target, area, index), t)
        return 1
    frame = frame_huge(s, target, area, index) if on.nr_free >= on.wmark_min + nr else None
    if frame is not None:
        _move(s, area, index, frame, t)
        m.thp_migration_success += 1
        return nr
    m.thp_migration_split += 1
    m.thp_split_page += 1
    thp_split(s, area, index, t)
    return sum(migrate_folio(s, area, i, target, t) for i in range(index, index + nr))


def migrate(s: State, folios: FolioArray, now: int, cost: Cost) -> int:
    """Move the chosen folios to their ``target_nid``, as far as that node has more than its min watermark free; the
    pages that moved. One that is there already, or shall go where no memory is, stays and counts as nothing."""
    m, moved = s.m, 0
    for folio in folios:
        target = folio.target_nid
        if not folio.flags & FOLIO_PASS or not 0 <= target < m.nr_node or not m.node[target].total:
            continue
        found = resolve(s, folio.pfn)
        if found is None or node_of(s, page_frame(s.area.rows[found[0]], found[1])) == target:
            continue
        pages = folio_nr(s.area.rows[found[0]], found[1])
        got = migrate_folio(s, *found, target, now)
        moved += got
        m.pgmigrate_success += got
        m.pgmigrate_fail += pages - got
        cost.ns += got * m.migrate_ns
        node_wake(s, target, now)
    return moved
