# SPDX-License-Identifier: GPL-2.0-only
"""Pages that come, processes that stall, areas that go. Twin of ``sim_fault.c``."""

from __future__ import annotations

from damon.mm.sim.layout import (
    ACTIVE,
    ANON,
    CLUSTER,
    FAILURES,
    FILE,
    INACTIVE,
    KSWAPD,
    MAX_SEG,
    PAGE_BITS,
    PG_ACTIVE,
    PG_DIRTY,
    PG_EVICTED,
    PG_PRESENT,
    PG_SWAPPED,
    ST_IDLE,
    Draw,
    SimArea,
    SimPage,
    SimPattern,
    SimProc,
    SimSeg,
)
from damon.mm.sim.reference.access import seg_count, seg_now
from damon.mm.sim.reference.arithmetic import uniform
from damon.mm.sim.reference.events import event_fire, event_pop, event_push
from damon.mm.sim.reference.frames import frame_alloc, frame_bulk, frame_free
from damon.mm.sim.reference.lru import lru_add, lru_bulk
from damon.mm.sim.reference.pages import page_get, state, valid
from damon.mm.sim.reference.reclaim import Cost, shrink
from damon.mm.sim.state import State


def _stall(s: State, p: SimProc, t: int, ns: int, memory: bool) -> None:
    """The process, at ``t``, has to wait for ``ns``, after all it waits for already.

    "Some" memory stall is the union over processes. A process that waits is waiting without a break, so what lies ahead
    of ``t`` is always one stretch.
    """
    m = s.m
    p.busy_until = max(p.busy_until, t) + ns
    p.stall_ns += ns
    since = max(m.psi_end, t)
    if memory and p.busy_until > since:
        m.psi_ns += p.busy_until - since
        m.psi_end = p.busy_until


def wake_kswapd(s: State, t: int) -> None:
    m = s.m
    if m.nr_free < m.wmark_low and not m.kswapd_awake and m.kswapd_failures < FAILURES:
        m.kswapd_awake = 1
        event_push(s, t, KSWAPD, 0, 0)


def _oom(s: State, t: int) -> bool:
    """Kill the biggest process. False: there is none."""
    victim = None
    for n in range(s.m.nr_process):
        p = s.process.rows[n]
        size = p.nr_present + p.nr_swapped
        if p.alive and size and (victim is None or size > victim.nr_present + victim.nr_swapped):
            victim = p
    if victim is None:
        return False
    s.m.oom_kill += 1
    victim.alive = 0
    for area in range(victim.first_area, victim.first_area + victim.nr_area):
        area_clear(s, area, t)
    return True


def page_alloc(s: State, area: int, index: int, p: SimPage, t: int) -> int | None:
    """A frame for the page; the ns of direct reclaim. None: its process was killed for want of memory."""
    m, cost = s.m, Cost()
    while m.nr_free <= m.wmark_min:
        m.allocstall += 1
        before = cost.scanned
        got = shrink(s, CLUSTER, t, cost)
        m.pgscan_direct += cost.scanned - before
        m.pgsteal_direct += got
        if got:
            m.kswapd_failures = 0
        elif not _oom(s, t):
            break  # nobody is left to kill: use the reserve
        elif not s.area.rows[area].mapped:
            return None
    if not m.nr_free:
        return None
    p.frame = frame_alloc(s, area, index)
    wake_kswapd(s, t)
    return cost.ns


def page_insert(s: State, area: int, index: int, p: SimPage, t: int, active: bool) -> None:
    """The page, with its frame, is in memory from ``t`` on. New pages start inactive, as in the kernel."""
    a = s.area.rows[area]
    process = s.process.rows[a.process]
    if p.flags & PG_SWAPPED:
        s.m.swap_used -= 1
        a.nr_swapped -= 1
        process.nr_swapped -= 1
        s.m.pswpin += 1
    p.flags = PG_PRESENT | (PG_ACTIVE if active else 0)
    p.t_eval = t
    a.nr_present += 1
    a.nr_active += active
    process.nr_present += 1
    lru_add(s, a.kind * 2 + active, area, index, p)


def _refault_active(s: State, a: SimArea, p: SimPage) -> bool:
    """Refaults that come sooner than the lists turn over go straight to the active list (``mm/workingset.c``)."""
    m = s.m
    if not p.flags & PG_EVICTED:
        return False
    size = m.nr[2 + ACTIVE]
    if a.kind == ANON:
        size += m.nr[2 + INACTIVE]
    if m.swap_pages:
        size += m.nr[ACTIVE] + (m.nr[INACTIVE] if a.kind == FILE else 0)
    return bool(m.age - p.shadow <= size)


def _fault(s: State, area: int, index: int, p: SimPage, t: int) -> None:
    """A touch at ``t`` finds the page absent."""
    m, a = s.m, s.area.rows[area]
    process = s.process.rows[a.process]
    refault = bool(p.flags & PG_EVICTED)
    write = seg_now(a).write
    m.pgfault += 1
    a.faults += 1
    process.faults += 1
    latency = m.fault_ns
    if p.flags & PG_SWAPPED:
        latency += m.swap_read_ns
    elif a.kind == FILE:
        latency += m.file_read_ns
    m.pgmajfault += bool(p.flags & PG_SWAPPED) or a.kind == FILE
    active = _refault_active(s, a, p)
    wait = page_alloc(s, area, index, p, t)
    if wait is None:
        return
    if refault:
        a.refaults += 1
        process.refaults += 1
        if a.kind == ANON:
            m.refault_anon += 1
        else:
            m.refault_file += 1
    page_insert(s, area, index, p, t, active)
    p.t_last = t
    p.t_ref = t - 1
    if a.kind == FILE and uniform(m.seed, area << PAGE_BITS | index, t, Draw.FAULT) <= write:
        p.flags |= PG_DIRTY
    _stall(s, process, t, wait + latency, bool(wait) or refault)


def area_map(s: State, area: int, populate: bool, t: int) -> None:
    """Map an area: its pages at once when ``populate`` (a stall only as far as memory has to be reclaimed for them)."""
    m, a = s.m, s.area.rows[area]
    process = s.process.rows[a.process]
    a.mapped = 1
    a.epoch += 1
    a.t_mapped = t
    a.nr_seg = 1
    a.seg[0] = SimSeg(t0=t)
    if not populate:
        return
    if m.nr_free > m.wmark_high:
        frame_bulk(s, area, min(a.nr_pages, m.nr_free - m.wmark_high))
        if a.nr_bulk:
            lru_bulk(s, a.kind * 2, area, a.nr_bulk)
        a.nr_present = a.nr_bulk
        process.nr_present += a.nr_bulk
    for n in range(a.nr_bulk, a.nr_pages):
        p = page_get(s, area, n)
        wait = page_alloc(s, area, n, p, t)
        if wait is None:
            return
        page_insert(s, area, n, p, t, False)
        p.t_last = t
        p.t_ref = t - 1
        if wait:
            _stall(s, process, t, wait, True)


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
            if valid(a, i):
                if i > run:
                    frame_free(s, x.frame + run - x.page, i - run)
                run = i + 1
        if end > run:
            frame_free(s, x.frame + run - x.page, end - run)
        x.nr = 0
    for i in range(a.nr_pages):
        if valid(a, i) and a.page[i].flags & PG_PRESENT:
            frame_free(s, a.page[i].frame, 1)
    m.nr[a.kind * 2 + ACTIVE] -= a.nr_active
    m.nr[a.kind * 2 + INACTIVE] -= a.nr_present - a.nr_active
    m.swap_used -= a.nr_swapped
    m.kswapd_failures = 0
    process.nr_present -= a.nr_present
    process.nr_swapped -= a.nr_swapped
    _close_seg(a, t)
    a.nr_present = a.nr_swapped = a.nr_active = 0
    a.nr_bulk = a.bulk_seq = a.nr_bulk_idle = 0
    a.nr_ext = 0
    a.mapped = 0
    a.epoch += 1
    pages, states, _segments, _extents = s.maps[area]
    pages.discard()
    states.discard()


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
    _close_seg(a, new.t0)
    if a.nr_seg == MAX_SEG:  # a page that nobody looked at for so long was not touched before
        for n in range(MAX_SEG // 2):
            a.seg[n] = a.seg[n + MAX_SEG // 2]
        a.nr_seg = MAX_SEG // 2
    a.seg[a.nr_seg] = new
    a.nr_seg += 1
    a.epoch += 1


def _kswapd(s: State, t: int) -> None:
    """One batch of the reclaim daemon; the next one when this is done with, until enough is free."""
    m, cost = s.m, Cost()
    m.kswapd_awake = 0
    if m.nr_free >= m.wmark_high:
        return
    got = shrink(s, CLUSTER, t, cost)
    m.pgscan_kswapd += cost.scanned
    m.pgsteal_kswapd += got
    if not got:
        m.kswapd_failures += 1
        return
    m.kswapd_failures = 0
    m.kswapd_awake = 1
    event_push(s, t + max(cost.ns, 1), KSWAPD, 0, 0)


def advance(s: State, now: int) -> None:
    """Everything that happens up to ``now``."""
    while s.m.next_event <= now:
        ev = event_pop(s)
        if ev.area == KSWAPD:
            _kswapd(s, ev.t)
            continue
        if ev.epoch != s.area.rows[ev.area].epoch:
            continue
        index = event_fire(s, ev)
        if index is None:
            continue
        p = page_get(s, ev.area, index)
        if p.flags & PG_PRESENT:
            p.covered = 0
        else:
            _fault(s, ev.area, index, p, ev.t)
