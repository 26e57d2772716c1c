# SPDX-License-Identifier: GPL-2.0-only
"""The HTML page of a study: what ``damon sweep`` and ``damon tune`` found, from the object that ``--json`` writes."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from damon.report.html import render
from damon.report.study_found import Config, Found
from damon.report.study_plots import course, fronts, parameters, seeds, shares, validated
from damon.results.figures import Figure

_SCRIPTS: Final = ("text.js", "view.js", "points.js")
#: Configurations in the table of all.
MOST_ROWS: Final = 500
_OUTCOMES: Final = {"pruned": "given up", "refused": "refused", "failed": "failed"}


def html(data: Mapping[str, Any]) -> str:
    """The page of what ``damon.cli.study_report.as_object`` returns.

    Raises:
        ImportError: jinja2 or plotly is not installed.
    """
    found = Found(data)
    parts = {
        "front": fronts(found), "matter": [*shares(found), *parameters(found)], "seeds": seeds(found),
        "course": course(found), "validation": validated(found),
    }  # fmt: skip
    every = [plot for plots in parts.values() for plot in plots]
    drawn = {"maps": [], "charts": [], "runs": [], "plots": [plot.drawn for plot in every]}
    return render(
        "study.html.j2", _SCRIPTS, drawn, title=data["study"], found=found, parts=parts, facts=list(_facts(found)),
        near=_near(found), every=_table(found), lines=_lines(data), notes=_notes(found),
    )  # fmt: skip


def _facts(found: Found) -> Iterator[tuple[str, str]]:
    runs, data = found.data["runs"], found.data
    for text in data["objectives"]:
        yield "objective", text
    for text in data["constraints"]:
        yield "constraint", text
    yield "runs", f"{runs['asked']}, {runs['complete']} to the end; every combination takes {runs['grid']}"
    if data["chosen"] is None:
        return
    for figure in found.figures:
        yield f"{figure.name} of the chosen", _cell(found, data["chosen"], figure)
        for default in data["default"]:
            if default["engine"] == data["chosen"]["engine"]:
                yield f"{figure.name} with the defaults", _cell(found, default, figure)


def _cell(found: Found, config: Config, figure: Figure) -> str:
    if not config["figures"]:
        return "-"
    spread = config["spread"].get(figure.name) if len(config["by_seed"]) > 1 else None
    return figure.short(config["figures"][figure.name], spread)


def _notes(found: Found) -> list[str]:
    if found.data["chosen"] is None:
        return ["No configuration keeps the constraints: widen the values, or loosen a bound."]
    return []


def _near(found: Found) -> list[Sequence[str]]:
    """Rows: parameter, its value in the chosen configuration, the values of those that are nearly as good."""
    chosen, near = found.data["chosen"], found.data["near"]
    if chosen is None or chosen["values"] is None:
        return []
    names, rows = found.labels, zip(found.data["parameters"].items(), chosen["values"], strict=True)
    return [
        (
            names[name], values[index],
            " to ".join(dict.fromkeys(values[end] for end in near[name]["values"])) if name in near else "-",
            f"{found.data['importance'][name]:.0%}" if name in found.data["importance"] else "-",
        )
        for (name, values), index in rows
    ]  # fmt: skip


def _lines(data: Mapping[str, Any]) -> list[tuple[str, str]]:
    """What loads the chosen configuration, with what takes it."""
    load = data["load"]
    if load is None:
        return []
    lines = [("Kernel command line", load["cmdline"]), ("modprobe", "\n".join(load["modprobe"]))]
    if load["damo"] is not None:
        lines.append(("damo (--export DIR writes the file)", load["damo"]))
    shown = [(f"sysfs: {name}", text) for name, text in load["files"].items() if name.endswith(".sh")]
    return lines + shown


def _table(found: Found) -> Mapping[str, Any]:
    """All configurations, the best at first."""
    engines = len({config["engine"] for config in found.data["configurations"]}) > 1
    head = ["configuration", *(["engine"] if engines else []), *found.labels.values()]
    head += [*(figure.name for figure in found.figures), "keeps constraints"]
    named = [("default", config) for config in found.data["default"]]
    named += [(str(rank), config) for rank, config in enumerate(found.ranked(), 1)]
    rows = [[label, *_cells(found, config, engines)] for label, config in named[:MOST_ROWS]]
    left = f"; the first {MOST_ROWS} of {len(named)}" if len(named) > MOST_ROWS else ""
    return {"head": [re.sub("_", " ", one) for one in head], "rows": rows, "left": left}


def _cells(found: Found, config: Config, engines: bool) -> Iterator[str]:
    if engines:
        yield config["engine"]
    for nr, values in enumerate(found.data["parameters"].values()):
        yield "-" if config["values"] is None else values[config["values"][nr]]
    for figure in found.figures:
        yield _cell(found, config, figure)
    yield "yes" if config["keeps_constraints"] else _OUTCOMES.get(config["outcome"], "no")
