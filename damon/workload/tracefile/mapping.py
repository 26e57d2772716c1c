# SPDX-License-Identifier: GPL-2.0-only
"""When a replay maps and unmaps an area of a trace."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from typing import Final

from damon.workload.model import Replay
from damon.workload.tracefile.form import TRUTH, TracedArea, unpack_rows
from damon.workload.tracefile.reader import Trace

_LOOKED_BACK: Final = 4  # windows
#: ns since the part of the trace begins, in its time; whether the area is mapped from then on.
Turn = tuple[int, bool]


def area_of(trace: Trace, number: int) -> TracedArea:
    """An area of the trace. In an exact capture none of a window's counts may be lost: areas are mapped in whole
    windows, and from the first one in which they were accessed, as mappings are only seen now and then.

    Raises:
        IndexError: it has fewer areas.
    """
    area = trace.description.areas[number]
    if trace.description.origin != TRUTH:
        return area
    return replace(area, mapped=tuple(_whole_windows(trace, area)))


def areas_of(trace: Trace) -> tuple[TracedArea, ...]:
    """All areas of the trace, each as ``area_of``."""
    return tuple(area_of(trace, number) for number in range(len(trace.description.areas)))


def _whole_windows(trace: Trace, area: TracedArea) -> list[tuple[int, int]]:
    found: list[tuple[int, int]] = []
    for start, end in area.mapped:
        first, last = trace.window_at(area.space, start), trace.window_at(area.space, end - 1)
        low, high = first.t0 if first else start, last.t1 if last else end
        low = min(low, _first_access(trace, area, low))
        if found and low <= found[-1][1]:
            low = found.pop()[0]
        found.append((low, high))
    return found


def _first_access(trace: Trace, area: TracedArea, before: int) -> int:
    """The begin of the first of a few windows before a time in which the area was accessed; the time: of none."""
    number = trace.window_after(area.space, before)
    for one in (trace.window(area.space, n) for n in range(max(number - _LOOKED_BACK, 0), number)):
        rows = unpack_rows(trace.rows(one))
        if any(low < area.first + area.nr_pages and end > area.first for low, end, *_ in rows):
            return int(one.t0)
    return before


def turns(replay: Replay, area: TracedArea) -> list[Turn]:
    """The changes in one round, after what the area is at first. One at the round's end is for the next round."""
    begin, length = replay.begin_ns, replay.end_ns - replay.begin_ns
    found: list[Turn] = []
    for start, end in area.mapped:
        found += [(at - begin, mapped) for at, mapped in ((start, True), (end, False)) if 0 < at - begin < length]
    at_first = any(start <= begin < end for start, end in area.mapped)
    at_last = found[-1][1] if found else at_first
    if at_first != at_last and replay.loop:
        found.append((length, at_first))
    return found


def changes(replay: Replay, area: TracedArea) -> Iterator[Turn]:
    """``turns()`` of all rounds, in the machine's ns since the replay began."""
    one, length = turns(replay, area), replay.end_ns - replay.begin_ns
    for number in count() if replay.loop and one else range(1):
        for at, mapped in one:
            yield round((number * length + at) * replay.time_scale), mapped
