# SPDX-License-Identifier: GPL-2.0-only
"""What is in a file of records: how much there is, the working set, and how often what was accessed when.

The file is read twice, snapshot by snapshot, so that its size does not matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice, pairwise
from pathlib import Path
from typing import Any, Final

from damon.records.form import Key
from damon.records.names import mappings, names_in
from damon.records.read import Damaged, Item, Record, Row, Snapshot, read

PERCENTILES: Final = (0, 25, 50, 75, 100)
_MAX_AREAS: Final = 1000
_NEAR: Final = 64  # gaps below this share of the whole do not separate areas


@dataclass
class Area:
    """One piece of the address space and how often it was accessed: ``heat[row][column]`` in percent of the samples,
    rows are times, columns addresses. None where nothing was monitored."""

    start: int
    end: int
    heat: list[list[float | None]] = field(default_factory=list)


@dataclass
class Summary:
    """What was recorded of one target; times in ns, of the machine's clock."""

    key: Key
    sample_us: int | None
    aggr_us: int | None
    start_ns: int
    end_ns: int
    nr_snapshots: int = 0
    nr_regions: list[int] = field(default_factory=list)  #: of each snapshot
    wss: list[int] = field(default_factory=list)  #: bytes in regions with accesses, of each snapshot
    most: int = 0  #: highest count seen
    areas: list[Area] = field(default_factory=list)

    def percentiles(self, values: list[int]) -> list[int]:
        """Those of ``PERCENTILES``."""
        ordered = sorted(values)
        return [ordered[(len(ordered) - 1) * percent // 100] for percent in PERCENTILES] if ordered else []

    def max_nr_accesses(self) -> int:
        """The count that is 100 %: from the intervals, else the highest that was seen."""
        if self.aggr_us and self.sample_us:
            return max(self.aggr_us // self.sample_us, 1)
        return max(self.most, 1)


@dataclass
class Report:
    """All targets of a file; ``damaged`` is why its end could not be read."""

    targets: list[Summary]
    damaged: str | None = None


def report(path: Path, rows: int, columns: int) -> Report:
    """Sum up the file at ``path``, with heatmaps of ``rows`` times and ``columns`` addresses in all.

    Raises:
        InvalidInput: it is not a file of records.
        OSError: it cannot be read.
    """
    result = Report([])
    targets: dict[Key, Summary] = {}
    ranges: dict[Key, Union] = {}
    count = 0
    for record, snapshot in _whole(path, result):
        summary = targets.get(record.key)
        if summary is None:
            summary = targets[record.key] = _new(record, snapshot)
        _count(summary, snapshot)
        ranges.setdefault(record.key, Union()).add(joined(snapshot.rows))
        count += 1
    result.targets = [targets[key] for key in sorted(targets, key=lambda key: (key.kdamond, key.target))]
    for summary in result.targets:
        summary.areas = [Area(start, end) for start, end in close_gaps(ranges[summary.key].whole())]
    heats = {summary.key: _Heat(summary, rows, columns) for summary in result.targets}
    # The file may be growing, or be another by now.
    for record, snapshot in islice(_whole(path, result), count):
        if record.key in heats:
            heats[record.key].add(snapshot)
    for heat in heats.values():
        heat.finish()
    return result


def _whole(path: Path, result: Report) -> Iterator[Item]:
    try:
        yield from read(path)
    except Damaged as error:
        result.damaged = str(error)


def _new(record: Record, snapshot: Snapshot) -> Summary:
    start = snapshot.start_ns if snapshot.start_ns is not None else snapshot.end_ns
    return Summary(record.key, record.sample_us, record.aggr_us, start, snapshot.end_ns)


def _count(summary: Summary, snapshot: Snapshot) -> None:
    summary.nr_snapshots += 1
    if snapshot.start_ns is not None:
        summary.start_ns = min(summary.start_ns, snapshot.start_ns)
    summary.end_ns = max(summary.end_ns, snapshot.end_ns)
    summary.nr_regions.append(len(snapshot.rows))
    summary.wss.append(sum(end - start for start, end, rate, _, _ in snapshot.rows if rate))
    summary.most = max(summary.most, max((row[2] for row in snapshot.rows), default=0))


def joined(rows: Iterable[Row | tuple[int, int]]) -> list[tuple[int, int]]:
    """The ranges that ``rows``, in order, cover."""
    ranges: list[tuple[int, int]] = []
    for start, end, *_ in rows:
        if ranges and start <= ranges[-1][1]:
            ranges[-1] = ranges[-1][0], max(ranges[-1][1], end)
        else:
            ranges.append((start, end))
    return ranges


class Union:
    """Ranges of all snapshots, merged whenever their number has doubled."""

    def __init__(self) -> None:
        self._known: list[tuple[int, int]] = []
        self._more: list[tuple[int, int]] = []
        self._last: list[tuple[int, int]] = []

    def add(self, ranges: list[tuple[int, int]]) -> None:
        """``ranges`` are in order."""
        if ranges == self._last:
            return
        self._last = ranges
        self._more += ranges
        if len(self._more) > max(1000, len(self._known)):
            self.whole()

    def whole(self) -> list[tuple[int, int]]:
        """What they are together, in order."""
        if self._more:
            self._known = joined(sorted(self._known + self._more))
            self._more = []
        return self._known


def close_gaps(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """``ranges``, in order, with small gaps closed, and as many more as leave ``_MAX_AREAS``."""
    near = sum(end - start for start, end in ranges) // _NEAR
    if len(ranges) > _MAX_AREAS:
        gaps = sorted((after[0] - before[1] for before, after in pairwise(ranges)), reverse=True)
        near = max(near, gaps[_MAX_AREAS - 1])
    areas: list[tuple[int, int]] = []
    for start, end in ranges:
        if areas and start - areas[-1][1] <= near:
            areas[-1] = areas[-1][0], end
        else:
            areas.append((start, end))
    return areas


class _Heat:
    """Accesses of one target, spread over the cells of its areas."""

    def __init__(self, summary: Summary, rows: int, columns: int) -> None:
        self._summary, self._rows = summary, max(min(rows, summary.nr_snapshots), 1)
        total = sum(area.end - area.start for area in summary.areas) or 1
        self._columns = [max(columns * (area.end - area.start) // total, 1) for area in summary.areas]
        self._sums = [[[0.0] * count for _ in range(self._rows)] for count in self._columns]
        self._weights = [[[0.0] * count for _ in range(self._rows)] for count in self._columns]
        self._last_ns = summary.start_ns

    def add(self, snapshot: Snapshot) -> None:
        begin = snapshot.start_ns if snapshot.start_ns is not None else self._last_ns
        self._last_ns = snapshot.end_ns
        span = max(self._summary.end_ns - self._summary.start_ns, 1)
        middle = (begin + snapshot.end_ns) // 2 - self._summary.start_ns
        row = min(max(middle * self._rows // span, 0), self._rows - 1)
        time = max(snapshot.end_ns - begin, 1)
        index = 0
        areas = self._summary.areas
        for start, end, rate, _, _ in snapshot.rows:
            while index < len(areas) - 1 and start >= areas[index].end:
                index += 1
            if areas and areas[index].start <= start:
                self._spread(index, row, start, end, rate, time)

    def _spread(self, index: int, row: int, start: int, end: int, rate: int, time: int) -> None:
        area, columns = self._summary.areas[index], self._columns[index]
        size = area.end - area.start
        sums, weights = self._sums[index][row], self._weights[index][row]
        column = (start - area.start) * columns // size
        while start < end and column < columns:
            edge = area.start - (-(column + 1) * size // columns)
            part = (min(edge, end) - start) * time
            if part > 0:
                sums[column] += part * rate
                weights[column] += part
            start, column = max(edge, start), column + 1

    def finish(self) -> None:
        full = self._summary.max_nr_accesses() / 100
        for area, sums, weights in zip(self._summary.areas, self._sums, self._weights, strict=True):
            area.heat = [
                [total / weight / full if weight else None for total, weight in zip(*cells, strict=True)]
                for cells in zip(sums, weights, strict=True)
            ]


def as_object(path: Path, result: Report) -> dict[str, Any]:
    """``result`` for machines."""
    return {
        "file": str(path),
        "damaged": result.damaged,
        "targets": [
            {
                "kdamond": summary.key.kdamond,
                "target": summary.key.target,
                "sample_us": summary.sample_us,
                "aggr_us": summary.aggr_us,
                "start_seconds": summary.start_ns / 1e9,
                "end_seconds": summary.end_ns / 1e9,
                "nr_snapshots": summary.nr_snapshots,
                "nr_regions": dict(zip(map(str, PERCENTILES), summary.percentiles(summary.nr_regions), strict=False)),
                "wss_bytes": dict(zip(map(str, PERCENTILES), summary.percentiles(summary.wss), strict=False)),
                "areas": [
                    {
                        "start": area.start,
                        "end": area.end,
                        "names": names_in(mappings(path, summary.key.target), area.start, area.end),
                        "heat_percent": [
                            [cell if cell is None else round(cell, 3) for cell in row] for row in area.heat
                        ],
                    }
                    for area in summary.areas
                ],
            }
            for summary in result.targets
        ],
    }
