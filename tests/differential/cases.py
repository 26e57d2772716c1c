# SPDX-License-Identifier: GPL-2.0-only
"""Random cases: a context, and what happens to it. A case is plain data, which hypothesis makes small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from damon.core import Damon, set_attrs
from damon.errors import DamonError
from damon.mm.interface import Machine
from damon.model.arrays import MAX_PROBES
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonProbe
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosMigrateDest,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.model.target import DamonTarget
from tests.differential.memory import PAGES, Pattern
from tests.fakes import PAGE

PIDS = range(1, 4)
_U32 = (1 << 32) - 1
_BIG = (1 << 64) - 1
Plain = dict[str, Any]


def _mostly(common: st.SearchStrategy[Any], rare: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.one_of(common, common, common, rare)


_ATTRS = st.fixed_dictionaries(
    {
        "sample": st.sampled_from([0, 1000, 5000, 5000, 5000, 7001, 20000, 50000]),
        "samples": st.one_of(st.integers(1, 3), st.integers(1, 25)),
        "updates": st.integers(0, 60),
        "min": st.integers(3, 20),
        "more": st.integers(0, 120),
        "goal": st.none() | st.tuples(st.integers(1, 10000), st.integers(1, 4), st.integers(1, 3), st.integers(1, 8)),
    }
)
_RANGES = st.lists(st.tuples(st.integers(0, PAGES - 2), st.integers(1, PAGES)), min_size=1, max_size=3)
_TARGET = st.fixed_dictionaries({"pid": st.sampled_from(list(PIDS)), "ranges": _RANGES, "obsolete": st.just(False)})
_BOUNDS = st.tuples(_mostly(st.just(0), st.integers(0, 20)), _mostly(st.just(_U32), st.integers(0, 30)))
_PATTERN = st.fixed_dictionaries(
    {
        "sz": st.tuples(_mostly(st.just(0), st.integers(0, 64)), _mostly(st.just(_BIG // PAGE), st.integers(0, PAGES))),
        "nr_accesses": _BOUNDS,
        "age": _BOUNDS,
    }
)
_GOAL = st.fixed_dictionaries(
    {
        "metric": st.sampled_from(list(DamosQuotaGoalMetric)),
        "target": _mostly(st.integers(1, 20000), st.just(0)),
        "current": st.integers(0, 20000),
        "nid": st.sampled_from([0, 1, 5, -1]),
        "memcg": st.sampled_from([0, 1, 2]),
    }
)
_QUOTA = st.fixed_dictionaries(
    {
        "ms": _mostly(st.just(0), st.integers(1, 20)),
        "sz": _mostly(st.integers(0, PAGES * PAGE), st.just(_BIG)),
        "reset": _mostly(st.integers(0, 600), st.just(1 << 32)),
        "weights": st.tuples(*[st.integers(0, 10)] * 3),
        "goals": st.lists(_GOAL, max_size=2),
        "tuner": st.sampled_from(list(DamosQuotaGoalTuner)),
        "fail": st.sampled_from([(0, 0), (0, 0), (1, 2), (0, 1), (5, 3)]),
    }
)
_FILTER = st.fixed_dictionaries(
    {
        "type": st.sampled_from(list(DamosFilterType)),
        "matching": st.booleans(),
        "allow": st.booleans(),
        "memcg": st.integers(0, 2),
        "range": st.tuples(st.integers(0, PAGES), st.integers(0, PAGES)),
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
_SCHEME = st.fixed_dictionaries(
    {
        "pattern": _PATTERN,
        "action": st.sampled_from(list(DamosAction)),
        "apply": _mostly(st.just(0), st.sampled_from([1, 5000, 12000, 55000])),
        "quota": st.none() | _QUOTA,
        "wmarks": _mostly(st.none(), _WMARKS),
        "filters": st.lists(_FILTER, max_size=3),
        "snapshots": _mostly(st.just(0), st.integers(1, 4)),
        "nid": st.sampled_from([-1, 0, 1]),
        "dests": _mostly(
            st.just([]), st.lists(st.tuples(st.integers(0, 1), st.integers(0, 3)), min_size=1, max_size=3)
        ),
    }
)
_PROBE = st.fixed_dictionaries(
    {
        "weight": st.one_of([st.integers(0, 3)] * 9 + [st.just(_U32)]),
        "filters": st.lists(
            st.tuples(st.sampled_from(list(DamonFilterType)), st.booleans(), st.booleans(), st.integers(0, 2)),
            max_size=2,
        ),
    }
)


def contexts(ops: str, asleep: bool = False) -> st.SearchStrategy[Plain]:
    """A context for that operations set; ``asleep``: all of its schemes have watermarks that often let them sleep."""
    paddr = ops == "paddr"
    scheme = _SCHEME.map(lambda one: {**one, "wmarks": _SLEEPER}) if asleep else _SCHEME
    return st.fixed_dictionaries(
        {
            "ops": st.just(ops),
            "attrs": _ATTRS,
            "targets": st.lists(_TARGET, min_size=1, max_size=1 if paddr else 3),
            "schemes": st.lists(scheme, max_size=3),
            "probes": st.just([]) | st.lists(_PROBE, min_size=1, max_size=MAX_PROBES) if paddr else st.just([]),
            "unit": _mostly(st.just(1), st.sampled_from([2, 16, 8192])) if paddr else st.just(1),
            "pause": st.just(False),
        }
    )


#: Parts of a context that a commit changes alone, so that commits which work are not rare.
_PARTS = ("attrs", "targets", "schemes", "probes")
#: Free memory in per mille that all of a sleeper's schemes sleep or work at.
_ASLEEP, _AWAKE = (10, 300, 950), (500, 600)
_SLEEPER = {"interval": 5000, "marks": (200, 450, 900)}


def _other_steps(draw: st.DrawFn, current: Plain, asleep: bool) -> tuple[str, Any]:
    free = st.sampled_from([*_ASLEEP, *_AWAKE]) if asleep else st.integers(0, 1000)
    state = st.tuples(free, st.integers(0, 50000), st.integers(0, 4000))
    return draw(
        st.one_of(
            st.just(("commit", current)),
            st.just(("walk", None)),
            state.map(lambda values: ("machine", values)),
            st.sampled_from(list(PIDS)).map(lambda pid: ("exit", pid)),
        )
    )


def _obsolete(draw: st.DrawFn, current: Plain) -> Plain:
    """One target, not the last that there is, goes."""
    targets = [dict(target) for target in current["targets"]]
    targets[draw(st.integers(0, len(targets) - 1))]["obsolete"] = True
    return {**current, "targets": targets}


def _settled(ctx: Plain) -> Plain:
    """What the context is after that commit: targets that were obsolete are gone."""
    return {**ctx, "targets": [target for target in ctx["targets"] if not target["obsolete"]]}


def _changed(draw: st.DrawFn, current: Plain, asleep: bool) -> Plain:
    """What a commit makes of ``current``: mostly one part is another."""
    kind = draw(st.sampled_from([*_PARTS, "weights", "obsolete", "pause", "all"]))
    if kind == "obsolete" and len(current["targets"]) > 1:
        return _obsolete(draw, current)
    if kind == "weights":
        return _reweighted(draw, current)
    if kind == "pause":
        return {**current, "pause": not current["pause"]}
    new = draw(contexts(current["ops"], asleep))
    return new if kind == "all" else {**current, kind: new[kind]} if kind in _PARTS else current


def _reweighted(draw: st.DrawFn, current: Plain) -> Plain:
    return {**current, "probes": [{**probe, "weight": draw(st.integers(0, 3))} for probe in current["probes"]]}


def _nap(draw: st.DrawFn, current: Plain, asleep: bool) -> list[tuple[str, Any]]:
    """A commit while all schemes sleep, after which they wake."""
    changed = _reweighted(draw, current) if draw(st.booleans()) else _changed(draw, current, asleep)
    free = draw(st.sampled_from(_ASLEEP)), draw(st.sampled_from(_AWAKE))
    wait = ("wait", draw(st.integers(6, 60)) * 1000)
    return [("machine", (free[0], 0, 0)), wait, ("commit", changed), ("machine", (free[1], 0, 0)), wait]


def _fewer(draw: st.DrawFn, current: Plain, asleep: bool) -> list[tuple[str, Any]]:
    """Schemes and probes go, and at once attributes change: what they left behind is looked at."""
    less = {**current, "probes": current["probes"][:1], "schemes": current["schemes"][:2]}
    attrs = draw(contexts(current["ops"], asleep))["attrs"]
    return [("commit", less), ("commit", {**less, "attrs": {**attrs, "goal": None}})]


def _steps(draw: st.DrawFn, current: Plain, asleep: bool) -> list[tuple[str, Any]]:
    steps: list[tuple[str, Any]] = []
    kinds = ["wait", "wait", "wait", "change", "change", "other", "fewer", *(["nap", "nap"] if asleep else [])]
    for _ in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(kinds))
        if kind == "wait":
            steps.append(("wait", draw(st.integers(1, 200)) * 1000 + 37))
        elif kind == "other":
            steps.append(_other_steps(draw, current, asleep))
        elif kind == "change":
            steps.append(("commit", _changed(draw, current, asleep)))
        else:
            steps += (_nap if kind == "nap" else _fewer)(draw, current, asleep)
        current = _settled(next((plain for name, plain in reversed(steps) if name == "commit"), current))
    return steps


@dataclass(frozen=True)
class Case:
    """``contexts``: those that run; ``steps``: what the user does, one after the other, to the first of them."""

    contexts: tuple[Plain, ...]
    steps: tuple[tuple[str, Any], ...]
    pattern: Pattern
    hz: int
    cost_ns: int
    seed: int


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any case."""
    ops = draw(st.sampled_from(["paddr", "paddr", "vaddr", "fvaddr"]))
    asleep = draw(st.integers(0, 2)) == 0
    ctxs = [draw(contexts(ops, asleep))]
    if draw(st.integers(0, 3)) == 0:
        ctxs.append(draw(contexts(draw(st.sampled_from(["paddr", "fvaddr"])))))
    pattern = Pattern(
        block=draw(st.sampled_from([1, 16, 64, 512])),
        share=draw(st.sampled_from([0, 16, 64, 128, 250])),
        epoch_us=draw(st.sampled_from([1000, 100_000, 10_000_000])),
        seed=draw(st.integers(0, 1000)),
    )
    steps = [("wait", draw(st.integers(1, 400)) * 1000), *_steps(draw, ctxs[0], asleep)]
    hz, cost = draw(st.sampled_from([0, 100, 250, 1000])), draw(st.sampled_from([0, 1000, 50_000]))
    return Case(tuple(ctxs), tuple(steps), pattern, hz, cost, draw(st.integers(0, 1 << 20)))


# -- from data to contexts


def make(damon: Damon, machine: Machine, plain: Plain, ctx: DamonCtx | None = None) -> DamonCtx:
    """The context that ``plain`` describes; what the model itself refuses is refused for both engines."""
    ctx = damon.new_ctx() if ctx is None else ctx
    damon.select_ops(ctx, plain["ops"])
    ctx.addr_unit = plain["unit"]
    ctx.min_region_sz = max(PAGE // ctx.addr_unit, 1)
    set_attrs(ctx, _attrs(plain["attrs"]))
    ctx.pause = plain["pause"]
    for wanted in plain["targets"]:
        target = DamonTarget()
        target.obsolete = wanted["obsolete"]
        if plain["ops"] != "paddr":
            target.space = machine.open_process(wanted["pid"])
        for start, end in _joined(wanted["ranges"]):
            target.regions.append(start * PAGE // ctx.addr_unit, end * PAGE // ctx.addr_unit)
        ctx.targets.append(target)
    ctx.probes[:] = [
        DamonProbe(one["weight"], [DamonFilter(*parts) for parts in one["filters"]]) for one in plain["probes"]
    ]
    ctx.schemes[:] = [_scheme(one, ctx) for one in plain["schemes"]]
    return ctx


def _attrs(plain: Plain) -> DamonAttrs:
    sample = plain["sample"]
    attrs = DamonAttrs(
        sample_interval=sample,
        aggr_interval=max(sample, 1) * plain["samples"],
        ops_update_interval=max(sample, 1) * plain["updates"],
        min_nr_regions=plain["min"],
        max_nr_regions=plain["min"] + plain["more"],
    )
    if plain["goal"]:
        bp, aggrs, down, up = plain["goal"]
        attrs.intervals_goal = DamonIntervalsGoal(bp, aggrs, sample // down, sample * up)
    return attrs


def _joined(ranges: list[tuple[int, int]]) -> list[tuple[int, int]]:
    """Sorted, disjoint, in bounds, of two pages or more."""
    result: list[tuple[int, int]] = []
    for start, length in sorted(ranges):
        start = max(start, result[-1][1] + 2 if result else 0) & ~1
        end = min(start + max(length & ~1, 2), PAGES)
        if end - start >= 2:
            result.append((start, end))
    return result or [(0, PAGES)]


def _scheme(plain: Plain, ctx: DamonCtx) -> Damos:
    low, high = plain["pattern"]["sz"]
    pattern = DamosAccessPattern.__new__(DamosAccessPattern)  # bounds the wrong way round are legal, and warn
    pattern.min_sz_region, pattern.max_sz_region = low * PAGE // ctx.addr_unit, high * PAGE // ctx.addr_unit
    pattern.min_nr_accesses, pattern.max_nr_accesses = plain["pattern"]["nr_accesses"]
    pattern.min_age_region, pattern.max_age_region = plain["pattern"]["age"]
    scheme = Damos(pattern, plain["action"], plain["apply"], target_nid=plain["nid"])
    if plain["quota"]:
        scheme.quota = _quota(plain["quota"])
    if plain["wmarks"]:
        low, mid, high = sorted(plain["wmarks"]["marks"])
        metric = DamosWmarkMetric.FREE_MEM_RATE
        scheme.wmarks = DamosWatermarks(metric, plain["wmarks"]["interval"], high, mid, low)
    for one in plain["filters"]:
        start, end = sorted(one["range"])
        scheme.add_filter(
            DamosFilter(
                one["type"], one["matching"], one["allow"], memcg_id=one["memcg"], target_idx=one["index"],
                addr_start=start * PAGE // ctx.addr_unit + 5, addr_end=end * PAGE // ctx.addr_unit + 5,
                sz_min=one["size"][0], sz_max=one["size"][1],
            )
        )  # fmt: skip
    scheme.max_nr_snapshots = plain["snapshots"]
    scheme.migrate_dests = [DamosMigrateDest(nid, weight) for nid, weight in plain["dests"]]
    return scheme


def _quota(plain: Plain) -> DamosQuota:
    size, accesses, age = plain["weights"]
    quota = DamosQuota(plain["ms"], plain["sz"], plain["reset"], size, accesses, age)
    quota.goal_tuner = plain["tuner"]
    quota.fail_charge_num, quota.fail_charge_denom = plain["fail"]
    for one in plain["goals"]:
        goal = DamosQuotaGoal(one["metric"], one["target"], one["current"])
        goal.nid, goal.memcg_id = one["nid"], one["memcg"]
        quota.goals.append(goal)
    return quota


def errno_of(error: BaseException) -> int:
    """What of an error both engines must have in common."""
    return (error.errno or 0) if isinstance(error, DamonError) else -1
