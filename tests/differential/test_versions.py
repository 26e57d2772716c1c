# SPDX-License-Identifier: GPL-2.0-only
"""Older versions: what they lack is not asked of them, and what they do differently is known."""

from __future__ import annotations

from dataclasses import replace

from damon.model.scheme import DamosQuotaGoalMetric
from tests.differential import fuzz
from tests.differential.cases import Case
from tests.differential.memory import Pattern
from tests.differential.versions import fitted
from tests.kernel.trees import built

#: Some 15 s.
CASES = 100


def test_the_version_before_has_known_differences_only() -> None:
    *_, (_, outcome) = fuzz.batches(built("linux-source-7.2"), CASES, 1)
    assert outcome.difference is None, outcome.difference
    assert outcome.cases == CASES
    assert outcome.known.total() < CASES // 2


def test_a_case_is_as_it_was_for_a_version_that_has_all() -> None:
    goal = {"metric": DamosQuotaGoalMetric.SOME_MEM_PSI_US, "target": 0}
    case = Case((), (("goals", [[goal]]), ("refused", {})), Pattern(1, 0, 1000, 0), 0, 0, 0)
    assert fitted("7.3.4", case) is case
    user = {"metric": DamosQuotaGoalMetric.USER_INPUT, "target": 1}
    assert fitted("7.2.13", case) == replace(case, steps=(("goals", [[user]]),))
