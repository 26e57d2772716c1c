# SPDX-License-Identifier: GPL-2.0-only
"""A page of the simulated machine, read from its native records: by the rules of ``sim.h``, without its C routines."""

from __future__ import annotations

from bisect import bisect_right

from damon.mm.sim.layout import (
    BLOCK,
    PG_HUGE,
    PG_PRESENT,
    ST_TAIL,
    ST_VALID,
    SimArea,
    SimPattern,
    SimSeg,
)
from damon.mm.sim.state import State
from damon.workload.tracefile.form import unpack_rows


def page_state(a: SimArea, index: int) -> int:
    """Two bits a page."""
    return int(a.st[index >> 2] >> (index & 3) * 2 & 3)


def valid(a: SimArea, index: int) -> bool:
    """Does the page's record count?"""
    return page_state(a, index) == ST_VALID


def head(a: SimArea, index: int) -> int:
    """The first page of the folio that a page is in."""
    return index & -BLOCK if page_state(a, index) == ST_TAIL else index


def folio_nr(a: SimArea, index: int) -> int:
    """Pages of a folio, by its first page."""
    return BLOCK if valid(a, index) and a.page[index].flags & PG_HUGE else 1


def page_present(a: SimArea, index: int) -> bool:
    if valid(a, index):
        return bool(a.page[index].flags & PG_PRESENT)
    return bool(index < a.nr_bulk) or page_state(a, index) == ST_TAIL


def page_frame(a: SimArea, index: int) -> int:
    """The frame of a page in memory: a pristine one is where its extent says."""
    if page_state(a, index) == ST_TAIL:
        return int(a.page[index & -BLOCK].frame) + (index & (BLOCK - 1))
    if valid(a, index):
        return int(a.page[index].frame)
    ext = a.ext[bisect_right(range(a.nr_ext), index, key=lambda n: a.ext[n].page) - 1]
    return int(ext.frame + index - ext.page)


def _resource(s: State, frame: int) -> tuple[int, int]:
    """Page frame number and node of a frame."""
    for n in range(s.m.nr_res):
        res = s.m.res[n]
        if res.frame <= frame < res.frame + res.nr:
            return int(res.pfn + frame - res.frame), int(res.node)
    raise AssertionError(f"frame {frame} is none")


def page_pfn(s: State, frame: int) -> int:
    return _resource(s, frame)[0]


def node_of(s: State, frame: int) -> int:
    return 0 if s.m.nr_node == 1 else _resource(s, frame)[1]


def lru_seq(s: State, a: SimArea, index: int) -> int:
    """The run of a list that the page was last added with; 0: it is on none by itself."""
    if valid(a, index):
        return int(a.page[index].seq)
    if index >= a.nr_bulk or page_state(a, index) == ST_TAIL:
        return 0
    return int(a.bulk_seq[node_of(s, page_frame(a, index))])


def share(seg: SimSeg, index: int) -> float:
    """The share of the area's touches that hit a page."""
    if seg.pattern == SimPattern.NONE:
        return 0.0
    if seg.pattern == SimPattern.RANDOM:
        return float(seg.share)
    if seg.pattern == SimPattern.ZIPF:
        return float((index + 1) ** -seg.skew * seg.share)
    first, end = (min(-(-page * 4096 // seg.stride), seg.period) for page in (index, index + 1))
    return float((end - first) / seg.period)


def traced_share(s: State, area: int, seg: SimSeg, index: int) -> float:
    """As ``share()``, of an area that replays a trace: in the stage that it is in."""
    placed = next(one for one in s.placed.values() if one.id == area)
    assert placed.area.replay is not None
    trace, traced = s.traces[placed.area.replay.path], s.traced[placed.area.name]
    if not seg.share:
        return 0.0
    page = traced.first + min(int(index / placed.area.replay.size_scale), traced.nr_pages - 1)
    level = trace.description.spaces[traced.space].levels[seg.period]
    rows = unpack_rows(trace.rows(trace._window(level, seg.base)))
    return next((touches * float(seg.share) for start, end, touches, _ in rows if start <= page < end), 0.0)


def traced_again(s: State, area: int, index: int) -> bool:
    """Does the next round of a trace certainly touch a page? Of one without rounds the next touch can be never."""
    placed = next(one for one in s.placed.values() if one.id == area)
    replay = placed.area.replay
    assert replay is not None
    trace, traced = s.traces[replay.path], s.traced[placed.area.name]
    page = traced.first + min(int(index / replay.size_scale), traced.nr_pages - 1)
    return replay.loop and any(
        start <= page < end
        for t0, t1, rows in trace.windows(traced.space)
        if t0 < replay.end_ns and t1 > replay.begin_ns
        for start, end, _, _ in unpack_rows(rows)
    )
