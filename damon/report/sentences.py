# SPDX-License-Identifier: GPL-2.0-only
"""What pictures show, in words and in short tables: for readers who do not see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from damon.report.curves import Chart, Curve
from damon.report.differences import text
from damon.report.gather import Map
from damon.report.space import Floats

_TIMES: Final = 8
_ROWS: Final = 24


@dataclass(frozen=True)
class Table:
    """Cells of text; the first of each row is its heading."""

    head: Sequence[str]
    rows: Sequence[Sequence[str]]


def of_curve(curve: Curve, unit: str, run: str) -> str:
    """One sentence."""
    name = ", ".join(filter(None, (run, curve.name))) or "it"
    first, last = text(float(curve.y[0])), text(float(curve.y[-1]))
    least, most = text(float(curve.y.min())), text(float(curve.y.max()))
    return f"{name}: {first} at first, {last} at the end, {least} to {most} {unit}."


def of_curves(named: Sequence[tuple[str, Curve]], head: str, over: Sequence[float] | None = None) -> Table:
    """The curves at a few places of the abscissa."""
    least = min(float(curve.x[0]) for _, curve in named)
    most = max(float(curve.x[-1]) for _, curve in named)
    places = np.linspace(least, most, _TIMES + 1) if over is None else np.array(over)
    rows = [
        [text(float(place)), *(text(float(np.interp(place, curve.x, curve.y))) for _, curve in named[:_ROWS])]
        for place in places
    ]
    return Table([head, *(name or "value" for name, _ in named[:_ROWS])], rows)


def of_map(found: Map) -> tuple[str, Table]:
    """A sentence, and the share of samples with an access by area and time: seen, and in truth."""
    times = np.linspace(0, found.share.shape[0], _TIMES + 1).astype(int)
    edges = found.grid.times / 1e9
    head = ["area", *(f"{edges[a]:.4g} to {edges[b]:.4g} s" for a, b in pairwise(times) if a < b)]
    rows, sentences = [], []
    for name, columns in _areas(found):
        seen, true = found.share[:, columns], None if found.truth is None else found.truth[:, columns]
        pairs = [(a, b) for a, b in pairwise(times) if a < b]
        rows.append([name, *(_both(seen[a:b], None if true is None else true[a:b]) for a, b in pairs)])
        sentences.append(f"{name}: {_both(seen, true)}")
    more = f"; and {len(sentences) - 12} more" if len(sentences) > 12 else ""
    return "; ".join(sentences[:12]) + more, Table(head, rows[:_ROWS])


def _both(seen: Floats, true: Floats | None) -> str:
    shown = f"seen {_percent(seen)}"
    return shown if true is None else f"{shown}, in truth {_percent(true)}"


def _percent(share: Floats) -> str:
    known = share[~np.isnan(share)]
    return f"{100 * float(known.mean()):.3g} %" if known.size else "not monitored"


def _areas(found: Map) -> list[tuple[str, slice]]:
    """Each name with the cells of address that it has; the whole axis where there are none."""
    edges, last = found.grid.edges, found.grid.shape[1]
    areas = []
    for one in found.named[:_ROWS]:
        low = int(np.searchsorted(edges, one.low, side="right")) - 1
        areas.append((one.name, slice(max(low, 0), min(max(int(np.searchsorted(edges, one.high)), low + 1), last))))
    return areas or [("all memory", slice(0, last))]


def of_chart(first: Chart, curves: Sequence[tuple[str, Curve]]) -> str:
    """What the curves of a chart do."""
    sentences = [of_curve(curve, first.unit, run) for run, curve in curves[:6]]
    return " ".join([*sentences, *([f"And {len(curves) - 6} more."] if len(curves) > 6 else [])])
