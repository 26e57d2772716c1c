# SPDX-License-Identifier: GPL-2.0-only
"""Tables and snapshots of a run as numpy's arrays, for readers of long runs (the extra ``report``).

What ``Run.chunks()`` and ``Run.snapshots()`` give as Python's values, one part of a run after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from damon.errors import InvalidInput
from damon.results.run import Run
from damon.results.tables import TABLES, Kind

#: By the kinds of columns; integers that may be unknown are floats, and NaN where they are.
_TYPES: Final = {Kind.INT: np.uint64, Kind.FLOAT: np.float64, Kind.TEXT: np.object_}
_ROW: Final = ("start", "end", "nr_accesses", "age")

Array = NDArray[Any]
Words = NDArray[np.uint64]


@dataclass(frozen=True)
class Arrays:
    """A snapshot: ``regions`` has the rows start, end, nr_accesses, age, and a column a region, by address."""

    time_ns: int
    context: int
    target: int
    regions: Words
    changed: bool  #: else they are those of the one before, and older


def chunks(run: Run, table: str) -> Iterator[dict[str, Array]]:
    """The rows of ``table`` in parts: an array of each column.

    Raises:
        InvalidInput: there is no such table, or it was changed.
    """
    types = {
        column.name: np.float64 if column.optional and column.kind is Kind.INT else _TYPES[column.kind]
        for column in TABLES[table]
    }
    batches = run.batches(table)
    if batches is None:
        for chunk in run.chunks(table):
            yield {name: _array(values, types[name]) for name, values in chunk.items()}
        return
    for batch in batches:
        columns = zip(batch.schema.names, batch.columns, strict=True)
        yield {name: _from_arrow(values, types[name]) for name, values in columns}


def _array(values: list[Any], kind: Any) -> Array:
    if kind is np.float64:
        return np.array([np.nan if value is None else float(value) for value in values], np.float64)
    return np.array(values, kind)


def _from_arrow(values: Any, kind: Any) -> Array:
    if kind is np.object_:
        return np.array(values.to_pylist(), np.object_)
    # values.to_numpy() would import pandas, which takes seconds.
    valid, content = values.buffers()
    first, nr = values.offset, len(values)
    kept = np.dtype(np.float64 if str(values.type) == "double" else np.uint64)
    found: Array = np.frombuffer(content, kept, nr, first * kept.itemsize).astype(kind, copy=False)
    if valid is not None and values.null_count:
        bits = np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[first : first + nr]
        found = np.where(bits, found, np.nan)
    return found


def whole(run: Run, table: str, *names: str) -> dict[str, Array]:
    """Columns of all rows of ``table``: those of integers and numbers that are ``names``."""
    parts = [{name: chunk[name] for name in names} for chunk in chunks(run, table)]
    return {name: np.concatenate([part[name] for part in parts]) if parts else np.zeros(0) for name in names}


class Rows:
    """The rows of the table ``regions``, so many at a time."""

    def __init__(self, run: Run) -> None:
        self._parts = (np.stack([chunk[name] for name in _ROW]) for chunk in chunks(run, "regions"))
        self._left: list[Words] = []
        self._nr = 0

    def take(self, nr: int) -> Words | None:
        """The next ``nr``; None: there are fewer, as a run that was killed may have."""
        while self._nr < nr:
            part = next(self._parts, None)
            if part is None:
                return None
            self._left.append(part)
            self._nr += part.shape[1]
        if not self._left:
            return np.zeros((4, 0), np.uint64)
        joined = self._left[0] if len(self._left) == 1 else np.concatenate(self._left, axis=1)
        self._left, self._nr = [joined[:, nr:]], self._nr - nr
        return joined[:, :nr]


def decode(before: Words, rows: Words, aged: int) -> Words:
    """As ``damon.results.regions.decode``: what of ``before`` no row overlaps stays, and is ``aged`` older."""
    if not aged:
        return rows
    kept = before
    if rows.shape[1]:
        first = np.searchsorted(rows[1], before[0], side="right")  # the first row that ends after it starts
        starts = np.append(rows[0], np.uint64(2**64 - 1))
        kept = before[:, starts[first] >= before[1]]
    kept = kept.copy()
    kept[3] += np.uint64(aged)
    if not rows.shape[1]:
        return kept
    return np.insert(kept, np.searchsorted(kept[0], rows[0]), rows, axis=1)


def snapshots(run: Run) -> Iterator[Arrays]:
    """As ``Run.snapshots()``.

    Raises:
        InvalidInput: regions are not in order.
    """
    last: dict[tuple[int, int], Words] = {}
    rows = Rows(run)
    for head in heads(run):
        time_ns, context, target, nr, aged = head
        mine = rows.take(nr)
        if mine is None:
            return
        before = last.get((context, target), np.zeros((4, 0), np.uint64))
        _check(run, mine, time_ns)
        regions = last[context, target] = decode(before, mine, aged)
        _check(run, regions, time_ns)
        yield Arrays(time_ns, context, target, regions, not aged or nr > 0)


def heads(run: Run) -> Iterator[tuple[int, int, int, int, int]]:
    """Of each snapshot: ``time_ns``, ``context``, ``target``, ``nr_rows``, ``aged``."""
    names = ("time_ns", "context", "target", "nr_rows", "aged")
    for chunk in chunks(run, "snapshots"):
        yield from zip(*(chunk[name].tolist() for name in names), strict=True)


def _check(run: Run, regions: Words, time_ns: int) -> None:
    start, end = regions[0], regions[1]
    if not (start < end).all() or not (end[:-1] <= start[1:]).all():
        raise InvalidInput(f"{run.name}: regions at {time_ns} ns: are not in order; it was changed")
