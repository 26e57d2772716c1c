# SPDX-License-Identifier: GPL-2.0-only
"""``damon why``: constructed failures, the cause that is found for each, and whether its remedy helps."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, Final

import pytest

from damon.errors import InvalidInput
from damon.model.attrs import ULONG_MAX, DamonAttrs
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.results.truth import RATES
from damon.results.why import Cause, Explanation, explain
from damon.workload.tracefile.form import TRUTH, TracedArea, pack_rows
from damon.workload.tracefile.writer import TraceWriter
from tests.results.runs import machine_of, recorded
from tests.workload.traces import Window, write

_M: Final = 1 << 20
_U32: Final = (1 << 32) - 1
_HOT_COLD: Final = {
    "areas": {"hot": {"size": "32M"}, "cold": {"size": "128M"}},
    "phases": [{"duration": "10s", "access": [{"area": "hot", "rate": "200k"}]}],
    "machine": {"memory": "512M"},
}
#: Small areas in turn: one is accessed, the next one is not.
_STRIPES: Final = {
    "areas": {f"{'hc'[index % 2]}{index}": {"size": "2M"} for index in range(40)},
    "phases": [{"duration": "10s", "access": [{"area": f"h{index}", "rate": "20k"} for index in range(0, 40, 2)]}],
    "machine": {"memory": "256M"},
}
#: Each page is accessed every 8 s.
_SPARSE: Final = {
    "areas": {"warm": {"size": "128M"}},
    "phases": [{"duration": "10s", "access": [{"area": "warm", "rate": "4k"}]}],
    "machine": {"memory": "512M"},
}
_NODES: Final = {**_HOT_COLD, "machine": {"nodes": [{"size": "512M"}, {"size": "512M"}]}}


def _scheme(age: int = 20, action: DamosAction = DamosAction.PAGEOUT, **fields: Any) -> Damos:
    """For what is not accessed for ``age`` aggregation intervals."""
    pattern = fields.pop("pattern", DamosAccessPattern(4096, ULONG_MAX, 0, 0, age, _U32))
    return Damos(pattern=pattern, action=action, **fields)


def _quota(size: int) -> DamosQuota:
    return DamosQuota(sz=size, reset_interval=1000, weight_age=1000)


def _marks(high: int, mid: int) -> DamosWatermarks:
    return DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 1_000_000, high, mid, 0)


def _addr(end: int) -> list[DamosFilter]:
    return [DamosFilter(DamosFilterType.ADDR, True, addr_start=0, addr_end=end)]


def _goal(target: int) -> DamosQuota:
    goal = DamosQuotaGoal(DamosQuotaGoalMetric.NODE_MEM_FREE_BP, target)
    return DamosQuota(reset_interval=1000, goals=[goal])


@dataclass(frozen=True)
class _Case:
    """A run in which something keeps the scheme from its work."""

    workload: Mapping[str, Any]
    scheme: Callable[[], Damos]
    cause: Cause
    remedy: Mapping[str, Any]  #: what the remedy changes of this case; empty: none is needed
    words: tuple[str, ...] = ()  #: of sentence and remedy
    seconds: float = 20
    options: Mapping[str, Any] = field(default_factory=dict)


_CASES: Final = {
    "watermarks": _Case(
        _HOT_COLD, lambda: _scheme(wmarks=_marks(500, 400)), Cause.WATERMARKS,
        {"scheme": lambda: _scheme(wmarks=_marks(1000, 1000))}, ("677", "high 500"),
    ),
    "quota": _Case(
        _HOT_COLD, lambda: _scheme(quota=DamosQuota(sz=_M, reset_interval=1000)), Cause.QUOTA,
        {"scheme": lambda: _scheme(quota=DamosQuota(sz=128 * _M, reset_interval=1000))}, ("1.0 MiB in 1 s",),
    ),
    "core filters": _Case(
        _HOT_COLD, lambda: _scheme(core_filters=_addr(1 << 40)), Cause.CORE_FILTERS, {"scheme": _scheme},
        ("reject addr",),
    ),
    "operations filters": _Case(
        _HOT_COLD, lambda: _scheme(ops_filters=[DamosFilter(DamosFilterType.ANON, True)]), Cause.OPS_FILTERS,
        {"scheme": _scheme}, ("reject anon",),
    ),
    "priority": _Case(
        {**_HOT_COLD, "machine": {"memory": "4G"}}, lambda: _scheme(quota=_quota(64 * _M)), Cause.PRIORITY,
        {"options": {"ranges": [(4096 * _M, 4352 * _M)]}}, ("64.0 MiB in 1 s", "hold none"),
    ),
    "mixed regions": _Case(
        _STRIPES, _scheme, Cause.MIXED, {"options": {"attrs": DamonAttrs(5000, 100_000, 1_000_000, 3, 256)}},
        ("h0", "raise max_nr_regions to 255"), 20, {"attrs": DamonAttrs(5000, 100_000, 1_000_000, 3, 8)},
    ),
    "age too high": _Case(
        _HOT_COLD, lambda: _scheme(600), Cause.AGE, {"scheme": lambda: _scheme(50)}, ("60 s", "19.5 s"),
    ),
    "intervals too short": _Case(
        _SPARSE, lambda: _scheme(2), Cause.INTERVALS_SHORT,
        {"options": {"attrs": DamonAttrs(800_000, 16_000_000, 60_000_000, 10, 1000)}},
        ("10 ms", "8.192 s", "32.77 s"), 24, {"attrs": DamonAttrs(1000, 5000, 1_000_000, 10, 1000)},
    ),
    "intervals too long": _Case(
        _HOT_COLD, lambda: _scheme(1), Cause.INTERVALS_LONG,
        {"options": {"attrs": DamonAttrs(150_000, 3_000_000, 60_000_000, 10, 1000)}},
        ("10 s", "3.333 s"), 20, {"attrs": DamonAttrs(500_000, 10_000_000, 60_000_000, 10, 1000)},
    ),
    "wrong node": _Case(
        _NODES, lambda: _scheme(action=DamosAction.MIGRATE_COLD, target_nid=0), Cause.WRONG_NODE,
        {"scheme": lambda: _scheme(action=DamosAction.MIGRATE_COLD, target_nid=1)}, ("node 0", "target_nid"),
    ),
    "no swap": _Case(
        {**_HOT_COLD, "machine": {"memory": "512M", "swap": {"size": "8M"}}}, _scheme, Cause.NO_SWAP,
        {"workload": _HOT_COLD}, ("8.0 MiB",),
    ),
    "goal reached": _Case(
        _HOT_COLD, lambda: _scheme(quota=_goal(3000)), Cause.GOAL, {"scheme": lambda: _scheme(quota=_goal(9000))},
        ("node_mem_free_bp", "of 3000"), 60,
    ),
    "unreachable memory": _Case(
        _HOT_COLD, _scheme, Cause.UNREACHED, {"options": {}}, ("cold", "4096-67108864"), 20,
        {"ranges": [(4096, 64 * _M)]},
    ),
    "size bounds": _Case(
        _HOT_COLD, lambda: _scheme(pattern=DamosAccessPattern(4096, 16384, 0, 0, 20, _U32)), Cause.SIZE,
        {"scheme": _scheme}, ("16.0 KiB",),
    ),
}  # fmt: skip


@cache
def _before(name: str) -> Explanation:
    return _explained(_CASES[name])


def _explained(case: _Case) -> Explanation:
    with machine_of(case.workload) as machine:
        (found,) = explain(recorded(machine, [case.scheme()], case.seconds, why=True, **case.options))
    return found


@pytest.mark.parametrize("name", _CASES)
def test_the_cause_is_found(name: str) -> None:
    case, found = _CASES[name], _before(name)
    assert found.cause is case.cause, found.sentence
    text = f"{found.sentence} {found.remedy}"
    assert [word for word in case.words if word not in text] == []


@pytest.mark.parametrize("name", _CASES)
def test_the_remedy_helps(name: str) -> None:
    """More is applied, or less comes back."""
    case = _CASES[name]
    before, after = _before(name), _explained(replace(case, **case.remedy))
    if case.cause is Cause.INTERVALS_SHORT:
        assert (after.stages["came_back"] or 0) * 2 < (before.stages["came_back"] or 0)
    else:
        assert after.applied_bytes > 2 * before.applied_bytes
        assert after.applied_bytes > _M


def test_a_scheme_that_works() -> None:
    found = _explained(_Case(_HOT_COLD, _scheme, Cause.WORKS, {}))
    assert found.cause is Cause.WORKS
    assert found.applied_bytes >= 128 * _M


def test_accesses_that_are_too_rare_for_a_hot_scheme() -> None:
    hot = DamosAccessPattern(4096, ULONG_MAX, 3, 100, 2, _U32)
    found = _explained(_Case(_SPARSE, lambda: _scheme(pattern=hot, action=DamosAction.LRU_PRIO), Cause.WORKS, {}))
    assert found.cause is Cause.INTERVALS_SHORT
    assert "8.192 s" in found.sentence


def _traced(path: Path, hot: int, rate: float, cold: int) -> dict[str, Any]:
    """The workload of a trace of two windows, 10 s: an area of so many pages with ``rate``, another one without."""
    with TraceWriter(path) as writer:
        space = writer.space("main", hot + cold)
        for begin in (0, 5):
            writer.add(space, begin * 10**9, (begin + 5) * 10**9, pack_rows([(0, hot, 5 * rate / hot, 1.0)]))
        areas = [
            TracedArea("hot", space, 0, hot, mapped=((0, 10**10),)),
            TracedArea("cold", space, hot, cold, mapped=((0, 10**10),)),
        ]
        writer.close(10**10, areas)
    return {"areas": {"t": {"trace": str(path)}}, "machine": _HOT_COLD["machine"]}


def test_a_trace_is_explained_as_the_workload_that_it_is_like(tmp_path: Path) -> None:
    """The hot and the cold area, as a trace of two windows: the first stages, and a cause that rests on the truth."""
    traced = _traced(tmp_path / "t.trace", 32 * _M >> 12, 200e3, 128 * _M >> 12)
    runs = []
    for workload in (_HOT_COLD, traced):
        with machine_of(workload) as machine:
            runs.append(recorded(machine, [_scheme(wmarks=_marks(500, 400))], 5, why=True))
    own, ours = (run.table("funnel").columns["eligible"] for run in runs)
    assert ours == pytest.approx(own, rel=0.01)
    assert 100 * _M < ours[-1] < 130 * _M
    assert [next(iter(explain(run))).cause for run in runs] == [Cause.WATERMARKS] * 2


def _captured(path: Path) -> dict[str, Any]:
    """An exact capture of 12 s: 16 MiB always in use, 8 MiB once a second, 24 MiB once at the start, and 16 MiB that
    the program never had."""
    second, (hot, rare, cold, none) = 10**9, (size * _M >> 12 for size in (16, 8, 24, 16))
    windows = []
    for n in range(24):
        rows = [(0, hot, 20.0, 0.5)]
        rows += [(hot, hot + rare, 1.0, 1.0)] if n % 2 == 0 else []
        rows += [(hot + rare, hot + rare + cold, 1.0, 1.0)] if n == 0 else []
        windows.append(Window(n * second // 2, (n + 1) * second // 2, rows))
    nr = hot + rare + cold + none
    areas = [TracedArea("heap", 0, 0, nr, mapped=((0, 12 * second),))]
    write(path, [("prog", nr, windows)], areas, 12 * second, origin=TRUTH)
    return {"areas": {"c": {"trace": str(path)}}, "machine": {"memory": "1G"}}


def test_what_is_eligible_of_an_exact_capture(tmp_path: Path) -> None:
    """What it touched once, and nothing of what is used each second or was never there."""
    with machine_of(_captured(tmp_path / "c.trace")) as machine:
        run = recorded(machine, [_scheme(20, wmarks=_marks(10, 5))], 11, why=True)
    funnel = run.table("funnel").columns
    eligible = dict(zip(funnel["time_ns"], funnel["eligible"], strict=True))
    assert {size for at, size in eligible.items() if at < 2e9} == {0}
    assert [size for at, size in eligible.items() if at > 3e9] == [24 * _M] * sum(at > 3e9 for at in eligible)


def test_a_capture_whose_scheme_spends_its_quota_elsewhere(tmp_path: Path) -> None:
    """As the capture of a real program showed: most memory is not old enough most of the time, but what is gets no
    quota at all, since free memory is older still. The remedy is for that."""
    path = tmp_path / "c.trace"
    workload, applied = _captured(path), []
    for ranges in ([], [(_M, 80 * _M)]):
        with machine_of(workload) as machine:
            run = recorded(machine, [_scheme(20, quota=_quota(16 * _M))], 11, why=True, ranges=ranges)
        path.rename(tmp_path / "moved")  # a reader has no trace, and opens none
        (found,) = explain(run)
        (tmp_path / "moved").rename(path)
        applied.append(found.applied_bytes)
        assert ranges or found.cause is Cause.PRIORITY, found.sentence
    assert applied[1] > max(2 * applied[0], _M)


def test_accesses_of_a_trace_that_are_too_rare(tmp_path: Path) -> None:
    """Each page every 4 s. The run has kept it: a reader has no trace, and opens none."""
    pages = 32 * _M >> 12
    path = tmp_path / "t.trace"
    hot = DamosAccessPattern(4096, ULONG_MAX, 3, 100, 2, _U32)
    with machine_of(_traced(path, pages, pages / 4, 4096)) as machine:
        run = recorded(machine, [_scheme(pattern=hot, action=DamosAction.LRU_PRIO)], 8, why=True)
    path.unlink()
    (found,) = explain(run)
    assert found.cause is Cause.INTERVALS_SHORT
    assert "accessed every 4 s" in found.sentence
    for kept in ({}, {RATES: {"t.hot": "x"}}, {RATES: {"other": 1.0}}, {RATES: [1]}, {RATES: {"t.hot": float("nan")}}):
        run.result = {"memory": {"total_bytes": 512 * _M}, **kept}
        (found,) = explain(run)
        assert found.cause is Cause.NOTHING


@pytest.mark.parametrize(
    ("name", "words", "remedy"),
    [("shared", "mapped by several processes", "engine host"), ("unevictable", "locked in memory", "munlock")],
)
def test_memory_that_no_advice_reaches(name: str, words: str, remedy: str) -> None:
    """On a real machine; the run is made up (``tests/vm/test_why.py`` has real ones). The most comes first, and what is
    little is left out."""
    with machine_of({**_HOT_COLD, "machine": {"memory": "512M", "swap": {"size": "8M"}}}) as machine:
        run = recorded(machine, [_scheme()], 20, why=True)
    assert run.result is not None
    unreached = {"wanted": 100 * _M, "missing": 4096, "own": 9 * _M, "stale": 0, name: 80 * _M}
    run.result = {**run.result, "unreached_bytes": unreached}
    (found,) = explain(run)
    assert found.cause is Cause.UNREACHABLE
    assert f"(80.0 MiB {words}, 9.0 MiB of pydamon itself)" in found.sentence
    assert remedy in found.remedy


@pytest.mark.parametrize(
    ("swap", "cause", "words"),
    [
        ({"swap_bytes": 8 * _M, "swap_used_bytes": 8 * _M}, Cause.NO_SWAP, "swap is full (8.0 MiB, 8.0 MiB used)"),
        ({"swap_bytes": 0, "swap_used_bytes": 0}, Cause.NO_SWAP, "no swap"),
        ({}, Cause.NO_SWAP, "swap is full, or there is none (/proc/swaps)"),
        ({"swap_bytes": 512 * _M, "swap_used_bytes": 8 * _M}, Cause.ACTION, "the action applied to"),
    ],
)
def test_swap_that_is_full_and_swap_that_is_not(swap: dict[str, int], cause: Cause, words: str) -> None:
    """As a result of any machine has it; earlier versions did not say."""
    with machine_of({**_HOT_COLD, "machine": {"memory": "512M", "swap": {"size": "8M"}}}) as machine:
        run = recorded(machine, [_scheme()], 20, why=True)
    run.result = {"memory": {"total_bytes": 512 * _M, **swap}}
    (found,) = explain(run)
    assert found.cause is cause
    assert words in found.sentence


@pytest.mark.parametrize("result", [{}, {"memory": 1}, {"memory": {"total_bytes": "x"}}])
def test_a_run_that_was_changed(result: dict[str, Any]) -> None:
    """Foreign content is refused in one line."""
    with machine_of(_HOT_COLD) as machine:
        run = recorded(machine, [_scheme(wmarks=_marks(500, 400))], 5, why=True)
    run.result = result
    with pytest.raises(InvalidInput, match="it was changed"):
        list(explain(run))
    run.contexts = [7]
    with pytest.raises(InvalidInput, match="has no schemes"):
        list(explain(run))


def test_stages_do_not_grow() -> None:
    """Each stage of memory that fits has at most what the one before has, at each aggregation."""
    with machine_of(_STRIPES) as machine:
        run = recorded(machine, [_scheme(5, quota=_quota(4 * _M))], 20, why=True)
    table = run.table("funnel").columns
    names = ("eligible", "monitored", "active", "observed", "old_enough", "right_size", "in_quota", "tried")
    assert len(table["time_ns"]) > 100
    for row in zip(*(table[name] for name in names), strict=True):
        assert list(row) == sorted(row, reverse=True)
