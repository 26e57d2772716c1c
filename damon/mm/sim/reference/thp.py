# SPDX-License-Identifier: GPL-2.0-only
"""Huge pages: folios of ``BLOCK`` pages of anonymous memory. Twin of ``sim_thp.c``.

The first page's record is the folio's; the others are tails without one. So a folio is sampled, aged and listed as one.
"""

from __future__ import annotations

import errno
from typing import Final

from damon.mm.sim.layout import (
    ACTIVE,
    ANON,
    BLOCK,
    BLOCK_SHIFT,
    INACTIVE,
    KHUGEPAGED,
    KSWAPD,
    PG_ACTIVE,
    PG_HUGE,
    PG_PRESENT,
    PG_SWAPPED,
    ST_IDLE,
    ST_TAIL,
    ST_VALID,
    SimArea,
    SimPattern,
    Thp,
    ThpAdvice,
)
from damon.mm.sim.reference.access import page_advance, seg_now
from damon.mm.sim.reference.events import event_push
from damon.mm.sim.reference.frames import frame_free, frame_huge
from damon.mm.sim.reference.lru import lru_add, lru_run
from damon.mm.sim.reference.nodes import latency_change
from damon.mm.sim.reference.pages import folio_nr, node_of, page_frame, page_present, set_state, state, valid
from damon.mm.sim.reference.swap import swap_free
from damon.mm.sim.state import State
from damon.model.machine import Advice

MAX_PTES_SWAP: Final = 64  # khugepaged's own limit, and how much it looks at, how often
PAGES_TO_SCAN: Final = 4096
SCAN_SLEEP_NS: Final = 10_000_000_000


def _wanted(s: State, a: SimArea, block: int) -> bool:
    """Do faults and khugepaged make the block one folio? Advice counts as the machine's setting says."""
    if a.kind != ANON or (block + 1) * BLOCK > a.nr_pages:
        return False
    if s.m.thp == Thp.ALWAYS:
        return a.thp[block] in (ThpAdvice.NOTHING, ThpAdvice.HUGE)
    return bool(s.m.thp == Thp.MADVISE and a.thp[block] == ThpAdvice.HUGE)


def _swapped(a: SimArea, index: int) -> bool:
    return valid(a, index) and bool(a.page[index].flags & PG_SWAPPED)


def _insert(s: State, area: int, head: int, frame: int, t: int) -> None:
    """All pages of a block, none of them in memory, are the folio in ``frame`` from now on, inactive as new ones."""
    a = s.area.rows[area]
    p = a.page[head]
    node = node_of(s, frame)
    for i in range(head, head + BLOCK):
        set_state(a, i, ST_VALID if i == head else ST_TAIL)
    p.t_eval = p.t_last = t
    p.t_ref = t - 1
    p.frame = frame
    p.flags = PG_PRESENT | PG_HUGE
    a.nr_huge += 1
    a.nr_present += BLOCK
    a.node_present[node] += BLOCK
    s.process.rows[a.process].nr_present += BLOCK
    latency_change(s, area, head, BLOCK, node, 1, t)
    lru_add(s, INACTIVE, area, head, p)


def thp_fault(s: State, area: int, index: int, t: int) -> bool:
    """A touch of a page in a block that is empty: all of it comes as one folio. False: one page has to do."""
    m, a = s.m, s.area.rows[area]
    head = index & -BLOCK
    if not _wanted(s, a, index >> BLOCK_SHIFT):
        return False
    if any(page_present(a, i) or _swapped(a, i) for i in range(head, head + BLOCK)):
        return False
    for node in m.node[s.process.rows[a.process].node].order[: m.nr_node]:
        on = m.node[node]
        frame = frame_huge(s, node, area, head) if on.nr_free >= on.wmark_low + BLOCK else None
        if frame is None:
            continue
        if seg_now(a).pattern != SimPattern.NONE:
            for i in range(head, head + BLOCK):
                a.page[i].covered = 0 if i == index else a.epoch
        _insert(s, area, head, frame, t)
        m.thp_fault_alloc += 1
        return True
    m.thp_fault_fallback += 1
    return False


def thp_split(s: State, area: int, head: int, t: int) -> None:
    """A huge folio becomes pages, at the head of the list that it was on; what is known of it is known of each."""
    a = s.area.rows[area]
    p = a.page[head]
    node = node_of(s, p.frame)
    which = a.kind * 2 + (ACTIVE if p.flags & PG_ACTIVE else INACTIVE)
    latency_change(s, area, head, BLOCK, node, -1, t)
    s.m.node[node].nr[which] -= BLOCK
    p.flags &= ~PG_HUGE
    seq = lru_run(s, node, which, area, head, BLOCK)
    for i in range(BLOCK):
        q = a.page[head + i]
        q.t_eval, q.t_last, q.t_old, q.t_ref = p.t_eval, p.t_last, p.t_old, p.t_ref
        q.frame = p.frame + i
        q.flags = p.flags
        q.seq = seq
        set_state(a, head + i, ST_VALID)
        latency_change(s, area, head + i, 1, node, 1, t)
    a.nr_huge -= 1
    s.m.thp_split_pmd += 1


def _take(s: State, area: int, index: int, t: int) -> int:
    """A page of a block leaves memory or swap since the block becomes one folio; the cost."""
    m, a = s.m, s.area.rows[area]
    process, p = s.process.rows[a.process], a.page[index]
    if not page_present(a, index):
        cost = 0
        if _swapped(a, index):
            swap_free(s, p)
            m.pswpin += 1
            a.nr_swapped -= 1
            process.nr_swapped -= 1
            cost = int(m.swap[p.swap].read_ns)
        if seg_now(a).pattern != SimPattern.NONE:
            p.covered = a.epoch
        return cost
    frame = page_frame(a, index)
    node = node_of(s, frame)
    active = valid(a, index) and bool(p.flags & PG_ACTIVE)
    if state(a, index) == ST_IDLE:
        a.nr_bulk_idle -= 1
    m.node[node].nr[ACTIVE if active else INACTIVE] -= 1
    a.nr_present -= 1
    a.nr_active -= active
    a.node_present[node] -= 1
    a.node_active[node] -= active
    process.nr_present -= 1
    latency_change(s, area, index, 1, node, -1, t)
    frame_free(s, frame, 1)
    return 0


def _collapse(s: State, area: int, block: int, t: int) -> tuple[int, int]:
    """The block's pages become one folio: 0, ``-EINVAL`` when there are none, ``-ENOMEM``; and the cost."""
    m, a = s.m, s.area.rows[area]
    head = block << BLOCK_SHIFT
    if folio_nr(a, head) > 1:
        return 0, 0
    pages = range(head, head + BLOCK)
    there = [node_of(s, page_frame(a, i)) for i in pages if page_present(a, i)]
    if not there and not any(_swapped(a, i) for i in pages):
        return -errno.EINVAL, 0
    node = s.process.rows[a.process].node
    for n in range(m.nr_node):  # where most of it is
        if there.count(n) > there.count(node):
            node = n
    on = m.node[node]
    frame = frame_huge(s, node, area, head) if on.nr_free >= on.wmark_min + BLOCK else None
    if frame is None:
        m.thp_collapse_alloc_failed += 1
        return -errno.ENOMEM, 0
    cost = sum(_take(s, area, i, t) for i in pages)
    _insert(s, area, head, frame, t)
    m.thp_collapse_alloc += 1
    return 0, cost + m.huge_ns


def _wake(s: State, t: int) -> None:
    if not s.m.khugepaged and s.m.thp:
        s.m.khugepaged = 1
        event_push(s, t, KSWAPD, KHUGEPAGED, 0)


def thp_mapped(s: State, area: int, t: int) -> None:
    """An area that may have huge pages without anybody's advice was mapped."""
    if _wanted(s, s.area.rows[area], 0):
        _wake(s, t)


def _suits(s: State, area: int, head: int, t: int) -> bool:
    """Does khugepaged take a block? Some of its pages have to be in memory, one of them accessed, and few in swap."""
    a = s.area.rows[area]
    if folio_nr(a, head) > 1:
        return False
    swapped, referenced = 0, False
    for i in range(head, head + BLOCK):
        p = a.page[i]
        if not page_present(a, i):
            swapped += _swapped(a, i)
        elif not referenced and valid(a, i):
            page_advance(s, area, i, p, t)
            referenced = p.t_last > p.t_ref
        else:
            referenced = True  # nobody has asked for its accessed bit yet
    return referenced and swapped <= MAX_PTES_SWAP


def khugepaged(s: State, t: int) -> None:
    """One round of khugepaged, which goes on where it was; the next one after its sleep, as long as there is something
    to do."""
    m = s.m
    m.khugepaged = 0
    left = sum(s.area.rows[n].nr_pages >> BLOCK_SHIFT for n in range(m.nr_area))
    scanned, some = 0, False
    while left and scanned < PAGES_TO_SCAN:
        left -= 1
        while m.khugepaged_block >= s.area.rows[m.khugepaged_area].nr_pages >> BLOCK_SHIFT:
            m.khugepaged_area = (m.khugepaged_area + 1) % m.nr_area
            m.khugepaged_block = 0
        area, block = int(m.khugepaged_area), int(m.khugepaged_block)
        m.khugepaged_block += 1
        a = s.area.rows[area]
        if not a.mapped or not _wanted(s, a, block):
            continue
        some = True
        scanned += BLOCK
        if _suits(s, area, block << BLOCK_SHIFT, t):
            _collapse(s, area, block, t)
    if some:
        m.khugepaged = 1
        event_push(s, t + SCAN_SLEEP_NS, KSWAPD, KHUGEPAGED, 0)


def thp_advise(s: State, area: int, index: int, end: int, advice: int, now: int) -> tuple[int, int]:
    """``MADV_HUGEPAGE``, ``MADV_NOHUGEPAGE``, ``MADV_COLLAPSE`` for pages ``[index, end)`` of one area; 0 or a negative
    errno, and the cost."""
    a = s.area.rows[area]
    if advice != Advice.COLLAPSE:
        value = ThpAdvice.HUGE if advice == Advice.HUGEPAGE else ThpAdvice.NOHUGE
        for block in range(index >> BLOCK_SHIFT, -(-end // BLOCK)):
            if block * BLOCK >= index and (block + 1) * BLOCK <= end:
                a.thp[block] = value
            elif a.thp[block] != value:
                a.thp[block] = ThpAdvice.PARTLY
        if advice == Advice.HUGEPAGE and a.kind == ANON:
            _wake(s, now)
        return 0, 0
    if a.kind != ANON or a.nr_pages < BLOCK:
        return -errno.EINVAL, 0
    result = cost = 0
    for block in range(-(-index // BLOCK), end // BLOCK):
        if a.thp[block] in (ThpAdvice.NOHUGE, ThpAdvice.PARTLY):
            return -errno.EINVAL, cost
        failed, spent = _collapse(s, area, block, now)
        cost += spent
        result = failed or result
        if failed == -errno.ENOMEM:
            break
    return result, cost
