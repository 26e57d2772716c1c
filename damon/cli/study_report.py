# SPDX-License-Identifier: GPL-2.0-only
"""What a search is doing, and what it found: the live view, tables, one object."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Any, Final

from damon import format_version
from damon.cli import output
from damon.progress import Progress
from damon.tune import analysis
from damon.tune.goals import KNOWN

if TYPE_CHECKING:
    from damon.tune.choice import Choice
    from damon.tune.evaluate import Config
    from damon.tune.request import Request, Result
    from damon.tune.stages import Found
    from damon.tune.study import Study

#: The version of the object.
FORMAT: Final = 1
#: Configurations that the table shows.
_ROWS: Final = 8


class Watch:
    """Hears of each run, and shows how far the search is."""

    def __init__(self, quiet: bool) -> None:
        self._progress = None if quiet else Progress("damon")
        self._what, self._total, self._done, self._all = "", 0, 0, 0
        self._outcomes: dict[str, int] = {}

    def __enter__(self) -> Watch:
        if self._progress is not None:
            self._progress.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._progress is not None:
            self._progress.__exit__(kind, error, trace)

    def begins(self, what: str, total: int) -> None:
        self._what, self._total, self._done = what, total, 0

    def ran(self, request: Request, result: Result, known: bool) -> None:
        self._done += 1
        self._all += 1
        outcome = "known" if known else result.outcome
        self._outcomes[outcome] = self._outcomes.get(outcome, 0) + 1
        if self._progress is not None:
            counts = ", ".join(f"{count} {name}" for name, count in self._outcomes.items())
            self._progress.update(f"{self._what}: {self._done} of {self._total} runs ({counts} in all)")


def as_object(study: Study, found: Found, best: Config | None, chosen: Choice | None) -> dict[str, Any]:
    """One object; the same for the same study and seeds."""
    front = analysis.pareto(study, found.configs)
    domains = {domain.label: domain for domain in study.space.free}
    places = {id(config): place for place, config in enumerate(found.configs)}
    return {
        format_version.FIELD: FORMAT,
        "study": study.name,
        "objectives": [str(objective) for objective in study.objectives],
        "constraints": [str(constraint) for constraint in study.constraints],
        "parameters": {
            domain.label: [domain.show(index) for index in range(len(domain.values))] for domain in study.space.free
        },
        "runs": {"asked": found.runs, "complete": found.complete, "grid": found.grid},
        "default": [_config(study, config) for config in found.default],
        "chosen": None if best is None else _config(study, best),
        "load": None
        if chosen is None
        else {
            "cmdline": chosen.cmdline, "modprobe": list(chosen.modprobe), "damo": chosen.damo(),
            "files": dict(chosen.files),
        },
        "pareto": [_config(study, config) for config in front],
        "importance": found.importance,
        "near": {
            label: {
                "from": str(domains[label].values[low]), "to": str(domains[label].values[high]), "values": [low, high],
            }
            for label, (low, high) in analysis.region(study, found.configs).items()
        },
        "configurations": [_config(study, config) for config in found.configs],
        "order": [places[id(config)] for config in analysis.ranked(study, found.configs)],
        "coarse": [_config(study, config) for config in found.coarse],
    }  # fmt: skip


def _config(study: Study, config: Config) -> dict[str, Any]:
    values = {} if config.point is None else study.space.values(config.point)
    return {
        "engine": config.engine,
        "parameters": {f"{module}.{name}": value for (module, name), value in values.items()},
        "values": None if config.point is None else list(config.point),
        "outcome": config.outcome,
        "why": config.why,
        "keeps_constraints": config.feasible,
        "figures": dict(config.figures),
        "spread": dict(config.spread),
        "runs": list(config.runs),
        "by_workload": {name: dict(figures) for name, figures in config.by_workload.items()},
        "by_seed": {
            str(seed): {name: figures[name] for name in _figures(study)} for seed, figures in config.by_seed.items()
        },
    }


def _figures(study: Study) -> list[str]:
    """Those that the study asks about."""
    objectives = [objective.figure for objective in study.objectives]
    return list(dict.fromkeys([*objectives, *(constraint.figure.name for constraint in study.constraints)]))


def _row(study: Study, config: Config, label: str) -> list[str]:
    point = config.point
    cells = [domain.show(index) for domain, index in zip(study.space.free, point, strict=True)] if point else []
    cells = cells or ["-"] * len(study.space.free)
    several = len(study.seeds) > 1
    shown = [
        KNOWN[name].short(config.figures[name], config.spread.get(name) if several else None)
        if config.figures else "-"
        for name in _figures(study)
    ]  # fmt: skip
    return [
        label, *([config.engine] if len(study.engines) > 1 else []), *cells, *shown,
        "yes" if config.feasible else "no" if config.outcome == "complete" else config.outcome,
    ]  # fmt: skip


def _columns(study: Study) -> list[str]:
    """Names with spaces, so that they can be folded."""
    names = [_short(study, domain.label) for domain in study.space.free]
    engine = ["engine"] if len(study.engines) > 1 else []
    return ["", *engine, *(name.replace("_", " ") for name in (*names, *_figures(study))), "keeps"]


def show(study: Study, found: Found, best: Config | None, chosen: Choice | None, performed: int) -> None:
    """Tables on standard output."""
    rows = [_row(study, config, "default") for config in found.default]
    ordered = analysis.ranked(study, found.configs)
    rows += [_row(study, config, str(rank)) for rank, config in enumerate(ordered[:_ROWS], 1)]
    output.table(_columns(study), rows)
    print(f"{found.runs} runs, {found.complete} to the end; every combination takes {found.grid}; {performed} made now")
    if len(study.objectives) > 1:
        print(f"no other is better in every objective (Pareto front): {len(analysis.pareto(study, found.configs))}")
        front = analysis.pareto(study, found.configs)
        output.table(_columns(study), [_row(study, config, "") for config in front[:_ROWS]])
    near = _region(study, found)
    if near:
        print(f"nearly as good as the best ({analysis.NEAR:.0%}): " + ", ".join(near))
    if found.importance:
        shares = sorted(found.importance.items(), key=lambda item: -item[1])
        print("what matters: " + ", ".join(f"{_short(study, name)} {share:.0%}" for name, share in shares))
    if best is None or chosen is None:
        return
    for default in found.default:
        if default.engine == best.engine:
            _compare(study, best, default)
    print(f"kernel command line: {chosen.cmdline}")
    for line in chosen.modprobe:
        print(line)
    if chosen.damo() is not None:
        print(f"{chosen.damo()}, or sh {next(name for name in chosen.files if name.endswith('.sh'))}: --export DIR")


def _region(study: Study, found: Found) -> list[str]:
    domains = {domain.label: domain for domain in study.space.free}
    ranges = analysis.region(study, found.configs)
    return [
        f"{_short(study, label)} {' to '.join(dict.fromkeys(map(domains[label].show, ends)))}"
        for label, ends in ranges.items()
    ]


def _short(study: Study, label: str) -> str:
    """Without the module's name where there is one only."""
    return label.partition(".")[2] if len(study.given) == 1 else label


def _compare(study: Study, best: Config, default: Config) -> None:
    kept = "keep" if default.feasible else "do not keep"
    parts = [f"{name} {change:+.1%}" for name, change in analysis.gain(study, best, default).items()]
    print(f"better than the defaults, which {kept} the constraints: {', '.join(parts) or 'from nothing'}")
