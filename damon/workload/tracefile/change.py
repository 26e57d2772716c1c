# SPDX-License-Identifier: GPL-2.0-only
"""Traces cut, scaled and anonymised. For scaled pages C has the same arithmetic (``sim_trace_pages.c``)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

from damon.errors import InvalidInput
from damon.workload.tracefile.form import MAX_TIME_NS, TRUTH, Row, TracedArea, pack_rows, unpack_rows
from damon.workload.tracefile.reader import Trace
from damon.workload.tracefile.writer import TraceWriter

_EVERY: Final = 256  # windows between two reports of progress


@dataclass(frozen=True)
class Change:
    """What is to become of a trace.

    ``begin_ns`` and ``end_ns`` cut it (None: its end). A scaled trace has the same touches of each page in another
    time, or the same touches of each page of larger or smaller areas.
    """

    begin_ns: int = 0
    end_ns: int | None = None
    time_scale: float = 1.0
    size_scale: float = 1.0
    anonymise: bool = False
    loop: bool | None = None  #: None: as it is


def scaled_page(at: int, scale: float) -> int:
    """The first page of a scaled area that stands for page ``at`` or a later one: page p has what p / scale had."""
    if scale == 1.0 or not at:
        return at
    page = int(at * scale)
    while page and int((page - 1) / scale) >= at:
        page -= 1
    while int(page / scale) < at:
        page += 1
    return page


@dataclass(frozen=True)
class _Moved:
    """An area of the old trace, and the first of its pages in the new one's space."""

    first: int
    end: int
    to: int


class _Times:
    """Times of the old trace in the new one."""

    def __init__(self, change: Change, duration_ns: int) -> None:
        self.begin, self.end = change.begin_ns, duration_ns if change.end_ns is None else change.end_ns
        self.scale = change.time_scale
        if not 0 <= self.begin < self.end <= duration_ns:
            raise InvalidInput(
                f"trace: part from {self.begin} to {self.end} ns: is not one of {duration_ns} ns; give times within it"
            )
        if not 1 <= self.new(self.end) <= MAX_TIME_NS:
            raise InvalidInput(f"trace: time scale {self.scale}: makes it too short or too long; give another one")

    def new(self, t: int) -> int:
        return round((t - self.begin) * self.scale)

    def part(self, t0: int, t1: int) -> tuple[int, int, float] | None:
        """Begin and end of what is left of a window, and its share; None: nothing."""
        low, high = max(t0, self.begin), min(t1, self.end)
        begin, end = self.new(low), self.new(high)
        return (begin, end, (high - low) / (t1 - t0)) if low < high and begin < end else None


def change_trace(
    trace: Trace, writer: TraceWriter, change: Change, progress: Callable[[str], None] = lambda note: None
) -> None:
    """Write ``trace``, changed, with ``writer``, which is closed then.

    Raises:
        InvalidInput: nothing is left of it, or too much.
        OSError: it cannot be written.
    """
    old = trace.description
    times = _Times(change, old.duration_ns)
    areas: list[TracedArea] = []
    for number, space in enumerate(old.spaces):
        mine = [(area, _mapped(area, times)) for area in old.areas if area.space == number]
        kept = [(area, mapped) for area, mapped in mine if mapped]
        if not kept:
            continue
        moved, at = [], 0
        for area, _ in kept:
            moved.append(_Moved(area.first, area.first + area.nr_pages, at))
            at += max(scaled_page(area.nr_pages, change.size_scale), 1)
        made = writer.space(f"process-{len({one.space for one in areas})}" if change.anonymise else space.process, at)
        ends = [*(one.to for one in moved[1:]), at]
        for (area, mapped), place, end in zip(kept, moved, ends, strict=True):
            areas.append(replace(area, space=made, first=place.to, nr_pages=end - place.to, mapped=mapped))
        same = change.size_scale == 1.0 and moved == [
            _Moved(one.to, one.to + one.end - one.first, one.to) for one in moved
        ]
        _windows(trace, number, writer, made, times, None if same else (moved, change.size_scale), progress)
    if not areas:
        raise InvalidInput("trace: nothing is mapped in that part of it; give another part")
    if change.anonymise:
        areas = [replace(area, name=f"area-{n}", address=0) for n, area in enumerate(areas)]
    loop = old.loop if change.loop is None else change.loop
    writer.close(
        times.new(times.end), areas, loop=loop, origin=old.origin if old.origin == TRUTH or not change.anonymise else ""
    )


def _mapped(area: TracedArea, times: _Times) -> tuple[tuple[int, int], ...]:
    found: list[tuple[int, int]] = []
    for start, end in area.mapped:
        low, high = times.new(max(start, times.begin)), times.new(min(end, times.end))
        if found and low <= found[-1][1]:
            low = found.pop()[0]
        if low < high:
            found.append((low, high))
    return tuple(found)


def _windows(
    trace: Trace, old: int, writer: TraceWriter, new: int, times: _Times,
    moves: tuple[Sequence[_Moved], float] | None, progress: Callable[[str], None],
) -> None:  # fmt: skip
    last = 0
    total = trace.nr_windows(old)
    for number, (t0, t1, rows) in enumerate(trace.windows(old)):
        if number % _EVERY == 0:
            progress(f"window {number} of {total}")
        part = times.part(t0, t1)
        if part is None or part[1] <= max(last, part[0]):
            continue
        begin, last, share, packed = max(part[0], last), part[1], part[2], rows
        if moves is not None or share < 1.0:
            found: Sequence[Row] = [(low, high, each * share, write) for low, high, each, write in unpack_rows(rows)]
            packed = pack_rows(found if moves is None else _move(found, *moves))
        writer.add(new, begin, last, packed)


def _move(rows: Sequence[Row], areas: Sequence[_Moved], scale: float) -> list[Row]:
    """``rows`` on the pages of the new space."""
    found: list[Row] = []
    for area in areas:
        for low, high, each, write in rows:
            first, end = max(low, area.first) - area.first, min(high, area.end) - area.first
            if first < end:
                begin, until = scaled_page(first, scale), scaled_page(end, scale)
                if begin < until:
                    found.append((area.to + begin, area.to + until, each, write))
    return found
