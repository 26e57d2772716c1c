# SPDX-License-Identifier: GPL-2.0-only
"""Where two runs of the same workload part: their trace events, written to files and read side by side."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Final

from damon.core import Damon
from damon.core.events import AGGREGATED, BEFORE_APPLY, ESZ, FIELDS, INTERVALS_TUNE, STAT
from damon.core.trace import TraceEvent

EVENTS: Final = (AGGREGATED, BEFORE_APPLY, ESZ, INTERVALS_TUNE, STAT)
#: Time in ns, event, plain fields, and of regions start, end, nr_accesses and age.
Entry = tuple[int, str, tuple[int, ...], list[tuple[int, int, int, int]]]
#: The kernel's functions that compute what an event shows.
_FUNCTIONS: Final = {
    (AGGREGATED, "nr_regions"): "kdamond_split_regions(), kdamond_merge_regions()",
    (AGGREGATED, "start"): "kdamond_split_regions(), kdamond_merge_regions()",
    (AGGREGATED, "end"): "kdamond_split_regions(), kdamond_merge_regions()",
    (AGGREGATED, "nr_accesses"): "check_accesses(), damon_merge_two_regions()",
    (AGGREGATED, "age"): "damon_merge_regions_of(), damon_merge_two_regions()",
    (BEFORE_APPLY, "nr_accesses"): "damon_nr_accesses_mvsum()",
    (ESZ, "esz"): "damos_set_effective_quota()",
    (INTERVALS_TUNE, "sample_us"): "kdamond_tune_intervals()",
    (STAT, "qt_exceeds"): "damos_adjust_quota()",
    (STAT, "nr_snapshots"): "damon_do_apply_schemes()",
}
_DEFAULT: Final = {
    AGGREGATED: "kdamond_merge_regions()",
    BEFORE_APPLY: "damos_apply_scheme()",
    STAT: "damos_update_stat()",
}


@dataclass(frozen=True)
class Difference:
    """The first one. ``aggregation`` counts from 1; ``region`` is the region's index, None where there is none."""

    time_s: float
    aggregation: int
    event: str
    field: str
    values: tuple[object, object]
    function: str
    region: int | None = None

    def __str__(self) -> str:
        where = f", region {self.region}" if self.region is not None else ""
        return (
            f"at {self.time_s:.6f} s, aggregation {self.aggregation}, {self.event}{where}: {self.field} is "
            f"{self.values[0]} and {self.values[1]}; computed by {self.function}"
        )

    def as_object(self) -> dict[str, object]:
        return {**vars(self), "values": list(self.values)}


class Events:
    """Writes the events of ``damon`` to ``path`` from now on; ``close()`` ends it."""

    def __init__(self, damon: Damon, path: Path) -> None:
        self._file = path.open("wb")
        pickle.dump(damon.trace.known.intersection(EVENTS), self._file)
        self._subscription = damon.trace.subscribe(self._write, EVENTS)

    def _write(self, event: TraceEvent) -> None:
        rows = [row[:4] for row in event.regions()] if event.rows else []
        pickle.dump((event.time_ns, event.name, event.fields, rows), self._file)

    def close(self) -> None:
        self._subscription.close()
        self._file.close()


def _read(file: BinaryIO, known: frozenset[str]) -> Iterator[Entry]:
    """What ``Events`` wrote, in this process's own directory, of the events ``known``."""
    while True:
        try:
            entry: Entry = pickle.load(file)
        except EOFError:
            return
        if entry[1] in known:
            yield entry


def first_difference(one: Path, other: Path) -> Difference | None:
    """Where two files of events part; None where they do not. Events that only one of both engines has are left out."""
    with one.open("rb") as first, other.open("rb") as second:
        known: frozenset[str] = pickle.load(first) & pickle.load(second)
        ours, theirs = _read(first, known), _read(second, known)
        aggregation = 1
        while True:
            a, b = next(ours, None), next(theirs, None)
            if a is None and b is None:
                return None
            if a is None or b is None:
                there = a or b
                assert there is not None
                values = ("this one", "none") if b is None else ("none", "this one")
                return _at(there, aggregation, "", values)
            if a != b:
                return _of(a, b, aggregation)
            aggregation += a[1] == AGGREGATED


def _at(
    entry: Entry, aggregation: int, field: str, values: tuple[object, object], region: int | None = None
) -> Difference:
    time_ns, event = entry[:2]
    function = _FUNCTIONS.get((event, field), _DEFAULT.get(event, "kdamond_fn()"))
    return Difference(time_ns / 1e9, aggregation, event, field or "event", values, function, region)


def _of(a: Entry, b: Entry, aggregation: int) -> Difference:
    if a[1] != b[1]:
        return _at(a, aggregation, "", (a[1], b[1]))
    if a[0] != b[0]:
        return _at(a, aggregation, "time", (f"{a[0] / 1e9:.6f} s", f"{b[0] / 1e9:.6f} s"))
    names = FIELDS[a[1]]
    for name, x, y in zip(names, a[2], b[2], strict=False):
        if x != y and not (name == "nr_regions" and a[3] != b[3]):
            return _at(a, aggregation, name, (x, y))
    for index, (left, right) in enumerate(zip(a[3], b[3], strict=False)):
        for name, x, y in zip(("start", "end", "nr_accesses", "age"), left, right, strict=True):
            if x != y:
                return _at(a, aggregation, name, (x, y), index)
    return _at(a, aggregation, "nr_regions", (len(a[3]), len(b[3])))
