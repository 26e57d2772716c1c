# SPDX-License-Identifier: GPL-2.0-only
"""A heatmap for the terminal: the cells of a map, summed up as ``damon report`` sums up records."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from damon.records.form import Key
from damon.records.heatmap import Area, Summary
from damon.records.names import Mapping
from damon.report.gather import Map
from damon.report.space import Floats, Segment


def summaries(found: Map, rows: int, columns: int) -> Iterator[tuple[Summary, list[Mapping]]]:
    """Of each target what there is, in ``rows`` times and ``columns`` addresses in all, and the names in it."""
    grid = found.grid
    sample_us, aggr_us = grid.intervals.at(grid.end_ns)
    for target in grid.space.targets:
        key = Key(found.context.number, target)
        summary = Summary(key, round(sample_us), round(aggr_us), grid.start_ns, grid.end_ns)
        summary.nr_snapshots = len(grid.scanned.times)
        for snapshot in found.kept:
            if snapshot.target == target:
                start, end, nr, _ = snapshot.regions
                summary.nr_regions.append(len(nr))
                summary.wss.append(int((end - start)[nr > 0].sum()) * found.context.addr_unit)
        segments = [one for one in grid.space.segments if one.target == target]
        total = sum(one.end - one.start for one in segments)
        nr_rows = min(rows, grid.shape[0])
        for one in segments:
            wide = max(columns * (one.end - one.start) // total, 1)
            summary.areas.append(Area(one.start, one.end, _cells(found, one, nr_rows, wide)))
        yield summary, [name for one in segments for name in _named(found, one)]


def _cells(found: Map, segment: Segment, rows: int, columns: int) -> list[list[float | None]]:
    """The mean of each part of a segment, in percent."""
    edges = found.grid.edges
    size = segment.end - segment.start
    times = np.linspace(0, found.grid.shape[0], rows + 1).astype(int)
    places = np.searchsorted(edges, segment.at + np.linspace(0, size, columns + 1)[:-1], side="right") - 1
    ends = np.append(places[1:], np.searchsorted(edges, segment.at + size) - 0)
    return [
        [_mean(found.share[a:b, low : max(high, low + 1)]) for low, high in zip(places, ends, strict=True)]
        for a, b in pairwise(times)
    ]


def _mean(share: Floats) -> float | None:
    known = share[~np.isnan(share)]
    return 100 * float(known.mean()) if known.size else None


def _named(found: Map, segment: Segment) -> list[Mapping]:
    end = segment.at + (segment.end - segment.start)
    return [
        (int(max(one.low, segment.at) - segment.at) + segment.start, segment.end, one.name)
        for one in found.named
        if one.low < end and one.high > segment.at
    ]
