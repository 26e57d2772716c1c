# SPDX-License-Identifier: GPL-2.0-only
"""What configurations show: which are best, which none beats, and what each parameter matters."""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from typing import Final

from damon.tune.evaluate import Config
from damon.tune.goals import Objective
from damon.tune.study import Study

#: As good as the best but for so much of it.
NEAR: Final = 0.05


def _better(objective: Objective, config: Config) -> float:
    """The objective's figure, the larger the better."""
    value = config.figures.get(objective.figure, -float("inf") if objective.maximize else float("inf"))
    return value if objective.maximize else -value


def _beats(study: Study, one: Config, other: Config) -> bool:
    ours, theirs = ([_better(objective, config) for objective in study.objectives] for config in (one, other))
    return ours != theirs and all(a >= b for a, b in zip(ours, theirs, strict=True))


def pareto(study: Study, configs: Sequence[Config]) -> list[Config]:
    """Of those that keep the constraints the ones that no other beats in every objective, the best of the first one
    at first."""
    kept = [config for config in configs if config.feasible]
    front = [one for one in kept if not any(_beats(study, other, one) for other in kept)]
    return sorted(front, key=lambda config: -_better(study.objectives[0], config))


def ranked(study: Study, configs: Sequence[Config]) -> list[Config]:
    """The best at first: those that keep the constraints by the objectives, then the others by what they lack.

    With several objectives a configuration is as good as it comes near to the best of each, which are those of all
    that keep the constraints, by the distance between best and worst.
    """
    kept = [config for config in configs if config.feasible]
    spans = []
    for objective in study.objectives:
        values = [_better(objective, config) for config in kept]
        spans.append((max(values), max(values) - min(values) or 1.0) if values else (0.0, 1.0))

    def lack(config: Config) -> float:
        parts = zip(study.objectives, spans, strict=True)
        return sum(((best - _better(objective, config)) / span) ** 2 for objective, (best, span) in parts)

    def broken(config: Config) -> tuple[bool, float]:
        return config.outcome != "complete", sum(max(excess, 0.0) for excess in config.worst)

    others = [config for config in configs if not config.feasible]
    return [*sorted(kept, key=lack), *sorted(others, key=broken)]


def chosen(study: Study, configs: Sequence[Config]) -> Config | None:
    """The best one that keeps the constraints; None when none does."""
    best = next(iter(ranked(study, configs)), None)
    return best if best is not None and best.feasible else None


def main_effects(study: Study, configs: Sequence[Config]) -> dict[str, float]:
    """Of each free parameter the share of the first objective's variance that its values alone explain.

    Of a whole grid only: elsewhere values of one parameter come with certain ones of another.
    """
    objective = study.objectives[0]
    done = [config for config in configs if config.figures and config.point is not None]
    values = [_better(objective, config) for config in done]
    whole = statistics.pvariance(values) if len(values) > 1 else 0.0
    if not whole:
        return {}
    mean, shares = statistics.fmean(values), {}
    for nr, domain in enumerate(study.space.free):
        groups: dict[int, list[float]] = {}
        for config, value in zip(done, values, strict=True):
            assert config.point is not None
            groups.setdefault(config.point[nr], []).append(value)
        between = sum(len(group) * (statistics.fmean(group) - mean) ** 2 for group in groups.values()) / len(values)
        shares[domain.label] = between / whole
    return shares


def gain(study: Study, config: Config, default: Config) -> Mapping[str, float]:
    """By how much each objective is better than with ``default``, as a share of that one's; absent where that is 0."""
    found = {}
    for objective in study.objectives:
        before = default.figures.get(objective.figure, 0.0)
        if before:
            change = config.figures[objective.figure] / before - 1.0
            found[objective.figure] = change if objective.maximize else -change
    return found


def near(study: Study, configs: Sequence[Config]) -> list[Config]:
    """Those that keep the constraints and are nearly as good as the best (``NEAR``) in every objective, the best at
    first."""
    best = chosen(study, configs)
    if best is None:
        return []
    bounds = [
        (one, _better(one, best) - NEAR * abs(_better(one, best))) for one in study.objectives
    ]  # fmt: skip
    return [
        config
        for config in ranked(study, configs)
        if config.feasible and config.point is not None and all(_better(one, config) >= bound for one, bound in bounds)
    ]


def region(study: Study, configs: Sequence[Config]) -> dict[str, tuple[int, int]]:
    """Of each ordered free parameter the indices of its least and its largest value in configurations that are nearly
    as good as the best (``near``): where to look, and how exactly it matters."""
    points = [config.point for config in near(study, configs) if config.point is not None]
    return {
        domain.label: (min(point[nr] for point in points), max(point[nr] for point in points))
        for nr, domain in enumerate(study.space.free)
        if domain.ordered and points
    }
