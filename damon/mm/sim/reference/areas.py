# SPDX-License-Identifier: GPL-2.0-only
"""Areas that go, and whose accesses change. Twin of ``sim_area.c``."""

from __future__ import annotations

from damon.mm.sim.layout import (
    ACTIVE,
    INACTIVE,
    MAX_SEG,
    PG_PRESENT,
    PG_SWAPPED,
    ST_IDLE,
    ST_VALID,
    SimArea,
    SimPattern,
    SimSeg,
)
from damon.mm.sim.reference.access import seg_count, seg_now
from damon.mm.sim.reference.frames import frame_free
from damon.mm.sim.reference.nodes import latency_area, latency_settle
from damon.mm.sim.reference.pages import folio_nr, page_get, state, valid
from damon.mm.sim.reference.swap import swap_free
from damon.mm.sim.state import State


def _close_seg(a: SimArea, t: int) -> None:
    """The touches of the stretch that ends at ``t``."""
    seg = seg_now(a)
    a.touches += int(float(t - seg.t0) * seg.rate)


def area_clear(s: State, area: int, t: int) -> None:
    """Unmap: frames and swap slots are free again, nothing of the pages stays."""
    m, a = s.m, s.area.rows[area]
    process = s.process.rows[a.process]
    if not a.mapped:
        return
    for n in range(a.nr_ext):
        x = a.ext[n]
        run, end = x.page, x.page + x.nr
        for i in range(x.page, end):
            if state(a, i) >= ST_VALID:
                if i > run:
                    frame_free(s, x.frame + run - x.page, i - run)
                run = i + 1
        if end > run:
            frame_free(s, x.frame + run - x.page, end - run)
        x.nr = 0
    for i in range(a.nr_pages):
        if valid(a, i) and a.page[i].flags & PG_PRESENT:
            frame_free(s, a.page[i].frame, folio_nr(a, i))
        elif valid(a, i) and a.page[i].flags & PG_SWAPPED:
            swap_free(s, a.page[i])
    latency_settle(a, t)
    a.touch_ns = 0.0
    for n in range(m.nr_node):
        on = m.node[n]
        on.nr[a.kind * 2 + ACTIVE] -= a.node_active[n]
        on.nr[a.kind * 2 + INACTIVE] -= a.node_present[n] - a.node_active[n]
        on.kswapd_failures = 0
        a.node_present[n] = a.node_active[n] = a.bulk_seq[n] = 0
    process.nr_present -= a.nr_present
    process.nr_swapped -= a.nr_swapped
    _close_seg(a, t)
    a.nr_present = a.nr_swapped = a.nr_active = a.nr_huge = 0
    a.nr_bulk = a.nr_bulk_idle = 0
    a.nr_ext = 0
    a.mapped = 0
    a.epoch += 1
    pages, states, _segments, _extents, advice = s.maps[area]
    pages.discard()
    states.discard()
    advice.discard()


def area_access(s: State, area: int, new: SimSeg) -> None:
    """What changes from ``new.t0`` on for an area's accesses; ``new`` is filled in but for ``base``."""
    a = s.area.rows[area]
    seg = seg_now(a)
    if a.nr_bulk_idle:
        for n in range(a.nr_bulk):
            if state(a, n) == ST_IDLE:
                page_get(s, area, n)
    if seg.pattern == SimPattern.STRIDED and new.pattern == SimPattern.STRIDED and seg.stride == new.stride:
        new.base = seg_count(seg, new.t0) % seg.period
    latency_settle(a, new.t0)
    _close_seg(a, new.t0)
    if a.nr_seg == MAX_SEG:  # a page that nobody looked at for so long was not touched before
        for n in range(MAX_SEG // 2):
            a.seg[n] = a.seg[n + MAX_SEG // 2]
        a.nr_seg = MAX_SEG // 2
    a.seg[a.nr_seg] = new
    a.nr_seg += 1
    a.epoch += 1
    latency_area(s, area)
