# SPDX-License-Identifier: GPL-2.0-only
"""Random cases against the kernel's own C, a fixed number; ``python -m tests.differential`` runs more."""

from __future__ import annotations

from collections import Counter

from tests.differential import fuzz
from tests.differential.cases import Case
from tests.differential.coverage import ENOUGH, NAMES, met, missing
from tests.differential.memory import Pattern
from tests.kernel.trees import built

#: About a minute.
CASES = 225


def test_no_unexplained_difference() -> None:
    *_, outcome = fuzz.played(built(), CASES, 0)
    assert outcome.difference is None, outcome.difference
    assert outcome.cases >= CASES // 2
    assert not missing(outcome.met, outcome.cases)


def test_a_run_that_meets_nothing_is_not_clean() -> None:
    assert missing(Counter({"start": ENOUGH}), ENOUGH)
    assert not missing(Counter(NAMES), ENOUGH)
    assert not missing(Counter(), ENOUGH - 1)


def test_the_walk_of_an_empty_log_meets_nothing() -> None:
    case = Case((), (), Pattern(1, 0, 1000, 0), 0, 0, 0)
    assert met(case, []) == set()
