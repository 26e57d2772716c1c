# SPDX-License-Identifier: GPL-2.0-only
"""Random cases: each played by both engines; the first that differs is made small by hypothesis."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import seed as with_seed
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from damon.core import Damon
from damon.kernel.build import Built
from damon.kernel.engine import KernelDamon
from damon.kernel.library import VersionLacks
from tests.differential.alone import impossible
from tests.differential.cases import Case
from tests.differential.coverage import met
from tests.differential.known import reason
from tests.differential.play import Played, Player, first_difference
from tests.differential.steps import cases
from tests.differential.through_sysfs import SysfsPlayer
from tests.differential.versions import comparable, fitted


@dataclass
class Outcome:
    """``known``: cases that parted for each known reason; ``difference``: the smallest unexplained one, in words.

    ``skipped``: further cases, with something that the kernel's version does not have. ``met``: of what there is, by
    how many cases (``coverage.py``). ``seed``: of the last case.
    """

    cases: int = 0
    skipped: int = 0
    observations: int = 0
    known: Counter[str] = field(default_factory=Counter)
    met: Counter[str] = field(default_factory=Counter)
    difference: str | None = None
    seed: int = 0

    def add(self, other: Outcome) -> None:
        self.cases += other.cases
        self.skipped += other.skipped
        self.observations += other.observations
        self.known += other.known
        self.met += other.met
        self.difference, self.seed = other.difference, other.seed


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
    """What both engines do with ``case``: ours, the kernel's. The kernel's twice, where it is too old for ours."""
    player = Player if case.sysfs is None else SysfsPlayer

    def kernel() -> Played:
        return player(case, lambda machine, seed: KernelDamon(machine, built, seed=seed)).play()

    if not comparable(built.source.version):
        return kernel(), kernel()
    return player(case, lambda machine, seed: Damon(machine, seed=seed)).play(), kernel()


def _difference(built: Built, own: Played, kernel: Played) -> str | None:
    """Where they part; of an old version also what it may not do."""
    parted = first_difference(own.log, kernel.log)
    if comparable(built.source.version):
        return parted
    return f"played again: {parted}" if parted else impossible(kernel.log)


# Long: Hypothesis plays a function within it, which fills in the outcome.
def run(built: Built, seed: int, *, shrink: bool = True) -> Outcome:
    """Play the random case of ``seed``.

    Hypothesis plays the simplest case first, which is left out, then one that it draws. Of a longer run six of seven
    would not be drawn: they would be the one before with a part of it copied over another, and show little more.
    """
    outcome = Outcome(seed=seed)
    drawn = 0

    @with_seed(seed)
    @settings(
        max_examples=2,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
        phases=[Phase.generate, *([Phase.shrink] if shrink else [])],
        print_blob=False,
    )
    @given(cases())
    def play(case: Case) -> None:
        nonlocal drawn
        drawn += 1
        if drawn == 1:
            return
        case = fitted(built.source.version, case)
        try:
            own, kernel = play_both(case, built)
        except VersionLacks:
            outcome.skipped = 1
            return
        difference = _difference(built, own, kernel)
        if outcome.difference is None:
            outcome.cases = 1
            outcome.observations = len(own.log)
            outcome.met = Counter(met(case, own.log))
        if difference is None:
            return
        known = reason(built.source.version, case, own, kernel) if comparable(built.source.version) else None
        if known is not None:
            outcome.known[known.name] = 1
            return
        outcome.difference = f"{difference}\n{case}"
        raise AssertionError(difference)

    with warnings.catch_warnings(), _same_constants():
        warnings.simplefilter("ignore")
        try:
            play()
        except AssertionError:
            assert outcome.difference is not None
    return outcome


def played(
    built: Built, nr_cases: int, seed: int, seconds: float | None = None, *, shrink: bool = True
) -> Iterator[Outcome]:
    """The sum so far after each case, each with a seed of its own, to the first difference."""
    began = time.process_time()
    total = Outcome()
    while total.cases < nr_cases and (seconds is None or time.process_time() - began < seconds):
        total.add(run(built, seed, shrink=shrink))
        yield total
        if total.difference is not None:
            return
        seed += 1
