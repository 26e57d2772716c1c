# SPDX-License-Identifier: GPL-2.0-only
"""Random cases: contexts, and what happens to the first of them while they run."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.differential.cases import (
    ASLEEP,
    AWAKE,
    GOAL,
    HIGH,
    LOW,
    MID,
    PIDS,
    QUOTA,
    SCHEME,
    U32,
    Case,
    Focus,
    Plain,
    contexts,
)
from tests.differential.memory import Pattern

Step = tuple[str, Any]
#: Parts of a context that a commit changes alone, so that commits which work are not rare.
_PARTS = ("attrs", "targets", "schemes", "probes")
_CHANGES = (*_PARTS, *_PARTS, "weights", "obsolete", "one more", "pause", "pause", "all")
_RATES = (*ASLEEP, *AWAKE, LOW + 1, MID, MID + 1, HIGH - 1, HIGH)


def _wait(draw: st.DrawFn, current: Plain, focus: Focus) -> Step:
    """Some samples: a case is watched for a number of observations, and most of its steps shall be seen.

    Quotas and goals need some aggregations before they limit anything.
    """
    samples = draw(st.integers(20, 60) if focus.limited or focus.within else st.integers(1, 40))
    return "wait", samples * max(current["attrs"]["sample"], 1) + 37


def _rates(focus: Focus) -> st.SearchStrategy[int]:
    return st.sampled_from(_RATES) if focus.asleep else st.integers(0, 1000)


def _other(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    state = st.tuples(_rates(focus), st.integers(0, 50000), st.integers(0, 4000))
    later = st.tuples(st.integers(1, 30), _rates(focus))
    sample = max(current["attrs"]["sample"], 1)
    goals = st.lists(st.lists(GOAL, max_size=2), min_size=1, max_size=3)
    return [
        draw(
            st.one_of(
                st.just(("commit", current)),
                state.map(lambda values: ("machine", values)),
                later.map(lambda values: ("later", (values[0] * sample, values[1]))),
                goals.map(lambda values: ("goals", values)),
            )
        )
    ]


def _obsolete(draw: st.DrawFn, current: Plain) -> Plain:
    """One target, not the last that there is, goes."""
    targets = [dict(target) for target in current["targets"]]
    targets[draw(st.integers(0, len(targets) - 1))]["obsolete"] = True
    return {**current, "targets": targets}


def _spoils(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    """A commit that is refused for one thing, and changes nothing."""
    goal = {**draw(GOAL), "target": 0}
    scheme = {**draw(SCHEME), "quota": {**draw(QUOTA), "goals": [goal]}}
    bad: list[Plain] = [
        {"unit": 3},
        {"schemes": [*current["schemes"], scheme]},
        {"targets": [*current["targets"], {**current["targets"][-1], "obsolete": True}]},
        {"probes": [{**probe, "weight": U32} for probe in current["probes"]]},
    ]
    changes: list[Step] = [("refused", {**current, **spoilt}) for spoilt in bad]
    return [draw(st.sampled_from([*changes, ("goals", [[goal]])]))]


def _settled(ctx: Plain) -> Plain:
    """What the context is after that commit: targets that were obsolete are gone."""
    return {**ctx, "targets": [target for target in ctx["targets"] if not target["obsolete"]]}


def _changed(draw: st.DrawFn, current: Plain, focus: Focus) -> Plain:
    """What a commit makes of ``current``: mostly one part is another."""
    kind = draw(st.sampled_from(_CHANGES))
    if kind == "obsolete" and len(current["targets"]) > 1:
        return _obsolete(draw, current)
    if kind == "one more":
        return {**current, "schemes": [*current["schemes"], draw(SCHEME)]}
    if kind == "weights":
        return _reweighted(draw, current)
    if kind == "pause":
        return {**current, "pause": not current["pause"]}
    new: Plain = draw(contexts(current["ops"], focus))
    return new if kind == "all" else {**current, kind: new[kind]} if kind in _PARTS else current


def _reweighted(draw: st.DrawFn, current: Plain) -> Plain:
    return {**current, "probes": [{**probe, "weight": draw(st.integers(0, 3))} for probe in current["probes"]]}


def _nap(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    """A commit while all schemes sleep, after which they wake."""
    changed = _reweighted(draw, current) if draw(st.booleans()) else _changed(draw, current, focus)
    asleep, awake = draw(st.sampled_from(ASLEEP)), draw(st.sampled_from((*AWAKE, MID)))  # at the middle no scheme wakes
    falls_asleep = ("wait", 2 * current["attrs"]["sample"] + 12_000)
    waking = ("machine", (awake, 0, 0))
    return [("machine", (asleep, 0, 0)), falls_asleep, ("commit", changed), waking, _wait(draw, current, focus)]


def _fewer(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    """Schemes and probes go, and at once attributes change: what they left behind is looked at."""
    less = {**current, "probes": current["probes"][:1], "schemes": current["schemes"][:2]}
    attrs = draw(contexts(current["ops"], focus))["attrs"]
    return [("commit", less), ("commit", {**less, "attrs": {**attrs, "goal": None}})]


def _interrupted(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    """A walk during which memory becomes short or plenty, and another one after that."""
    later = draw(st.integers(1, 8)) * max(current["attrs"]["sample"], 1)
    back = later + draw(st.integers(12_000, 40_000))
    asleep, awake = draw(st.sampled_from(ASLEEP)), draw(st.sampled_from(AWAKE))
    return [("later", (later, asleep)), ("later", (back, awake)), ("walk", None), ("wait", back), ("walk", None)]


def _changes(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    return [("commit", _changed(draw, current, focus))]


def _leaves(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    """A target goes, perhaps the one that a full quota left off in, and some samples later another one."""
    if len(current["targets"]) < 2:
        return [_wait(draw, current, focus)]
    return [("commit", _obsolete(draw, current)), _wait(draw, current, focus)]


def _waits(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    return [_wait(draw, current, focus)]


def _exits(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    """Processes end: some, or all, and with them the worker."""
    pids = st.sampled_from([tuple(PIDS), *((pid,) for pid in PIDS)])
    return [("exit", draw(pids)), _wait(draw, current, focus)]


def _walks(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    return [("walk", None)]


_KINDS = [*[_waits] * 4, *[_changes] * 4, _other, _other, _walks, _walks, _fewer, _spoils, _exits]


def _steps(draw: st.DrawFn, current: Plain, focus: Focus) -> list[Step]:
    steps: list[Step] = [_wait(draw, current, focus)]
    kinds = [*_KINDS, *([*[_nap] * 4, *[_interrupted] * 2] if focus.asleep else [_fewer] * 4 if focus.probed else [])]
    kinds += [_leaves] * 4 if focus.shared else []
    for _ in range(draw(st.integers(1, 7))):
        new = draw(st.sampled_from(kinds))(draw, current, focus)
        steps += new
        current = _settled(next((plain for name, plain in reversed(new) if name == "commit"), current))
    return steps


_FOCUS = [
    ("any", Focus()),
    ("any", Focus()),
    ("any", Focus(asleep=True)),
    ("paddr", Focus(probed=True)),
    ("paddr", Focus(asleep=True, probed=True)),
    ("any", Focus(limited=True)),
    ("pids", Focus(limited=True, shared=True)),
    ("paddr", Focus(within=True)),
    ("paddr", Focus(within=True)),
]
_OPS = {"any": ["paddr", "paddr", "vaddr", "fvaddr"], "paddr": ["paddr"], "pids": ["vaddr", "fvaddr"]}


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Any case."""
    which, focus = draw(st.sampled_from(_FOCUS))
    ctxs = [draw(contexts(draw(st.sampled_from(_OPS[which])), focus))]
    if draw(st.sampled_from([False] * 4 + [True])):
        ctxs.append(draw(contexts(draw(st.sampled_from(["paddr", "fvaddr"])))))
    pattern = Pattern(
        block=draw(st.sampled_from([1, 16, 64, 512])),
        share=draw(st.sampled_from([0, 16, 64, 128, 250])),
        epoch_us=draw(st.sampled_from([1000, 100_000, 10_000_000])),
        seed=draw(st.integers(0, 1000)),
    )
    steps = _steps(draw, ctxs[0], focus)
    hz, cost = draw(st.sampled_from([0, 100, 250, 1000])), draw(st.sampled_from([0, 1000, 50_000]))
    sysfs = draw(st.sampled_from([None] * 12 + [0, 0, 20, 100]))
    return Case(tuple(ctxs), tuple(steps), pattern, hz, cost, draw(st.integers(0, 1 << 20)), sysfs)
