# SPDX-License-Identifier: GPL-2.0-only
"""Searches of a study: every combination; or what optuna asks for, coarsely at first, and what is next to the best."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from damon.tune.analysis import chosen, main_effects
from damon.tune.domain import Domain, Point
from damon.tune.evaluate import Config, Evaluator
from damon.tune.refine import refine
from damon.tune.search import Search
from damon.tune.study import Study


@dataclass(frozen=True)
class Found:
    """What a search came to.

    Attributes:
        configs: of the last stage, each once, in the order in which they were asked for.
        default: the modules without the free parameters, one of each engine; empty when the study leaves it out.
        asked: configurations of all stages that were run, wholly or in part.
        runs: runs of those; the grid has ``grid`` of them.
        complete: those of ``runs`` that ran to the end.
        grid: runs of every combination.
        importance: of each free parameter by its label (``main_effects``, ``Search.importance``).
        coarse: configurations of the first stage, in order.
    """

    configs: Sequence[Config]
    default: Sequence[Config]
    asked: int
    runs: int
    complete: int
    grid: int
    importance: dict[str, float]
    coarse: Sequence[Config] = ()

    def best(self, study: Study) -> Config | None:
        """The best one that keeps the constraints; None when none does."""
        return chosen(study, self.configs)


def _grid(evaluator: Evaluator) -> int:
    study = evaluator.study
    return len(study.space) * len(study.engines) * len(study.seeds) * len(study.workloads)


def sweep(evaluator: Evaluator) -> Found:
    """Every combination of parameters and engines."""
    study = evaluator.study
    evaluator.bases(study.stage)
    default = _default(evaluator)
    asked = [(engine, point) for engine in study.engines for point in study.space.points()]
    configs = evaluator.configs(asked, "sweep")
    complete = sum(config.outcome == "complete" for config in configs) * len(evaluator.pairs())
    effects = main_effects(study, configs)
    return Found(configs, default, len(configs), _grid(evaluator), complete, _grid(evaluator), effects)


def _default(evaluator: Evaluator) -> Sequence[Config]:
    if not evaluator.study.default:
        return ()
    return evaluator.configs([(engine, None) for engine in evaluator.study.engines], "default")


def tune(evaluator: Evaluator) -> Found:
    """Those that optuna asks for: TPE for one objective, NSGA-II for several; of the study's one engine.

    Raises:
        MissingCapability: optuna is not installed.
    """
    study, settings = evaluator.study, evaluator.study.tune
    every = [tuple(range(len(domain.values))) for domain in study.space.free]
    evaluator.bases(study.stage)
    default = _default(evaluator)
    asked = runs = complete = 0
    first: list[Point] = []
    before: Sequence[Config] = ()
    if study.coarse is not None and settings.coarse is not None:
        evaluator.bases(study.coarse)
        coarse = Search(evaluator, study.coarse, every, settings.coarse.trials, "coarse")
        coarse.run()
        asked, runs, complete = len(coarse.configs), coarse.runs, coarse.complete
        before = list(coarse.configs.values())
        first = [config.point for config in coarse.best(settings.coarse.keep) if config.point is not None]
        every = _around(study.space.free, every, first)
    fine = Search(evaluator, study.stage, every, settings.trials, "tune", first)
    fine.run()
    importance = fine.importance()
    refine(fine, settings.refine, importance)
    return Found(
        list(fine.configs.values()), default, asked + len(fine.configs), runs + fine.runs, complete + fine.complete,
        _grid(evaluator), importance, before,
    )  # fmt: skip


def _around(
    domains: Sequence[Domain], every: Sequence[tuple[int, ...]], points: Sequence[Point]
) -> list[tuple[int, ...]]:
    """Of each parameter the values from one below the least of ``points`` to one above their largest."""
    if not points:
        return list(every)
    columns = zip(*points, strict=True)
    return [
        tuple(range(max(min(column) - 1, 0), min(max(column) + 1, indices[-1]) + 1)) if domain.ordered else indices
        for domain, indices, column in zip(domains, every, columns, strict=True)
    ]
