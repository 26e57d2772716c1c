# SPDX-License-Identifier: GPL-2.0-only
"""Random contexts and cases: plain data, which hypothesis makes small. ``steps.py`` draws what happens to a context."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from hypothesis import strategies as st

from damon.core.level import of_level
from damon.model.arrays import MAX_PROBES
from damon.model.level import Level
from damon.model.probe import DamonFilterType
from damon.model.scheme import DamosAction, DamosFilterType, DamosQuotaGoalMetric, DamosQuotaGoalTuner
from tests.differential.memory import PAGES, Pattern
from tests.fakes import PAGE

PIDS = range(1, 4)
U32 = (1 << 32) - 1
BIG = (1 << 64) - 1
Plain = dict[str, Any]
Draws = st.SearchStrategy[Any]
#: Free memory in per mille. A sleeper falls asleep outside of its marks, and wakes only below the middle one.
LOW, MID, HIGH = 200, 450, 900
ASLEEP, AWAKE = (10, LOW - 1, HIGH + 1), (LOW, 300, MID - 1)


@dataclass(frozen=True)
class Focus:
    """What a case has much of, so that states which need several things at once are not rare.

    ``asleep``: most schemes have a sleeper's watermarks. ``probed``: probes with weights, and few samples an
    aggregation. ``limited``: small quotas, and time enough for ages of seconds. ``shared``: several targets.
    ``within``: schemes that are due within an aggregation and go by accesses, with goals of what they match.
    """

    asleep: bool = False
    probed: bool = False
    limited: bool = False
    shared: bool = False
    within: bool = False


def mostly(common: Draws, rare: Draws, times: int = 3) -> Draws:
    """``common`` so many times as often as ``rare``: of one strategy that is given twice ``st.one_of`` takes one."""
    return st.sampled_from([*[common] * times, rare]).flatmap(lambda chosen: chosen)


def _small(most: int) -> Draws:
    """Numbers at the lower end more often."""
    return st.one_of(st.integers(0, 3), st.integers(0, most))


def _samples(focus: Focus) -> Draws:
    if focus.within:
        return st.integers(3, 12)
    return st.integers(1, 3) if focus.probed or focus.limited else st.integers(1, 3) | st.integers(1, 25)


def _attrs(focus: Focus) -> Draws:
    sample = st.sampled_from([0, 1000, 5000, 5000, 5000, 7001, 20000, 50000])
    return st.fixed_dictionaries(
        {
            "sample": mostly(st.sampled_from([100_000, 200_000]), sample, 1) if focus.limited else sample,
            "samples": _samples(focus),
            "updates": st.integers(0, 60),
            "min": st.integers(3, 20),
            "more": st.integers(20, 120) if focus.probed else st.integers(0, 120),
            "goal": mostly(
                st.none(), st.tuples(st.integers(1, 10000), st.integers(1, 4), st.integers(1, 3), st.integers(1, 8))
            ),
        }
    )


_RANGES = st.lists(st.tuples(st.integers(0, PAGES - 2), st.integers(1, PAGES)), min_size=1, max_size=3)
_TARGET = st.fixed_dictionaries({"pid": st.sampled_from(list(PIDS)), "ranges": _RANGES, "obsolete": st.just(False)})
_BOUNDS = st.tuples(mostly(st.just(0), _small(20)), mostly(st.just(U32), _small(30)))
_FEW = st.tuples(st.integers(0, 4), mostly(st.just(U32), st.integers(1, 8), 1))


def _pattern(focus: Focus) -> Draws:
    sizes = st.tuples(mostly(st.just(0), st.integers(0, 64)), mostly(st.just(BIG // PAGE), st.integers(0, PAGES)))
    accesses = _FEW if focus.within else _BOUNDS
    return st.fixed_dictionaries({"sz": sizes, "nr_accesses": accesses, "age": _BOUNDS})


def _goal(focus: Focus) -> Draws:
    metric = st.sampled_from(list(DamosQuotaGoalMetric))
    eligible = st.just(DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP)
    return st.fixed_dictionaries(
        {
            "metric": mostly(eligible, metric) if focus.within else metric,
            "target": mostly(st.integers(1, 20000) | st.sampled_from([1, 5000, 10000]), st.just(0), 99),
            "current": st.integers(0, 20000) | st.sampled_from([0, 4999, 5000, 9999, 10000]),
            "nid": st.sampled_from([0, 0, 1, 1, 5, -1]),
            "memcg": st.sampled_from([0, 1, 2]),
        }
    )


GOAL = _goal(Focus())


def _quota(focus: Focus) -> Draws:
    few = st.tuples(st.integers(1, 64), st.integers(-1, 1)).map(lambda pages: pages[0] * PAGE + pages[1])
    sizes = few if focus.limited else mostly(few | st.integers(0, PAGES * PAGE), st.just(BIG), 9)
    return st.fixed_dictionaries(
        {
            "ms": mostly(st.just(0), st.integers(1, 20)),
            "sz": sizes,
            "reset": mostly(_small(40) | st.integers(0, 600), st.just(1 << 32), 9),
            "weights": st.tuples(*[st.integers(0, 10)] * 3),
            "goals": st.just([]) if focus.limited else st.lists(_goal(focus), min_size=int(focus.within), max_size=2),
            "tuner": st.sampled_from(list(DamosQuotaGoalTuner)),
            "fail": st.sampled_from([(0, 0), (0, 0), (1, 2), (0, 1), (5, 3)]),
        }
    )


_FILTER = st.fixed_dictionaries(
    {
        "type": st.sampled_from([*DamosFilterType, DamosFilterType.ADDR]),
        "matching": st.booleans(),
        "allow": st.booleans(),
        "memcg": st.integers(0, 2),
        "range": st.tuples(st.integers(0, PAGES), st.integers(0, PAGES)),
        "off": st.sampled_from([0, 5]),
        "index": st.integers(0, 3),
        "size": st.sampled_from([(0, PAGE), (PAGE, PAGE), (PAGE + 1, 1 << 21)]),
    }
)
_WMARKS = st.fixed_dictionaries(
    {
        "interval": st.sampled_from([1000, 5000, 23000, 100000]),
        "marks": st.tuples(*[st.integers(0, 1000)] * 3),
    }
)
_SLEEPER = st.just({"interval": 5000, "marks": (LOW, MID, HIGH)})


def _scheme(focus: Focus) -> Draws:
    quota = _quota(focus)
    return st.fixed_dictionaries(
        {
            "pattern": _pattern(focus),
            "action": st.sampled_from(list(DamosAction)),
            "apply": st.integers(1, 8) if focus.within else mostly(st.just(0), st.integers(1, 30)),
            "quota": quota if focus.limited or focus.within else st.none() | quota,
            "wmarks": mostly(_SLEEPER, st.none(), 5) if focus.asleep else mostly(st.none(), _WMARKS),
            "filters": st.lists(_FILTER, max_size=3),
            "snapshots": mostly(st.just(0), st.integers(1, 4)),
            "nid": st.sampled_from([-1, 0, 1]),
            "dests": mostly(
                st.just([]), st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=3)
            ),
        }
    )


QUOTA, SCHEME = _quota(Focus()), _scheme(Focus())
_PROBE_FILTERS = of_level(Level.V7_3, DamonFilterType)
_PROBE = st.fixed_dictionaries(
    {
        "weight": mostly(st.integers(0, 3), st.just(U32), 39),
        "filters": st.lists(
            st.tuples(
                st.sampled_from(of_level(Level.V7_3, DamonFilterType)), st.booleans(), st.booleans(), st.integers(0, 2)
            ),
            max_size=2,
        ),
    }
)


def _probes(ops: str, focus: Focus) -> Draws:
    if ops != "paddr":
        return st.just([])
    probes = st.lists(_PROBE, min_size=2 if focus.probed else 1, max_size=MAX_PROBES)
    return probes if focus.probed else st.just([]) | probes


@lru_cache
def contexts(ops: str, focus: Focus = Focus()) -> st.SearchStrategy[Plain]:
    """A context for that operations set."""
    paddr = ops == "paddr"
    schemes = st.lists(_scheme(focus), min_size=int(focus.asleep or focus.limited or focus.within), max_size=3)
    return st.fixed_dictionaries(
        {
            "ops": st.just(ops),
            "attrs": _attrs(focus),
            "targets": st.lists(_TARGET, min_size=2 if focus.shared and not paddr else 1, max_size=1 if paddr else 3),
            "schemes": schemes,
            "probes": _probes(ops, focus),
            "unit": mostly(st.just(1), st.sampled_from([2, 16, 8192])) if paddr else st.just(1),
            "pause": st.just(False),
        }
    )


@dataclass(frozen=True)
class Case:
    """``contexts``: those that run; ``steps``: what the user does, one after the other, to the first of them.

    ``sysfs``: None, the library's user; else all goes through files of the sysfs tree, with that ``refresh_ms``.
    """

    contexts: tuple[Plain, ...]
    steps: tuple[tuple[str, Any], ...]
    pattern: Pattern
    hz: int
    cost_ns: int
    seed: int
    sysfs: int | None = None
