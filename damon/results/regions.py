# SPDX-License-Identifier: GPL-2.0-only
"""Snapshots of regions as rows: most regions of one are those of the one before, and only older.

So a snapshot has the rows of the others only. A reader starts at one that has all (``aged`` is 0). What a run may take
is bounded: each time that half of what is left of ``MAX_ROWS`` is used up, every second snapshot is left out from then
on.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice, pairwise
from typing import Final

from damon.core.results import REGION, new_regions

#: Rows of a run at most, of all contexts and targets.
MAX_ROWS: Final = 1 << 26
#: Every so many snapshots of a target there is one that has all its regions.
KEY_EVERY: Final = 256

#: START, END, NR_ACCESSES, AGE.
Region = tuple[int, int, int, int]


@dataclass(frozen=True)
class Snapshot:
    """The regions of one target at the end of an aggregation, before schemes act on them; addresses are the core's."""

    time_ns: int
    context: int
    target: int
    regions: Sequence[Region]


class Encoder:
    """The snapshots of one target, one after the other."""

    def __init__(self) -> None:
        self._last = array("Q")
        self._since_key = 0

    def encode(self, words: array[int], passed: int) -> tuple[array[int], int]:
        """The words of the next snapshot's rows, and ``aged``.

        Args:
            words: ``core.results.REGION`` of each region.
            passed: aggregations since the snapshot before.
        """
        found = None
        if self._last and self._since_key < KEY_EVERY - 1:
            found = new_regions(self._last, words, passed)
        self._since_key = 0 if found is None else self._since_key + 1
        self._last = words
        return (words, 0) if found is None else (found, passed)


def decode(before: Sequence[Region], rows: Sequence[Region], aged: int) -> list[Region]:
    """The regions of a snapshot, from those of the one before."""
    if not aged:
        return list(rows)
    kept = iter(before)
    region = next(kept, None)
    found: list[Region] = []
    for row in rows:
        while region is not None and region[1] <= row[0]:
            found.append((*region[:3], region[3] + aged))
            region = next(kept, None)
        while region is not None and region[0] < row[1]:
            region = next(kept, None)
        found.append(row)
    while region is not None:
        found.append((*region[:3], region[3] + aged))
        region = next(kept, None)
    return found


def snapshots(heads: Iterable[tuple[int, int, int, int, int]], rows: Iterator[Region]) -> Iterator[Snapshot]:
    """All snapshots in order.

    Args:
        heads: of the table ``snapshots``: ``time_ns``, ``context``, ``target``, ``nr_rows``, ``aged``.
        rows: of the table ``regions``.
    """
    last: dict[tuple[int, int], list[Region]] = {}
    for time_ns, context, target, nr, aged in heads:
        key = context, target
        mine = list(islice(rows, nr))
        if len(mine) < nr:  # the end of a run that was killed
            return
        last[key] = decode(last.get(key, ()), mine, aged)
        yield Snapshot(time_ns, context, target, last[key])


def in_order(regions: Sequence[Region]) -> bool:
    """Are they sorted, disjoint and not empty?"""
    return all(start < end for start, end, *_ in regions) and all(a[1] <= b[0] for a, b in pairwise(regions))


class Budget:
    """Which snapshots of a context are kept, so that a run has at most ``MAX_ROWS`` rows."""

    def __init__(self, rows: int = MAX_ROWS) -> None:
        self._left = rows
        self._next_step = rows // 2
        self.stride = 1  #: every so many snapshots one is kept
        self._nr = 0

    def keeps(self) -> bool:
        """The next snapshot's turn."""
        self._nr += 1
        return (self._nr - 1) % self.stride == 0

    def spend(self, rows: int) -> None:
        self._left -= rows
        while self._left < self._next_step:
            self._next_step //= 2
            self.stride *= 2
            self._nr = 1  # the last one was kept
            if not self._next_step:
                break


class Snapshots:
    """The snapshots of a context while it runs: which are kept, and their rows."""

    def __init__(self) -> None:
        self._encoders: dict[int, Encoder] = {}
        self._budget = Budget()
        self._passed = 0  # aggregations since the last one that was kept

    @property
    def stride(self) -> int:
        """Every so many snapshots one is kept by now."""
        return self._budget.stride

    def encode(
        self, times: Sequence[int], snapshots: Sequence[Sequence[array[int]]]
    ) -> tuple[dict[str, list[int]], dict[str, array[int]]]:
        """Columns of the tables ``snapshots`` (but the context) and ``regions``.

        Args:
            times: ns, of each snapshot.
            snapshots: for each target of each the words of ``core.results.REGION`` of its regions.
        """
        heads: dict[str, list[int]] = {name: [] for name in ("time_ns", "target", "nr_rows", "aged")}
        rows = array("Q")
        for time_ns, targets in zip(times, snapshots, strict=True):
            if not any(targets):
                continue
            self._passed += 1
            if not self._budget.keeps():
                continue
            before = len(rows)
            for target, words in enumerate(targets):
                more, aged = self._encoders.setdefault(target, Encoder()).encode(words, self._passed)
                rows.extend(more)
                values = time_ns, target, len(more) // len(REGION), aged
                for column, value in zip(heads.values(), values, strict=True):
                    column.append(value)
            self._passed = 0
            self._budget.spend((len(rows) - before) // len(REGION))
        return heads, {name: rows[place :: len(REGION)] for place, name in enumerate(REGION)}
