# SPDX-License-Identifier: GPL-2.0-only
"""What of DAMON a case has met, so that a run that meets nothing does not look clean."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from typing import Any, Final

from tests.differential.cases import Case
from tests.differential.play import Entry

Values = dict[str, Any]
#: From so many cases on each of ``NAMES`` must have been met, those of ``RARE`` from ten times as many on.
ENOUGH: Final = 300
RARE: Final = frozenset({"worker ended by itself", "goals refused"})


def _schemes(values: Values) -> Iterator[str]:
    index = 0
    while f"scheme {index} next_apply_sis" in values:
        yield f"scheme {index}"
        index += 1


def _any(field: str) -> Callable[[Values], bool]:
    return lambda values: any(values[f"{scheme} {field}"] for scheme in _schemes(values))


def _sleeps(values: Values) -> bool:
    schemes = list(_schemes(values))
    return bool(schemes) and not any(values[f"{scheme} wmarks.activated"] for scheme in schemes)


#: By the last dump before a step, or before the end: counts only grow.
_DUMPS: Final[dict[str, Callable[[Values], bool]]] = {
    "tried": _any("stat.nr_tried"),
    "applied": _any("stat.sz_applied"),
    "quota exceeded": _any("stat.qt_exceeds"),
    "passed ops filters": _any("stat.sz_ops_filter_passed"),
    "goal tuned": _any("quota.esz_bp"),
    "time charged": _any("quota.total_charged_ns"),
    "resume point": _any("quota.charge_addr_from"),
    "score limit": _any("quota.min_score"),
    "all schemes sleep": _sleeps,
    "probe hits": lambda values: any(row[5] != bytes(4) for row in values.get("target 0 regions", ())),
    "ages": lambda values: any(row[4] for row in values.get("target 0 regions", ())),
    "several targets": lambda values: bool(values.get("target 1 regions")),
}
_STEPS: Final = ("start", "commit", "goals", "walk")
_OTHERS: Final = (
    "commit while all sleep", "commit while paused", "intervals tuned", "walk saw regions", "worker ended by itself",
    "several contexts", "sysfs", "watched to the end",
)  # fmt: skip
NAMES: Final = (*_DUMPS, *_STEPS, *(f"{name} refused" for name in _STEPS), *_OTHERS)
#: What 6.x has no code for, or is not asked for.
_NEW: Final = frozenset({
    "passed ops filters", "probe hits", "walk", "walk refused", "walk saw regions", "commit while paused",
    "intervals tuned", "sysfs", "start refused",
})  # fmt: skip


def met(case: Case, log: list[Entry]) -> set[str]:
    """The ``NAMES`` that this case met."""
    found = _of_dumps(log) | _of_steps(log)
    if len(case.contexts) > 1:
        found.add("several contexts")
    if case.sysfs is not None:
        found.add("sysfs")
    if any(where == "end" for _, where, _ in log):
        found.add("watched to the end")
    if any(where == "end" and not all(values["running"]) for _, where, values in log):
        found.add("worker ended by itself")
    return found


def _of_dumps(log: list[Entry]) -> set[str]:
    found: set[str] = set()
    last: Values = {}
    for _, where, values in log:
        if where.endswith(" 0"):
            if last and values["next_intervals_tune_sis"] > last["next_intervals_tune_sis"]:
                found.add("intervals tuned")
            last = values
        elif where in ("commit", "stopped", "walk begins") and last:
            found |= {name for name, holds in _DUMPS.items() if holds(last)}
    return found


def _of_steps(log: list[Entry]) -> set[str]:
    found: set[str] = set()
    last: Values = {}
    for _, where, values in log:
        if where in _STEPS:
            found.add(where if not values["error"] else f"{where} refused")
        if where == "commit" and _sleeps(last):
            found.add("commit while all sleep")
        if where == "commit" and last.get("pause"):
            found.add("commit while paused")
        if where == "walked" and values["seen"]:
            found.add("walk saw regions")
        last = values if where == "call 0" else last
    return found


def missing(counts: Counter[str], cases: int, *, old: bool = False) -> list[str]:
    """The ``NAMES`` that none of ``cases`` met although they are enough for it. ``old``: of those that 6.x has."""
    names = [name for name in NAMES if not (old and name in _NEW)]
    return [name for name in names if not counts[name] and cases >= ENOUGH * (10 if name in RARE else 1)]


def shares(counts: Counter[str], cases: int) -> str:
    """One line: the share of the cases that met each."""
    return ", ".join(f"{name} {100 * counts[name] / max(cases, 1):.0f} %" for name in NAMES)
