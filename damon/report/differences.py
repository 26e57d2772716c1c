# SPDX-License-Identifier: GPL-2.0-only
"""What runs were asked and what came of them, as rows; and in what several of them differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from damon.quoting import cut
from damon.report.asked import label
from damon.report.gather import Gathered
from damon.results.run import Run

#: Rows of a table at most.
MAX_ROWS: Final = 400
_MIB: Final = float(1 << 20)


@dataclass(frozen=True)
class Row:
    """A figure or parameter: one value for each run; None where a run has none."""

    name: str
    values: tuple[Any, ...]
    unit: str = ""

    @property
    def differs(self) -> bool:
        return any(value != self.values[0] for value in self.values)

    def texts(self) -> list[str]:
        """The values as users read them."""
        return [text(value) for value in self.values]

    def changes(self) -> list[str]:
        """How much each later value differs from the first: ``+12.0 (+8.1 %)``; empty where there is no number."""
        return [_change(self.values[0], value) for value in self.values[1:]]


def text(value: Any) -> str:
    """A value as one short line."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "Y" if value else "N"
    if isinstance(value, float):
        return f"{value:,.0f}" if abs(value) >= 10000 else f"{value:.4g}"
    if type(value) is int and abs(value) < 10**18:
        return f"{value:,}"
    return cut(str(value) if type(value) is not int or value.bit_length() < 128 else "a great integer", 80)


def _change(first: Any, value: Any) -> str:
    numbers = all(isinstance(one, int | float) and not isinstance(one, bool) for one in (first, value))
    if not numbers or not all(abs(one) < 1e300 for one in (first, value)):
        return "" if first == value else "differs"
    difference = float(value) - float(first)
    share = f" ({difference / abs(first):+.1%})" if first else ""
    sign = "+" if difference > 0 else "-"
    return "same" if not difference else f"{sign}{text(abs(difference))}{share}"


def parameters(runs: Sequence[Gathered]) -> list[Row]:
    """What the runs were asked."""
    return _rows([dict(_parameters(one.run)) for one in runs])


def figures(runs: Sequence[Gathered]) -> list[Row]:
    """What came of them."""
    found = [{name: (value, unit) for name, value, unit in _figures(one)} for one in runs]
    names = list(dict.fromkeys(name for one in found for name in one))[:MAX_ROWS]
    return [
        Row(
            name,
            tuple(one.get(name, (None, ""))[0] for one in found),
            next(one[name][1] for one in found if name in one),
        )
        for name in names
    ]


def _rows(found: Sequence[Mapping[str, Any]]) -> list[Row]:
    names = list(dict.fromkeys(name for one in found for name in one))[:MAX_ROWS]
    return [Row(name, tuple(one.get(name) for one in found)) for name in names]


def _parameters(run: Run) -> Iterator[tuple[str, Any]]:
    request = run.request
    engine = request.get("engine")
    if isinstance(engine, dict):
        yield "engine", f"{label(engine.get('engine'))} {label(engine.get('version'))}"
    for name in ("command", "machine", "pydamon", "seed", "seconds"):
        if isinstance(request.get(name), str | int | float):
            yield name, _plain(request[name])
    workload = request.get("workload")
    if isinstance(workload, dict):
        yield "workload", label(workload.get("name", "?"))
        if isinstance(workload.get("sha256"), str):
            yield "workload, content", label(workload["sha256"])[:12]
    modules = request.get("modules")
    for module, values in _items(modules):
        yield from ((f"{label(module)}.{label(name)}", _plain(value)) for name, value in _items(values))
    for number, context in enumerate(run.contexts[:8]):
        yield from _flat(f"context {number}", context, 0)


def _items(found: Any) -> list[tuple[str, Any]]:
    return list(found.items())[:MAX_ROWS] if isinstance(found, dict) else []


def _flat(name: str, value: Any, depth: int) -> Iterator[tuple[str, Any]]:
    """The values of a context in damo's form, each by its path; statistics are none of its parameters."""
    if depth > 6:
        return
    if isinstance(value, dict):
        for key, one in _items(value):
            if key not in ("stats", "tried_regions"):
                yield from _flat(f"{name}.{label(key)}", one, depth + 1)
    elif isinstance(value, list):
        for index, one in enumerate(value[:64]):
            yield from _flat(f"{name}.{index}", one, depth + 1)
    else:
        yield name, _plain(value)


def _plain(value: Any) -> Any:
    return value if isinstance(value, bool | int | float) or value is None else label(value)


def _figures(one: Gathered) -> Iterator[tuple[str, Any, str]]:
    curves = {chart.id: chart for chart in one.charts}
    yield "duration", one.seconds, "s"
    for chart, name in (("free", "free memory"), ("rss", "RSS"), ("wss", "working set"), ("regions", "regions")):
        for curve in curves[chart].curves if chart in curves else ():
            suffix = f", {curve.name}" if curve.name else ""
            unit = curves[chart].unit.replace("count", "")
            yield f"{name}, mean{suffix}", _mean(curve.x, curve.y), unit
            yield f"{name}, at the end{suffix}", float(curve.y[-1]), unit
    yield from _of_result(one.run.result, one.seconds)


def _mean(x: Any, y: Any) -> float:
    if len(x) < 2 or x[-1] <= x[0]:
        return float(y[-1])
    return float(np.sum((y[1:] + y[:-1]) / 2 * np.diff(x)) / (x[-1] - x[0]))


def _of_result(result: Mapping[str, Any] | None, seconds: float) -> Iterator[tuple[str, Any, str]]:
    """Of what ``damon run --json`` writes."""
    if result is None:
        return
    memory = dict(_items(result.get("memory")))
    start, end = memory.get("resident_bytes_start"), memory.get("resident_bytes")
    if type(start) is int and type(end) is int and 0 < start < 1 << 62 and 0 <= end < 1 << 62:
        yield "saved of the RSS at the start", 100 * (1 - end / start), "%"
    refaults = memory.get("refaults")
    if type(refaults) is int and 0 <= refaults < 1 << 62:
        yield "refaults", refaults, ""
        yield "refaults a second", refaults / seconds if seconds else None, "1/s"
    for name, unit in (("psi_some_us", "us"), ("slowdown", "")):
        if isinstance(result.get(name), int | float):
            yield name, result[name], unit
    for name, found in _items(result.get("accuracy")):
        value = dict(_items(found)).get("value")
        if isinstance(value, int | float):
            yield label(name), _plain(value), label(dict(_items(found)).get("unit") or "-").strip("-")
    for module, values in _items(result.get("modules")):
        for name, value in _items(dict(_items(values)).get("stats")):
            yield f"{label(module)}.{label(name)}", _plain(value), ""
    for area, values in _items(result.get("areas")):
        resident = dict(_items(values)).get("resident_bytes_end")
        if type(resident) is int and 0 <= resident < 1 << 62:
            yield f"RSS at the end, area {label(area)}", resident / _MIB, "MiB"
