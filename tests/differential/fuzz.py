# SPDX-License-Identifier: GPL-2.0-only
"""Random cases: each played by both engines; the first that differs is made small by hypothesis."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed

from damon.core import Damon
from damon.kernel.build import Built
from damon.kernel.engine import KernelDamon
from damon.kernel.library import VersionLacks
from tests.differential.cases import Case, cases
from tests.differential.known import breaks, reason
from tests.differential.play import Entry, Player, first_difference


class _TimeUp(BaseException):
    """Passes through hypothesis, which would else go on to draw cases."""


@dataclass
class Outcome:
    """``known``: cases that parted for each known reason; ``difference``: the smallest unexplained one, in words.

    ``skipped``: further cases, with something that the kernel's version does not have.
    """

    cases: int = 0
    skipped: int = 0
    observations: int = 0
    known: Counter[str] = field(default_factory=Counter)
    difference: str | None = None


def logs(case: Case, built: Built) -> tuple[list[Entry], list[Entry]]:
    """What both engines do with ``case``: ours, the kernel's."""
    own = Player(case, lambda machine, seed: Damon(machine, seed=seed)).play()
    return own, Player(case, lambda machine, seed: KernelDamon(machine, built, seed=seed)).play()


def run(built: Built, nr_cases: int, seed: int, seconds: float | None = None, *, shrink: bool = True) -> Outcome:
    """Play ``nr_cases`` random cases of ``seed``, for ``seconds`` of processor time at most."""
    outcome = Outcome()
    until = None if seconds is None else time.process_time() + seconds

    @with_seed(seed)
    @settings(
        max_examples=nr_cases,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        print_blob=False,
    )
    @given(cases())
    def play(case: Case) -> None:
        if until is not None and time.process_time() > until and outcome.difference is None:
            raise _TimeUp
        if breaks(built.source.version, case):
            outcome.skipped += 1
            return
        try:
            own, kernel = logs(case, built)
        except VersionLacks:
            outcome.skipped += 1
            return
        outcome.cases += 1
        outcome.observations += len(own)
        difference = first_difference(own, kernel)
        if difference is None:
            return
        known = reason(built.source.version, case, own, kernel)
        if known is not None:
            outcome.known[known.name] += 1
            return
        outcome.difference = f"{difference}\n{case}"
        raise AssertionError(difference)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            play()
        except _TimeUp:
            pass
        except AssertionError:
            assert outcome.difference is not None
    return outcome
