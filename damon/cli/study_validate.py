# SPDX-License-Identifier: GPL-2.0-only
"""``damon tune --validate N``: configurations of a study on real page tables in guests, beside what was predicted."""

from __future__ import annotations

import argparse
import random
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from damon.cli import compare_guests, output
from damon.cli.as_guest import files_in_memory
from damon.cli.simulate import simulate
from damon.errors import InvalidInput
from damon.guests.engine import GuestEngine
from damon.library.engine import OWN
from damon.results.figures import FIGURES, figures
from damon.results.sim_to_real import rank_correlation
from damon.tune.analysis import ranked

if TYPE_CHECKING:
    from damon.guests.job import Job
    from damon.guests.kept import Kept
    from damon.tune.domain import Point
    from damon.tune.stages import Found
    from damon.tune.study import Study, WorkloadFile

#: A run in a guest takes at least as long as the guest's time does, and many times that where it is emulated.
LONGEST_S: Final = 3600.0
#: Figures that both machines have.
COMPARED: Final = ("reclaimed", "refaults_per_s", "slowdown")
ENGINE: Final = GuestEngine(OWN)


@dataclass(frozen=True)
class Case:
    """One configuration on one workload. ``label``: ``best 1``, ``default`` or ``random 1``."""

    label: str
    point: Point | None
    workload: WorkloadFile
    arguments: argparse.Namespace


def check(study: Study) -> None:
    """Refuse what cannot run in guests, before anything starts."""
    seconds = study.stage.duration_us / 1e6
    if seconds > LONGEST_S:
        raise InvalidInput(
            f"--validate: duration {seconds:.0f} s: is too long for guests, whose time is real; give a study of at "
            f"most {LONGEST_S:.0f} s"
        )
    for workload in study.workloads:
        compare_guests.prepare(_arguments(study, None), ENGINE, str(workload.path), files=True)


def _arguments(study: Study, point: Point | None) -> argparse.Namespace:
    """As those of ``damon run``."""
    modules = [[called, *words] for called, words in study.words(point, study.stage).items()]
    return argparse.Namespace(
        module=modules, cmdline="", seed=study.seeds[0], duration=study.stage.duration_us / 1e6
    )  # fmt: skip


def cases(study: Study, found: Found, number: int) -> list[Case]:
    """The ``number`` best, the default, and ``number`` random ones of the study's space, on every workload."""
    best = [config.point for config in ranked(study, found.configs)[:number]]
    chance = random.Random(study.tune.seed)
    anywhere: list[Point] = []
    for _ in range(100 * number):
        point = tuple(chance.randrange(len(domain.values)) for domain in study.space.free)
        if point not in best and point not in anywhere and len(anywhere) < number:
            anywhere.append(point)
    points: list[tuple[str, Point | None]] = [(f"best {nr}", point) for nr, point in enumerate(best, 1)]
    points += [("default", None), *((f"random {nr}", point) for nr, point in enumerate(anywhere, 1))]
    return [
        Case(label, point, workload, _arguments(study, point))
        for label, point in points
        for workload in study.workloads
    ]


def validate(
    study: Study, found: Found, number: int, quiet: bool, kept: Kept | None = None,
    run: Callable[[Job, str, bool], dict[str, Any]] | None = None,
) -> dict[str, Any]:  # fmt: skip
    """Run them; predicted and measured figures of each, the rank correlation of each figure, and its errors.

    Args:
        study: whose modules run.
        found: what a search found.
        number: of best and of random configurations.
        quiet: no progress.
        kept: what was run before is not run again.
        run: performs one job in a guest; default the real one.

    Raises:
        GuestFailed: a run has no result.
    """
    rows = []
    todo = cases(study, found, number)
    for nr, case in enumerate(todo, 1):
        label = f"damon: validate {nr} of {len(todo)}: {case.label}, {case.workload.name}"
        job = compare_guests.prepare(case.arguments, ENGINE, str(case.workload.path), files=True)
        result = kept.get(job) if kept is not None else None
        if result is None:
            result = (run or compare_guests.run)(job, label, quiet)
            if kept is not None:
                kept.add(job, result)
        rows.append(
            {
                "configuration": case.label, "workload": case.workload.name,
                "words": [word for module in case.arguments.module for word in module[1:]],
                "predicted": _figures(_simulated(case)), "measured": _figures(result),
                "kdamond_cpu_seconds": sum(result["timing"]["kdamond_cpu_seconds"].values()),
            }
        )  # fmt: skip
    return {"engine": str(ENGINE), "runs": rows, "figures": {name: agreement(rows, name) for name in COMPARED}}


def _simulated(case: Case) -> dict[str, Any]:
    """The result of the same run on the simulated machine."""
    from damon.workload.load import load_workload

    return simulate(case.arguments, files_in_memory(load_workload(case.workload.path)))


def _figures(result: dict[str, Any]) -> dict[str, float | None]:
    found = figures(result)
    return {name: found[name] for name in COMPARED}


def agreement(rows: Sequence[dict[str, Any]], name: str) -> dict[str, float | None]:
    """Spearman's rank correlation of a figure, None where all are equal; the mean and the largest error, absolute."""
    pairs = [(row["predicted"][name], row["measured"][name]) for row in rows]
    known = [(one, other) for one, other in pairs if one is not None and other is not None]
    if not known:
        return {"rank_correlation": None, "mean_error": None, "largest_error": None}
    errors = [abs(one - other) for one, other in known]
    return {
        "rank_correlation": rank_correlation(*zip(*known, strict=True)),
        "mean_error": statistics.fmean(errors), "largest_error": max(errors),
    }  # fmt: skip


def show(validation: dict[str, Any]) -> None:
    """Tables on standard output."""
    columns = (
        "configuration",
        "workload",
        "reclaimed: predicted",
        "measured",
        "refaults/s",
        "measured",
        "slowdown",
        "CPU",
    )
    rows = []
    for row in validation["runs"]:
        ours, theirs = row["predicted"], row["measured"]
        rows.append(
            (
                row["configuration"], row["workload"], output.size(ours["reclaimed"]),
                output.size(theirs["reclaimed"]), f"{ours['refaults_per_s']:.2f}", f"{theirs['refaults_per_s']:.2f}",
                "-" if theirs["slowdown"] is None else f"{theirs['slowdown']:.4f}",
                f"{row['kdamond_cpu_seconds']:.2f} s",
            )
        )  # fmt: skip
    output.table(columns, rows)
    for name, found in validation["figures"].items():
        if found["mean_error"] is None:
            continue
        rank = "does not vary" if found["rank_correlation"] is None else f"{found['rank_correlation']:.2f}"
        number = output.size if FIGURES[name].unit == "bytes" else lambda value: f"{value:.4g}"
        print(
            f"{name}: rank correlation {rank}, mean error {number(found['mean_error'])}, "
            f"largest {number(found['largest_error'])}"
        )
    sys.stdout.flush()
