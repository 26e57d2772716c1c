# SPDX-License-Identifier: GPL-2.0-only
"""Page frames: free runs and the reverse map from frame to page. Twin of ``sim_frame.c``."""

from __future__ import annotations

from damon.mm.sim.layout import BLOCK, BLOCK_SHIFT, LEAF, PAGE_BITS
from damon.mm.sim.reference.pages import node_of
from damon.mm.sim.state import State


def _set_rmap(s: State, frame: int, area: int, index: int) -> None:
    b = frame >> BLOCK_SHIFT
    v = s.block.rows[b]
    if v != LEAF:
        x = s.area.rows[(v >> 32) - 2].ext[v & 0xFFFFFFFF] if v else None
        for f in range(b << BLOCK_SHIFT, (b + 1) << BLOCK_SHIFT):
            if x is not None and x.frame <= f < x.frame + x.nr:
                s.leaf.rows[f] = ((v >> 32) - 1) << PAGE_BITS | (x.page + f - x.frame)
            else:
                s.leaf.rows[f] = 0
        s.block.rows[b] = LEAF
    s.leaf.rows[frame] = (area + 1) << PAGE_BITS | index


def frame_alloc(s: State, node: int, area: int, index: int) -> int:
    """The frame freed last (or the next never used) becomes this page's. The caller knows that one is free."""
    on = s.m.node[node]
    top = s.free[node].rows[on.nr_free_runs - 1]
    frame = int(top.frame)
    top.frame += 1
    top.nr -= 1
    if not top.nr:
        on.nr_free_runs -= 1
    on.nr_free -= 1
    _set_rmap(s, frame, area, index)
    return frame


def frame_free(s: State, frame: int, nr: int) -> None:
    """Frames of one node. Reverse map entries stay: whoever follows one checks that the page still is there."""
    node = node_of(s, frame)
    on, runs = s.m.node[node], s.free[node].rows
    top = runs[on.nr_free_runs - 1] if on.nr_free_runs else None
    on.nr_free += nr
    if top is not None and frame == top.frame + top.nr:
        top.nr += nr
    elif top is not None and frame + nr == top.frame:
        top.frame = frame
        top.nr += nr
    else:
        new = runs[on.nr_free_runs]
        new.frame, new.nr = frame, nr
        on.nr_free_runs += 1


def _bulk_ext(s: State, area: int, frame: int, nr: int) -> None:
    a = s.area.rows[area]
    x = a.ext[a.nr_ext]
    x.page, x.nr, x.frame = a.nr_bulk, nr, frame
    f, end = frame, frame + nr
    while f < end:
        if not f & (BLOCK - 1) and end - f >= BLOCK:
            s.block.rows[f >> BLOCK_SHIFT] = (area + 2) << 32 | a.nr_ext
            f += BLOCK
        else:
            _set_rmap(s, f, area, x.page + f - frame)
            f += 1
    a.nr_ext += 1
    a.nr_bulk += nr


def frame_bulk(s: State, node: int, area: int, nr: int) -> None:
    """Frames of a node for the area's next pages, up to ``nr``, from free runs of at least a block. Moves ``nr_bulk``
    on."""
    on, runs = s.m.node[node], s.free[node].rows
    n = 0
    while n < on.nr_free_runs and nr:
        r = runs[n]
        take = min(r.nr, nr)
        if r.nr < BLOCK and r.nr < nr:
            n += 1
            continue
        _bulk_ext(s, area, r.frame, take)
        r.frame += take
        r.nr -= take
        on.nr_free -= take
        nr -= take
        if not r.nr:
            for later in range(n, on.nr_free_runs - 1):
                here, after = runs[later], runs[later + 1]
                here.frame, here.nr = after.frame, after.nr
            on.nr_free_runs -= 1
