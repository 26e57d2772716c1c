# SPDX-License-Identifier: GPL-2.0-only
"""Folios that move to another node. Twin of ``sim_migrate`` in ``sim_node.c``."""

from __future__ import annotations

from damon.mm.sim.reference.faults import page_move
from damon.mm.sim.reference.nodes import node_wake
from damon.mm.sim.reference.pages import node_of, page_frame, resolve
from damon.mm.sim.reference.reclaim import Cost
from damon.mm.sim.state import State
from damon.model.arrays import FOLIO_PASS, FolioArray


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
        if m.node[target].nr_free > m.node[target].wmark_min:
            page_move(s, *found, target, now)
            moved += 1
            m.pgmigrate_success += 1
            cost.ns += m.migrate_ns
        else:
            m.pgmigrate_fail += 1
        node_wake(s, target, now)
    return moved
