# SPDX-License-Identifier: GPL-2.0-only
"""When a replay maps and unmaps an area of a trace."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count

from damon.workload.model import Replay
from damon.workload.tracefile.form import TracedArea

#: ns since the part of the trace begins, in its time; whether the area is mapped from then on.
Turn = tuple[int, bool]


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
