# SPDX-License-Identifier: GPL-2.0-only
"""Pause and resume (core 3.5 step 8b, 9; damos 10): nothing is sampled or applied, results stay, requests run."""

from __future__ import annotations

import errno

import pytest

from damon.core import Damon, commit_ctx, set_attrs
from damon.errors import DamonError, InvalidInput
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.scheme import Damos, DamosAction
from tests.contexts import selected, source, started
from tests.fakes import FakeMachine
from tests.refusals import refused

MIB = 1 << 20
AFTER = 100  # us: let the worker finish what it does at a sample


def _started(*schemes: Damos) -> tuple[FakeMachine, Damon, DamonCtx]:
    machine = FakeMachine(lambda addr: addr < 8 * MIB)
    damon, ctx = started(machine, *schemes, seed=3)
    machine.clock.sleep_us(AFTER)
    return machine, damon, ctx


def _pause(damon: Damon, ctx: DamonCtx, wanted: bool) -> None:
    damon.call(ctx, DamonCallControl(lambda ctx: setattr(ctx, "pause", wanted)))
    damon.machine.clock.sleep_us(AFTER)


def test_nothing_is_sampled_aged_or_applied_until_it_resumes() -> None:
    scheme = Damos(action=DamosAction.STAT, apply_interval_us=5000)
    machine, damon, ctx = _started(scheme)
    machine.clock.sleep_us(330_000)
    _pause(damon, ctx, True)
    regions = ctx.targets[0].regions
    before = (regions.snapshot(), ctx.passed_sample_intervals, len(machine.phys.sampled), scheme.stat.nr_tried)
    assert before[1] == 67
    machine.clock.sleep_us(5_000_000)
    assert (regions.snapshot(), ctx.passed_sample_intervals, len(machine.phys.sampled), scheme.stat.nr_tried) == before
    assert damon.is_running(ctx)
    _pause(damon, ctx, False)
    assert scheme.stat.nr_tried > before[3]  # the iteration goes on where it stood: schemes are next
    assert ctx.passed_sample_intervals == 67
    machine.clock.sleep_us(100_000)
    assert ctx.passed_sample_intervals == 87
    damon.stop([ctx])


def test_a_pause_at_a_boundary_comes_after_the_merge_and_before_schemes_and_reset() -> None:
    scheme = Damos(action=DamosAction.STAT)
    machine, damon, ctx = _started(scheme)
    machine.clock.sleep_us(95_000)
    _pause(damon, ctx, True)
    assert ctx.passed_sample_intervals == 20
    machine.clock.sleep_us(50_000)
    regions = ctx.targets[0].regions
    assert {(r.nr_accesses, r.last_nr_accesses, r.age) for r in regions} >= {(20, 0, 0), (0, 0, 1)}
    assert scheme.stat.nr_tried == 0
    nr = regions.nr
    _pause(damon, ctx, False)
    assert {(r.nr_accesses, r.last_nr_accesses) for r in regions} >= {(0, 20), (0, 0)}
    assert all(r.nr_accesses == 0 for r in regions)
    assert scheme.stat.nr_tried == nr
    assert regions.nr > nr
    assert ctx.next_aggregation_sis == 40
    damon.stop([ctx])


def test_requests_run_every_sampling_interval_of_the_pause() -> None:
    machine, damon, ctx = _started()
    times: list[int] = []
    damon.call(ctx, DamonCallControl(lambda ctx: times.append(machine.clock.now_ns() // 1000), repeat=True))
    _pause(damon, ctx, True)
    machine.clock.sleep_us(50_000)
    assert times == [5000 * n for n in range(1, 12)]
    damon.call(ctx, DamonCallControl(lambda ctx: set_attrs(ctx, DamonAttrs(sample_interval=20_000))))
    times.clear()
    machine.clock.sleep_us(100_000 + AFTER)
    assert [b - a for a, b in zip(times, times[1:], strict=False)] == [20_000] * 4
    damon.stop([ctx])


def _canceled(damon: Damon, ctx: DamonCtx) -> None:
    with refused(errno.ECANCELED):
        damon.walk(ctx, DamosWalkControl(lambda *args: None))


def test_walks_are_cancelled_in_a_pause() -> None:
    machine, damon, ctx = _started(Damos(action=DamosAction.STAT))
    _pause(damon, ctx, True)
    began = machine.clock.now_ns()
    _canceled(damon, ctx)
    assert machine.clock.now_ns() - began <= 5_000_000
    _pause(damon, ctx, False)
    damon.walk(ctx, DamosWalkControl(lambda *args: None))
    damon.stop([ctx])


def test_a_walk_that_waits_is_cancelled_when_the_pause_begins() -> None:
    _, damon, ctx = _started(Damos(action=DamosAction.STAT, apply_interval_us=10_000_000))

    def pause_later(ctx: DamonCtx) -> None:
        ctx.pause = ctx.passed_sample_intervals == 30

    damon.call(ctx, DamonCallControl(pause_later, repeat=True))
    _canceled(damon, ctx)
    assert ctx.passed_sample_intervals == 30
    assert ctx.walk_control is None
    damon.stop([ctx])


def test_a_paused_worker_stops_within_a_sampling_interval() -> None:
    machine, damon, ctx = _started()
    _pause(damon, ctx, True)
    began = machine.clock.now_ns()
    damon.stop([ctx])
    assert machine.clock.now_ns() - began <= 5_000_000
    assert not damon.is_running(ctx)
    assert ctx.error is None


def test_a_paused_worker_ends_with_its_last_target() -> None:
    machine, damon, ctx = _started()
    _pause(damon, ctx, True)
    assert damon.is_running(ctx)
    ctx.ops = damon.operations.select("vaddr")
    ctx.targets.clear()
    machine.clock.sleep_us(10_000)
    assert not damon.is_running(ctx)


@pytest.mark.parametrize("paused", [False, True])
def test_a_corrupted_context_ends_its_worker_and_later_requests_of_the_round_are_cancelled(paused: bool) -> None:
    machine, damon, ctx = _started()
    _pause(damon, ctx, paused)
    ran: list[str] = []

    def corrupt(ctx: DamonCtx) -> None:
        ctx.maybe_corrupted = True
        raise OSError(errno.ENOMEM, "half done")

    controls = [DamonCallControl(corrupt), DamonCallControl(lambda ctx: ran.append("later"))]
    for control in controls:  # both in one round
        control.done = machine.clock.event()
    ctx.call_controls += controls
    passed = ctx.passed_sample_intervals
    for control in controls:
        control.done.wait()
    machine.clock.sleep_us(AFTER)
    assert not damon.is_running(ctx)
    assert "half done" in str(ctx.error)
    assert ran == []
    assert controls[1].canceled
    assert isinstance(controls[1].error, DamonError)
    assert controls[1].error.errno == errno.ECANCELED
    assert ctx.passed_sample_intervals - passed == (0 if paused else 1)


def test_a_commit_pauses_and_resumes() -> None:
    machine, damon, ctx = _started()
    src = source(damon)
    src.pause = True
    damon.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, src)))
    machine.clock.sleep_us(1_000_000)
    assert (ctx.pause, ctx.passed_sample_intervals) == (True, 1)
    src.pause = False
    damon.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, src)))
    machine.clock.sleep_us(50_000 + AFTER)
    assert (ctx.pause, ctx.passed_sample_intervals) == (False, 11)
    src.pause, src.min_region_sz = True, 1365
    with pytest.raises(InvalidInput):
        damon.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, src)))
    assert not ctx.pause
    damon.stop([ctx])


def test_a_context_may_start_paused() -> None:
    machine = FakeMachine()
    damon = Damon(machine)
    ctx = selected(damon)
    ctx.pause = True
    damon.start([ctx])
    machine.clock.sleep_us(100_000)
    assert ctx.passed_sample_intervals == 1  # the pause comes in the middle of the first iteration
    damon.stop([ctx])


def test_a_context_left_corrupted_ends_again_until_a_commit_succeeds() -> None:
    machine, damon, ctx = _started()
    damon.stop([ctx])
    ctx.maybe_corrupted = True
    damon.start([ctx])
    machine.clock.sleep_us(5000 + AFTER)
    assert not damon.is_running(ctx)
    src = selected(damon)
    commit_ctx(ctx, src)
    damon.start([ctx])
    machine.clock.sleep_us(50_000)
    assert damon.is_running(ctx)
    damon.stop([ctx])
