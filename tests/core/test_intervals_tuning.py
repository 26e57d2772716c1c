# SPDX-License-Identifier: GPL-2.0-only
"""Intervals auto-tuning over whole runs: where it settles, and that each step is the specification's (core 8)."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest

from damon.core import Damon, set_attrs
from damon.core.events import AGGREGATED, INTERVALS_TUNE
from damon.core.trace import TraceEvent
from damon.library.contexts import add_process
from damon.mm.sim import SimulatedMachine
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.model.target import DamonTarget
from damon.workload.model import Access, Area, MachineSpec, Pattern, Phase, Workload
from tests.contexts import selected
from tests.mm.sim.machines import machine as simulated

MIB = 1 << 20
AREA = 64 * MIB
PAGES = AREA // 4096
WANTED = 0.04
SAMPLES = 20  # in an aggregation, whatever the intervals


@dataclass
class _Run:
    """What was observed at each aggregation, the sampling interval in it, and the intervals that tuning chose."""

    ratios: list[tuple[int, int]] = field(default_factory=list)  # positive samples by size, all samples by size
    intervals: list[int] = field(default_factory=list)
    tuned: dict[int, int] = field(default_factory=dict)  # number of the aggregation: sampling interval from then on

    def share(self, first: int) -> float:
        """The mean observed access ratio from one aggregation on."""
        ratios = [got / most for got, most in self.ratios[first:]]
        return sum(ratios) / len(ratios)


def _watch(damon: Damon, ctx: DamonCtx, run: _Run) -> None:
    def see(event: TraceEvent) -> None:
        if event.name == INTERVALS_TUNE:
            run.tuned[len(run.ratios)] = event.fields[0]
            return
        rows = [(end - start, nr_accesses) for start, end, nr_accesses, _, _ in event.regions()]
        run.ratios.append((sum(size * nr for size, nr in rows), SAMPLES * sum(size for size, _ in rows)))
        run.intervals.append(ctx.attrs.sample_interval)
        assert ctx.attrs.aggr_interval == SAMPLES * ctx.attrs.sample_interval

    damon.trace.subscribe(see, (AGGREGATED, INTERVALS_TUNE))


def _run(access: Access, goal: DamonIntervalsGoal, sample_us: int, aggregations: int, seed: int = 1) -> _Run:
    """An area that is monitored from end to end."""
    machine = simulated(Area("heap", AREA), accesses=(access,), seed=seed, memory=2 * AREA)
    damon = Damon(machine, seed=seed)
    ctx, run, placed = selected(damon, "fvaddr"), _Run(), machine.state.placed["heap"]
    add_process(ctx, machine.pids["main"], [(placed.start, placed.end)])
    set_attrs(ctx, DamonAttrs(sample_us, SAMPLES * sample_us, min_nr_regions=100, intervals_goal=goal))
    _watch(damon, ctx, run)
    damon.start([ctx])
    while len(run.ratios) < aggregations:
        machine.clock.sleep_us(ctx.attrs.aggr_interval)
        assert ctx.error is None
    damon.stop([ctx])
    machine.close()
    return run


def _next_interval(sample_us: int, got: int, most: int, goal: DamonIntervalsGoal) -> int:
    """Core 8, written down once more: double at most when nothing was seen, halve at most when far too much was."""
    wanted = max(most * goal.access_bp // 10_000, 1)
    score = min(got * 10_000 // wanted, 19_999)
    times = 20_000 - score
    if times <= 10_000:
        times = 5_000 + times // 2
    if times == 10_000:
        return sample_us
    return max(goal.min_sample_us, min(goal.max_sample_us, sample_us * times // 10_000))


def _check_steps(run: _Run, goal: DamonIntervalsGoal, sample_us: int) -> None:
    """``intervals[n]`` is read when aggregation ``n`` ends, after the tuning there."""
    for number, (got, most) in enumerate(run.ratios):
        before = sample_us
        if (number + 1) % goal.aggrs == 0:
            sample_us = _next_interval(sample_us, got, most, goal)
        assert run.intervals[number] == sample_us, f"aggregation {number}: {got} of {most} at {before} us"
        if number in run.tuned:
            assert (number + 1) % goal.aggrs == 0
            assert run.tuned[number] == sample_us
        else:
            assert before == sample_us
        assert goal.min_sample_us <= sample_us <= goal.max_sample_us


#: Touches a second of each page, when they are spread evenly; the interval that 4 % of samples positive asks for.
WORKLOADS = {
    "very low": (Access("heap", 0.02 * PAGES), 2_041_000),
    "medium": (Access("heap", 2 * PAGES), 20_410),
    "very high": (Access("heap", 100 * PAGES), 408),
    "low, skewed": (Access("heap", 0.2 * PAGES, Pattern.ZIPF, skew=0.6), None),
    "high, skewed": (Access("heap", 20 * PAGES, Pattern.ZIPF, skew=0.6), None),
}


@pytest.mark.parametrize("name", WORKLOADS)
@pytest.mark.parametrize(("aggrs", "seed"), [(3, 1), (1, 2)])
def test_settles_at_four_percent(name: str, aggrs: int, seed: int) -> None:
    access, interval = WORKLOADS[name]
    goal = DamonIntervalsGoal(access_bp=400, aggrs=aggrs, min_sample_us=100, max_sample_us=10_000_000)
    run = _run(access, goal, 5_000, 60 * aggrs, seed)
    _check_steps(run, goal, 5_000)
    half = len(run.ratios) // 2
    assert WANTED / 1.5 < run.share(half) < WANTED * 1.5
    late = [got / most for got, most in run.ratios[half:]]
    assert sum(WANTED / 1.5 < ratio < WANTED * 1.5 for ratio in late) > 0.9 * len(late)
    if interval is not None:
        settled = run.intervals[half:]
        assert interval / 1.5 < sum(settled) / len(settled) < interval * 1.5


@pytest.mark.parametrize(
    ("name", "limits", "stays"),
    [("very low", (1_000, 200_000), 200_000), ("very high", (1_000, 200_000), 1_000)],
)
def test_limits_come_first(name: str, limits: tuple[int, int], stays: int) -> None:
    """Where the limits do not allow it, it goes as near as they let it."""
    goal = DamonIntervalsGoal(400, 3, *limits)
    run = _run(WORKLOADS[name][0], goal, 5_000, 60)
    _check_steps(run, goal, 5_000)
    assert set(run.intervals[40:]) == {stays}
    assert run.share(40) < WANTED / 1.5 or run.share(40) > WANTED * 1.5


def test_changing_workload_is_followed() -> None:
    """Twenty times as much from one phase to the next: the intervals come down as they went up."""
    phases = tuple(Phase(str(rate), 200_000_000, (Access("heap", rate * PAGES),)) for rate in (0.5, 10.0))
    workload = Workload("w", (Area("heap", AREA),), phases, machine=MachineSpec(2 * AREA))
    machine = SimulatedMachine(workload, 3)
    damon = Damon(machine, seed=3)
    ctx, run = damon.new_ctx(), _Run()
    goal = DamonIntervalsGoal(400, 3, 100, 10_000_000)
    damon.select_ops(ctx, "vaddr")
    ctx.targets.append(DamonTarget(space=machine.open_process(machine.pids["main"])))
    set_attrs(ctx, DamonAttrs(5_000, 100_000, min_nr_regions=100, intervals_goal=goal))
    _watch(damon, ctx, run)
    damon.start([ctx])
    machine.clock.sleep_us(199_000_000)
    first = ctx.attrs.sample_interval
    machine.clock.sleep_us(60_000_000)
    second = ctx.attrs.sample_interval
    damon.stop([ctx])
    machine.close()
    _check_steps(run, goal, 5_000)
    assert 81_600 / 1.5 < first < 81_600 * 1.5
    assert 4_080 / 1.5 < second < 4_080 * 1.5
