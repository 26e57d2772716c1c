# SPDX-License-Identifier: GPL-2.0-only
"""Pages: from address to page, pristine and recorded ones, old and young. Twin of ``sim_page.c``.

A page that nothing special happened to is *pristine*: it has a zero byte and no record, and is as its area's bulk state
says. So populating an area and finding its pages cold costs next to nothing, however big it is.
"""

from __future__ import annotations

from bisect import bisect_right

from damon.mm.sim.layout import (
    BLOCK,
    BLOCK_SHIFT,
    LEAF,
    PAGE_BITS,
    PAGE_MASK,
    PG_HUGE,
    PG_IDLE,
    PG_PRESENT,
    ST_IDLE,
    ST_TAIL,
    ST_VALID,
    SimArea,
    SimPage,
    SimPattern,
)
from damon.mm.sim.reference.access import page_advance, seg_now
from damon.mm.sim.state import State


def state(a: SimArea, index: int) -> int:
    """Two bits a page: all that samples of cold memory ever touch."""
    return int(a.st[index >> 2] >> (index & 3) * 2 & 3)


def set_state(a: SimArea, index: int, st: int) -> None:
    shift = (index & 3) * 2
    a.st[index >> 2] = a.st[index >> 2] & ~(3 << shift) | st << shift


def valid(a: SimArea, index: int) -> bool:
    """Does the page's record count?"""
    return state(a, index) == ST_VALID


def head(a: SimArea, index: int) -> int:
    """The first page of the folio that a page is in."""
    return index & -BLOCK if state(a, index) == ST_TAIL else index


def folio_nr(a: SimArea, index: int) -> int:
    """Pages of a folio, by its first page."""
    return BLOCK if valid(a, index) and a.page[index].flags & PG_HUGE else 1


def _in_frame(a: SimArea, index: int, frame: int) -> bool:
    if state(a, index) == ST_TAIL:
        return page_frame(a, index) == frame
    return bool(a.page[index].flags & PG_PRESENT) and a.page[index].frame == frame


def _pristine_frame(a: SimArea, index: int) -> int:
    ext = a.ext[bisect_right(range(a.nr_ext), index, key=lambda n: a.ext[n].page) - 1]
    return int(ext.frame + index - ext.page)


def page_frame(a: SimArea, index: int) -> int:
    """The frame of a page in memory."""
    if state(a, index) == ST_TAIL:
        return int(a.page[index & -BLOCK].frame) + (index & (BLOCK - 1))
    return int(a.page[index].frame) if valid(a, index) else _pristine_frame(a, index)


def page_pfn(s: State, frame: int) -> int:
    """The page frame number that ``/proc`` would show for a frame."""
    for n in range(s.m.nr_res):
        res = s.m.res[n]
        if res.frame <= frame < res.frame + res.nr:
            return int(res.pfn + frame - res.frame)
    raise AssertionError(f"frame {frame} is none")


def node_of(s: State, frame: int) -> int:
    """The node of a frame."""
    if s.m.nr_node == 1:
        return 0
    for n in range(s.m.nr_res):
        res = s.m.res[n]
        if res.frame <= frame < res.frame + res.nr:
            return int(res.node)
    raise AssertionError(f"frame {frame} is none")


def page_present(a: SimArea, index: int) -> bool:
    if valid(a, index):
        return bool(a.page[index].flags & PG_PRESENT)
    return bool(index < a.nr_bulk) or state(a, index) == ST_TAIL


def page_get(s: State, area: int, index: int) -> SimPage:
    """The record of a page that is no tail of a folio, filled in from the area's bulk state at the first need."""
    a = s.area.rows[area]
    p: SimPage = a.page[index]
    st = state(a, index)
    if st == ST_VALID:
        return p
    p.t_eval = a.t_mapped
    if index < a.nr_bulk:
        p.t_last = a.t_mapped
        p.t_ref = a.t_mapped - 1
        p.frame = _pristine_frame(a, index)
        p.seq = a.bulk_seq[node_of(s, p.frame)]
        p.flags = PG_PRESENT
        if st == ST_IDLE:  # made old in a stretch without accesses: any time in it is as good
            p.flags |= PG_IDLE
            p.t_old = seg_now(a).t0
            a.nr_bulk_idle -= 1
    else:
        p.t_last = -1
        p.t_ref = -1
    set_state(a, index, ST_VALID)
    return p


def resolve(s: State, pfn: int) -> tuple[int, int] | None:
    """The area and page (of a huge folio the first one) in frame number ``pfn``, if there is one."""
    for n in range(s.m.nr_res):
        res = s.m.res[n]
        if res.pfn <= pfn < res.pfn + res.nr:
            frame = res.frame + pfn - res.pfn
            break
    else:
        return None
    v = s.block.rows[frame >> BLOCK_SHIFT]
    if not v:
        return None
    if v != LEAF:
        area = (v >> 32) - 2
        a = s.area.rows[area]
        x = a.ext[v & 0xFFFFFFFF]
        if not x.frame <= frame < x.frame + x.nr:
            return None
        index = int(x.page + frame - x.frame)
        if state(a, index) < ST_VALID:
            return area, index
        return (area, head(a, index)) if _in_frame(a, index, frame) else None
    e = s.leaf.rows[frame]
    if not e:
        return None
    area, index = (e >> PAGE_BITS) - 1, e & PAGE_MASK
    a = s.area.rows[area]
    if not a.mapped:
        return None
    if state(a, index) < ST_VALID:
        return (area, index) if index < a.nr_bulk and _pristine_frame(a, index) == frame else None
    return (area, head(a, index)) if _in_frame(a, index, frame) else None


def resolve_va(s: State, process: int, addr: int) -> tuple[int, int] | None:
    """The area and page of a process at ``addr``, if that is mapped."""
    p = s.process.rows[process]
    for area in range(p.first_area, p.first_area + p.nr_area):
        a = s.area.rows[area]
        if a.start <= addr < a.start + a.nr_pages * 4096:
            return (area, head(a, int(addr - a.start) >> 12)) if a.mapped else None
    return None


def page_mkold(s: State, area: int, index: int, now: int) -> None:
    """Set idle and clear accessed: from now on only a touch makes the page young. No draw is needed."""
    a = s.area.rows[area]
    if not valid(a, index):
        if index >= a.nr_bulk:
            return
        if seg_now(a).pattern == SimPattern.NONE:
            if state(a, index) != ST_IDLE:
                set_state(a, index, ST_IDLE)
                a.nr_bulk_idle += 1
            return
    p = page_get(s, area, index)
    if p.flags & PG_PRESENT:
        p.t_old = now
        p.flags |= PG_IDLE


def page_young(s: State, area: int, index: int, now: int) -> bool:
    """Not idle, or touched since it was made old. A page that was never made old counts as young, as in the kernel."""
    a = s.area.rows[area]
    if not valid(a, index):
        return bool(index < a.nr_bulk) and state(a, index) != ST_IDLE
    p = a.page[index]
    if not p.flags & PG_PRESENT:
        return False
    if not p.flags & PG_IDLE:
        return True
    page_advance(s, area, index, p, now)
    return bool(p.t_last > p.t_old)


def page_referenced(s: State, area: int, index: int, p: SimPage, now: int) -> bool:
    """Reclaim's own question: touched since it last asked? Asking clears the accessed bit."""
    page_advance(s, area, index, p, now)
    referenced = bool(p.t_last > p.t_ref)
    p.t_ref = now
    return referenced
