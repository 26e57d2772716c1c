# SPDX-License-Identifier: GPL-2.0-only
"""From a file of records to a trace file: regions with counts of samples become pages with rates of touches.

The file is read twice, snapshot by snapshot, so that its length does not matter.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput
from damon.records.background import Background, is_rare
from damon.records.coverage import Coverage, Covered
from damon.records.form import Key
from damon.records.names import mappings
from damon.records.read import Damaged, Record, Snapshot, read
from damon.workload.tracefile.form import Row, TracedArea
from damon.workload.tracefile.writer import TraceWriter

_PAGE: Final = 4096
_EVERY: Final = 64  # snapshots between two reports of progress
#: A page that is accessed in all samples is taken for one that half a sample more would have missed.
_HALF: Final = 0.5
_MOST_KNOWN: Final = 1 << 16
#: A worker that is late samples less often than it was asked to; by more than this the record has gaps.
_MOST_LATE: Final = 4.0


@dataclass(frozen=True)
class Options:
    """What a record does not have."""

    sample_us: int | None = None  #: instead of the record's; and for forms without intervals
    aggr_us: int | None = None
    write_share: float = 1.0  #: of all accesses: DAMON does not tell them apart
    spread_s: float = 5.0  #: over which regions with few hits are spread (``background.py``)


@dataclass(frozen=True)
class Imported:
    """What came of a file; ``damaged`` is why its end could not be read, ``skipped`` the snapshots out of order."""

    snapshots: int
    skipped: int
    damaged: str | None


def touch_rate(nr_accesses: int, max_nr_accesses: int, sample_us: float) -> float:
    """Touches of a page in a microsecond that make DAMON count so many of so many samples.

    A sample asks whether a page was accessed in an interval. With Poisson touches it was with p = 1 - exp(-rate *
    interval). Counts of all samples or more are taken for half a sample less.
    """
    share = min(nr_accesses, max_nr_accesses - _HALF) / max_nr_accesses
    return -math.log1p(-share) / sample_us


@dataclass
class _Target:
    """What the first reading found of one target. Times are ns of the record."""

    begin: int | None  #: None: the form does not have it
    end: int = 0
    coverage: Coverage = field(default_factory=Coverage)
    most: int = 1
    gaps: list[int] = field(default_factory=list)  #: the first ones, from end to end

    def gap(self) -> int:
        """ns from one snapshot to the next, mostly."""
        return sorted(self.gaps)[len(self.gaps) // 2] if self.gaps else 100_000_000


class _Reader:
    """The snapshots of a file that follow each other, and why there are no more."""

    def __init__(self, path: Path, progress: Callable[[str], None]) -> None:
        self._path, self._progress = path, progress
        self.count = self.skipped = 0
        self.damaged: str | None = None

    def items(self, what: str) -> Iterator[tuple[Record, Snapshot, int | None]]:
        """With the end of the snapshot before it of the same target. One that does not end later is left out."""
        self.count = self.skipped = 0
        ends: dict[Key, int] = {}
        try:
            for record, snapshot in read(self._path):
                if (self.count + self.skipped) % _EVERY == 0:
                    self._progress(f"{what}, snapshot {self.count + self.skipped}")
                before = ends.get(record.key)
                if before is not None and snapshot.end_ns <= before:
                    self.skipped += 1
                    continue
                ends[record.key] = snapshot.end_ns
                self.count += 1
                yield record, snapshot, before
        except Damaged as error:
            self.damaged = str(error)


def _survey(reader: _Reader) -> dict[Key, _Target]:
    """All targets; each one's ``begin`` and first step are when its first snapshot began."""
    targets: dict[Key, _Target] = {}
    first_end: dict[Key, int] = {}
    for record, snapshot, before in reader.items("looking for areas"):
        if before is None:
            targets[record.key] = _Target(snapshot.start_ns)
            first_end[record.key] = snapshot.end_ns
        target = targets[record.key]
        if before is not None and len(target.gaps) < 1000:
            target.gaps.append(snapshot.end_ns - before)
        target.coverage.add(before or 0, ((row[0], row[1]) for row in snapshot.rows))
        target.most = max(target.most, max((row[2] for row in snapshot.rows), default=0))
        target.end = snapshot.end_ns
    for key, target in targets.items():
        if target.begin is None or target.begin >= first_end[key]:
            target.begin = first_end[key] - target.gap()
        target.coverage.steps[0] = target.begin, target.coverage.steps[0][1]
    return targets


class _Pages:
    """The areas of a target, one after the other, as the pages of a space."""

    def __init__(self, areas: list[Covered]) -> None:
        self.areas = areas
        self._starts = [area.start for area in areas]
        self.first: list[int] = []
        self.nr_pages = 0
        for area in areas:
            self.first.append(self.nr_pages)
            self.nr_pages += area.end - area.start

    def rows(self, snapshot: Snapshot) -> Iterator[tuple[int, int, int]]:
        """First page, end and count of the accessed regions. A page that two of them share is the first one's."""
        done = 0
        for start, end, count, *_ in snapshot.rows:
            low, high = max(start // _PAGE, done), -(-end // _PAGE)
            done = high
            if not count or low >= high:
                continue
            for number in range(max(bisect_right(self._starts, low) - 1, 0), len(self.areas)):
                area = self.areas[number]
                if area.start >= high:
                    break
                first, last = max(low, area.start), min(high, area.end)
                if first < last:
                    base = self.first[number] - area.start
                    yield base + first, base + last, count


class _Rates:
    """Touches of a page in a window, by DAMON's count of it."""

    def __init__(self, target: _Target, record: Record, options: Options) -> None:
        self._most = target.most
        self._gap_us = target.gap() / 1000
        self._sample_us = options.sample_us or record.sample_us
        self._aggr_us = options.aggr_us or record.aggr_us
        self._known: dict[tuple[int, int, float], float] = {}

    def _samples(self, snapshot: Snapshot) -> tuple[int, float]:
        """How many there were at most, and the microseconds from one to the next."""
        own_us = (snapshot.end_ns - snapshot.start_ns) / 1000 if snapshot.start_ns is not None else 0.0
        aggr_us = float(self._aggr_us or own_us or self._gap_us)
        sample_us = float(self._sample_us or aggr_us / self._most)
        if snapshot.sample_us:  # tuned since the record began
            sample_us, aggr_us = float(snapshot.sample_us), own_us
        most = max(int(aggr_us // sample_us), 1)
        late = own_us / most / sample_us
        return most, sample_us * min(max(late, 1.0), _MOST_LATE)

    def touches(self, snapshot: Snapshot, window_ns: int) -> tuple[int, Callable[[int], float]]:
        """The most that a count can be, and the touches of a page in a window by the count."""
        most, sample_us = self._samples(snapshot)

        def of_count(count: int) -> float:
            key = count, most, sample_us
            if key not in self._known:
                if len(self._known) > _MOST_KNOWN:
                    self._known.clear()
                self._known[key] = touch_rate(count, most, sample_us)
            return self._known[key] * window_ns / 1000

        return most, of_count


def import_records(
    path: Path, writer: TraceWriter, options: Options = Options(), progress: Callable[[str], None] = lambda note: None
) -> Imported:
    """Write the records at ``path`` with ``writer``, which is closed then: a process for each target.

    The rates of a snapshot hold from the end of the one before it. Areas are the ranges that a target had at the same
    times; where the recording has mappings (``FILE.vmas``), only those.

    Raises:
        InvalidInput: it is not a file of records, or its times or addresses are not those of one.
        OSError: it cannot be read, or the trace not be written.
    """
    reader = _Reader(path, progress)
    targets = _survey(reader)
    if not targets:
        raise InvalidInput(f"record: {path.name!r}: has no snapshots; record for longer")
    count, skipped, origin = reader.count, reader.skipped, min(target.begin or 0 for target in targets.values())
    keys, pages, sinks = list(targets), {}, {}
    for key, target in targets.items():
        pages[key] = _Pages(target.coverage.areas(target.end, mappings(path, key.target)))
        if not pages[key].areas:
            raise InvalidInput(f"record: target {key.target}: has no regions; record it again")
        space = writer.space(process_name(key, keys), pages[key].nr_pages)
        stretch_ns = round(options.spread_s * 1e9)
        sinks[key] = Background(writer, space, pages[key].nr_pages, stretch_ns, options.write_share)
    rates: dict[Key, _Rates] = {}
    for record, snapshot, before in islice(reader.items("writing"), count):
        key = record.key
        if key in targets:  # else the file has changed
            if key not in rates:
                rates[key] = _Rates(targets[key], record, options)
            begin = before if before is not None else targets[key].begin or 0
            _window(snapshot, begin - origin, snapshot.end_ns - origin, pages[key], rates[key], sinks[key])
    for sink in sinks.values():
        sink.flush()
    areas = [area for key in keys for area in _named(pages[key], sinks[key].space, origin, key, keys)]
    writer.close(max(target.end for target in targets.values()) - origin, areas, origin="records")
    return Imported(count, skipped, reader.damaged)


def _window(snapshot: Snapshot, begin: int, end: int, pages: _Pages, rates: _Rates, sink: Background) -> None:
    """One snapshot to the trace; times are the trace's."""
    most, touches = rates.touches(snapshot, end - begin)
    rows: list[Row] = []
    rare: list[tuple[int, int, float]] = []
    for low, high, hits in pages.rows(snapshot):
        if sink.stretch_ns and is_rare(hits, most):
            rare.append((low, high, touches(hits)))
        else:
            rows.append((low, high, touches(hits), sink.write))
    sink.add(begin, end, rows, rare)


def process_name(key: Key, keys: list[Key]) -> str:
    """``target-0``; with its worker's number where there are several."""
    worker = f"kdamond-{key.kdamond}." if len({one.kdamond for one in keys}) > 1 else ""
    return f"{worker}target-{key.target}"


def _named(pages: _Pages, space: int, origin: int, key: Key, keys: list[Key]) -> Iterator[TracedArea]:
    """The areas of a target with names that no other one has."""
    prefix = f"{process_name(key, keys)}." if len(keys) > 1 else ""
    seen: dict[str, int] = {}
    for area, first in zip(pages.areas, pages.first, strict=True):
        name = area.name or "area"
        number = seen[name] = seen.get(name, -1) + 1
        periods = tuple((start - origin, end - origin) for start, end in area.periods)
        shown = f"{prefix}{name}-{number}" if number or not area.name else prefix + name
        yield TracedArea(shown, space, first, area.end - area.start, "anon", area.start * _PAGE, periods)
