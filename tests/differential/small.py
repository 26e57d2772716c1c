# SPDX-License-Identifier: GPL-2.0-only
"""Small cases written by hand."""

from __future__ import annotations

from typing import Any

from damon.model.scheme import DamosAction, DamosQuotaGoalMetric, DamosQuotaGoalTuner
from tests.differential.cases import BIG, HIGH, LOW, MID, U32, Case, Plain
from tests.differential.memory import Pattern
from tests.fakes import PAGE

_ATTRS = {"sample": 5000, "samples": 4, "updates": 0, "min": 3, "more": 10, "goal": None}
_TARGET = {"pid": 1, "ranges": [(0, 4096)], "obsolete": False}


def scheme(apply: int = 0) -> Plain:
    """Statistics of all regions, with a sleeper's watermarks; due each ``apply`` half samples."""
    return {
        "pattern": {"sz": (0, BIG // PAGE), "nr_accesses": (0, U32), "age": (0, U32)}, "action": DamosAction.STAT,
        "apply": apply, "quota": None, "wmarks": {"interval": 5000, "marks": (LOW, MID, HIGH)}, "filters": [],
        "snapshots": 0, "nid": -1, "dests": [],
    }  # fmt: skip


def goal(target: int, current: int = 0) -> Plain:
    """One whose value the user gives."""
    return {"metric": DamosQuotaGoalMetric.USER_INPUT, "target": target, "current": current, "nid": 0, "memcg": 0}


def quota(*goals: Plain) -> Plain:
    """Without other limits than ``goals``; windows of 20 ms."""
    return {
        "ms": 0, "sz": 0, "reset": 20, "weights": (0, 0, 0), "goals": list(goals),
        "tuner": DamosQuotaGoalTuner.CONSIST, "fail": (0, 0),
    }  # fmt: skip


def case(steps: list[tuple[str, Any]], *schemes: Plain, **parts: Any) -> Case:
    """Physical memory; ``parts`` are others of the context than usual, and what a commit names is other than there."""
    ctx: Plain = {
        "ops": "paddr", "attrs": _ATTRS, "targets": [_TARGET], "schemes": list(schemes), "probes": [], "unit": 1,
        "pause": False, **parts,
    }  # fmt: skip
    filled = [(name, {**ctx, **value} if name == "commit" else value) for name, value in steps]
    return Case((ctx,), tuple(filled), Pattern(16, 64, 100_000, 1), 0, 0, 1)
