# SPDX-License-Identifier: GPL-2.0-only
"""Figures of a simulated machine."""

from __future__ import annotations

from dataclasses import dataclass

from damon.mm.sim.engine import trace_touches
from damon.mm.sim.layout import BLOCK, SimArea, SimPattern
from damon.mm.sim.state import State
from damon.model.machine import PAGE_SIZE
from damon.workload.model import Area


@dataclass(frozen=True)
class AreaStat:
    """One area now; counts are since the start."""

    name: str
    process: str
    kind: str  #: ``anon`` or ``file``
    start: int  #: virtual address
    size_bytes: int
    mapped: bool
    resident_bytes: int
    swapped_bytes: int
    active_pages: int  #: resident pages on an active list
    faults: int  #: touches that found their page absent
    refaults: int  #: ... because it had been reclaimed
    reclaimed_pages: int
    touches: int
    node_bytes: tuple[int, ...] = ()  #: resident bytes on each NUMA node
    touch_ns: float = 0.0  #: mean cost of its touches now, those of absent pages counted as 0
    latency_us: float = 0.0  #: what all touches of resident pages have cost
    huge_bytes: int = 0  #: resident in huge pages: ``AnonHugePages`` of ``smaps``
    evicted_bytes: int = 0  #: out of memory, and were in it since the area was mapped
    resident_byte_seconds: float = 0.0  #: ``resident_bytes`` over all time so far: exact, not sampled
    evicted_byte_seconds: float = 0.0  #: ... and ``evicted_bytes``: the memory that reclaim has saved


@dataclass(frozen=True)
class ProcessStat:
    """One process now; counts are since the start."""

    name: str
    pid: int
    alive: bool
    rss_bytes: int
    swapped_bytes: int
    faults: int
    refaults: int
    stall_us: int  #: time that it waited, or still has to wait, for its faults
    slowdown: float
    latency_us: float = 0.0  #: what its touches of resident pages have cost; 0 without NUMA nodes


def area_stat(state: State, area: Area, now: int) -> AreaStat:
    """An area at the time ``now`` of the machine."""
    row = state.row(area.name)
    ahead, page_s = now - row.residence_t, PAGE_SIZE / 1e9
    return AreaStat(
        name=area.name, process=area.process, kind=area.kind.value, start=row.start, size_bytes=area.size,
        mapped=bool(row.mapped), resident_bytes=row.nr_present * PAGE_SIZE, swapped_bytes=row.nr_swapped * PAGE_SIZE,
        active_pages=row.nr_active, faults=row.faults, refaults=row.refaults, reclaimed_pages=row.reclaimed,
        touches=touches(row, now), huge_bytes=row.nr_huge * BLOCK * PAGE_SIZE,
        node_bytes=tuple(pages * PAGE_SIZE for pages in row.node_present[: state.m.nr_node]),
        touch_ns=row.touch_ns, latency_us=_latency_ns(row, now) / 1000,
        evicted_bytes=row.nr_evicted * PAGE_SIZE,
        resident_byte_seconds=(row.present_ns + row.nr_present * ahead) * page_s,
        evicted_byte_seconds=(row.evicted_ns + row.nr_evicted * ahead) * page_s,
    )  # fmt: skip


def process_stat(state: State, index: int, pid: int, now: int) -> ProcessStat:
    """A process, whose id is ``pid``, at the time ``now`` of the machine."""
    name, row = state.processes[index], state.process.rows[index]
    latency = sum(_latency_ns(area, now) for area in state.areas() if area.process == index)
    return ProcessStat(
        name=name, pid=pid, alive=bool(row.alive), rss_bytes=row.nr_present * PAGE_SIZE,
        swapped_bytes=row.nr_swapped * PAGE_SIZE, faults=row.faults, refaults=row.refaults,
        stall_us=row.stall_ns // 1000, slowdown=1.0 + (row.stall_ns / now if now else 0.0), latency_us=latency / 1000,
    )  # fmt: skip


def touches(row: SimArea, now: int) -> int:
    """Touches of an area so far."""
    if not row.mapped:
        return int(row.touches)
    seg = row.seg[row.nr_seg - 1]
    if seg.pattern == SimPattern.TRACE:
        return int(row.touches) + int(trace_touches(row, seg.t0, now))
    return int(row.touches) + int(float(now - seg.t0) * seg.rate)


def _latency_ns(area: SimArea, now: int) -> float:
    """What the touches of an area's pages in memory have cost. They come at their rate whatever they cost."""
    rate = area.seg[area.nr_seg - 1].rate if area.mapped else 0.0
    return float(area.latency_ns + area.touch_ns * rate * (now - area.latency_t))
