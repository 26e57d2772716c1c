# SPDX-License-Identifier: GPL-2.0-only
"""The worker's loop, its life cycle and its requests (core 3), in virtual time."""

from __future__ import annotations

import errno
import threading

import pytest

from damon.core import Damon, set_attrs
from damon.errors import DamonError, InvalidInput
from damon.model.arrays import DamonRegion
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosWatermarks, DamosWmarkMetric
from damon.model.target import DamonTarget
from tests.contexts import selected, started
from tests.fakes import FakeMachine, FakeSpace
from tests.refusals import refused

MIB = 1 << 20


def hot_first_mib(addr: int) -> bool:
    return addr < MIB


def test_regions_adapt_to_the_hot_part() -> None:
    machine = FakeMachine(hot_first_mib)
    damon, ctx = started(machine)
    machine.clock.sleep_us(10_000_000 - 2500)
    hot = sum(r.size * r.last_nr_accesses for r in ctx.targets[0].regions if r.start < MIB)
    cold = [r for r in ctx.targets[0].regions if r.start >= 2 * MIB]
    assert hot / (MIB * 20) > 0.9
    assert all(r.last_nr_accesses == 0 and r.age > 20 for r in cold)
    assert 10 <= ctx.nr_regions() <= 1000
    assert ctx.targets[0].regions.total_size() == 64 * MIB
    damon.stop([ctx])
    assert not ctx.targets  # [7.x] the worker's end destroys them


def test_one_seed_one_result_whatever_the_implementation() -> None:
    results = []
    for seed, use_reference in ((5, False), (5, False), (5, True), (6, False)):
        machine = FakeMachine(hot_first_mib)
        scheme = Damos(action=DamosAction.PAGEOUT, pattern=DamosAccessPattern(min_age_region=5))
        damon, ctx = started(machine, scheme, seed=seed, reference=use_reference)
        machine.clock.sleep_us(3_000_000)
        results.append((ctx.targets[0].regions.snapshot(), ctx.schemes[0].stat, machine.phys.sampled))
        damon.stop([ctx])
    assert results[0] == results[1] == results[2]
    assert results[0] != results[3]


def test_intervals_are_counted_in_samples() -> None:
    machine = FakeMachine()
    damon, ctx = started(machine)
    machine.clock.sleep_us(1_002_500)
    assert ctx.passed_sample_intervals == 200
    assert ctx.next_aggregation_sis == 220
    damon.stop([ctx])


def test_without_a_sampling_interval_time_passes_all_the_same() -> None:
    machine = FakeMachine()
    damon, ctx = started(machine, attrs=DamonAttrs(sample_interval=0))
    machine.clock.sleep_us(500)
    assert ctx.passed_sample_intervals in (499, 500)  # of two that wake together, the first to have slept goes first
    damon.stop([ctx])


def test_workers_are_named_by_number_and_run_side_by_side() -> None:
    machine = FakeMachine()
    damon, first = started(machine)
    second = selected(damon)
    damon.start([second])
    assert {t.name for t in threading.enumerate()} >= {"kdamond.0", "kdamond.1"}
    assert damon.nr_running_ctxs == 2
    assert damon.kdamond_pid(first) > 0
    assert damon.kdamond_pid(first) != damon.kdamond_pid(second)
    machine.clock.sleep_us(100_000)
    damon.stop([first, second])
    assert damon.nr_running_ctxs == 0
    assert damon.kdamond_pid(first) == -1
    damon.stop([first])  # [7.x] silently nothing


def test_exclusivity() -> None:
    machine = FakeMachine()
    damon, first = started(machine)
    second = selected(damon)
    with refused(errno.EBUSY):
        damon.start([second], exclusive=True)
    with pytest.raises(DamonError):
        damon.start([first])
    damon.stop([first])
    damon.start([second], exclusive=True)
    with refused(errno.EBUSY):
        damon.start([first])
    damon.stop([second])
    damon.start([first])
    damon.stop([first])


def test_a_start_with_refused_parameters_starts_nothing() -> None:
    damon = Damon(FakeMachine())
    ctx = damon.new_ctx()
    with pytest.raises(InvalidInput, match=r"^DamonCtx.ops: None: "):
        damon.start([ctx])
    damon.select_ops(ctx, "paddr")
    ctx.min_region_sz = 1365
    with pytest.raises(InvalidInput, match=r"^min_region_sz: 1365: .*power of two"):
        damon.start([ctx])
    with pytest.raises(InvalidInput, match=r"^operations set: 'iaddr': is not registered"):
        damon.select_ops(ctx, "iaddr")
    assert damon.nr_running_ctxs == 0


@pytest.mark.parametrize(
    ("attrs", "field"),
    [
        (DamonAttrs(min_nr_regions=2), "^min_nr_regions: 2: "),
        (DamonAttrs(min_nr_regions=20, max_nr_regions=19), "^min_nr_regions: 20: .*max_nr_regions, 19"),
        (DamonAttrs(sample_interval=100001), "^sample_interval: 100001 us: .*aggr_interval, 100000"),
        (DamonAttrs(intervals_goal=DamonIntervalsGoal(1, 1, 9, 8)), r"^intervals_goal\.min_sample_us: 9: .*us, 8"),
        (DamonAttrs(intervals_goal=DamonIntervalsGoal(1, 1, 6000, 8000)), r"^sample_interval: 5000 us: .*goal, 6000"),
    ],
)
def test_refused_attributes(attrs: DamonAttrs, field: str) -> None:
    ctx = DamonCtx()
    before = ctx.attrs.copy()
    with pytest.raises(InvalidInput, match=field) as caught:
        set_attrs(ctx, attrs)
    assert caught.value.errno == errno.EINVAL
    assert ctx.attrs == before


def test_call_runs_in_the_worker_and_returns_errors() -> None:
    machine = FakeMachine()
    damon, ctx = started(machine)
    names: list[str] = []
    damon.call(ctx, DamonCallControl(lambda ctx: names.append(threading.current_thread().name)))
    assert names == ["kdamond.0"]

    def refuse(ctx: DamonCtx) -> None:
        raise InvalidInput("no")

    with pytest.raises(InvalidInput, match="no"):
        damon.call(ctx, DamonCallControl(refuse))
    damon.stop([ctx])
    with refused(errno.ECANCELED):
        damon.call(ctx, DamonCallControl(refuse))


def test_what_a_request_queues_runs_before_repeating_ones() -> None:
    machine = FakeMachine()
    damon, ctx = started(machine)
    order: list[str] = []

    def queue(ctx: DamonCtx) -> None:
        damon.call(ctx, DamonCallControl(lambda ctx: order.append("new"), repeat=True))

    damon.call(ctx, DamonCallControl(lambda ctx: order.append("old"), repeat=True))
    damon.call(ctx, DamonCallControl(queue))
    order.clear()
    machine.clock.sleep_us(5_100)
    assert order == ["new", "old"]
    damon.stop([ctx])


def test_repeating_calls_run_every_iteration_also_while_inactive() -> None:
    machine = FakeMachine()
    marks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, interval=250_000, high=900, mid=800, low=100)
    damon, ctx = started(machine, Damos(wmarks=marks))
    times: list[int] = []
    damon.call(ctx, DamonCallControl(lambda ctx: times.append(machine.clock.now_ns() // 1000), repeat=True))
    machine.clock.sleep_us(52_000)
    assert times == [5000 * n for n in range(1, 11)]
    machine.free = (950, 1000)
    machine.clock.sleep_us(1_000_000)
    assert times[11:] == [55_000 + 250_000 * n for n in range(1, 4)]
    passed = ctx.passed_sample_intervals
    assert passed == 11  # time stands still for the samples
    machine.free = (500, 1000)
    machine.clock.sleep_us(300_000)
    assert ctx.passed_sample_intervals > passed
    damon.stop([ctx])


def test_walk_reports_each_scheme_once_before_the_age_is_reset() -> None:
    machine = FakeMachine()
    schemes = [Damos(action=DamosAction.STAT), Damos(action=DamosAction.WILLNEED, apply_interval_us=300_000)]
    damon, ctx = started(machine, *schemes)
    machine.clock.sleep_us(1_000_000)
    seen: list[tuple[int, int, int]] = []

    def visit(ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos, passed: int) -> None:
        seen.append((ctx.schemes.index(scheme), region.start, region.age))

    damon.walk(ctx, DamosWalkControl(visit))
    assert {index for index, _, _ in seen} == {0, 1}
    for index in (0, 1):
        starts = [start for i, start, _ in seen if i == index]
        assert starts == sorted(set(starts))
    assert max(age for index, _, age in seen if index == 1) > 0
    damon.stop([ctx])


def test_a_walk_that_is_asked_for_during_a_pass_reports_the_next_one_whole() -> None:
    """Damos 10: the pass holds the slot."""
    machine = FakeMachine()
    machine.phys.pages = dict.fromkeys(range(64), 0)
    damon, ctx = started(machine, Damos(action=DamosAction.PAGEOUT))
    seen: list[tuple[int, int]] = []
    control = DamosWalkControl(lambda ctx, target, region, scheme, passed: seen.append((region.start, region.end)))

    def in_the_middle_of_a_pass() -> None:
        machine.phys.on_pageout = lambda: None
        control.done = machine.clock.event()
        ctx.walk_control = control

    machine.phys.on_pageout = in_the_middle_of_a_pass
    while control.done is None:
        machine.clock.sleep_us(5_000)
    assert control.done.wait(1_000_000)
    assert not control.canceled
    assert (seen[0][0], seen[-1][1]) == (0, 64 * MIB)
    assert all(left[1] == right[0] for left, right in zip(seen, seen[1:], strict=False))
    damon.stop([ctx])


def test_walks_are_cancelled_when_nothing_can_report() -> None:
    machine = FakeMachine()
    damon, ctx = started(machine)
    with refused(errno.ECANCELED):
        damon.walk(ctx, DamosWalkControl(lambda *args: None))
    damon.stop([ctx])
    with pytest.raises(DamonError):
        damon.walk(ctx, DamosWalkControl(lambda *args: None))


def test_a_vaddr_worker_ends_with_its_last_target() -> None:
    space = FakeSpace()
    space.areas = [(0x10000, 0x20000), (0x90000, 0xA0000), (0xF0000, 0x100000)]
    machine = FakeMachine(processes=[space])
    damon = Damon(machine)
    ctx = selected(damon, "vaddr")
    ctx.targets.append(DamonTarget(space=machine.open_process(7)))
    damon.start([ctx])
    machine.clock.sleep_us(50_000)
    assert sum(r.size for r in ctx.targets[0].regions) == 0x30000
    space.exists = False
    machine.clock.sleep_us(10_000)
    assert not damon.is_running(ctx)
    empty = selected(damon, "vaddr")
    damon.start([empty])
    machine.clock.sleep_us(1)
    assert not damon.is_running(empty)


def test_an_error_in_the_worker_ends_it_alone_and_is_kept() -> None:
    def broken(addr: int) -> bool:
        raise RuntimeError("the memory is on fire")

    damon, ctx = started(FakeMachine(broken))
    damon.machine.clock.sleep_us(20_000)
    assert not damon.is_running(ctx)
    assert "fire" in str(ctx.error)
    assert damon.nr_running_ctxs == 0


def test_interval_tuning_moves_towards_the_goal() -> None:
    """Core 8: far too few accesses: intervals grow, at most twofold a step, up to the maximum."""
    machine = FakeMachine(lambda addr: addr < MIB // 4)
    damon, ctx = started(machine, seed=0, attrs=DamonAttrs(intervals_goal=DamonIntervalsGoal(400, 3, 5000, 20000)))
    seen = []
    for _ in range(40):
        machine.clock.sleep_us(100_000)
        seen.append((ctx.attrs.sample_interval, ctx.attrs.aggr_interval))
    damon.stop([ctx])
    assert seen[-1] == (20000, 400000)
    steps = list(dict.fromkeys(sample for sample, _ in seen))
    assert all(b <= 2 * a for a, b in zip(steps, steps[1:], strict=False))
    assert all(aggr == 20 * sample for sample, aggr in seen)
