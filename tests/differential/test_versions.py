# SPDX-License-Identifier: GPL-2.0-only
"""Older versions: what they lack is not asked of them, and what they do differently is known."""

from __future__ import annotations

from dataclasses import replace

from damon.model.scheme import DamosQuotaGoalMetric
from tests.differential import fuzz, small
from tests.differential.alone import impossible
from tests.differential.cases import Case
from tests.differential.known import reason
from tests.differential.memory import Pattern
from tests.differential.play import Played
from tests.differential.versions import comparable, fitted
from tests.kernel.trees import built

#: Some 15 s.
CASES = 100


def test_the_version_before_has_known_differences_only() -> None:
    *_, outcome = fuzz.played(built("linux-source-7.2"), CASES, 1)
    assert outcome.difference is None, outcome.difference
    assert outcome.cases == CASES
    assert outcome.known.total() < CASES // 2


def test_an_old_version_plays_each_case_alike_and_does_nothing_impossible() -> None:
    built_old = built("linux-source-6.12")
    assert not comparable(built_old.source.version)
    *_, outcome = fuzz.played(built_old, CASES, 1)
    assert outcome.difference is None, outcome.difference
    assert not outcome.skipped
    assert outcome.cases == CASES
    assert outcome.met["applied"]
    assert outcome.met["quota exceeded"]


def test_what_no_version_may_do_is_seen() -> None:
    case = small.case([("wait", 400_000)], small.scheme())
    own, _ = fuzz.play_both(case, built("linux-source-7.3"))
    assert impossible(own.log) is None
    at = max(index for index, (_, where, _) in enumerate(own.log) if where == "sample 0")
    time, where, values = own.log[at]
    first, *others = values["target 0 regions"]
    for changed in (
        {"target 0 regions": [first, first, *others]},
        {"target 0 regions": [(first[0], first[0], *first[2:]), *others]},
        {"target 0 regions": [(first[0] + 1, *first[1:]), *others]},
        {"target 0 regions": [(*first[:2], 1000, *first[3:]), *others]},
        {"scheme 0 stat.nr_tried": -1},
        {"scheme 0 stat.sz_applied": values["scheme 0 stat.sz_tried"] + 1},
        {"passed_sample_intervals": 0},
    ):
        log = [*own.log[:at], (time, where, {**values, **changed})]
        assert impossible(log) is not None, changed


def test_a_case_is_as_it_was_for_a_version_that_has_all() -> None:
    goal = {"metric": DamosQuotaGoalMetric.SOME_MEM_PSI_US, "target": 0}
    case = Case((), (("goals", [[goal]]), ("refused", {})), Pattern(1, 0, 1000, 0), 0, 0, 0)
    assert fitted("7.3.4", case) is case
    user = {"metric": DamosQuotaGoalMetric.USER_INPUT, "target": 1}
    assert fitted("7.2.13", case) == replace(case, steps=(("goals", [[user]]),))


def test_many_regions_are_distinguished_from_what_looks_like_them() -> None:
    attrs = {"sample": 5000, "samples": 1, "updates": 0, "min": 3, "more": 1, "goal": None}
    case = small.case([("wait", 40_000)], small.scheme(), attrs=attrs)
    own, kernel = fuzz.play_both(case, built("linux-source-7.2"))
    index = next(i for i, (one, other) in enumerate(zip(own.log, kernel.log, strict=False)) if one != other)
    known = reason("7.2.13", case, own, kernel)
    assert known is not None
    assert known.name == "many regions are split"
    assert reason("7.3.4", case, own, kernel) is None
    time, where, values = kernel.log[index]
    for name, value in (("scheme 0 stat.nr_tried", -1), ("passed_sample_intervals", -1)):
        changed = [*kernel.log[:index], (time, where, {**values, name: value}), *kernel.log[index + 1 :]]
        assert reason("7.2.13", case, own, Played(changed)) is None
    few = [(t, w, {**v, "nr_regions": (3, 1000)} if "nr_regions" in v else v) for t, w, v in own.log]
    cut = [(t, w, {**v, "nr_regions": (3, 1000)} if "nr_regions" in v else v) for t, w, v in kernel.log]
    assert reason("7.2.13", case, Played(few), Played(cut)) is None
