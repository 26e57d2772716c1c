# SPDX-License-Identifier: GPL-2.0-only
"""Each known difference is distinguished from one that looks like it."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests.differential import small
from tests.differential.cases import Case
from tests.differential.fuzz import play_both
from tests.differential.known import reason
from tests.differential.play import Entry, Played, first_difference
from tests.fakes import PAGE
from tests.kernel.trees import built


def _name(case: Case, own: Played, kernel: Played) -> str | None:
    known = reason("7.3.4", case, own, kernel)
    return None if known is None else known.name


def _changed(played: Played, where: str, name: str, value: object, last: bool = False) -> Played:
    """``played`` with another value in one entry."""
    log: list[Entry] = list(played.log)
    found = [index for index, entry in enumerate(log) if entry[1] == where and name in entry[2]]
    index = found[-1 if last else 0]
    log[index] = log[index][0], where, {**log[index][2], name: value}
    return Played(log, played.stale)


_INTERRUPTED: list[tuple[str, Any]] = [
    ("wait", 40_000), ("later", (40_000, 10)), ("later", (80_000, 300)), ("walk", None), ("wait", 80_000),
    ("walk", None),
]  # fmt: skip


def test_a_walk_after_a_canceled_one() -> None:
    case = small.case(_INTERRUPTED, small.scheme(), small.scheme(apply=80))
    own, kernel = play_both(case, built())
    assert first_difference(own.log, kernel.log)
    assert _name(case, own, kernel) == "walk after a canceled one"


def test_a_walk_that_shows_something_else_is_unexplained() -> None:
    case = small.case(_INTERRUPTED, small.scheme(), small.scheme(apply=80))
    own, kernel = play_both(case, built())
    seen = next(values["seen"] for _, where, values in reversed(kernel.log) if where == "walked")
    assert {scheme for _, _, _, scheme, _ in seen} == {1}
    target, start, end, scheme, passed = seen[0]
    other = [(target, start, end + PAGE, scheme, passed), *seen[1:]]
    assert _name(case, own, _changed(kernel, "walked", "seen", other, last=True)) is None
    assert _name(case, own, Played(kernel.log, {})) is None  # no scheme had been done before
    assert _name(case, own, _changed(kernel, "sample 0", "rnd_state", -1)) is None


@pytest.mark.parametrize("probes", [[], [{"weight": 1, "filters": []}]], ids=["accesses", "probes"])
def test_goals_before_a_refused_one(probes: list[Any]) -> None:
    """Samples of probes alone are not logged."""
    committed = [small.goal(10), small.goal(30), small.goal(0)]
    scheme = {**small.scheme(), "quota": small.quota(small.goal(20))}
    case = small.case([("wait", 60_000), ("goals", [committed]), ("wait", 60_000)], scheme, probes=probes)
    own, kernel = play_both(case, built())
    index = next(i for i, (one, other) in enumerate(zip(own.log, kernel.log, strict=True)) if one != other)
    assert _goals(own, index) == [(20, 0)]
    assert _goals(kernel, index) == [(10, 0), (30, 0)]
    assert _name(case, own, kernel) == "goals before a refused one"
    for other in ([(10, 0)], [(10, 0), (20, 0)], [(20, 0), (30, 0)], [(10, 0), (30, 0), (20, 0)]):
        assert _name(case, own, _with_goals(kernel, index, other)) is None
    assert _name(case, _with_goals(own, index, [(10, 0)]), kernel) is None
    accepted = replace(case, steps=(case.steps[0], ("goals", [committed[:2]]), case.steps[2]))
    assert _name(accepted, own, kernel) is None


def _goals(played: Played, index: int) -> object:
    return next(values for _, _, values in played.log[index:] if values)["scheme 0 quota.goals"]


def _with_goals(played: Played, index: int, goals: list[tuple[int, int]]) -> Played:
    name = "scheme 0 quota.goals"
    changed = [
        (time, where, {**values, name: goals} if name in values else values)
        for time, where, values in played.log[index:]
    ]
    return Played([*played.log[:index], *changed], played.stale)


_EMPTIED: list[tuple[str, Any]] = [
    ("wait", 40_000), ("machine", (10, 0, 0)), ("wait", 30_000), ("commit", {"schemes": []}), ("wait", 50_000),
]  # fmt: skip


def test_schemes_gone_while_waiting() -> None:
    case = small.case(_EMPTIED, small.scheme())
    own, kernel = play_both(case, built())
    assert first_difference(own.log, kernel.log)
    assert _name(case, own, kernel) == "schemes gone while waiting"


@pytest.mark.parametrize("after", [[], [("wait", 30)]])
def test_schemes_gone_while_probes_sample(after: list[tuple[str, Any]]) -> None:
    asleep = {**small.scheme(), "wmarks": {"interval": 1000, "marks": (0, 0, 0)}}
    attrs = {"sample": 0, "samples": 1, "updates": 0, "min": 3, "more": 20, "goal": None}
    steps: list[tuple[str, Any]] = [("wait", 38), ("commit", {"schemes": []}), *after]
    case = small.case(steps, asleep, attrs=attrs, probes=[{"weight": 1, "filters": []}])
    own, kernel = play_both(case, built())
    assert not any(where == "sample 0" for _, where, _ in own.log)
    assert _name(case, own, kernel) == "schemes gone while waiting"
    index = next(i for i, (one, other) in enumerate(zip(own.log, kernel.log, strict=False)) if one != other)
    for played, name, value in (
        (own, "passed_sample_intervals", 7),
        (kernel, "passed_sample_intervals", 1),
        (kernel, "scheme 0 next_apply_sis", 7),
    ):
        rest = [
            (time, where, {**values, name: value} if "attrs" in values else values)
            for time, where, values in played.log[index:]
        ]
        other = Played([*played.log[:index], *rest], played.stale)
        assert _name(case, *((other, kernel) if played is own else (own, other))) is None


def test_schemes_gone_while_another_context_samples() -> None:
    """Its request shows the first one in the middle of the sample that ours takes."""
    asleep = {**small.scheme(), "wmarks": {"interval": 1000, "marks": (0, 0, 0)}}
    probes = [{"weight": 1, "filters": []}]
    steps: list[tuple[str, Any]] = [("wait", 38_000), ("commit", {"schemes": []}), ("wait", 30_000)]
    case = small.case(steps, asleep, probes=probes)
    case = replace(case, contexts=(*case.contexts, {**case.contexts[0], "schemes": []}))
    own, kernel = play_both(case, built())
    index = next(i for i, (one, other) in enumerate(zip(own.log, kernel.log, strict=False)) if one != other)
    before = next(values for _, where, values in reversed(own.log[:index]) if where == "call 0")
    assert own.log[index][1] == "call 0"
    assert own.log[index][2]["passed_sample_intervals"] == before["passed_sample_intervals"]
    assert _name(case, own, kernel) == "schemes gone while waiting"
    ahead = _changed(Played(own.log[index:]), "call 0", "passed_sample_intervals", 7).log
    assert _name(case, Played([*own.log[:index], *ahead]), kernel) is None


def test_a_wait_that_is_not_that_one_is_unexplained() -> None:
    case = small.case(_EMPTIED, small.scheme())
    own, kernel = play_both(case, built())
    index = next(i for i, (one, other) in enumerate(zip(own.log, kernel.log, strict=False)) if one != other)
    awake = [(time, where, dict(values)) for time, where, values in own.log]
    for _, _, values in awake[:index]:
        values.update({"scheme 0 wmarks.activated": True} if "scheme 0 wmarks.activated" in values else {})
    assert _name(case, Played(awake), Played([*awake[:index], *kernel.log[index:]])) is None
    moved = _changed(Played(kernel.log[index:]), "call 0", "passed_sample_intervals", -1).log
    assert _name(case, own, Played([*kernel.log[:index], *moved])) is None
    other = replace(case, steps=(*case.steps[:-2], ("commit", case.contexts[0]), *case.steps[-1:]))
    assert _name(other, *play_both(other, built())) is None
