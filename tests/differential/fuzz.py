# SPDX-License-Identifier: GPL-2.0-only
"""Random cases: each played by both engines; the first that differs is made small by hypothesis."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Final

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from damon.core import Damon
from damon.kernel.build import Built
from damon.kernel.engine import KernelDamon
from damon.kernel.library import VersionLacks
from tests.differential.cases import Case
from tests.differential.coverage import met
from tests.differential.known import reason
from tests.differential.play import Played, Player, first_difference
from tests.differential.steps import cases
from tests.differential.through_sysfs import SysfsPlayer
from tests.differential.versions import fitted

#: Cases of one seed.
BATCH: Final = 100


class _TimeUp(BaseException):
    """Passes through hypothesis, which would else go on to draw cases."""


@dataclass
class Outcome:
    """``known``: cases that parted for each known reason; ``difference``: the smallest unexplained one, in words.

    ``skipped``: further cases, with something that the kernel's version does not have. ``met``: of what there is, by
    how many cases (``coverage.py``).
    """

    cases: int = 0
    skipped: int = 0
    observations: int = 0
    known: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    difference: str | None = None

    def add(self, batch: Outcome) -> None:
        self.cases += batch.cases
        self.skipped += batch.skipped
        self.observations += batch.observations
        self.known += batch.known
        self.met += batch.met
        self.difference = batch.difference


@contextmanager
def _same_constants() -> Iterator[None]:
    """Now and then hypothesis draws a constant that it has found in the modules that are imported. Then a seed would
    have other cases after each change of a number anywhere, and in each process of the tests."""
    kept = getattr(providers, "_get_local_constants", None)  # not in all versions
    if kept is None:
        yield
        return
    none = Constants()
    setattr(providers, "_get_local_constants", lambda: none)  # noqa: B010
    providers.CONSTANTS_CACHE.cache.clear()
    try:
        yield
    finally:
        setattr(providers, "_get_local_constants", kept)  # noqa: B010
        providers.CONSTANTS_CACHE.cache.clear()


def play_both(case: Case, built: Built) -> tuple[Played, Played]:
    """What both engines do with ``case``: ours, the kernel's."""
    player = Player if case.sysfs is None else SysfsPlayer
    own = player(case, lambda machine, seed: Damon(machine, seed=seed)).play()
    return own, player(case, lambda machine, seed: KernelDamon(machine, built, seed=seed)).play()


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
        case = fitted(built.source.version, case)
        try:
            own, kernel = play_both(case, built)
        except VersionLacks:
            outcome.skipped += 1
            return
        outcome.cases += 1
        outcome.observations += len(own.log)
        outcome.met.update(met(case, own.log))
        difference = first_difference(own.log, kernel.log)
        if difference is None:
            return
        known = reason(built.source.version, case, own, kernel)
        if known is not None:
            outcome.known[known.name] += 1
            return
        outcome.difference = f"{difference}\n{case}"
        raise AssertionError(difference)

    with warnings.catch_warnings(), _same_constants():
        warnings.simplefilter("ignore")
        try:
            play()
        except _TimeUp:
            pass
        except AssertionError:
            assert outcome.difference is not None
    return outcome


def batches(
    built: Built, nr_cases: int, seed: int, seconds: float | None = None, *, shrink: bool = True
) -> Iterator[tuple[int, Outcome]]:
    """Seed and sum so far of one batch after the other, to the first difference; each has a seed of its own.

    Cases of one batch resemble each other, so batches are small.
    """
    began = time.process_time()
    total = Outcome()
    while total.cases < nr_cases and (seconds is None or time.process_time() - began < seconds):
        left = None if seconds is None else seconds - (time.process_time() - began)
        batch = run(built, min(BATCH, nr_cases - total.cases), seed, left, shrink=shrink)
        total.add(batch)
        yield seed, total
        if batch.difference is not None or not batch.cases + batch.skipped:
            return
        seed += 1
