# SPDX-License-Identifier: GPL-2.0-only
"""The HTML page of one or several runs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from damon.errors import InvalidInput
from damon.report import differences, distributions, embed, sentences
from damon.report.curves import Chart, Curve
from damon.report.funnel import Funnel, funnels
from damon.report.gather import Gathered, Limits, Map
from damon.report.html import render

MAX_RUNS: Final = 12
#: Of a page of one run; of several each has a part.
_LIMITS: Final = Limits()
_OF_PLACES: Final = "Areas are named where they were at the start; memory that none ever had is left out."
_SCRIPTS: Final = ("text.js", "view.js", "map.js", "chart.js", "start.js")


@dataclass(frozen=True)
class Figure:
    """A picture with what it says in words."""

    id: str
    title: str
    answers: str
    says: str
    table: sentences.Table
    note: str = ""


def limits(nr: int) -> Limits:
    """What each of ``nr`` runs may have, so that a page of them is not larger than one of one run.

    Raises:
        InvalidInput: they are too many.
    """
    if nr > MAX_RUNS:
        raise InvalidInput(f"run: {nr}: are too many for one page; give at most {MAX_RUNS}")
    share = nr**-0.5
    return Limits(int(_LIMITS.times * share), int(_LIMITS.addresses * share), _LIMITS.regions // nr)


def html(runs: Sequence[Gathered]) -> str:
    """The page.

    Args:
        runs: the first one is what the others are compared with.

    Raises:
        ImportError: jinja2 or plotly is not installed.
    """
    maps, drawn_maps = _maps(runs)
    charts, spreads, drawn_charts = _charts(runs)
    stages = _funnels(runs)
    data = {
        "runs": [one.name for one in runs], "maps": drawn_maps, "charts": drawn_charts,
        "funnels": [funnel.drawn(f"funnel-{number}") for number, (_, funnel) in enumerate(stages)],
    }  # fmt: skip
    return render(
        "page.html.j2", _SCRIPTS, data, title=", ".join(one.name for one in runs), runs=runs, notes=_notes(runs),
        figures=[row for row in differences.figures(runs) if any(value is not None for value in row.values)],
        parameters=differences.parameters(runs), maps=maps, charts=charts, spreads=spreads, funnels=stages,
    )  # fmt: skip


def _notes(runs: Sequence[Gathered]) -> list[str]:
    """What a reader has to know of the runs' state."""
    found = []
    for one in runs:
        if one.run.state != "complete":
            found.append(f"{one.name}: the run goes on, or was killed; this is what it had written")
        if one.run.damaged is not None:
            found.append(f"{one.name}: {one.run.damaged}")
        if not one.maps:
            found.append(f"{one.name}: has no regions; record them with --regions")
    return found


def _maps(runs: Sequence[Gathered]) -> tuple[list[Figure], list[dict[str, Any]]]:
    figures: list[Figure] = []
    drawn: list[dict[str, Any]] = []
    limit = limits(len(runs)).regions
    for number, one in enumerate(runs):
        for found in one.maps:
            drawn.append(embed.heatmap(len(figures), number, found, limit))
            figures.append(_map(f"map-{len(figures)}", one, found, len(runs) > 1))
    return figures, drawn


def _map(name: str, one: Gathered, found: Map, several: bool) -> Figure:
    says, table = sentences.of_map(found)
    where = f"context {found.context.number}, {found.context.ops}" if len(one.maps) > 1 else found.context.ops
    title = f"{one.name}: {where}" if several else where
    acted = found.actions
    notes = [
        _OF_PLACES if found.named and found.context.ops == "paddr" else "",
        f"{acted.nr} actions applied to memory, {acted.idle} to none."
        + (f" The {len(acted.time)} greatest are marked." if len(acted.time) < acted.nr else ""),
        "" if found.truth is not None else f"The truth is not shown: {found.why}.",
        "" if found.every == 1 else f"Zoomed in, the regions of one in {found.every} snapshots are shown.",
    ]
    answers = "What was accessed when, what did DAMON see of it, and where did schemes act?"
    return Figure(name, title, answers, says, table, " ".join(filter(None, notes)))


def _charts(runs: Sequence[Gathered]) -> tuple[list[Figure], list[Figure], list[dict[str, Any]]]:
    """The curves over time, the distributions, and what the script draws."""
    timed = [list(one.charts) for one in runs]
    spread = [
        [distributions.chart_of_working_set(one.wss), distributions.chart_of_idle(one.idle)] for one in runs
    ]  # fmt: skip
    figures: list[Figure] = []
    spreads: list[Figure] = []
    drawn = []
    names = [one.name if len(runs) > 1 else "" for one in runs]
    for first, places in embed.merged(timed):
        figures.append(_chart(first, timed, places, names, "seconds"))
        drawn.append(embed.chart(timed, first, places, "time"))
    for first, places in embed.merged(spread):
        if any(spread[run][place].curves for run, place in places):
            kind = "share" if first.id == "wss-spread" else "idle"
            head = "% of the time below" if kind == "share" else "idle for seconds"
            spreads.append(_chart(first, spread, places, names, head))
            drawn.append(embed.chart(spread, first, places, kind))
    return figures, spreads, drawn


def _chart(
    first: Chart, runs: Sequence[Sequence[Chart]], places: Sequence[tuple[int, int]], names: Sequence[str], head: str
) -> Figure:
    curves: list[tuple[str, Curve]] = [
        (names[run], curve) for run, place in places for curve in runs[run][place].curves
    ]  # fmt: skip
    titled = [(", ".join(filter(None, (run, curve.name))), curve) for run, curve in curves]
    over = None if head != "idle for seconds" else (0.0, 0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 86400.0)
    table = sentences.of_curves(titled, head, over)
    return Figure(
        f"chart-{first.id}", f"{first.title} ({first.unit})", first.answers, sentences.of_chart(first, curves), table
    )


def _funnels(runs: Sequence[Gathered]) -> list[tuple[str, Funnel]]:
    return [(one.name, funnel) for one in runs for funnel in funnels(one.run, one.contexts)]
