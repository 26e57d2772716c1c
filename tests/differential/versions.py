# SPDX-License-Identifier: GPL-2.0-only
"""Cases for versions before 7.3: what such a version does not have is not asked of it.

Left out are features that it lacks, requests that would break its C, and two of its habits that change everything after
them: probes are counted in another way, and a commit or start that is refused has changed something by then. What else
it does differently has a predicate each in ``known.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from damon.model.scheme import DamosAction, DamosQuotaGoalMetric, DamosQuotaGoalTuner
from tests.differential.cases import BIG, Case, Plain

_USER = DamosQuotaGoalMetric.USER_INPUT
#: Its first evaluation makes no effect since 7.3 only; the node of the other is not committed before.
_LATER = (DamosQuotaGoalMetric.SOME_MEM_PSI_US, DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP)
#: What 6.12 has.
_OLD_FILTERS = frozenset({"ANON", "MEMCG", "ADDR", "TARGET", "YOUNG"})
_NEW_ACTIONS = frozenset({"COLLAPSE"})


def comparable(version: str) -> bool:
    """Is it near enough to 7.3 that a known difference is an exception? 6.x differs at the first sample."""
    return not version.startswith("6.")


def follows_all(version: str) -> bool:
    """Does that version have all that pydamon follows?"""
    return not version.startswith(("6.", "7.0", "7.1", "7.2"))


def fitted(version: str, case: Case) -> Case:
    """``case`` as that version can be asked to play it."""
    if follows_all(version):
        return case
    steps = tuple((name, _step(name, value)) for name, value in case.steps if name != "refused")
    case = replace(case, contexts=tuple(_context(plain) for plain in case.contexts), steps=steps)
    return case if comparable(version) else _without_new(case)


def _without_new(case: Case) -> Case:
    """``case`` for 6.x, which has no walks, no tuning of intervals, no units of addresses and no pause."""
    steps = tuple((name, _old_step(name, value)) for name, value in case.steps if name != "walk")
    return replace(case, contexts=tuple(_old_context(plain) for plain in case.contexts), steps=steps, sysfs=None)


def _old_step(name: str, value: Any) -> Any:
    if name == "commit":
        return _old_context(value)
    return [_old_goals(goals) for goals in value] if name == "goals" else value


def _old_context(plain: Plain) -> Plain:
    attrs = {**plain["attrs"], "goal": None}
    schemes = [_old_scheme(scheme) for scheme in plain["schemes"]]
    targets = [target for target in plain["targets"] if not target["obsolete"]]
    return {**plain, "attrs": attrs, "unit": 1, "pause": False, "schemes": schemes, "targets": targets}


def _old_scheme(plain: Plain) -> Plain:
    filters = [{**one, "allow": False} for one in plain["filters"] if one["type"].name in _OLD_FILTERS]
    scheme = {**plain, "snapshots": 0, "dests": [], "filters": filters}
    if scheme["action"].name in _NEW_ACTIONS:
        scheme["action"] = DamosAction.STAT
    quota = scheme["quota"]
    if quota is not None:
        goals = _old_goals(quota["goals"])
        scheme["quota"] = {**quota, "tuner": DamosQuotaGoalTuner.CONSIST, "fail": (0, 0), "goals": goals}
    return scheme


def _old_goals(plain: list[Plain]) -> list[Plain]:
    return [{**goal, "metric": _USER} for goal in plain]


def _step(name: str, value: Any) -> Any:
    if name == "commit":
        return _context(value)
    return [_goals(goals) for goals in value] if name == "goals" else value


def _context(plain: Plain) -> Plain:
    attrs = {**plain["attrs"], "sample": max(plain["attrs"]["sample"], 1)}  # 0 counts in windows of one sample there
    return {**plain, "attrs": attrs, "probes": [], "schemes": [_scheme(scheme) for scheme in plain["schemes"]]}


def _scheme(plain: Plain) -> Plain:
    quota = plain["quota"]
    if quota is None:
        return plain
    quota = {**quota, "goals": _goals(quota["goals"])}
    if quota["sz"] == BIG:  # overflows in the temporal tuner
        quota["tuner"] = DamosQuotaGoalTuner.CONSIST
    return {**plain, "quota": quota}


def _goals(plain: list[Plain]) -> list[Plain]:
    return [
        {**goal, "target": goal["target"] or 1, "metric": _USER if goal["metric"] in _LATER else goal["metric"]}
        for goal in plain
    ]
