# SPDX-License-Identifier: GPL-2.0-only
"""Types and ranges: refused where an object is made, and where it is used after it was changed."""

from __future__ import annotations

import errno
import warnings
from collections.abc import Callable
from typing import Any

import pytest

import damon
from damon.core import Damon
from damon.errors import DamonError, InvalidInput
from damon.model.arrays import FOLIO_PASS
from damon.model.context import DamonCtx
from damon.model.operations import Operations, Score
from tests.contexts import new_ctx, selected, started
from tests.fakes import FakeMachine, FakeOperations, FakeSpace, regions_of
from tests.refusals import refused

PAGE = 4096
NAN = float("nan")
untyped: Any = damon  # for arguments of types that mypy refuses
BAD_WHOLES = [-1, 1 << 80, 1.5, NAN, "3", None, [1]]


def nothing(*_: Any) -> int:
    return 0


MAKERS: dict[str, tuple[Callable[..., Any], dict[str, Any], list[str]]] = {
    "attrs": (
        damon.DamonAttrs, {},
        ["sample_interval", "aggr_interval", "ops_update_interval", "min_nr_regions", "max_nr_regions"],
    ),
    "goal of intervals": (damon.DamonIntervalsGoal, {}, ["access_bp", "aggrs", "min_sample_us", "max_sample_us"]),
    "pattern": (
        damon.DamosAccessPattern, {},
        ["min_sz_region", "max_sz_region", "min_nr_accesses", "max_nr_accesses", "min_age_region", "max_age_region"],
    ),
    "quota": (
        damon.DamosQuota, {},
        ["ms", "sz", "reset_interval", "weight_sz", "weight_nr_accesses", "weight_age", "fail_charge_num",
         "fail_charge_denom"],
    ),
    "quota goal": (
        damon.DamosQuotaGoal, {"metric": "user_input", "target_value": 1},
        ["target_value", "current_value", "memcg_id"],
    ),
    "watermarks": (damon.DamosWatermarks, {}, ["interval", "high", "mid", "low"]),
    "filter": (
        damon.DamosFilter, {"type": "anon", "matching": True},
        ["memcg_id", "addr_start", "addr_end", "sz_min", "sz_max"],
    ),
    "destination": (damon.DamosMigrateDest, {"node_id": 0, "weight": 1}, ["weight"]),
    "probe": (damon.DamonProbe, {}, ["weight"]),
    "probe filter": (damon.DamonFilter, {"type": "anon", "matching": True}, ["memcg_id"]),
    "scheme": (damon.Damos, {}, ["apply_interval_us", "max_nr_snapshots"]),
}  # fmt: skip


@pytest.mark.parametrize(("kind", "field"), [(kind, field) for kind, made in MAKERS.items() for field in made[2]])
def test_numbers(kind: str, field: str) -> None:
    """Named with the field and the value, on one line; what fits is taken."""
    maker, given, _ = MAKERS[kind]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert getattr(maker(**given | {field: 7}), field) == 7
    for value in BAD_WHOLES:
        with refused(errno.EINVAL) as caught:
            maker(**given | {field: value})
        assert isinstance(caught.value, InvalidInput)
        assert f"{field}: {value!r}: is not an integer of 0.." in str(caught.value)


KEYWORDS: list[tuple[Callable[..., Any], str, str, Any]] = [
    (lambda value: damon.Damos(action=value), "action", "pageout", damon.DamosAction.PAGEOUT),
    (lambda value: damon.DamosFilter(value, True), "type", "addr", damon.DamosFilterType.ADDR),
    (lambda value: damon.DamonFilter(value, True), "type", "memcg", damon.DamonFilterType.MEMCG),
    (lambda value: damon.DamosWatermarks(metric=value), "metric", "none", damon.DamosWmarkMetric.NONE),
    (lambda value: damon.DamosQuotaGoal(value, 1), "metric", "user_input", damon.DamosQuotaGoalMetric.USER_INPUT),
    (lambda value: damon.DamosQuota(goal_tuner=value), "goal_tuner", "temporal", damon.DamosQuotaGoalTuner.TEMPORAL),
]


@pytest.mark.parametrize(("make", "field", "word", "member"), KEYWORDS)
def test_keywords(make: Callable[..., Any], field: str, word: str, member: Any) -> None:
    """The kernel's keyword is as good as the member; anything else is refused with what there is."""
    assert getattr(make(word), field) is getattr(make(member), field) is member
    for value in ("PAGEOUT", "", 3, None, b"anon", object()):
        with pytest.raises(InvalidInput, match=rf"{field}: .*; give one of .*{word}"):
            make(value)


def test_a_keyword_given_later_is_taken_at_the_start() -> None:
    """It was accepted and applied nothing."""
    machine = FakeMachine()
    machine.phys.pages = {1: 0}
    machine.phys.young_pages = set()
    kernel = Damon(machine)
    ctx = new_ctx(kernel, damon.Damos())
    scheme: Any = ctx.schemes[0]
    scheme.action = "pageout"
    kernel.start([ctx])
    machine.clock.sleep_us(300_000)
    kernel.stop()
    assert machine.phys.paged_out == [1]
    assert ctx.schemes[0].stat.sz_applied == PAGE


@pytest.mark.parametrize("value", ["yes", "", None, 2, -1, 1.0, NAN, []])
def test_truth_values(value: Any) -> None:
    makers: list[Callable[[], object]] = [
        lambda: untyped.DamosFilter("anon", value),
        lambda: untyped.DamosFilter("anon", True, value),
        lambda: untyped.DamonFilter("anon", value),
        lambda: untyped.DamosRegionFilter(nothing, matching=value),
        lambda: untyped.DamosFolioFilter(nothing, allow=value),
    ]
    for make in makers:
        with pytest.raises(InvalidInput, match="is neither True nor False"):
            make()


@pytest.mark.parametrize(
    "make",
    [
        lambda: untyped.DamosRegionFilter("yes"),
        lambda: untyped.DamosFolioFilter(None),
        lambda: untyped.DamosCustomMetric("m", 5),
        lambda: untyped.DamosCustomMetric(5, nothing),
        lambda: damon.DamosCustomAction("a"),
        lambda: damon.DamosCustomAction("a", nothing, nothing),
        lambda: untyped.DamosCustomAction("a", on_region="b"),
        lambda: untyped.Damos(pattern=(0, 1)),
        lambda: untyped.Damos(quota=5),
        lambda: untyped.Damos(wmarks=None),
        lambda: untyped.Damos(core_filters=["addr"]),
        lambda: untyped.Damos(ops_filters=[untyped.DamosRegionFilter(nothing)]),
        lambda: untyped.Damos(migrate_dests=[(0, 1)]),
        lambda: untyped.Damos().add_filter("anon"),
        lambda: untyped.DamosQuota(goals=["psi"]),
        lambda: untyped.DamonProbe(filters=["anon"]),
        lambda: untyped.DamonAttrs(intervals_goal=4),
        lambda: untyped.DamosFilter("addr", True, addr_start=2, addr_end=1),
        lambda: untyped.DamosFilter("hugepage_size", True, sz_min=2, sz_max=1),
        lambda: damon.DamosMigrateDest(1 << 32, 1),
    ],
)
def test_parts_of_another_type(make: Callable[[], object]) -> None:
    with pytest.raises(InvalidInput) as caught:
        make()
    assert "\n" not in str(caught.value)


def test_a_pattern_that_matches_nothing_is_legal_and_warns() -> None:
    """The kernel accepts it."""
    with pytest.warns(UserWarning, match="min_nr_accesses 5 is above max_nr_accesses 3: the scheme matches nothing"):
        damon.DamosAccessPattern(min_nr_accesses=5, max_nr_accesses=3)


@pytest.mark.parametrize(
    "change",
    [
        lambda ctx: setattr(ctx.attrs, "sample_interval", 1.5),
        lambda ctx: setattr(ctx, "addr_unit", "1"),
        lambda ctx: setattr(ctx, "addr_unit", 0),
        lambda ctx: setattr(ctx, "pause", "no"),
        lambda ctx: ctx.targets.append(4),
        lambda ctx: ctx.schemes.append("pageout"),
        lambda ctx: ctx.probes.append("anon"),
        lambda ctx: setattr(ctx.schemes[0], "action", "page_out"),
        lambda ctx: setattr(ctx.schemes[0].quota, "sz", -1),
        lambda ctx: setattr(ctx.schemes[0].pattern, "min_age_region", 1 << 32),
        lambda ctx: setattr(ctx.schemes[0].wmarks, "high", NAN),
        lambda ctx: ctx.schemes[0].ops_filters.append("young"),
    ],
)
def test_what_was_changed_is_checked_at_the_start_and_at_a_commit(change: Callable[[Any], object]) -> None:
    machine = FakeMachine()
    kernel = Damon(machine)
    ctx = new_ctx(kernel, damon.Damos())
    kernel.start([ctx])
    with pytest.raises(InvalidInput), damon.changes(kernel, ctx) as wanted:
        change(wanted)
    assert kernel.is_running(ctx)
    kernel.stop()
    other = new_ctx(kernel, damon.Damos())
    change(other)
    with pytest.raises(InvalidInput):
        kernel.start([other])
    assert not kernel.nr_running_ctxs


@pytest.mark.parametrize(
    "ranges", [[(10, 5)], [(10, 10)], [(0, 1 << 64)], [(-1, 4096)], [(0.5, 4096)], [(0, (1 << 64) - 1)]]
)
def test_ranges_of_targets(ranges: list[tuple[int, int]]) -> None:
    machine = FakeMachine(processes=[FakeSpace()])
    ctx = selected(Damon(machine), "fvaddr")
    with refused(errno.EINVAL):
        damon.add_process(ctx, 7, ranges)
    with pytest.raises(DamonError):
        damon.add_memory(ctx, *ranges[0])
    for pid in ("7", 0, -1, 1 << 40, None):
        with pytest.raises(InvalidInput, match="pid: "):
            untyped.add_process(ctx, pid)
    assert ctx.targets == []
    assert damon.add_process(ctx, 7, [(5, 10)]).regions.ranges() == [(0, PAGE)]


# -- what a program's functions return


def _ended_with(scheme: damon.Damos | None = None, ops: Operations | None = None) -> BaseException | None:
    machine = FakeMachine()
    machine.phys.pages = {1: 0, 2: 0}
    schemes = [scheme] if scheme is not None else []
    kernel, ctx = started(machine, *schemes, ops=ops or "paddr", regions=[regions_of((0, 64 * PAGE))])
    machine.clock.sleep_us(500_000)
    kernel.stop()
    if ctx.schemes and ctx.error is not None:
        assert ctx.schemes[0].stat.sz_applied == ctx.schemes[0].stat.nr_applied == 0
    return ctx.error


def _refused(error: BaseException | None, *named: str) -> None:
    assert isinstance(error, InvalidInput), error
    assert all(name in str(error) for name in named), error
    assert "\n" not in str(error)


@pytest.mark.parametrize("result", [-5, 1 << 80, 1.5, NAN, None, "all", 64 * PAGE + 1])
def test_what_an_action_returns(result: Any) -> None:
    action = damon.DamosCustomAction("mine", on_region=lambda *_: result)
    _refused(_ended_with(damon.Damos(action=action)), "action mine", "on_region", repr(result))


@pytest.mark.parametrize("result", [-5, 1 << 80, 1.5, NAN, None, "all", 3])
def test_what_an_action_on_folios_returns(result: Any) -> None:
    """At most the pages that passed the filters: two."""
    action = damon.DamosCustomAction("mine", on_folios=lambda ctx, folios: result)
    _refused(_ended_with(damon.Damos(action=action)), "action mine", "on_folios", repr(result))


@pytest.mark.parametrize("result", ["yes", 2, None, 1.0, []])
def test_what_a_filter_returns(result: Any) -> None:
    def odd(*_: Any) -> Any:
        return result

    region, folio = damon.DamosRegionFilter(odd), damon.DamosFolioFilter(odd)
    _refused(_ended_with(damon.Damos(core_filters=[region])), "region filter", "odd()", repr(result))
    _refused(_ended_with(_pageout(folio)), "folio filter", "odd()", repr(result))


def _pageout(folio: damon.DamosFolioFilter) -> damon.Damos:
    return damon.Damos(action=damon.DamosAction.PAGEOUT, ops_filters=[folio])


@pytest.mark.parametrize("result", [-1, 1 << 64, 1.5, NAN, None, "3"])
def test_what_a_metric_returns(result: Any) -> None:
    goal = damon.DamosQuotaGoal(damon.DamosCustomMetric("mine", lambda ctx, scheme: result), 1)
    scheme = damon.Damos(quota=damon.DamosQuota(reset_interval=100, goals=[goal]))
    _refused(_ended_with(scheme), "metric mine", "measure", repr(result))


@pytest.mark.parametrize(
    ("name", "result"),
    [
        *[("check_accesses", result) for result in (-1, 1 << 32, 1.5, NAN, None, "3")],
        *[("get_scheme_score", result) for result in (-1, 100, 1.5, NAN, None)],
        *[("apply_scheme", result) for result in (None, 5, (1,), (1, 2, 3), (-1, 0), (0, -1), (1.5, 0), (0, 1 << 64))],
    ],
)
def test_what_an_operations_set_returns(name: str, result: Any) -> None:
    scheme = damon.Damos(quota=damon.DamosQuota(sz=1 << 30, reset_interval=100))
    ops = FakeOperations(id="returns", score=lambda scheme: Score.CUSTOM, **{name: lambda *_: result})
    _refused(_ended_with(scheme, ops), "operations set returns", f"{name}()")


def test_integers_and_truth_values_of_other_types_are_taken() -> None:
    class Index:
        def __index__(self) -> int:
            return PAGE

    action = untyped.DamosCustomAction("mine", on_region=lambda *_: Index())
    assert _ended_with(damon.Damos(action=action)) is None
    assert untyped.DamosFilter("anon", 1).matching is True
    assert type(damon.DamosQuota(sz=True).sz) is int


def test_folios_that_pass_may_all_be_acted_on() -> None:
    def act(ctx: DamonCtx, folios: damon.FolioArray) -> int:
        return sum(bool(folio.flags & FOLIO_PASS) for folio in folios)

    assert _ended_with(damon.Damos(action=damon.DamosCustomAction("mine", on_folios=act))) is None
