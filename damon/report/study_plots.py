# SPDX-License-Identifier: GPL-2.0-only
"""The pictures of a study's page: points with what they are, bounds, and a table of each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from damon.report.study_found import Config, Found
from damon.results.figures import FIGURES, Figure

#: Points of one picture; of more, those at even distances are kept.
MOST_POINTS: Final = 4000
#: Configurations whose seeds are shown.
_SHOWN: Final = 12
#: Rows of a table beneath a picture.
_ROWS: Final = 30


#: Abscissa, ordinate, and what is there.
Row = tuple[float, float, Config]


@dataclass(frozen=True)
class Plot:
    """A picture: what the script draws, and what it says in words and numbers."""

    id: str
    title: str
    answers: str
    says: str
    table: Mapping[str, Any]
    drawn: Mapping[str, Any] = field(default_factory=dict)


def _scaled(figure: Figure, value: float) -> float:
    """In the unit of the axis, with six digits."""
    factor = {"share": 100.0, "bytes": 1 / (1 << 20)}.get(figure.unit, 1.0)
    return float(f"{value * factor:.6g}")


def _axis(figure: Figure) -> dict[str, Any]:
    unit = {"share": "%", "bytes": "MiB"}.get(figure.unit)
    return {"title": figure.name.replace("_", " ") + (f" ({unit})" if unit else "")}


def _kind(config: Config) -> str:
    if config["keeps_constraints"]:
        return "keeps the constraints"
    return "does not" if config["outcome"] == "complete" else "given up or refused"


def _series(found: Found, rows: Sequence[Row]) -> list[dict[str, Any]]:
    """Points by what they are, in a fixed order; ``kind`` chooses colour and sign."""
    step = -(-len(rows) // MOST_POINTS) or 1
    kinds = {"keeps the constraints": "kept", "does not": "broken", "given up or refused": "ended"}
    series = []
    for name, kind in kinds.items():
        own = [row for row in rows[::step] if _kind(row[2]) == name]
        if own:
            series.append(_points(found, name, kind, own))
    return series


def _points(found: Found, name: str, kind: str, rows: Sequence[Row], line: bool = False) -> dict[str, Any]:
    return {
        "name": name, "kind": kind, "line": line, "x": [x for x, _, _ in rows], "y": [y for _, y, _ in rows],
        "text": [found.text(config) for _, _, config in rows],
    }  # fmt: skip


def _special(found: Found, x: Figure, y: Figure) -> list[dict[str, Any]]:
    """The default, and the chosen one."""
    series = []
    chosen = [] if found.data["chosen"] is None else [found.data["chosen"]]
    for name, kind, configs in (("defaults", "default", found.data["default"]), ("chosen", "chosen", chosen)):
        rows = [_at(config, x, y) for config in configs if config["figures"]]
        if rows:
            series.append(_points(found, name, kind, rows))
    return series


def _at(config: Config, x: Figure, y: Figure) -> Row:
    return _scaled(x, config["figures"][x.name]), _scaled(y, config["figures"][y.name]), config


def _bounds(found: Found, figure: Figure, axis: str) -> list[dict[str, Any]]:
    return [
        {"axis": axis, "at": _scaled(figure, one.bound), "text": str(one)}
        for one in found.constraints if one.figure is figure
    ]  # fmt: skip


def _rows_table(found: Found, configs: Sequence[Config], figures: Sequence[Figure]) -> dict[str, Any]:
    rows = [
        [found.text(config), *(figure.short(config["figures"][figure.name]) for figure in figures), _kind(config)]
        for config in configs[:_ROWS] if config["figures"]
    ]  # fmt: skip
    return {"head": ["configuration", *(figure.name.replace("_", " ") for figure in figures), "outcome"], "rows": rows}


def fronts(found: Found) -> list[Plot]:
    """The first objective over the second one, or over what constrains it."""
    (y, _), *others = found.objectives
    figures = list(dict.fromkeys([*(figure for figure, _ in others), *(one.figure for one in found.constraints)]))
    plots = []
    for nr, x in enumerate(figure for figure in figures if figure is not y):
        configs = [config for config in found.data["configurations"] if config["figures"]]
        series = _series(found, [_at(config, x, y) for config in configs])
        front = sorted((_at(config, x, y) for config in found.data["pareto"]), key=lambda row: row[0])
        if len(found.objectives) > 1:
            series.append(_points(found, "Pareto front", "front", front, line=True))
        series += _special(found, x, y)
        drawn = {"series": series, "x": _axis(x), "y": _axis(y), "bounds": _bounds(found, x, "x")}
        says = f"{len(configs)} configurations; {len(found.data['pareto'])} that no other beats in every objective."
        table = _rows_table(found, [*found.data["pareto"], *found.data["default"]], [y, x])
        title = f"{y.name} and {x.name}".replace("_", " ")
        plots.append(_plot(f"front-{nr}", title, "What does more of the one cost of the other?", says, table, drawn))
    return plots


def _plot(name: str, title: str, answers: str, says: str, table: Mapping[str, Any], drawn: dict[str, Any]) -> Plot:
    return Plot(name, title, answers, says, table, {"id": name, "height": 360, **drawn})


def shares(found: Found) -> list[Plot]:
    """What each parameter matters."""
    rows = sorted(((found.labels[name], share) for name, share in found.data["importance"].items()),
                  key=lambda row: -row[1])  # fmt: skip
    if not rows:
        return []
    says = ", ".join(f"{name} {share:.0%}" for name, share in rows) + "."
    drawn = {
        "bars": {"name": [name for name, _ in rows], "value": [round(share * 100, 2) for _, share in rows]},
        "height": 80 + 28 * len(rows),
    }
    table = {"head": ["parameter", "share"], "rows": [(name, f"{share:.1%}") for name, share in rows]}
    title = "What each parameter matters (%)"
    return [_plot("shares", title, "Which values are worth a closer look?", says, table, drawn)]


def parameters(found: Found) -> list[Plot]:
    """The first objective by the values of each parameter."""
    (y, large), *_ = found.objectives
    plots = []
    for nr, (name, values) in enumerate(found.data["parameters"].items()):
        configs = [config for config in found.data["configurations"] if config["figures"]]
        rows = [(float(config["values"][nr]), _scaled(y, config["figures"][y.name]), config) for config in configs]
        best: dict[float, Row] = {}
        for row in rows:
            if row[2]["keeps_constraints"]:
                other = best.get(row[0])
                if other is None or (row[1] > other[1]) == large:
                    best[row[0]] = row
        line = [best[at] for at in sorted(best)]
        series = _series(found, rows)
        if line:
            series.append(_points(found, "best that keeps them", "front", line, line=True))
        label = found.labels[name]
        says = f"{label}: best {y.name} " + ", ".join(
            f"{y.short(row[2]['figures'][y.name])} at {values[int(row[0])]}" for row in line
        )  # fmt: skip
        table = {
            "head": [label, f"best {y.name}".replace("_", " "), "of configurations"],
            "rows": [
                (text, y.short(best[index][2]["figures"][y.name]) if index in best else "-",
                 str(sum(row[0] == index for row in rows)))
                for index, text in enumerate(values)
            ],
        }  # fmt: skip
        drawn = {"series": series, "x": {"title": label.replace("_", " "), "names": values}, "y": _axis(y),
                 "height": 300}  # fmt: skip
        answers = f"How does {y.name.replace('_', ' ')} depend on it?"
        plots.append(_plot(f"parameter-{nr}", label.replace("_", " "), answers, f"{says}.", table, drawn))
    return plots


def seeds(found: Found) -> list[Plot]:
    """The seeds of the best configurations and of the default, figure by figure."""
    named = [("default", config) for config in found.data["default"]]
    named += [(str(rank), config) for rank, config in enumerate(found.ranked()[:_SHOWN], 1)]
    named = [(name, config) for name, config in named if len(config["by_seed"]) > 1]
    if not named:
        return []
    plots = []
    for nr, y in enumerate(found.figures):
        ids = list(dict.fromkeys(seed for _, config in named for seed in config["by_seed"]))
        series = [
            {
                "name": f"seed {seed}", "kind": f"seed-{at}", "line": False,
                "x": [index for index, (_, config) in enumerate(named) if seed in config["by_seed"]],
                "y": [_scaled(y, config["by_seed"][seed][y.name]) for _, config in named if seed in config["by_seed"]],
                "text": [found.text(config) for _, config in named if seed in config["by_seed"]],
            }
            for at, seed in enumerate(ids)
        ]  # fmt: skip
        rows = [
            [name, *(y.short(own[seed][y.name]) if seed in own else "-" for seed in ids)]
            for name, own in ((name, config["by_seed"]) for name, config in named)
        ]
        widest = max(named, key=lambda row: row[1]["spread"][y.name])
        says = f"The standard deviation is at most {y.short(widest[1]['spread'][y.name])}, of {widest[0]}."
        drawn = {
            "series": series, "x": {"title": "configuration, by rank", "names": [name for name, _ in named]},
            "y": _axis(y), "bounds": _bounds(found, y, "y"), "height": 300,
        }  # fmt: skip
        table = {"head": ["configuration", *(f"seed {seed}" for seed in ids)], "rows": rows}
        answers = "Is the difference between configurations larger than that between seeds?"
        plots.append(_plot(f"seeds-{nr}", y.name.replace("_", " "), answers, says, table, drawn))
    return plots


def course(found: Found) -> list[Plot]:
    """The first objective in the order in which configurations were asked for, and the best so far."""
    (y, large), *_ = found.objectives
    stages = [("first stage", found.data["coarse"]), ("", found.data["configurations"])]
    series, nr, lines, table = [], 0, [], []
    for stage, configs in stages:
        rows: list[Row] = []
        best: list[Row] = []
        for config in configs:
            nr += 1
            if not config["figures"]:
                continue
            rows.append((float(nr), _scaled(y, config["figures"][y.name]), config))
            if config["keeps_constraints"] and (not best or (rows[-1][1] > best[-1][1]) == large):
                best.append(rows[-1])
                table.append((str(nr), stage or "last stage", y.short(config["figures"][y.name]), found.text(config)))
        for one in _series(found, rows):
            series.append({**one, "name": ", ".join(filter(None, (stage, one["name"]))), "faint": bool(stage)})
        if best:
            lines.append({**_points(found, "best so far" + (f", {stage}" if stage else ""), "front", best, line=True),
                          "steps": True, "until": nr})  # fmt: skip
    drawn = {"series": [*series, *lines], "x": {"title": "configuration"}, "y": _axis(y)}
    says = f"{nr} configurations; the best was found as number {table[-1][0]}." if table else f"{nr} configurations."
    head = {"head": ["number", "stage", y.name.replace("_", " "), "configuration"], "rows": table[-_ROWS:]}
    return [_plot("course-0", "Course of the search", "Would more configurations have helped?", says, head, drawn)]


def validated(found: Found) -> list[Plot]:
    """Predicted and measured figures of configurations that were run in guests."""
    validation = found.data.get("validation")
    if validation is None:
        return []
    plots = []
    for nr, (name, agreement) in enumerate(validation["figures"].items()):
        figure = FIGURES[name]
        rows = [row for row in validation["runs"] if None not in (row["predicted"][name], row["measured"][name])]
        if not rows:
            continue
        pairs = [(_scaled(figure, row["predicted"][name]), _scaled(figure, row["measured"][name])) for row in rows]
        kinds = {"best": "kept", "default": "default", "random": "broken"}
        series = [
            {
                "name": kind, "kind": sign, "line": False, "text": [rows[at]["configuration"] for at in own],
                "x": [pairs[at][0] for at in own], "y": [pairs[at][1] for at in own],
            }
            for kind, sign in kinds.items()
            if (own := [at for at, row in enumerate(rows) if row["configuration"].startswith(kind)])
        ]  # fmt: skip
        rank = agreement["rank_correlation"]
        mean, largest = (figure.short(agreement[f"{which}_error"]) for which in ("mean", "largest"))
        says = f"Rank correlation {'unknown' if rank is None else f'{rank:.2f}'}, mean error {mean}, largest {largest}."
        table = {
            "head": ["configuration", "workload", "predicted", "measured"],
            "rows": [(row["configuration"], row["workload"], figure.short(row["predicted"][name]),
                      figure.short(row["measured"][name])) for row in rows],
        }  # fmt: skip
        drawn = {"series": series, "x": {"title": "predicted"}, "y": {"title": "measured in a guest"}, "same": True}
        title = _axis(figure)["title"]
        plots.append(_plot(f"validation-{nr}", title, "Does the simulator predict the guest?", says, table, drawn))
    return plots
