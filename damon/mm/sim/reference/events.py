# SPDX-License-Identifier: GPL-2.0-only
"""The next touches of absent pages, as events in a heap by time. Twin of ``sim_event.c``.

Every absent page of an area with accesses is covered by exactly one event. An event may stand for many pages: its time
is the first touch among them; when it comes, the page is chosen and what is left of the group gets events of its own.
So an area of any size costs as many events as it has touched pages.
"""

from __future__ import annotations

import ctypes

from damon.mm.sim.layout import KSWAPD, NEVER, Draw, SimEvent, SimPage, SimPattern
from damon.mm.sim.reference.access import seg_count, seg_next, seg_now, seg_time, seg_weight
from damon.mm.sim.reference.arithmetic import log, uniform
from damon.mm.sim.reference.pages import page_present
from damon.mm.sim.state import State

_SIZE = ctypes.sizeof(SimEvent)


def _key(ev: SimEvent) -> tuple[int, int]:
    return ev.t, ev.id


def _move(s: State, to: int, ev: SimEvent) -> None:
    ctypes.memmove(ctypes.addressof(s.event.rows[to]), ctypes.addressof(ev), _SIZE)


def _copy(ev: SimEvent) -> SimEvent:
    return SimEvent.from_buffer_copy(ev)


def _sift_down(s: State, at: int) -> None:
    rows, nr = s.event.rows, s.m.nr_event
    ev = _copy(rows[at])
    while 2 * at + 1 < nr:
        child = 2 * at + 1
        if child + 1 < nr and _key(rows[child + 1]) < _key(rows[child]):
            child += 1
        if _key(rows[child]) >= _key(ev):
            break
        _move(s, at, rows[child])
        at = child
    _move(s, at, ev)


def _update_next(s: State) -> None:
    s.m.next_event = s.event.rows[0].t if s.m.nr_event else NEVER


def event_push(s: State, t: int, area: int, page: int, nr: int) -> None:
    m, rows = s.m, s.event.rows
    ev = SimEvent(t, m.next_id, page, nr, area, 0 if area == KSWAPD else s.area.rows[area].epoch)
    m.next_id += 1
    at = m.nr_event
    m.nr_event += 1
    while at and _key(ev) < _key(rows[(at - 1) // 2]):
        _move(s, at, rows[(at - 1) // 2])
        at = (at - 1) // 2
    _move(s, at, ev)
    _update_next(s)


def event_pop(s: State) -> SimEvent:
    m = s.m
    ev = _copy(s.event.rows[0])
    m.nr_event -= 1
    _move(s, 0, s.event.rows[m.nr_event])
    if m.nr_event:
        _sift_down(s, 0)
    _update_next(s)
    return ev


def event_purge(s: State) -> None:
    """Forget the events of areas that changed."""
    m, rows = s.m, s.event.rows
    nr = 0
    for n in range(m.nr_event):
        ev = rows[n]
        if ev.area == KSWAPD or ev.epoch == s.area.rows[ev.area].epoch:
            _move(s, nr, ev)
            nr += 1
    m.nr_event = nr
    for n in range(nr // 2 - 1, -1, -1):
        _sift_down(s, n)
    _update_next(s)


def _schedule_touch(s: State, area: int, page: int, nr: int, since: int) -> None:
    """An event for touch number ``since`` or later of the range (deterministic patterns)."""
    seg = seg_now(s.area.rows[area])
    k = seg_next(seg, page, nr, since) if nr else None
    if k is not None:
        t = seg_time(seg, k)
        if t != NEVER:
            event_push(s, t, area, page, nr)


def event_schedule(s: State, area: int, page: int, nr: int, t: int) -> None:
    """An event for the first touch after ``t`` of an absent page in the range.

    For zipf the range is taken as evenly hot as its first page; what is too much is rejected when the event comes.
    """
    seg = seg_now(s.area.rows[area])
    if seg.pattern == SimPattern.NONE or not nr:
        return
    if seg.pattern == SimPattern.STRIDED:
        _schedule_touch(s, area, page, nr, seg_count(seg, t))
        return
    rate = seg_weight(seg, page) * float(nr) * seg.rate
    dt = -log(uniform(s.m.seed, area, s.m.next_id, Draw.NEXT)) / rate
    if dt < 1e18:
        event_push(s, t + 1 + int(dt), area, page, nr)


def event_cover(s: State, area: int, index: int, p: SimPage, t: int) -> None:
    """The page has just left memory: an event must stand for its next touch, unless a pending one already does."""
    if p.covered == s.area.rows[area].epoch:
        p.covered = 0
    else:
        event_schedule(s, area, index, 1, t)


def _schedule_range(s: State, area: int, page: int, end: int, t: int) -> None:
    zipf = seg_now(s.area.rows[area]).pattern == SimPattern.ZIPF
    while page < end:
        stop = end
        if zipf:  # ranks up to the next power of two: the rejected share stays small
            stop = min(end, (1 << (page + 1).bit_length()) - 1)
        event_schedule(s, area, page, stop - page, t)
        page = stop


def event_area(s: State, area: int, t: int) -> None:
    """Events for all absent pages of an area whose accesses begin or change at ``t``."""
    a = s.area.rows[area]
    if seg_now(a).pattern == SimPattern.NONE or a.nr_present == a.nr_pages:
        return
    run = 0
    for n in range(a.nr_pages):
        if page_present(a, n):
            _schedule_range(s, area, run, n, t)
            run = n + 1
    _schedule_range(s, area, run, a.nr_pages, t)


def event_fire(s: State, ev: SimEvent) -> int | None:
    """A group's time has come: which page is it?

    What is left of the group gets new events (a Poisson process may be drawn afresh from any moment). ``None``: none of
    its pages is touched now.
    """
    seg = seg_now(s.area.rows[ev.area])
    end = ev.page + ev.nr
    if seg.pattern == SimPattern.STRIDED:
        k = seg_next(seg, ev.page, ev.nr, seg_count(seg, ev.t - 1))
        if k is None:
            return None
        i = int(k % seg.period * seg.stride // 4096)
        _schedule_touch(s, ev.area, ev.page, i - ev.page, k + 1)
        _schedule_touch(s, ev.area, i + 1, end - i - 1, k + 1)
        return i
    i = int(ev.page)
    if ev.nr > 1:
        i = min(i + int(uniform(s.m.seed, ev.area, ev.id, Draw.WHICH) * float(ev.nr)), end - 1)
    if (
        seg.pattern == SimPattern.ZIPF
        and i != ev.page
        and uniform(s.m.seed, ev.area, ev.id, Draw.ACCEPT) * seg_weight(seg, ev.page) > seg_weight(seg, i)
    ):
        event_schedule(s, ev.area, ev.page, ev.nr, ev.t)
        return None
    event_schedule(s, ev.area, ev.page, i - ev.page, ev.t)
    event_schedule(s, ev.area, i + 1, end - i - 1, ev.t)
    return i
