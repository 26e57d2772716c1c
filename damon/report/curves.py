# SPDX-License-Identifier: GPL-2.0-only
"""Curves over time: the columns of a run's tables in at most ``POINTS`` points each, however many rows there are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from damon.report.asked import Context, label
from damon.report.space import Floats
from damon.results.arrays import chunks
from damon.results.run import Run

POINTS: Final = 600
#: Names of a table, such as areas, that have curves of their own.
MAX_NAMES: Final = 24
MIB: Final = float(1 << 20)


@dataclass(frozen=True)
class Curve:
    """``y`` over ``x`` (s); ``name`` is what it is of, empty: of the whole machine."""

    name: str
    x: Floats
    y: Floats
    weight: float = 0.0  #: the greatest are shown first


@dataclass(frozen=True)
class Chart:
    """Curves that share an axis. ``steps``: a value holds until the next."""

    id: str
    title: str
    unit: str
    answers: str  #: the question that it answers
    curves: tuple[Curve, ...]
    steps: bool = False
    log: bool = False
    zero: bool = True  #: the axis begins at 0


class Cells:
    """One value over time, in cells: its mean in each, and its last value."""

    def __init__(self, end_ns: int) -> None:
        self._scale = POINTS / max(end_ns, 1)
        self._nr, self._sum, self._times, self._last, self._at = np.zeros((5, POINTS))

    def add(self, times: Floats, values: Floats) -> None:
        """More rows, in the order of time (ns); NaN is left out."""
        known = np.isfinite(values)
        times, values = times[known], values[known]
        index = np.clip((times * self._scale).astype(np.int64), 0, POINTS - 1)
        self._nr += np.bincount(index, minlength=POINTS)
        self._sum += np.bincount(index, values, POINTS)
        self._times += np.bincount(index, times, POINTS)
        self._last[index], self._at[index] = values, times

    def gauge(self, factor: float = 1.0) -> tuple[Floats, Floats]:
        """Times (s) and means."""
        some = self._nr > 0
        return self._times[some] / self._nr[some] / 1e9, self._sum[some] / self._nr[some] * factor

    def rate(self, factor: float = 1.0) -> tuple[Floats, Floats]:
        """Times (s) and how much a counter rose a second since the one before."""
        some = self._nr > 0
        times, values = self._at[some] / 1e9, self._last[some]
        if len(times) < 2:
            return np.zeros(0), np.zeros(0)
        return times[1:], np.maximum(np.diff(values), 0) / np.maximum(np.diff(times), 1e-9) * factor

    @property
    def known(self) -> bool:
        return bool(self._nr.any())


Found = Mapping[tuple[Any, ...], Mapping[str, Cells]]


def read(run: Run, table: str, keys: tuple[str, ...], values: tuple[str, ...], end_ns: int) -> Found:
    """The cells of the columns ``values``, by what the columns ``keys`` have; the first 24 of these."""
    found: dict[tuple[Any, ...], dict[str, Cells]] = {}
    for chunk in chunks(run, table):
        times = chunk["time_ns"].astype(np.float64)
        for key, rows in _groups(chunk, keys):
            if key not in found:
                if len(found) == MAX_NAMES:
                    continue
                found[key] = {value: Cells(end_ns) for value in values}
            for value in values:
                found[key][value].add(times[rows], _finite(chunk[value][rows].astype(np.float64)))
    return found


def _finite(values: Floats) -> Floats:
    """No limit, such as no quota, is the greatest number there is: it is left out."""
    return np.where(values < 2.0**62, values, np.nan)


def _groups(chunk: Mapping[str, Any], keys: tuple[str, ...]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """The rows of ``chunk`` by their values of ``keys``."""
    if not keys:
        yield (), slice(None)
        return
    columns = [chunk[key].tolist() for key in keys]
    rows: dict[tuple[Any, ...], list[int]] = {}
    for index, key in enumerate(zip(*columns, strict=True)):
        rows.setdefault(key, []).append(index)
    for key, indices in rows.items():
        yield key, np.array(indices)


def end_ns(run: Run) -> int:
    """The time of the last row of a run."""
    last = 0
    for table in ("machine", "contexts", "snapshots"):
        for chunk in chunks(run, table):
            last = max(last, int(chunk["time_ns"].max(initial=0)))
    return last


def charts(run: Run, known: Mapping[int, Context], end: int) -> list[Chart]:
    """All charts of ``run`` that have values."""
    found = [*_machine(run, end), *_schemes(run, known, end), *_contexts(run, known, end), *_goals(run, known, end)]
    return [chart for chart in found if chart.curves]


def _curve(name: str, points: tuple[Floats, Floats]) -> tuple[Curve, ...]:
    x, y = points
    return (Curve(name, x, y, float(np.abs(y).max(initial=0))),) if len(x) else ()


def _machine(run: Run, end: int) -> list[Chart]:
    names = ("free_bytes", "resident_bytes", "refaults", "psi_some_us", "slowdown")
    cells = read(run, "machine", (), names, end).get((), {name: Cells(end) for name in names})
    areas = read(run, "areas", ("area",), ("resident_bytes",), end)
    rss = [
        curve
        for (area,), own in areas.items()
        for curve in _curve(label(area), own["resident_bytes"].gauge(1 / MIB))
    ]  # fmt: skip
    free, resident = cells["free_bytes"].gauge(1 / MIB), cells["resident_bytes"].gauge(1 / MIB)
    return [
        Chart("free", "Free memory", "MiB", "Is memory freed, and does it stay free?", _curve("", free)),
        Chart("rss", "RSS", "MiB", "How much of all processes is in memory?", _curve("", resident)),
        Chart("areas", "RSS by area", "MiB", "Whose memory leaves?", tuple(rss)),
        Chart("refaults", "Refaults", "1/s", "Did memory leave that was needed?", _curve("", cells["refaults"].rate())),
        Chart(
            "psi", "Memory pressure (PSI some)", "% of time", "How long do processes wait for memory?",
            _curve("", cells["psi_some_us"].rate(1e-4)),
        ),
        Chart(
            "slowdown", "Slowdown", "ratio", "How much longer did the work take, since the start?",
            _curve("", cells["slowdown"].gauge()), zero=False,
        ),
    ]  # fmt: skip


def scheme_name(known: Mapping[int, Context], context: int, scheme: int) -> str:
    """What a scheme is called: its number and action."""
    actions = known[context].actions if context in known else ()
    action = actions[scheme] if scheme < len(actions) else "?"
    return f"{context}.{scheme} {action}" if len(known) > 1 else f"{scheme} {action}"


def _schemes(run: Run, known: Mapping[int, Context], end: int) -> list[Chart]:
    values = ("sz_tried", "sz_applied", "esz")
    found = read(run, "schemes", ("context", "scheme"), values, end)
    named = [(scheme_name(known, *key), cells) for key, cells in sorted(found.items())]

    def curves(column: str, kind: str) -> tuple[Curve, ...]:
        every = [curve for name, cells in named for curve in _curve(name, getattr(cells[column], kind)(1 / MIB))]
        return tuple(every)

    return [
        Chart("tried", "Tried by schemes", "MiB/s", "Does a scheme find anything?", curves("sz_tried", "rate")),
        Chart("applied", "Applied by schemes", "MiB/s", "Does it do anything?", curves("sz_applied", "rate")),
        Chart("esz", "Effective quota", "MiB", "Does the quota limit it?", curves("esz", "gauge"), steps=True),
    ]


def _contexts(run: Run, known: Mapping[int, Context], end: int) -> list[Chart]:
    values = ("nr_regions", "accessed_bytes", "sample_us", "aggr_us")
    found = read(run, "contexts", ("context",), values, end)
    named = [(f"context {key[0]}" if len(known) > 1 else "", cells) for key, cells in sorted(found.items())]

    def curves(column: str, factor: float, what: str = "") -> list[Curve]:
        return [
            curve
            for name, cells in named
            for curve in _curve(" ".join(filter(None, (name, what))), cells[column].gauge(factor))
        ]

    intervals = [*curves("sample_us", 1e-3, "sampling"), *curves("aggr_us", 1e-3, "aggregation")]
    return [
        Chart(
            "wss", "Working set", "MiB", "How much is in regions with accesses?",
            tuple(curves("accessed_bytes", 1 / MIB)),
        ),
        Chart("regions", "Regions", "count", "How finely is memory divided?", tuple(curves("nr_regions", 1.0))),
        Chart(
            "intervals", "Intervals", "ms", "How often is memory looked at?", tuple(intervals), steps=True, log=True
        ),
    ]  # fmt: skip


def _goals(run: Run, known: Mapping[int, Context], end: int) -> list[Chart]:
    values = ("current_value", "target_value")
    found = read(run, "goals", ("context", "scheme", "goal"), values, end)
    every = []
    for (context, scheme, goal), cells in sorted(found.items()):
        name = f"{scheme_name(known, context, scheme)}, goal {goal}"
        every += [
            *_curve(name, cells["current_value"].gauge()),
            *_curve(f"{name}: target", cells["target_value"].gauge()),
        ]
    return [Chart("goals", "Goals of quotas", "the metric's", "Are goals reached?", tuple(every), steps=True)]
