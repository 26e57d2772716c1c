# SPDX-License-Identifier: GPL-2.0-only
"""The truth that was recorded beside a run: its table ``truth``, in the cells of a heatmap."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Final

import numpy as np
from numpy.typing import NDArray

from damon.report.heat import Grid
from damon.report.space import Floats, spread
from damon.results.arrays import chunks
from damon.results.run import Run

_NAMES: Final = ("time_ns", "begin_ns", "context", "target", "start", "end", "share")
_Rows = dict[str, NDArray[np.float64] | NDArray[np.uint64]]


def measured(run: Run, context: int, grid: Grid) -> Floats | None:
    """The share of sampling intervals with an access, by cells of time and address; NaN where it is not known.

    None: the run has no truth of that context.
    """
    shape = len(grid.times) - 1, len(grid.edges) - 1
    sums, weights = np.zeros(shape), np.zeros(shape)
    width = np.diff(grid.edges)
    for rows in _intervals(run, context):
        begin, end, target = (int(rows[name][0]) for name in ("begin_ns", "time_ns", "target"))
        if target not in grid.space.targets or end <= begin:
            continue
        low = grid.space.at(target, rows["start"])
        high = np.maximum(grid.space.at(target, rows["end"]), low)
        lasting = np.minimum(end, grid.times[1:]) - np.maximum(begin, grid.times[:-1])
        times = np.flatnonzero(lasting > 0)
        known = spread(low, high, np.ones(len(low)), grid.edges) / width
        shares = np.clip(np.nan_to_num(rows["share"].astype(np.float64)), 0.0, 1.0)
        accessed = spread(low, high, shares, grid.edges) / width
        sums[times] += np.outer(lasting[times], accessed)
        weights[times] += np.outer(lasting[times], known)
    if not weights.any():
        return None
    return np.where(weights > 0, np.minimum(sums / np.maximum(weights, 1e-9), 1.0), np.nan)


def _intervals(run: Run, context: int) -> Iterator[_Rows]:
    """The rows of one interval and target each, by address."""
    for chunk in chunks(run, "truth"):
        mine = chunk["context"] == context
        rows = {name: chunk[name][mine] for name in _NAMES}
        if not len(rows["start"]):
            continue
        changes = (np.diff(rows["time_ns"]) != 0) | (np.diff(rows["target"]) != 0)
        edges = [0, *(np.flatnonzero(changes) + 1).tolist(), len(rows["start"])]
        for first, last in pairwise(edges):
            order = first + np.argsort(rows["start"][first:last], kind="stable")
            yield {name: rows[name][order] for name in _NAMES}
