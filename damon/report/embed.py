# SPDX-License-Identifier: GPL-2.0-only
"""What the page's script draws, as JSON: cells and regions as compressed bytes, curves as numbers of six digits."""

from __future__ import annotations

import base64
import zlib
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from damon.report.curves import MIB, Chart
from damon.report.gather import Map
from damon.report.space import Floats
from damon.results.arrays import Arrays

#: A cell is a byte: 0 to this, the square root of its share; or that nothing was monitored.
FULL: Final = 250
NOTHING: Final = 255


def packed(content: bytes) -> str:
    """``content`` compressed (zlib), as base64."""
    return base64.b64encode(zlib.compress(content, 9)).decode()


def cells(share: Floats) -> str:
    """One byte a cell, by time and then address."""
    with np.errstate(invalid="ignore"):
        values = np.where(np.isnan(share), NOTHING, np.round(np.sqrt(np.clip(share, 0, 1)) * FULL))
    return packed(values.astype(np.uint8).tobytes())


def numbers(values: Floats) -> list[float]:
    """With six digits."""
    return [float(f"{value:.6g}") for value in values.tolist()]


def words(values: Any) -> bytes:
    """32 bits each, all first bytes before all second ones: that compresses better."""
    return np.ascontiguousarray(values, dtype="<u4").view(np.uint8).reshape(-1, 4).T.tobytes()


def regions(found: Map, limit: int) -> dict[str, Any]:
    """The regions of the snapshots that were kept: of each gap before it, size, nr_accesses, age.

    The axis is counted in ``step``. At most ``limit`` regions of each snapshot.
    """
    rows = [_places(found, one, limit) for one in found.kept]
    lengths = [row.shape[1] for row in rows]
    low, high, nr, age = np.concatenate([np.zeros((4, 0)), *rows], axis=1)
    most = max(float(high.max(initial=0)) / 2**32, 1.0)
    ends = np.concatenate([low, high]).astype(np.int64)
    step = max(int(np.gcd.reduce(ends)) if len(ends) else 1, int(np.ceil(most)))
    low, high = low // step, high // step
    before = np.append(0, high[:-1])
    before[np.cumsum([0, *lengths])[:-1][np.array(lengths, bool)]] = 0
    parts = (low - before, high - low, np.minimum(nr, 2.0**32 - 1), np.minimum(age, 2.0**32 - 1))
    return {
        "step": step,
        "time": numbers(np.array([one.time_ns / 1e9 for one in found.kept])),
        "length": lengths,
        "words": packed(b"".join(words(np.maximum(part, 0)) for part in parts)),
    }


def _places(found: Map, snapshot: Arrays, limit: int) -> Floats:
    """Where the regions are on the axis, and their counts."""
    start, end, nr, age = snapshot.regions[:, :limit]
    space = found.grid.space
    return np.stack([space.at(snapshot.target, start), space.at(snapshot.target, end), nr, age]).astype(np.float64)


def heatmap(number: int, run: int, found: Map, limit: int) -> dict[str, Any]:
    """One map."""
    grid, acted = found.grid, found.actions
    shares = [found.share] if found.truth is None else [found.share, found.truth]
    top = max(float(np.nanmax(share, initial=0)) for share in shares)
    sample, aggr = found.grid.intervals.at(grid.end_ns)
    return {
        "id": f"map-{number}", "run": run, "start": grid.start_ns / 1e9, "end": grid.end_ns / 1e9,
        "times": grid.shape[0], "addresses": grid.shape[1], "size": grid.space.size, "top": top or 1.0,
        "unit": found.context.addr_unit, "most": max(int(aggr // sample), 1), "aggr": aggr / 1e6,
        "cells": cells(found.share), "truth": None if found.truth is None else cells(found.truth),
        "segments": [
            {"at": one.at, "size": float(one.end - one.start), "start": hex(one.start), "target": one.target}
            for one in grid.space.segments
        ],
        "named": [[one.name, one.low, one.high] for one in found.named],
        "actions": {
            "names": list(found.context.actions), "time": numbers(acted.time), "low": numbers(acted.low),
            "high": numbers(acted.high), "scheme": acted.scheme.astype(int).tolist(),
            "mib": numbers(acted.applied / MIB),
        },
        "regions": regions(found, limit),
    }  # fmt: skip


def merged(runs: Sequence[Sequence[Chart]]) -> list[tuple[Chart, list[tuple[int, int]]]]:
    """The charts of all runs by their ids, in order: the first of each, and the runs and places of all."""
    found: dict[str, tuple[Chart, list[tuple[int, int]]]] = {}
    for run, charts in enumerate(runs):
        for place, chart in enumerate(charts):
            found.setdefault(chart.id, (chart, []))[1].append((run, place))
    return list(found.values())


def chart(
    runs: Sequence[Sequence[Chart]], first: Chart, places: Sequence[tuple[int, int]], kind: str
) -> dict[str, Any]:
    """One chart with the curves of all runs; ``kind`` is what its abscissa is."""
    curves = [
        {"run": run, "name": curve.name, "x": numbers(curve.x), "y": numbers(curve.y)}
        for run, place in places
        for curve in sorted(runs[run][place].curves, key=lambda one: -one.weight)[: 12 if len(places) == 1 else 4]
    ]
    return {
        "id": f"chart-{first.id}", "title": first.title, "unit": first.unit, "kind": kind, "steps": first.steps,
        "log": first.log, "zero": first.zero, "curves": curves,
    }  # fmt: skip
