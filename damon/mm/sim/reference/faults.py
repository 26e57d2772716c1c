# SPDX-License-Identifier: GPL-2.0-only
"""Pages that come, processes that stall. Twin of ``sim_fault.c``."""

from __future__ import annotations

from damon.mm.sim.layout import (
    ACTIVE,
    ANON,
    BLOCK,
    CLUSTER,
    FILE,
    INACTIVE,
    KHUGEPAGED,
    KSWAPD,
    NR_LIST,
    PAGE_BITS,
    PG_ACTIVE,
    PG_DIRTY,
    PG_EVICTED,
    PG_PRESENT,
    PG_SWAPPED,
    ST_TAIL,
    Draw,
    SimArea,
    SimPage,
    SimProc,
    SimSeg,
    Thp,
)
from damon.mm.sim.reference.access import seg_now
from damon.mm.sim.reference.areas import area_clear
from damon.mm.sim.reference.arithmetic import uniform
from damon.mm.sim.reference.events import event_fire, event_pop, event_push
from damon.mm.sim.reference.frames import frame_alloc, frame_bulk
from damon.mm.sim.reference.lru import lru_add, lru_run
from damon.mm.sim.reference.nodes import latency_change, node_pick, node_wake_all
from damon.mm.sim.reference.pages import node_of, page_get, state
from damon.mm.sim.reference.reclaim import Cost, shrink
from damon.mm.sim.reference.swap import swap_free
from damon.mm.sim.reference.thp import khugepaged, thp_fault, thp_mapped
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
    victim.killed += 1
    victim.killed_t = t
    victim.killed_present, victim.killed_swapped = victim.nr_present, victim.nr_swapped
    victim.killed_swap = s.m.swap_pages - s.m.swap_used
    victim.killed_free = sum(node.nr_free for node in s.nodes())
    for area in range(victim.first_area, victim.first_area + victim.nr_area):
        area_clear(s, area, t)
    return True


def page_alloc(s: State, area: int, index: int, p: SimPage, t: int) -> int | None:
    """A frame for the page; the ns of direct reclaim. None: its process was killed for want of memory."""
    m, cost = s.m, Cost()
    order = m.node[s.process.rows[s.area.rows[area].process].node].order[: m.nr_node]
    while (found := node_pick(s, area)) is None:
        m.allocstall += 1
        before = cost.scanned
        got = shrink(s, order, CLUSTER, t, cost)
        m.pgscan_direct += cost.scanned - before
        m.pgsteal_direct += got
        if got:
            continue
        if not _oom(s, t):
            break  # nobody is left to kill: use the reserve
        if not s.area.rows[area].mapped:
            return None
    if found is None:
        found = next(((node, True) for node in order if m.node[node].nr_free), None)
    if found is None:
        return None
    node, short = found
    p.frame = frame_alloc(s, node, area, index)
    if short:
        node_wake_all(s, t)
    return cost.ns


def page_insert(s: State, area: int, index: int, p: SimPage, t: int, active: bool) -> None:
    """The page, with its frame, is in memory from ``t`` on. New pages start inactive, as in the kernel."""
    a = s.area.rows[area]
    process = s.process.rows[a.process]
    node = node_of(s, p.frame)
    if p.flags & PG_SWAPPED:
        swap_free(s, p)
        a.nr_swapped -= 1
        process.nr_swapped -= 1
        s.m.pswpin += 1
    p.flags = PG_PRESENT | (PG_ACTIVE if active else 0)
    p.t_eval = t
    a.nr_present += 1
    a.nr_active += active
    a.node_present[node] += 1
    a.node_active[node] += active
    latency_change(s, area, index, 1, node, 1, t)
    process.nr_present += 1
    lru_add(s, a.kind * 2 + active, area, index, p)


def _refault_active(s: State, a: SimArea, p: SimPage) -> bool:
    """Refaults that come sooner than the lists turn over go straight to the active list (``mm/workingset.c``)."""
    m = s.m
    if not p.flags & PG_EVICTED:
        return False
    nr = [sum(m.node[node].nr[which] for node in range(m.nr_node)) for which in range(NR_LIST)]
    size = nr[2 + ACTIVE]
    if a.kind == ANON:
        size += nr[2 + INACTIVE]
    if m.swap_pages:
        size += nr[ACTIVE] + (nr[INACTIVE] if a.kind == FILE else 0)
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
    if a.kind == ANON and m.thp and thp_fault(s, area, index, t):
        _stall(s, process, t, latency + m.huge_ns, False)
        return
    if p.flags & PG_SWAPPED:
        latency += m.swap[p.swap].read_ns
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
    a.t_mapped = a.latency_t = t
    a.nr_seg = 1
    a.seg[0] = SimSeg(t0=t)
    thp_mapped(s, area, t)
    if not populate:
        return
    order = m.node[process.node].order[: m.nr_node]
    huge = m.thp == Thp.ALWAYS and a.kind == ANON and a.nr_pages >= BLOCK
    for node in order if not huge else ():
        on, page = m.node[node], int(a.nr_bulk)
        keep = on.wmark_high if node == order[-1] else on.wmark_low  # no next node, or the next one
        if on.nr_free <= keep:
            continue
        frame_bulk(s, node, area, min(a.nr_pages - page, on.nr_free - keep))
        nr = a.nr_bulk - page
        if nr:
            a.bulk_seq[node] = lru_run(s, node, a.kind * 2, area, page, nr)
        a.nr_present += nr
        a.node_present[node] += nr
        process.nr_present += nr
    skip = 0
    for n in range(a.nr_bulk, a.nr_pages):
        if huge and not n & (BLOCK - 1) and thp_fault(s, area, n, t):
            skip = n + BLOCK
        if n < skip:
            continue
        p = page_get(s, area, n)
        wait = page_alloc(s, area, n, p, t)
        if wait is None:
            return
        page_insert(s, area, n, p, t, False)
        p.t_last = t
        p.t_ref = t - 1
        if wait:
            _stall(s, process, t, wait, True)


def _kswapd(s: State, node: int, t: int) -> None:
    """One batch of a node's reclaim daemon; the next one when this is done with, until enough is free."""
    m, on, cost = s.m, s.m.node[node], Cost()
    on.kswapd_awake = 0
    if on.nr_free >= on.wmark_high:
        return
    got = shrink(s, [node], CLUSTER, t, cost)
    m.pgscan_kswapd += cost.scanned
    m.pgsteal_kswapd += got
    if not got:
        on.kswapd_failures += 1
        return
    on.kswapd_awake = 1
    event_push(s, t + max(cost.ns, 1), KSWAPD, node, 0)


def advance(s: State, now: int) -> None:
    """Everything that happens up to ``now``."""
    while s.m.next_event <= now:
        ev = event_pop(s)
        if ev.area == KSWAPD:
            if ev.page == KHUGEPAGED:
                khugepaged(s, ev.t)
            else:
                _kswapd(s, ev.page, ev.t)
            continue
        if ev.epoch != s.area.rows[ev.area].epoch:
            continue
        index = event_fire(s, ev)
        if index is None:
            continue
        if state(s.area.rows[ev.area], index) == ST_TAIL:
            s.area.rows[ev.area].page[index].covered = 0
            continue
        p = page_get(s, ev.area, index)
        if p.flags & PG_PRESENT:
            p.covered = 0
        else:
            _fault(s, ev.area, index, p, ev.t)
