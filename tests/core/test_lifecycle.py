# SPDX-License-Identifier: GPL-2.0-only
"""Starts that fail, ends, and who waits for what (core 3.1 to 3.8, 9)."""

from __future__ import annotations

import errno
from typing import ClassVar

import pytest

from damon.core import Damon, commit_ctx
from damon.errors import DamonError, InvalidInput
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.probe import DamonProbe
from damon.model.scheme import (
    Damos,
    DamosAction,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.model.target import DamonTarget
from tests.contexts import new_ctx
from tests.fakes import FakeMachine, FakeOperations, FakeSpace, regions_of
from tests.refusals import refused

PAGE = 4096


@pytest.mark.parametrize("fault", ["attrs", "goal", "eligible", "regions", "obsolete"])
def test_what_a_commit_refuses_a_start_refuses(fault: str) -> None:
    """Core 3.1: rehearsed on a context with defaults, the first context of a group as well as the last."""
    damon = Damon(FakeMachine())
    good, bad = new_ctx(damon), new_ctx(damon, Damos())
    if fault == "attrs":
        bad.attrs.min_nr_regions = 2
    elif fault == "goal":
        bad.schemes[0].quota.goals.append(DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 0))
    elif fault == "eligible":
        damon.select_ops(bad, "vaddr")
        bad.schemes[0].quota.goals.append(DamosQuotaGoal(DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP, 1))
    elif fault == "regions":
        bad.targets[0].regions = regions_of((0, 9), (20, 30))
    else:
        bad.targets[0].obsolete = True
    with pytest.raises(InvalidInput):
        damon.start([good, bad])
    assert damon.nr_running_ctxs == 0
    assert not damon.is_running(good)


def test_a_group_starts_together_or_not_at_all() -> None:
    """Core 3.1 step 5: one that runs already is EBUSY; what had started of the group is stopped again."""
    damon = Damon(FakeMachine())
    first, running, last = new_ctx(damon), new_ctx(damon), new_ctx(damon)
    damon.start([running])
    with refused(errno.EBUSY):
        damon.start([first, running, last])
    assert [damon.is_running(ctx) for ctx in (first, running, last)] == [False, True, False]
    assert damon.nr_running_ctxs == 1
    damon.stop([running])


def test_an_exclusive_group_ends_its_exclusivity_with_its_last_worker() -> None:
    damon = Damon(FakeMachine())
    first, second, other = new_ctx(damon), new_ctx(damon), new_ctx(damon)
    damon.start([first, second], exclusive=True)
    damon.stop([first])
    with refused(errno.EBUSY):
        damon.start([other])
    damon.stop([second])
    damon.start([other])
    damon.stop([other])


def test_one_walk_at_a_time() -> None:
    """Core 3.8: a second caller gets EBUSY, the first one its result."""
    machine = FakeMachine()
    damon = Damon(machine)
    ctx = new_ctx(damon, Damos(action=DamosAction.STAT))
    damon.start([ctx])
    codes: list[int] = []

    def second() -> None:
        try:
            damon.walk(ctx, DamosWalkControl(lambda *args: None))
        except DamonError as error:
            codes.append(error.errno or 0)

    def spawn(*args: object) -> None:
        if not codes:
            thread = machine.clock.spawn("second", second)
            machine.clock.sleep_us(1)
            thread.join()

    damon.walk(ctx, DamosWalkControl(spawn))
    assert codes[0] == errno.EBUSY
    damon.stop([ctx])


def test_a_request_is_cancelled_once_the_worker_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Core 3.8: ECANCELED is returned once the worker is really stopped."""
    machine = FakeMachine()
    damon = Damon(machine)
    ctx = new_ctx(damon)
    damon.start([ctx])
    cleanup, ended = ctx.ops.cleanup_target, damon._ended

    def slow(target: DamonTarget) -> None:
        machine.clock.sleep_us(500_000)
        cleanup(target)

    def slow_too(ctx: DamonCtx) -> None:
        machine.clock.sleep_us(200_000)  # requests have been canceled by now
        ended(ctx)

    monkeypatch.setattr(ctx.ops, "cleanup_target", slow)
    monkeypatch.setattr(damon, "_ended", slow_too)
    seen: list[tuple[int, bool]] = []

    def ask() -> None:
        try:
            damon.call(ctx, DamonCallControl(lambda ctx: None))
        except DamonError as error:
            seen.append((error.errno or 0, damon.is_running(ctx)))

    stopper = machine.clock.spawn("stopper", lambda: damon.stop([ctx]))
    machine.clock.sleep_us(20_000)  # the worker has left its loop, its target holds it up
    assert damon.is_running(ctx)
    callers = [machine.clock.spawn("early", ask)]
    machine.clock.sleep_us(600_000)
    assert damon.is_running(ctx)
    callers.append(machine.clock.spawn("late", ask))
    for thread in (stopper, *callers):
        thread.join()
    assert seen == [(errno.ECANCELED, False)] * 2


class Own(FakeOperations):
    """A set without processes that knows which of its targets are valid."""

    id: ClassVar[str] = "own"
    valid = True

    def target_valid(self, target: DamonTarget) -> bool:
        return self.valid


def test_any_set_that_knows_of_validity_ends_its_worker() -> None:
    """Core 3.3: it goes by whether the set has the check, not by whether its targets are processes."""
    machine = FakeMachine()
    damon = Damon(machine)
    own = Own()
    ctx = new_ctx(damon, ops=own)
    with refused(errno.EINVAL):
        damon.register_ops(Own())
    damon.start([ctx])
    machine.clock.sleep_us(100_000)
    assert damon.is_running(ctx)
    own.valid = False
    machine.clock.sleep_us(10_000)
    assert not damon.is_running(ctx)


def test_the_shortest_wait_seen_stays_while_nothing_is_active() -> None:
    """Core 3.6: the minimum is not reset between repeats; requests run after each wait."""
    machine = FakeMachine()
    machine.free = (950, 1000)
    marks = [DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, us, 900, 800, 100) for us in (300_000, 100_000)]
    damon = Damon(machine)
    ctx = new_ctx(damon, *(Damos(wmarks=wmarks) for wmarks in marks))
    damon.start([ctx])
    times: list[int] = []

    def longer(ctx: DamonCtx) -> None:
        times.append(machine.clock.now_ns() // 1000)
        for scheme in ctx.schemes:
            scheme.wmarks.interval = 1_000_000

    damon.call(ctx, DamonCallControl(longer, repeat=True))
    machine.clock.sleep_us(450_000)
    assert times == [100_000, 200_000, 300_000, 400_000]
    assert ctx.passed_sample_intervals == 0
    damon.stop([ctx])


# -- commit (core 9)


def _processes(*spaces: FakeSpace | None) -> DamonCtx:
    ctx = DamonCtx(machine=FakeMachine(), ops=Damon(FakeMachine()).operations.select("fvaddr"))
    ctx.targets += [DamonTarget(space=space, regions=regions_of((0, PAGE))) for space in spaces]
    return ctx


def test_a_commit_releases_the_processes_that_are_no_target_any_more() -> None:
    """Removed as surplus or obsolete, or replaced; one that moved to another position is kept."""
    a, b, c, d, new = (FakeSpace() for _ in range(5))
    dst, src = _processes(a, b, c, d), _processes(b, new, c)
    src.targets[2].obsolete = True
    commit_ctx(dst, src)
    assert [target.space for target in dst.targets] == [b, new]
    assert [space.exists for space in (a, b, c, d, new)] == [False, True, False, False, True]


def test_a_refused_commit_releases_nothing() -> None:
    a, b = FakeSpace(), FakeSpace()
    dst, src = _processes(a), _processes(b)
    src.min_region_sz = 3
    with pytest.raises(InvalidInput):
        commit_ctx(dst, src)
    assert a.exists
    assert b.exists


def test_a_context_that_is_wrong_itself_takes_no_commit() -> None:
    """Core 9: no scratch context can be built of it: ENOMEM."""
    dst, src = _processes(), _processes()
    dst.attrs.min_nr_regions = 1
    with refused(errno.ENOMEM):
        commit_ctx(dst, src)
    assert not dst.maybe_corrupted


WRONG = {
    "attrs": "min_nr_regions: 1: ",
    "min_region_sz": "min_region_sz: 3: ",
    "probes": r"probes\[0\]\.weight: 4294967295: ",
    "goals": "quota goal user_input: target_value 0: ",
}


@pytest.mark.parametrize("wrong", WRONG)
def test_of_two_contexts_that_are_wrong_the_running_one_is_named(wrong: str) -> None:
    dst, src = _processes(), _processes()
    if wrong == "attrs":
        dst.attrs.min_nr_regions = 1
    elif wrong == "min_region_sz":
        dst.min_region_sz = 3
    elif wrong == "probes":
        dst.probes.append(DamonProbe(2**32 - 1))
    else:
        dst.schemes.append(Damos(quota=DamosQuota(goals=[DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 0)])))
    src.min_region_sz = 3
    with pytest.raises(DamonError, match=f"^the context to change: {WRONG[wrong]}") as caught:
        commit_ctx(dst, src)
    assert caught.value.errno == errno.ENOMEM


def test_a_commit_that_fails_half_way_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    dst, src = _processes(), _processes()
    src.attrs.min_nr_regions = 11
    real, calls = commit_ctx.__globals__["set_attrs"], []

    def third_time_unlucky(ctx: DamonCtx, attrs: object) -> None:
        calls.append(ctx)
        if ctx is dst:
            raise OSError(errno.ENOMEM, "out of memory")
        real(ctx, attrs)

    monkeypatch.setitem(commit_ctx.__globals__, "set_attrs", third_time_unlucky)
    with pytest.raises(OSError, match="out of memory"):
        commit_ctx(dst, src)
    assert dst.maybe_corrupted


def test_new_goals_bring_no_measurements() -> None:
    """Core 9: current_value only of user_input; what is measured is unknown at first."""
    psi, user = DamosQuotaGoalMetric.SOME_MEM_PSI_US, DamosQuotaGoalMetric.USER_INPUT
    dst, src = _processes(), _processes()
    dst.schemes.append(Damos())
    goals = [DamosQuotaGoal(psi, 9, 8, last_psi_total=7), DamosQuotaGoal(user, 6, 5)]
    src.schemes.append(Damos(quota=DamosQuota(goals=goals)))
    commit_ctx(dst, src)
    assert dst.schemes[0].quota.goals == [DamosQuotaGoal(psi, 9, 0, None), DamosQuotaGoal(user, 6, 5)]
    dst.schemes[0].quota.goals[0].last_psi_total = 3
    commit_ctx(dst, src)
    assert dst.schemes[0].quota.goals[0].last_psi_total is None
