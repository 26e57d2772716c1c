# SPDX-License-Identifier: GPL-2.0-only
"""Memory that comes and goes. Twin of ``sim_hotplug.c``."""

from __future__ import annotations

from damon.mm.sim.layout import CLUSTER
from damon.mm.sim.reference.frames import frame_free, frame_isolate
from damon.mm.sim.reference.migrate import migrate_folio
from damon.mm.sim.reference.pages import resolve
from damon.mm.sim.reference.reclaim import Cost, shrink
from damon.mm.sim.state import State


def _evacuate(s: State, node: int, area: int, index: int, t: int) -> bool:
    """Make one frame of a range that goes offline free: its folio to another node, or where none has room to the rest
    of this one, or what nobody uses out of memory. False: there is no room."""
    m = s.m
    order = m.node[node].order[: m.nr_node]
    for target in [*order[1:], order[0]]:  # the node itself is the first one
        if m.node[target].nr_free > m.node[target].wmark_min:
            m.pgmigrate_success += migrate_folio(s, area, index, target, t)
            return True
    cost = Cost()
    got = shrink(s, order, CLUSTER, t, cost)
    m.pgscan_direct += cost.scanned
    m.pgsteal_direct += got
    return got > 0


def offline(s: State, number: int, nr: int, t: int) -> bool:
    """The last ``nr`` pages of a resource go offline; False: they could not be moved away, and nothing has changed but
    where pages are."""
    m, res = s.m, s.m.res[number]
    node = int(res.node)
    frame, pfn = int(res.frame + res.nr - nr), int(res.pfn + res.nr - nr)
    m.isolated, m.nr_isolated = frame, nr
    frame_isolate(s, node)
    failed = False
    for i in range(nr):
        while not failed and (found := resolve(s, pfn + i)) is not None:
            failed = not _evacuate(s, node, *found, t)
        if failed:
            break
    m.isolated = m.nr_isolated = 0
    if not failed:
        res.nr -= nr
        m.node[node].total -= nr
        return True
    run = 0
    for i in range(nr + 1):
        if i < nr and resolve(s, pfn + i) is None:
            continue
        if i > run:
            frame_free(s, frame + run, i - run)
        run = i + 1
    return False


def online(s: State, number: int, nr: int) -> None:
    """The next ``nr`` pages of a resource come online."""
    m, res = s.m, s.m.res[number]
    res.nr += nr
    m.node[res.node].total += nr
    m.node[res.node].kswapd_failures = 0
    frame_free(s, int(res.frame + res.nr - nr), nr)
