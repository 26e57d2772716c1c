# SPDX-License-Identifier: GPL-2.0-only
"""One stage of a search: the configurations that optuna asks for.

It asks for configurations in batches of a fixed size, and reports them in order. So it takes the same way with
one worker and with many, and after a kill: what is in the result file is not run again, and the search is repeated up
to where it was.
"""

from __future__ import annotations

import logging
import statistics
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import msgspec

from damon.errors import MissingCapability
from damon.tune.analysis import ranked
from damon.tune.domain import Point
from damon.tune.evaluate import HOPELESS, Config, Evaluator
from damon.tune.goals import value
from damon.tune.request import CHECKPOINTS, Request, Result, Rules
from damon.tune.study import Stage, WorkloadFile

if TYPE_CHECKING:
    import optuna

#: Checkpoints before this one are too early to compare an objective at.
_FIRST: Final = CHECKPOINTS // 4
#: So many times in a row a search may ask for what it knows; then it has seen what it would look at.
_STALE: Final = 200

Run = tuple[WorkloadFile, int, Request, Result]


class Search:
    """One stage.

    Args:
        evaluator: performs the runs.
        stage: how each is run.
        every: of each free parameter the indices of the values to look at.
        trials: configurations to ask for.
        what: its name, for the listener.
        first: points to begin with.
    """

    def __init__(
        self, evaluator: Evaluator, stage: Stage, every: Sequence[tuple[int, ...]], trials: int, what: str,
        first: Sequence[Point] = (),
    ) -> None:  # fmt: skip
        self._evaluator, self._stage, self._every, self._trials, self._what = evaluator, stage, every, trials, what
        self.study = evaluator.study
        (self._engine,) = self.study.engines
        self.configs: dict[Point, Config] = {}  #: in the order in which they were asked for
        #: Of each workload and seed the complete runs that keep the constraints.
        self._finals: list[list[Result]] = [[] for _ in evaluator.pairs()]
        self.runs = self.complete = 0
        self._optuna = optuna_module()
        directions = ["maximize" if one.maximize else "minimize" for one in self.study.objectives]
        self._asked: optuna.Study = self._optuna.create_study(sampler=self._sampler(), directions=directions)
        for point in first:
            self._asked.enqueue_trial(self._named(point))
        self._domains = [
            self._optuna.distributions.IntDistribution(indices[0], indices[-1])
            if domain.ordered
            else self._optuna.distributions.CategoricalDistribution(indices)
            for domain, indices in zip(self.study.space.free, every, strict=True)
        ]

    def _sampler(self) -> Any:
        settings = self.study.tune
        if len(self.study.objectives) > 1:
            return self._optuna.samplers.NSGAIISampler(seed=settings.seed, population_size=max(settings.startup, 2))
        return self._optuna.samplers.TPESampler(
            seed=settings.seed, n_startup_trials=settings.startup, multivariate=True, constant_liar=True,
        )  # fmt: skip

    def _named(self, point: Point) -> dict[str, Any]:
        return {domain.label: index for domain, index in zip(self.study.space.free, point, strict=True)}

    def run(self) -> None:
        """Ask, run and report, batch by batch."""
        asked = stale = 0
        total = 1
        for indices in self._every:
            total *= len(indices)
        distributions = {
            domain.label: values for domain, values in zip(self.study.space.free, self._domains, strict=True)
        }
        while asked < self._trials and stale < _STALE and len(self.configs) < total:
            trials = [self._asked.ask(distributions) for _ in range(min(self.study.tune.batch, self._trials - asked))]
            points = [tuple(trial.params[domain.label] for domain in self.study.space.free) for trial in trials]
            new = [point for point in dict.fromkeys(points) if point not in self.configs]
            asked += len(new)
            stale = 0 if new else stale + 1
            self._evaluate(new, self._what)
            for trial, point in zip(trials, points, strict=True):
                self._report(trial, self.configs[point])

    def _report(self, trial: Any, config: Config) -> None:
        complete = config.outcome == "complete"
        for nr, constraint in enumerate(self.study.constraints):
            trial.set_constraint(f"{nr} {constraint}", min(config.worst[nr], HOPELESS))
        trial.set_constraint("complete", 0.0 if complete else 1.0)
        values = [config.figures.get(one.figure, 0.0) for one in self.study.objectives]
        self._asked.tell(trial, values)

    # -- runs

    def add(self, points: Sequence[Point]) -> None:
        """Evaluate ``points``, for none of which the sampler has asked; the constraints alone give runs up."""
        self._evaluate(points, "refine", by_objective=False)

    def _evaluate(self, points: Sequence[Point], what: str, *, by_objective: bool = True) -> None:
        """All runs of ``points``, workload by workload and seed by seed; one that is beyond hope gets no more."""
        runs: dict[Point, list[Run]] = {point: [] for point in points}
        alive = list(points)
        for place, (workload, seed) in enumerate(self._evaluator.pairs()):
            rules = self._rules(place, by_objective)
            requests = [
                msgspec.structs.replace(self.study.run(workload, self._engine, seed, point, self._stage), rules=rules)
                for point in alive
            ]
            if not requests:
                break
            results = self._evaluator.run(requests, what)
            for point, request, result in zip(alive, requests, results, strict=True):
                runs[point].append((workload, seed, request, result))
            self.runs += len(requests)
            self.complete += sum(result.outcome == "complete" for result in results)
            alive = [point for point in alive if self._goes_on(runs[point])]
        for point, own in runs.items():
            self.configs[point] = self._evaluator.sum_up(self._engine, point, own)
            if self.configs[point].outcome == "complete" and len(own) < len(self._evaluator.pairs()):
                self.configs[point] = replace(self.configs[point], outcome="pruned", why="a constraint is broken")
            for place, run in enumerate(own):
                if self._evaluator.sum_up(self._engine, point, [run]).feasible:
                    self._finals[place].append(run[-1])

    def _goes_on(self, runs: Sequence[Run]) -> bool:
        found = self._evaluator.sum_up(self._engine, (), runs)
        return found.feasible or (found.outcome == "complete" and not self.study.tune.prune)

    def _rules(self, place: int, by_objective: bool) -> Rules | None:
        """When a run of this workload and seed is given up, by the runs of the batches before."""
        settings = self.study.tune
        if not settings.prune:
            return None
        done = self._finals[place]
        texts = tuple(map(str, self.study.constraints))
        if not by_objective or len(self.study.objectives) > 1 or len(done) < settings.startup:
            return Rules(texts)
        (objective,) = self.study.objectives
        workload, seed = self._evaluator.pairs()[place]
        base = self._evaluator.base(self.study.run(workload, "", seed, None, self._stage))
        name = objective.figure
        bounds = tuple(
            None if at < _FIRST else statistics.median(value(name, one.measured[at], base[at]) for one in done)
            for at in range(CHECKPOINTS)
        )
        return Rules(texts, objective, bounds)

    # -- what it came to

    def best(self, number: int) -> list[Config]:
        """The best configurations: those that keep the constraints, by the objectives; then those nearest to them."""
        return ranked(self.study, list(self.configs.values()))[:number]

    def importance(self) -> dict[str, float]:
        """How much each free parameter decides whether a configuration is among the best tenth (PED-ANOVA); empty where
        too few were run to see it."""
        if len(self.configs) < 2 * self.study.tune.startup or not self.study.space.free:
            return {}
        ranks = {config.point: rank for rank, config in enumerate(ranked(self.study, list(self.configs.values())))}

        def rank(trial: Any) -> float:
            return float(ranks[tuple(trial.params[domain.label] for domain in self.study.space.free)])

        evaluator = self._optuna.importance.PedAnovaImportanceEvaluator()
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that low targets are the better ones
            found = self._optuna.importance.get_param_importances(self._asked, evaluator=evaluator, target=rank)
        return {name: float(share) for name, share in found.items()}


def optuna_module() -> Any:
    """optuna, quiet.

    Raises:
        MissingCapability: it is not installed.
    """
    try:
        import optuna
    except ModuleNotFoundError as error:
        raise MissingCapability(
            "package: optuna: is not installed; install it with: pip install 'pydamon[tune]'"
        ) from error
    import optuna.importance

    optuna.logging.set_verbosity(logging.ERROR)
    warnings.filterwarnings("ignore", category=optuna.exceptions.ExperimentalWarning)
    return optuna
