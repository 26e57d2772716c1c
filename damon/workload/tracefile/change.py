# SPDX-License-Identifier: GPL-2.0-only
"""Traces cut, scaled and anonymised. For scaled pages C has the same arithmetic (``sim_trace_pages.c``)."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.workload.tracefile.form import MAX_TIME_NS, TRUTH, Row, TracedArea, pack_rows, unpack_rows
from damon.workload.tracefile.reader import Trace
from damon.workload.tracefile.writer import TraceWriter

_EVERY: Final = 256  # windows between two reports of progress
_MANY: Final = 1 << 16  # runs of pages that are kept before they are united

_Run = tuple[int, int]  # of pages: first, end


@dataclass(frozen=True)
class Change:
    """What is to become of a trace.

    ``begin_ns`` and ``end_ns`` cut it (None: its end). Of an exact capture that is cut, pages that were there at the
    new begin have an access in the first window. ``process`` is the name of the processes that are kept. A scaled trace
    has the same touches of each page in another time, or the same touches of each page of larger or smaller areas.
    """

    begin_ns: int = 0
    end_ns: int | None = None
    process: str = ""  #: all
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


def is_called(process: str, name: str) -> bool:
    """Is a process of a trace one of that name? Where several are, they are ``name``, ``name-2``, ..."""
    return process == name or (process.startswith(f"{name}-") and process[len(name) + 1 :].isdecimal())


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
        if change.process and not is_called(space.process, change.process):
            continue
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
        # Pages of areas that are left out, behind all others, too, have no place.
        same = change.size_scale == 1.0 and at == space.nr_pages and all(one.first == one.to for one in moved)
        there = _there(trace, number, [area for area, _ in kept], times) if old.origin == TRUTH else []
        _windows(trace, number, writer, made, times, None if same else (moved, change.size_scale), there, progress)
    if not areas:
        of = f" of {quoted(change.process)}" if change.process else ""
        raise InvalidInput(f"trace: nothing{of} is mapped in that part of it; give another part or process")
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


def _united(runs: list[_Run]) -> list[_Run]:
    """Ascending, without overlaps."""
    found: list[_Run] = []
    for begin, end in sorted(runs):
        if found and begin <= found[-1][1]:
            found[-1] = found[-1][0], max(end, found[-1][1])
        else:
            found.append((begin, end))
    return found


def _there(trace: Trace, space: int, areas: Sequence[TracedArea], times: _Times) -> list[_Run]:
    """Pages that came before the new begin, and were there still: those that were accessed since they were mapped."""
    places = sorted(
        (area.first, area.first + area.nr_pages, begin)
        for area in areas
        for begin, end in area.mapped
        if begin < times.begin < end
    )
    found: list[_Run] = []
    for _, t1, rows in trace.level_windows(space, 0, 0, times.begin):
        found += _within(unpack_rows(rows), [(low, high) for low, high, since in places if since < t1])
        if len(found) > _MANY:
            found = _united(found)
    return _united(found)


def _within(rows: Sequence[Row], places: Sequence[_Run]) -> Iterator[_Run]:
    """The parts of ``rows`` in ``places``, which ascend."""
    at = 0
    for low, high, *_ in rows:
        while at < len(places) and places[at][1] <= low:
            at += 1
        number = at
        while number < len(places) and places[number][0] < high:
            yield max(low, places[number][0]), min(high, places[number][1])
            number += 1


def _with(rows: Sequence[Row], there: Sequence[_Run]) -> list[Row]:
    """``rows``, and one access of each page that is ``there`` and not among them."""
    missing, at = [], 0
    for first, end in there:
        page = first
        while at < len(rows) and rows[at][1] <= page:
            at += 1
        number = at
        while number < len(rows) and rows[number][0] < end:
            missing.append((page, rows[number][0], 1.0, 0.0))
            page = max(page, rows[number][1])
            number += 1
        missing.append((page, end, 1.0, 0.0))
    return sorted([*rows, *(row for row in missing if row[0] < row[1])])


def _windows(
    trace: Trace, old: int, writer: TraceWriter, new: int, times: _Times,
    moves: tuple[Sequence[_Moved], float] | None, there: Sequence[_Run], progress: Callable[[str], None],
) -> None:  # fmt: skip
    last, first = 0, bool(there)
    total = trace.nr_windows(old)

    def put(begin: int, end: int, rows: Sequence[Row]) -> None:
        writer.add(new, begin, end, pack_rows(rows if moves is None else _move(rows, *moves)))

    for number, (t0, t1, rows) in enumerate(trace.windows(old)):
        if number % _EVERY == 0:
            progress(f"window {number} of {total}")
        part = times.part(t0, t1)
        if part is None or part[1] <= max(last, part[0]):
            continue
        begin, last, share = max(part[0], last), part[1], part[2]
        if moves is None and share == 1.0 and not first:
            writer.add(new, begin, last, rows)
            continue
        found: Sequence[Row] = [(low, high, each * share, write) for low, high, each, write in unpack_rows(rows)]
        if first and begin:
            put(0, begin, _with((), there))
        elif first:
            found = _with(found, there)
        first = False
        put(begin, last, found)
    if first:
        put(0, times.new(times.end), _with((), there))


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
