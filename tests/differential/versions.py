# SPDX-License-Identifier: GPL-2.0-only
"""Cases for versions before 7.3: what such a version does not have is not asked of it.

Left out are features that it lacks, requests that would break its C, and two of its habits that change everything after
them: probes are counted in another way, and a commit or start that is refused has changed something by then. What else
it does differently has a predicate each in ``known.py``.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from damon.model.scheme import DamosQuotaGoalMetric, DamosQuotaGoalTuner
from tests.differential.cases import BIG, Case, Plain

_USER = DamosQuotaGoalMetric.USER_INPUT
#: Its first evaluation makes no effect since 7.3 only; the node of the other is not committed before.
_LATER = (DamosQuotaGoalMetric.SOME_MEM_PSI_US, DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP)


def follows_all(version: str) -> bool:
    """Does that version have all that pydamon follows?"""
    return not version.startswith(("6.", "7.0", "7.1", "7.2"))


def fitted(version: str, case: Case) -> Case:
    """``case`` as that version can be asked to play it."""
    if follows_all(version):
        return case
    steps = tuple((name, _step(name, value)) for name, value in case.steps if name != "refused")
    return replace(case, contexts=tuple(_context(plain) for plain in case.contexts), steps=steps)


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
