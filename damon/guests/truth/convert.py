# SPDX-License-Identifier: GPL-2.0-only
"""A raw file of truth read twice: first the guest's time and who had which frame, then the accesses, by process."""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput
from damon.guests.machine import harness_errors
from damon.guests.truth.clock import GuestClock
from damon.guests.truth.layout import Layout, lay_out
from damon.guests.truth.maps import FOREVER, Maps
from damon.workload.tracefile.form import TRUTH, Row, TracedArea, pack_rows
from damon.workload.tracefile.writer import TraceWriter
from vmtest.truth import form

_EVERY: Final = 64
#: A page that was there before the trace began is in a replay only if it is accessed.
_THERE: Final = 1.0

#: Page in the space, intervals in which it was accessed, and in which it was written.
Touched = tuple[int, int, int]


@dataclass(frozen=True)
class Window:
    """The accesses in ``[begin_ns, end_ns)``, guest time, with ascending pages of each space."""

    begin_ns: int
    end_ns: int
    intervals: int
    spaces: dict[int, list[Touched]]


@dataclass
class Sums:
    """Intervals and frames, summed up: of processes, of the zero page, of others; by user code and by the kernel's."""

    known: int = 0
    zero: int = 0
    others: int = 0
    user: int = 0
    kernel: int = 0


class Truth:
    """An open raw file.

    Attributes:
        header: the file's.
        maps: who had which frame.
        clock: the guest's time.
        layout: processes and areas as in a trace.
        sums: of the windows that were read last.

    Raises:
        InvalidInput: it is none, is damaged, or has nothing that could be used.
    """

    def __init__(self, path: Path, progress: Callable[[str], None] = lambda note: None) -> None:
        progress("who had which page")
        with harness_errors("truth"):
            self._raw = form.Raw(path)
            self.header = self._raw.header
            self.maps = Maps(self.header.frames, self.header.hole_from, self.header.hole_by)
            host: dict[int, int] = {}
            for chunk in self._raw.chunks(windows=False):
                if isinstance(chunk, form.Text):
                    self.maps.feed(chunk.data)
                elif isinstance(chunk, form.Mark):
                    host.setdefault(chunk.mark, chunk.at_ns)
        self.maps.close()
        self.clock = GuestClock(host, self.maps.marks)
        self.layout: Layout = lay_out(self.maps)
        self.sums = Sums()

    def windows(self) -> Iterator[Window]:
        """All windows in order; from the beginning each time."""
        self.sums = Sums()
        changes, at = self._changes(), 0
        owners = array("i", [-1]) * self.header.frames
        end = 0
        with harness_errors("truth"):
            for chunk in self._raw.chunks():
                if not isinstance(chunk, form.Window):
                    continue
                begin, end = max(self.clock.guest(chunk.begin_ns), end), max(self.clock.guest(chunk.end_ns), end)
                while at < len(changes) and changes[at][0] <= (begin + end) // 2:
                    owners[changes[at][2]] = changes[at][3]
                    at += 1
                if begin < end:
                    coming = self._coming(changes, at, end)
                    yield Window(begin, end, chunk.intervals, self._attributed(chunk, owners, coming))

    @staticmethod
    def _coming(changes: Sequence[tuple[int, int, int, int]], at: int, end: int) -> dict[int, int]:
        """Who has a frame before ``end``: of a frame without an owner yet, the whole window's accesses are theirs."""
        found: dict[int, int] = {}
        while at < len(changes) and changes[at][0] < end:
            if changes[at][1]:
                found.setdefault(changes[at][2], changes[at][3])
            at += 1
        return found

    def _changes(self) -> list[tuple[int, int, int, int]]:
        """Time, 0 or 1, frame and owner (-1: none) of each change, in order."""
        found = []
        for frame, stays in self.maps.stays.items():
            for stay in stays:
                if stay.begin < stay.end:
                    found.append((stay.begin, 1, frame, stay.owner))
                    if stay.end < FOREVER:
                        found.append((stay.end, 0, frame, -1))
        return sorted(found)

    def _attributed(
        self, window: form.Window, owners: array[int], coming: Mapping[int, int]
    ) -> dict[int, list[Touched]]:
        spaces: dict[int, list[Touched]] = {}
        space_of, page_of, sums, zero = self.layout.space_of, self.layout.page_of, self.sums, self.maps.zero
        sums.user += sum(window.by[0]) + sum(window.by[1])
        sums.kernel += sum(window.by[2]) + sum(window.by[3])
        for frame, touched, written in zip(window.frames, window.touched, window.written, strict=True):
            owner = owners[frame]
            if owner < 0:
                owner = coming.get(frame, -1)
            space = space_of[owner] if owner >= 0 else -1
            if space >= 0:
                sums.known += touched
                spaces.setdefault(space, []).append((page_of[owner], touched, written))
            elif frame in zero:
                sums.zero += touched
            else:
                sums.others += touched
        return {space: _joined(sorted(rows)) for space, rows in spaces.items()}


def _joined(rows: list[Touched]) -> list[Touched]:
    """Each page once: one that moved within a window was on two frames."""
    if len({row[0] for row in rows}) == len(rows):
        return rows
    found: dict[int, Touched] = {}
    for page, touched, written in rows:
        _, before, wrote = found.get(page, (page, 0, 0))
        found[page] = page, before + touched, wrote + written
    return list(found.values())


@dataclass(frozen=True)
class Converted:
    """What came of a raw file."""

    windows: int
    sums: Sums
    error_ns: int
    shared: int
    moved: int
    left_out: int


def convert(path: Path, writer: TraceWriter, progress: Callable[[str], None] = lambda note: None) -> Converted:
    """Write the truth at ``path`` with ``writer``, which is closed then: a process for each of the guest's.

    Raises:
        InvalidInput: it is no raw file, or has nothing that could be replayed.
        OSError: it cannot be read, or the trace not be written.
    """
    truth = Truth(path, progress)
    for space in truth.layout.spaces:
        writer.space(space.name, space.nr_pages)
    origin, end, count = -1, 0, 0
    for count, window in enumerate(truth.windows(), 1):
        if count % _EVERY == 1:
            progress(f"window {count}")
        origin = window.begin_ns if origin < 0 else origin
        end = window.end_ns - origin
        found = {number: _rows(touched) for number, touched in sorted(window.spaces.items())}
        if count == 1:
            found = _with_residents(truth, found)
        for number, rows in found.items():
            writer.add(number, window.begin_ns - origin, end, pack_rows(rows))
    if origin < 0:
        raise InvalidInput("truth: has no window; record for longer")
    areas = [replace(area, mapped=_within(area, origin, end)) for area in truth.layout.areas]
    writer.close(end, areas, origin=TRUTH)
    maps = truth.maps
    return Converted(count, truth.sums, truth.clock.error_ns, maps.shared, maps.moved, truth.layout.left_out)


def _with_residents(truth: Truth, found: dict[int, list[Row]]) -> dict[int, list[Row]]:
    """The rows of the first window, with the pages that the first look found."""
    there: dict[int, set[int]] = {}
    for owner in truth.maps.at_first():
        if (space := truth.layout.space_of[owner]) >= 0:
            there.setdefault(space, set()).add(truth.layout.page_of[owner])
    for space, pages in there.items():
        rows = found.get(space, [])
        more = pages.difference(row[0] for row in rows)
        found[space] = sorted([*rows, *((page, page + 1, _THERE, 0.0) for page in more)])
    return dict(sorted(found.items()))


def _rows(touched: list[Touched]) -> list[Row]:
    """A replay of exact counts makes them at even distances: so many intervals have one."""
    return [(page, page + 1, float(times), min(written / times, 1.0)) for page, times, written in touched if times]


def _within(area: TracedArea, origin: int, end: int) -> tuple[tuple[int, int], ...]:
    """An area's periods as times of the trace."""
    found = []
    for begin, until in area.mapped:
        low, high = max(begin - origin, 0), min(until - origin, end)
        if low < high:
            found.append((low, high))
    return tuple(found)
