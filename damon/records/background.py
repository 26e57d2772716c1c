# SPDX-License-Identifier: GPL-2.0-only
"""Regions in which few samples found accesses, spread over some seconds.

One hit among 20 samples of a region does not say that all of its pages were touched in that moment: it is what pages
that are touched now and then look like. Taken at its word it would have them all touched at once, and then not for
long. So rare hits are summed over a stretch of time, by cells of pages, and spread evenly over it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import Final

from damon.workload.tracefile.form import Row, pack_rows
from damon.workload.tracefile.writer import TraceWriter, merge

#: Hits that are rare: fewer than this, and than a quarter of the samples.
_RARE: Final = 4
#: Cells of a target.
_CELLS: Final = 512


def is_rare(count: int, most: int) -> bool:
    """Are so many hits of so many samples spread?"""
    return 4 * count < min(4 * _RARE, most)


@dataclass
class Background:
    """The windows of one space, which are written when a stretch of ``stretch_ns`` is over.

    Args:
        writer: takes them.
        space: their space there.
        nr_pages: of the space.
        stretch_ns: over which rare accesses are spread; 0: they are not.
        write: share of writes of all accesses.
    """

    writer: TraceWriter
    space: int
    nr_pages: int
    stretch_ns: int
    write: float
    _windows: list[tuple[int, int, bytes]] = field(default_factory=list)
    _rare: list[tuple[int, int, float]] = field(default_factory=list)

    def add(self, t0: int, t1: int, rows: Sequence[Row], rare: Sequence[tuple[int, int, float]]) -> None:
        """A window with its rows, and with those that are spread: first page, end, touches of each page."""
        self._windows.append((t0, t1, pack_rows(rows)))
        self._rare += rare
        if t1 - self._windows[0][0] >= self.stretch_ns:
            self.flush()

    def flush(self) -> None:
        """Write what waits."""
        if not self._windows:
            return
        spread = self._spread() if self._rare else []
        whole = self._windows[-1][1] - self._windows[0][0]
        packed: dict[int, bytes] = {}
        at = self._windows[0][0]
        for _, t1, rows in self._windows:
            length = t1 - at  # gaps between windows are part of the stretch
            if spread and length not in packed:
                packed[length] = pack_rows([(a, b, each * length / whole, self.write) for a, b, each in spread])
            self.writer.add(self.space, at, t1, merge([rows, packed[length]], self.nr_pages) if spread else rows)
            at = t1
        self._windows, self._rare = [], []

    def _spread(self) -> list[tuple[int, int, float]]:
        """Touches of each page in the stretch, by cells."""
        size = max(-(-self.nr_pages // _CELLS), 1)
        number = -(-self.nr_pages // size)
        whole, parts = [0.0] * (number + 1), [0.0] * (number + 1)
        for first, end, each in self._rare:
            low, high = first // size, end // size
            if low == high:
                parts[low] += (end - first) * each
                continue
            whole[low + 1] += each
            whole[high] -= each
            parts[low] += ((low + 1) * size - first) * each
            parts[high] += (end - high * size) * each
        found = []
        for cell, level in enumerate(accumulate(whole[:-1])):
            begin, end = cell * size, min((cell + 1) * size, self.nr_pages)
            found.append((begin, end, max(level, 0.0) + max(parts[cell], 0.0) / (end - begin)))
        return [row for row in found if row[2] > 1e-9]
