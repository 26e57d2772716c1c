# SPDX-License-Identifier: GPL-2.0-only
"""When the worker aggregates, updates and tunes: deadlines, and what moves them (core 3.4, 3.5, 8)."""

from __future__ import annotations

from typing import ClassVar

import pytest

from damon.core import Damon, set_attrs
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.scheme import Damos, DamosWatermarks, DamosWmarkMetric
from tests.contexts import started
from tests.fakes import FakeMachine, FakeOperations, fake


class Noting(FakeOperations):
    """Counts each region as accessed in each sample, and notes when it is asked for an update."""

    id: ClassVar[str] = "noting"

    def __init__(self) -> None:
        self.updates: list[int] = []

    def check_accesses(self, ctx: DamonCtx) -> int:
        regions = [region for target in ctx.targets for region in target.regions]
        for region in regions:
            region.nr_accesses += 1
        return max((region.nr_accesses for region in regions), default=0)

    def update(self, ctx: DamonCtx) -> None:
        self.updates.append(ctx.passed_sample_intervals)


def _started(attrs: DamonAttrs) -> tuple[Damon, DamonCtx, Noting]:
    noting = Noting()
    damon, ctx = started(FakeMachine(), ops=noting, attrs=attrs)
    damon.machine.clock.sleep_us(2500)
    return damon, ctx, noting


@pytest.mark.parametrize(
    ("interval", "times"),
    [(50_000, [10, 20, 30, 40, 50]), (52_000, [10, 20, 30, 40, 50]), (0, [*range(1, 51)]), (250_000, [50])],
)
def test_updates_come_when_their_interval_has_passed(interval: int, times: list[int]) -> None:
    """Core 3.5 step 11: in whole samples; 0 is every sample."""
    damon, ctx, noting = _started(DamonAttrs(ops_update_interval=interval))
    damon.machine.clock.sleep_us(250_000)
    assert noting.updates == times
    damon.stop([ctx])


def test_a_change_of_attributes_moves_the_deadlines_from_the_next_iteration_on() -> None:
    """Core 2.6 and 3.5 step 1: at sample 13 the next aggregation is 20 samples away, the next update 10."""
    damon, ctx, noting = _started(DamonAttrs(ops_update_interval=75_000))
    damon.machine.clock.sleep_us(60_000)
    new = DamonAttrs(ops_update_interval=50_000)
    damon.call(ctx, DamonCallControl(lambda ctx: set_attrs(ctx, new)))
    assert (ctx.passed_sample_intervals, ctx.next_aggregation_sis, ctx.next_ops_update_sis) == (13, 33, 23)
    assert {region.nr_accesses for region in ctx.targets[0].regions} == {0}  # the partial window is thrown away
    damon.machine.clock.sleep_us(101_000)
    assert noting.updates == [23, 33]
    assert ctx.next_aggregation_sis == 53
    assert {region.last_nr_accesses for region in ctx.targets[0].regions} == {20}
    damon.stop([ctx])


def test_a_deadline_that_a_change_has_brought_forward_is_respected_one_iteration_later() -> None:
    """Core 3.5 steps 1 and 11: this iteration keeps what it has read at its begin."""
    damon, ctx, noting = _started(DamonAttrs(ops_update_interval=25_000))
    damon.machine.clock.sleep_us(20_000)  # the next sample is the fifth: an update is due in that iteration
    new = DamonAttrs(ops_update_interval=500_000)
    damon.call(ctx, DamonCallControl(lambda ctx: set_attrs(ctx, new)))
    damon.machine.clock.sleep_us(2500)
    assert noting.updates == [5]
    assert ctx.next_ops_update_sis == 5 + 100
    damon.stop([ctx])


def test_a_change_while_the_schemes_are_inactive_leaves_the_iteration_under_way_its_deadlines() -> None:
    """Core 3.5 step 1: they are read before the wait for watermarks; the sampling interval is as well."""
    damon, ctx, noting = _started(DamonAttrs(ops_update_interval=100_000))
    machine = fake(damon.machine)
    ctx.schemes.append(Damos(wmarks=DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 50_000, 900, 800, 100)))
    machine.clock.sleep_us(92_000)
    machine.free = (950, 1000)
    machine.clock.sleep_us(30_000)
    assert ctx.passed_sample_intervals == 19
    new = DamonAttrs(sample_interval=20_000, aggr_interval=400_000, ops_update_interval=400_000)
    damon.call(ctx, DamonCallControl(lambda ctx: set_attrs(ctx, new)))
    for region in ctx.targets[0].regions:
        region.nr_accesses = 7
    machine.free = (500, 1000)
    began = machine.clock.now_ns()
    while ctx.passed_sample_intervals == 19:
        machine.clock.sleep_us(100)
    machine.clock.sleep_us(100)
    assert (machine.clock.now_ns() - began) // 1000 < 50_000 + 5000 + 300
    assert {region.last_nr_accesses for region in ctx.targets[0].regions} == {8}
    assert noting.updates == [20]
    assert (ctx.next_aggregation_sis, ctx.next_ops_update_sis) == (20 + 20, 20 + 20)
    damon.stop([ctx])


def _tunings(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    times: list[int] = []
    monkeypatch.setattr(
        "damon.core.kdamond.kdamond_tune_intervals", lambda ctx: times.append(ctx.passed_sample_intervals)
    )
    return times


def test_intervals_are_tuned_every_so_many_aggregations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Core 8: aggrs 3 of 20 samples."""
    times = _tunings(monkeypatch)
    goal = DamonIntervalsGoal(400, 3, 5000, 5000)
    damon, ctx, _ = _started(DamonAttrs(intervals_goal=goal))
    damon.machine.clock.sleep_us(1_000_000)
    damon.stop([ctx])
    assert times == [60, 120, 180]


def test_a_goal_set_online_tunes_at_every_aggregation_until_its_deadline_has_caught_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Core 8, side effects: the deadline begins at 0 and moves by 60 a time, aggregations come every 20."""
    times = _tunings(monkeypatch)
    damon, ctx, _ = _started(DamonAttrs())
    damon.machine.clock.sleep_us(645_000)
    new = DamonAttrs(intervals_goal=DamonIntervalsGoal(400, 3, 5000, 5000))
    damon.call(ctx, DamonCallControl(lambda ctx: set_attrs(ctx, new)))
    assert ctx.passed_sample_intervals == 130
    damon.machine.clock.sleep_us(1_000_000)
    damon.stop([ctx])
    assert times == [150, 170, 190, 210, 250, 310]


def test_a_change_at_the_boundary_does_not_make_tuning_drop_the_window() -> None:
    """Core 3.5 step 10a: the deadline as it was read is put back before intervals are tuned."""
    goal = DamonIntervalsGoal(400, 1, 5000, 5000)
    damon, ctx, _ = _started(DamonAttrs(intervals_goal=goal))
    damon.machine.clock.sleep_us(95_000)
    new = DamonAttrs(min_nr_regions=11, intervals_goal=goal)
    damon.call(ctx, DamonCallControl(lambda ctx: set_attrs(ctx, new)))
    assert ctx.passed_sample_intervals == 20
    damon.machine.clock.sleep_us(1000)
    assert {region.last_nr_accesses for region in ctx.targets[0].regions} == {20}
    assert ctx.next_aggregation_sis == 40
    damon.stop([ctx])
