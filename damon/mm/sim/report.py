# SPDX-License-Identifier: GPL-2.0-only
"""What a simulated machine tells about itself."""

from __future__ import annotations

from dataclasses import dataclass


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
