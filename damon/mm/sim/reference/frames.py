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
    if s.m.nr_isolated and nr > 1:
        for i in range(nr):
            frame_free(s, frame + i, 1)
        return
    if s.m.nr_isolated and s.m.isolated <= frame < s.m.isolated + s.m.nr_isolated:
        return
    node = node_of(s, frame)
    on, runs = s.m.node[node], s.free[node].rows
    top = runs[on.nr_free_runs - 1] if on.nr_free_runs else None
    on.nr_free += nr
    on.huge_free += nr
    if top is not None and frame == top.frame + top.nr:
        top.nr += nr
    elif top is not None and frame + nr == top.frame:
        top.frame = frame
        top.nr += nr
    else:
        new = runs[on.nr_free_runs]
        new.frame, new.nr = frame, nr
        on.nr_free_runs += 1


def _merge(s: State, node: int) -> None:
    """Join free runs, as the buddy allocator does all the time; the smallest are used first afterwards."""
    on, rows = s.m.node[node], s.free[node].rows
    runs: list[list[int]] = []
    for frame, nr in sorted((int(rows[n].frame), int(rows[n].nr)) for n in range(on.nr_free_runs)):
        if runs and runs[-1][0] + runs[-1][1] == frame:
            runs[-1][1] += nr
        else:
            runs.append([frame, nr])
    runs.sort(key=lambda run: (-run[1], run[0]))
    _put(s, node, 0, runs)


def _put(s: State, node: int, at: int, runs: list[list[int]]) -> None:
    """The node's free runs from number ``at`` on."""
    for n, (frame, nr) in enumerate(runs, at):
        s.free[node].rows[n].frame, s.free[node].rows[n].nr = frame, nr
    s.m.node[node].nr_free_runs = at + len(runs)


def _find_huge(s: State, node: int) -> tuple[int, int] | None:
    """The first free run and frame for a huge folio, whose first page frame number is a multiple of its size."""
    for n in range(s.m.node[node].nr_free_runs):
        run = s.free[node].rows[n]
        for k in range(s.m.nr_res if run.nr >= BLOCK else 0):  # a run may reach from one to the next
            res = s.m.res[k]
            at = max(run.frame, res.frame)
            at += -(res.pfn + at - res.frame) & (BLOCK - 1)
            if at + BLOCK <= min(run.frame + run.nr, res.frame + res.nr):
                return n, int(at)
    return None


def _cut(s: State, node: int, n: int, frame: int, nr: int) -> None:
    """Frames ``[frame, frame + nr)`` of free run number ``n`` are free no more."""
    on, rows = s.m.node[node], s.free[node].rows
    runs = [[int(rows[k].frame), int(rows[k].nr)] for k in range(n, on.nr_free_runs)]
    start, size = runs[0]
    pieces = [[start, frame - start], [frame + nr, start + size - frame - nr]]
    _put(s, node, n, [piece for piece in pieces if piece[1]] + runs[1:])
    on.nr_free -= nr


def frame_isolate(s: State, node: int) -> None:
    """The isolated frames of a node are free no more."""
    m, n = s.m, 0
    while n < m.node[node].nr_free_runs:
        run = s.free[node].rows[n]
        first = max(run.frame, m.isolated)
        end = min(run.frame + run.nr, m.isolated + m.nr_isolated)
        if first < end:
            _cut(s, node, n, first, end - first)
        else:
            n += 1


def frame_huge(s: State, node: int, area: int, index: int) -> int | None:
    """Frames in one piece for the pages of a block; ``None``: there is no such piece. Nothing is moved to make one."""
    on = s.m.node[node]
    found = _find_huge(s, node)
    if found is None:
        if on.huge_free < BLOCK:  # too few came since the last time
            return None
        on.huge_free = 0
        _merge(s, node)
        found = _find_huge(s, node)
    if found is None:
        return None
    n, frame = found
    _cut(s, node, n, frame, BLOCK)
    for i in range(BLOCK):
        _set_rmap(s, frame + i, area, index + i)
    return frame


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
