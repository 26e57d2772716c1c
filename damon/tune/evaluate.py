# SPDX-License-Identifier: GPL-2.0-only
"""From runs to configurations: performs what the result file lacks, and sums up the runs of each configuration."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol

from damon.tune.domain import Point
from damon.tune.goals import KNOWN, values
from damon.tune.measure import Measured
from damon.tune.pool import Runner
from damon.tune.request import Request, Result, Task
from damon.tune.results import Results
from damon.tune.study import Stage, Study, WorkloadFile

#: Excess of a configuration that has not run to the end and broke no constraint: it was refused, or a worker ended.
HOPELESS: Final = 1e3


class Listener(Protocol):
    """Hears what goes on."""

    def begins(self, what: str, total: int) -> None:
        """``total`` runs follow."""

    def ran(self, request: Request, result: Result, known: bool) -> None:
        """One is done; ``known``: it was in the result file."""


@dataclass(frozen=True)
class Config:
    """A configuration and what came of its runs.

    Attributes:
        engine: as given.
        point: in the study's space; None: what the module does without it.
        outcome: ``complete``, or the worst one of its runs.
        figures: mean over seeds and workloads.
        spread: standard deviation over seeds of the mean over workloads.
        worst: of each constraint the largest excess of any run; at most 0 when it is kept.
        why: of the first run that is not complete.
        by_workload: mean over seeds, by the workload's name.
        by_seed: mean over workloads, by the seed.
        runs: names of the run directories of its runs.
    """

    engine: str
    point: Point | None
    outcome: str
    figures: Mapping[str, float]
    spread: Mapping[str, float]
    worst: tuple[float, ...]
    why: str = ""
    by_workload: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    by_seed: Mapping[int, Mapping[str, float]] = field(default_factory=dict)
    runs: tuple[str, ...] = field(default=(), compare=False)

    @property
    def feasible(self) -> bool:
        """Ran to the end, and kept every constraint in each run."""
        return self.outcome == "complete" and all(excess <= 0 for excess in self.worst)


class Evaluator:
    """Performs runs of a study, each once.

    Args:
        study: whose runs.
        results: where they are kept.
        runner: what performs those that are not there.
        listener: hears of each.
        out: a directory for a run directory of each run with modules; empty: none are made.
    """

    def __init__(self, study: Study, results: Results, runner: Runner, listener: Listener, out: str = "") -> None:
        self.study, self._out = study, out
        self._results, self._runner, self._listener = results, runner, listener
        self._bases: dict[tuple[str, int, int], list[Measured]] = {}
        self.order: list[Request] = []  #: every run that was asked for, in the study's order
        self.performed = 0  #: those that were not in the file

    def pairs(self) -> list[tuple[WorkloadFile, int]]:
        """Workload and seed of each run of a configuration, the first seed of every workload at first."""
        return [(workload, seed) for seed in self.study.seeds for workload in self.study.workloads]

    def bases(self, stage: Stage) -> None:
        """What ``stage`` is compared with: each workload and seed without a module."""
        requests = [self.study.run(workload, "", seed, None, stage) for workload, seed in self.pairs()]
        for request, result in zip(requests, self.run(requests, "without a module"), strict=True):
            self._bases[_place(request)] = result.measured

    def base(self, request: Request) -> list[Measured]:
        """What a run is compared with; ``bases()`` was asked for its stage before."""
        return self._bases[_place(request)]

    def run(self, requests: Sequence[Request], what: str) -> list[Result]:
        """The results of ``requests``, in their order."""
        self._listener.begins(what, len(requests))
        self.order += requests
        found: dict[str, Result] = {}
        lacking: dict[str, Request] = {}
        for request in requests:
            known = self._results.get(request)
            if known is None:
                lacking[request.key()] = request
            else:
                found[request.key()] = known
                self._listener.ran(request, known, True)
        tasks = [
            Task(request, self._bases.get(_place(request), []), self._out if request.engine else "")
            for request in lacking.values()
        ]
        for index, result in self._runner.run(tasks):
            request = tasks[index].request
            self._results.add(request, result)
            self.performed += 1
            found[request.key()] = result
            self._listener.ran(request, result, False)
        return [found[request.key()] for request in requests]

    def sum_up(
        self, engine: str, point: Point | None, runs: Sequence[tuple[WorkloadFile, int, Request, Result]]
    ) -> Config:
        """The configuration of ``runs``: workload, seed, request and result of each."""
        found: dict[tuple[str, int], dict[str, float]] = {}
        worst = [-float("inf")] * len(self.study.constraints)
        outcome, why = "complete", ""
        for workload, seed, request, result in runs:
            base = self.base(request)
            if result.outcome != "complete" and outcome != "failed":
                outcome, why = result.outcome, why or result.why
            if not result.measured:
                continue
            last, beside = result.measured[-1], base[len(result.measured) - 1]
            if last.kills > beside.kills and outcome == "complete":
                outcome, why = "failed", "processes were killed for want of memory"
            own = values(last, beside)
            found[workload.name, seed] = own
            for nr, constraint in enumerate(self.study.constraints):
                worst[nr] = max(worst[nr], constraint.excess(own[constraint.figure.name]))
        if not found:
            worst = [HOPELESS] * len(worst)
        seeds = {seed: _means([own for (_, of), own in found.items() if of == seed]) for seed in self.study.seeds}
        seeds = {seed: one for seed, one in seeds.items() if one}
        spread = {name: statistics.pstdev(one[name] for one in seeds.values()) for name in KNOWN} if seeds else {}
        names = dict.fromkeys(name for name, _ in found)
        by = {name: _means([own for (of, _), own in found.items() if of == name]) for name in names}
        means = _means(list(found.values()))
        directories = tuple(request.directory() for _, _, request, _ in runs)
        return Config(engine, point, outcome, means, spread, tuple(worst), why, by, seeds, directories)

    def configs(self, asked: Sequence[tuple[str, Point | None]], what: str) -> list[Config]:
        """Configurations of engine and point, all of their runs to the end."""
        pairs = self.pairs()
        requests = [
            self.study.run(workload, engine, seed, point) for engine, point in asked for workload, seed in pairs
        ]
        results = self.run(requests, what)
        parts = _parts(list(zip(requests, results, strict=True)), len(pairs))
        return [
            self.sum_up(engine, point, [(*pair, *run) for pair, run in zip(pairs, part, strict=True)])
            for (engine, point), part in zip(asked, parts, strict=True)
        ]


def _parts(items: Sequence[tuple[Request, Result]], length: int) -> list[Sequence[tuple[Request, Result]]]:
    return [items[start : start + length] for start in range(0, len(items), length)]


def _place(request: Request) -> tuple[str, int, int]:
    return request.workload, request.seed, request.duration_us


def _means(rows: Sequence[Mapping[str, float]]) -> dict[str, float]:
    return {name: statistics.fmean(row[name] for row in rows) for name in KNOWN} if rows else {}
