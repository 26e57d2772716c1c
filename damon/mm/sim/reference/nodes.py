# SPDX-License-Identifier: GPL-2.0-only
"""NUMA nodes: where memory comes from, and what touching it costs. Twin of ``sim_node.c``.

The cost of touches is summed without looking at touches: an area's mean touch costs the sum over its pages in memory of
their share of the touches times what their node costs its process; it changes when a page comes, goes or moves.
"""

from __future__ import annotations

from damon.mm.sim.layout import FAILURES, KSWAPD, SimArea
from damon.mm.sim.reference.access import seg_now, seg_weights
from damon.mm.sim.reference.events import event_push
from damon.mm.sim.reference.pages import node_of, page_frame, page_present
from damon.mm.sim.state import State


def node_pick(s: State, area: int) -> tuple[int, bool] | None:
    """The node that a page of the area gets its frame from: the nearest to its process with more than the low watermark
    free, or else (True) the min watermark, as ``get_page_from_freelist`` goes through the zonelist.

    None: memory has to be reclaimed first.
    """
    m = s.m
    order = m.node[s.process.rows[s.area.rows[area].process].node].order[: m.nr_node]
    for node in order:
        if m.node[node].nr_free > m.node[node].wmark_low:
            return node, False
    for node in order:
        if m.node[node].nr_free > m.node[node].wmark_min:
            return node, True
    return None


def node_wake(s: State, node: int, t: int) -> None:
    """Wake a node's reclaim daemon if it is below its low watermark."""
    on = s.m.node[node]
    if on.nr_free < on.wmark_low and not on.kswapd_awake and on.kswapd_failures < FAILURES:
        on.kswapd_awake = 1
        event_push(s, t, KSWAPD, node, 0)


def node_wake_all(s: State, t: int) -> None:
    """No node had more than its low watermark: wake the reclaim daemon of each that is below."""
    for node in range(s.m.nr_node):
        node_wake(s, node, t)


def latency_settle(a: SimArea, t: int) -> None:
    """Charge the touches up to ``t``."""
    if t > a.latency_t:
        a.latency_ns += a.touch_ns * seg_now(a).rate * float(t - a.latency_t)
    a.latency_t = t


def _cost(s: State, a: SimArea, page: int, nr: int, node: int) -> float:
    touch_ns = s.m.node[s.process.rows[a.process].node].touch_ns[node]
    return seg_weights(seg_now(a), page, nr) * float(touch_ns)


def latency_change(s: State, area: int, index: int, nr: int, node: int, sign: int, t: int) -> None:
    """Pages ``[index, index + nr)`` came to (``sign`` 1) or left (-1) the node at ``t``."""
    if not s.m.latency:
        return
    a = s.area.rows[area]
    latency_settle(a, t)
    a.touch_ns += float(sign) * _cost(s, a, index, nr, node)


def latency_area(s: State, area: int) -> None:
    """The mean touch of an area whose accesses have just changed: over its pages in memory, one stretch on a node at a
    time."""
    if not s.m.latency:
        return
    a = s.area.rows[area]
    a.touch_ns = 0.0
    run, run_node = 0, None
    for i in range(a.nr_pages + 1):
        node = node_of(s, page_frame(a, i)) if i < a.nr_pages and page_present(a, i) else None
        if node != run_node:
            if run_node is not None:
                a.touch_ns += _cost(s, a, run, i - run, run_node)
            run, run_node = i, node
