# SPDX-License-Identifier: GPL-2.0-only
"""Many sampling intervals in one call are the same as one at a time: contexts, machine and time, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import Damon, commit_ctx, set_regions, system_ram_region
from damon.core.watermarks import damos_get_wmark_metric_value, min_wait_us, steady_free
from damon.errors import DamonError
from damon.mm.sim import SimulatedMachine
from damon.mm.sim.spaces import SimulatedPhysical
from damon.model.arrays import Batch, Buffer
from damon.model.checks import U32_MAX, ULONG_MAX
from damon.model.context import NEVER, DamonCallControl, DamonCtx
from damon.model.operations import Stretch
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.model.target import DamonTarget
from damon.model.ticks import Ticks
from damon.modules.loader import Loader
from damon.ops.ahead import NONE
from damon.ops.paddr import Paddr
from damon.workload.model import Access, Area, Kind, Pattern
from tests.examples import examples
from tests.fakes import FakeMachine
from tests.invariants import dump
from tests.mm.sim.machines import MIB, machine
from tests.random_contexts import SPACES, random_commit, random_context, random_workload

seeds = st.integers(0, 2**32 - 1)


class _Counted:
    """How many intervals at once."""

    def __init__(self) -> None:
        self.most = self.calls = self.intervals = 0

    def note(self, done: int) -> None:
        self.most, self.calls, self.intervals = max(self.most, done), self.calls + 1, self.intervals + done


def _step_by_step(damon: Damon) -> None:
    """Its operations sets go through every interval one by one."""

    def refuse(ctx: DamonCtx, nr: int, stretch: Stretch) -> tuple[int, int]:
        return NONE

    for name in damon.operations.names():
        damon.operations.select(name).sample_ahead = refuse  # type: ignore[method-assign]


def _counting(damon: Damon, counted: _Counted) -> None:
    for name in damon.operations.names():
        ops = damon.operations.select(name)
        ahead = ops.sample_ahead

        def count(ctx: DamonCtx, nr: int, stretch: Stretch, ahead: Any = ahead) -> tuple[int, int]:
            done, highest = ahead(ctx, nr, stretch)
            assert done <= nr or stretch.boundary
            counted.note(done)
            return done, highest

        ops.sample_ahead = count  # type: ignore[method-assign]


class _Run:
    """Random contexts of any kind on a random machine, with commits and statistics at random moments."""

    def __init__(self, seed: int, counted: _Counted | None) -> None:
        rnd = self.rnd = Random(seed)
        self.machine = SimulatedMachine(random_workload(rnd), seed)
        self.machine.virtual_clock.ticks = Ticks(rnd.choice([0, 100, 250, 1000]))
        self.damon = Damon(self.machine, seed)
        if counted is None:
            _step_by_step(self.damon)
        else:
            _counting(self.damon, counted)
        drawn = [random_context(rnd, self.damon, kind) for kind in rnd.sample(SPACES, rnd.randint(1, 2))]
        self.ctxs = [ctx for ctx in drawn if ctx is not None]
        self.seen: list[Any] = []
        self.damon.start(self.ctxs)
        for ctx in self.ctxs:
            if rnd.random() < 0.3:
                self.damon.call(ctx, DamonCallControl(self._look, repeat=True, results_only=True))
            if rnd.random() < 0.2:
                self._repeat_later(ctx, rnd.randint(10_000, 400_000))

    def _look(self, ctx: DamonCtx) -> None:
        self.seen.append((self.machine.clock.now_ns(), ctx.passed_sample_intervals, dump(ctx)))

    def _repeat_later(self, ctx: DamonCtx, us: int) -> None:
        """Every ``us`` or a little later."""

        def fn(ctx: DamonCtx) -> None:
            control.due_ns = self.machine.clock.now_ns() + us * 1000
            self.seen.append((control.due_ns, ctx.passed_sample_intervals))

        control = DamonCallControl(fn, repeat=True, due_ns=self.machine.clock.now_ns() + 1)
        self.damon.call(ctx, control)

    def step(self) -> None:
        self.machine.clock.sleep_us(self.rnd.randint(1, 700_000))
        for ctx in self.ctxs:
            if self.rnd.random() < 0.3:
                src = random_commit(self.rnd, ctx)
                try:
                    self.damon.call(ctx, DamonCallControl(lambda ctx, src=src: commit_ctx(ctx, src)))  # type: ignore[misc]
                except DamonError as error:
                    self.seen.append(str(error))

    def state(self) -> Any:
        machine = self.machine
        kills = [(kill.pid, kill.time_ns) for kill in machine.kills()]
        return (
            self.seen, [dump(ctx) for ctx in self.ctxs], machine.clock.now_ns(), machine.counters(), machine.areas(),
            kills, machine.state.snapshot(),
        )  # fmt: skip

    def end(self) -> list[str]:
        self.damon.stop()
        errors = [repr(ctx.error) for ctx in self.ctxs]
        self.machine.close()
        return errors


def _compare(seed: int, counted: _Counted, steps: int = 4) -> None:
    one, two = _Run(seed, counted), _Run(seed, None)
    for _ in range(steps):
        one.step()
        two.step()
        assert one.state() == two.state()
    assert one.end() == two.end()


@examples(25)
@given(seeds)
def test_at_once_or_one_by_one(seed: int) -> None:
    _compare(seed, _Counted())


def test_these_runs_are_at_once() -> None:
    """The comparison above is of something: many intervals pass in one call, in machines full of events too."""
    counted = _Counted()
    for seed in range(6):
        _compare(seed, counted, 2)
    assert counted.most >= 10
    assert counted.intervals > 100


def _module_run(name: str, words: Sequence[str], seed: int, counted: _Counted | None) -> list[Any]:
    """What a module's parameters say at random moments, and what there is in the end."""
    rnd = Random(seed)
    pattern = rnd.choice([Pattern.RANDOM, Pattern.SEQUENTIAL, Pattern.ZIPF])
    areas = Area("cold", 24 * MIB), Area("hot", 4 * MIB), Area("file", 4 * MIB, Kind.FILE)
    accesses = Access("hot", 1e6, pattern=pattern), Access("file", 2e3)
    sim = machine(
        *areas, accesses=accesses, seed=seed, memory=64 * MIB, reserved=8 * MIB, hz=rnd.choice([0, 250, 1000])
    )
    damon = Damon(sim, seed)
    if counted is None:
        _step_by_step(damon)
    else:
        _counting(damon, counted)
    loader = Loader(damon)
    module = loader.prepare(name, ["enabled=Y", *words])
    loader.load(module)
    seen: list[Any] = []
    for _ in range(12):
        sim.clock.sleep_us(rnd.randint(1, 2_000_000))
        seen.append((sim.clock.now_ns(), module.parameters.values_by_name() | {"kdamond_pid": 0}, module.progress()))
    assert module.ctx is not None
    seen += [dump(module.ctx), sim.counters(), sim.state.snapshot()]
    loader.unload_all()
    seen.append(module.stats())
    sim.close()
    return seen


MODULES = {
    "damon_reclaim": ("min_age=500000", "wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "max_nr_regions=60"),
    "damon_lru_sort": ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "cold_min_age=500000"),
}


@pytest.mark.parametrize("name", MODULES)
@examples(6)
@given(seed=seeds)
def test_modules_at_once_or_one_by_one(name: str, seed: int) -> None:
    counted = _Counted()
    assert _module_run(name, MODULES[name], seed, counted) == _module_run(name, MODULES[name], seed, None)
    assert counted.most > 20  # aggregations in which no scheme wants anything need no Python


def _samples_until_low(low: int, counted: _Counted | None) -> tuple[int, int, int]:
    """Memory fills up until the only scheme is below its low watermark: samples so far, free memory then and later."""
    filling = Access("a", 2000.0, pattern=Pattern.SEQUENTIAL, stride=4096)
    sim = machine(Area("a", 32 * MIB, populate=False), accesses=(filling,), memory=64 * MIB)
    damon = Damon(sim, 1)
    if counted is None:
        _step_by_step(damon)
    else:
        _counting(damon, counted)
    ctx = _context(damon)
    ctx.attrs.aggr_interval = 60_000_000  # longer than the run: no end of an aggregation looks at watermarks
    marks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, interval=60_000_000, high=1000, mid=1000, low=low)
    ctx.schemes.append(Damos(action=DamosAction.STAT, apply_interval_us=60_000_000, wmarks=marks))
    began = damos_get_wmark_metric_value(sim)
    damon.start([ctx])
    sim.clock.sleep_us(6_000_000)
    result = ctx.passed_sample_intervals, began, damos_get_wmark_metric_value(sim)
    damon.stop()
    sim.close()
    return result


@pytest.mark.parametrize("low", [900, 800, 700])
def test_a_watermark_ends_a_stretch(low: int) -> None:
    """The last sample is the one at whose end free memory is below the watermark, also amid a stretch."""
    counted = _Counted()
    samples, began, ended = _samples_until_low(low, counted)
    assert began >= low > ended
    assert 10 < samples < 1100
    assert (samples, began, ended) == _samples_until_low(low, None)
    assert counted.most > 10


def _empty_run(seed: int, counted: _Counted | None) -> list[Any]:
    """Schemes with quotas of any kind over physical memory of which the most is empty, at random moments."""
    rnd = Random(seed)
    sim = machine(
        Area("a", 2 * MIB), accesses=(Access("a", 1e4, pattern=Pattern.RANDOM),), memory=64 * MIB,
        hz=rnd.choice([0, 250, 1000]),
    )  # fmt: skip
    damon = Damon(sim, seed)
    if counted is None:
        _step_by_step(damon)
    else:
        _counting(damon, counted)
    ctx = _context(damon)
    ctx.attrs.max_nr_regions = rnd.choice([10, 40, 1000])
    for _ in range(rnd.choice([1, 1, 2, 3])):
        quota = DamosQuota(
            ms=rnd.choice([0, 0, 1]), sz=rnd.choice([0, 12288, 1 << 20, 9 * MIB + 4096]),
            reset_interval=rnd.choice([0, 100, 350, 1000]), weight_age=rnd.randint(0, 1),
        )  # fmt: skip
        if rnd.random() < 0.2:
            quota.fail_charge_num, quota.fail_charge_denom = 1, 3
        if rnd.random() < 0.2:
            quota.goals = [DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 10, 5)]
        pattern = DamosAccessPattern(
            rnd.choice([0, 16384]), rnd.choice([ULONG_MAX, 8 * MIB]), 0, rnd.choice([0, 5]), rnd.randint(0, 4),
            rnd.choice([30, U32_MAX]),
        )  # fmt: skip
        interval = rnd.choice([0, 0, 100_000, 400_000])
        ctx.schemes.append(Damos(pattern, rnd.choice(list(DamosAction)), interval, quota))
    damon.start([ctx])
    seen: list[Any] = []
    for _ in range(5):
        sim.clock.sleep_us(rnd.randint(1, 3_000_000))
        seen.append((sim.clock.now_ns(), ctx.passed_sample_intervals, dump(ctx)))
    seen += [sim.counters(), sim.state.snapshot()]
    damon.stop()
    sim.close()
    return [*seen, repr(ctx.error)]


@examples(25)
@given(seeds)
def test_schemes_over_empty_memory(seed: int) -> None:
    assert _empty_run(seed, _Counted()) == _empty_run(seed, None)


def test_a_quota_over_empty_memory_needs_no_turn() -> None:
    """Windows begin, end within a region and go on in the next one; Python has a turn when something else is due."""
    counted = _Counted()
    sim = machine(Area("a", 2 * MIB), memory=64 * MIB)
    damon = Damon(sim, 1)
    ctx = _context(damon)
    quota = DamosQuota(sz=3 * MIB + 4096, reset_interval=300)
    ctx.schemes.append(Damos(DamosAccessPattern(max_nr_accesses=0), DamosAction.PAGEOUT, quota=quota))
    damon.start([ctx])
    sim.clock.sleep_us(30_000_000)  # what is in memory leaves
    stat = ctx.schemes[0].stat
    tried, exceeds, snapshots = stat.nr_tried, stat.qt_exceeds, stat.nr_snapshots
    _counting(damon, counted)
    sim.clock.sleep_us(30_000_000)
    assert stat.qt_exceeds - exceeds >= 70
    assert stat.nr_tried - tried >= 100
    assert stat.nr_snapshots - snapshots >= 3
    assert counted.intervals >= 5900
    assert counted.calls <= 10
    damon.stop()
    sim.close()


class _Own(Paddr):
    """A user's set that sees every sample."""

    id = "own"
    samples = 0

    def check_accesses(self, ctx: DamonCtx) -> int:
        self.samples += 1
        return super().check_accesses(ctx)


class _Space(SimulatedPhysical):
    """A user's view of the memory."""

    asked = 0

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        self.asked += 1
        return super().mkold(addrs, nr)


def _context(damon: Damon, name: str = "paddr") -> DamonCtx:
    ctx = damon.new_ctx()
    damon.select_ops(ctx, name)
    ctx.targets.append(DamonTarget())
    set_regions(ctx.targets[0], [system_ram_region(damon.machine, 0, 0)], ctx.min_region_sz)
    return ctx


def _machine() -> SimulatedMachine:
    return machine(Area("a", 8 * MIB), accesses=(Access("a", 1e5, pattern=Pattern.RANDOM),))


def test_what_a_user_has_written_is_asked_at_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operations set with a step of its own, a space with a method of its own, one that was put in its place."""
    with _machine() as sim:
        damon = Damon(sim)
        own = _Own()
        damon.register_ops(own)
        ctx = _context(damon, "own")
        damon.start([ctx])
        sim.clock.sleep_us(1_000_000 - 1)
        assert own.samples == 199
        damon.stop()

        sim.phys = space = _Space(sim)
        ctx = _context(damon)
        damon.start([ctx])
        sim.clock.sleep_us(1_000_000 - 1)
        assert space.asked == 200
        damon.stop()

        asked: list[int] = []
        sim.phys = SimulatedPhysical(sim)
        young = sim.phys.young

        def ask(batch: Batch, out: Buffer) -> None:
            asked.append(batch.nr)
            young(batch, out)

        monkeypatch.setattr(sim.phys, "young", ask)
        ctx = _context(damon)
        damon.start([ctx])
        sim.clock.sleep_us(1_000_000 - 1)
        assert len(asked) == 199
        damon.stop()


@pytest.mark.parametrize("other", ["advance", "closed", "reference", "phase", "thread"])
def test_no_stretch(other: str) -> None:
    """Where another one has to have a turn, and where there is no C."""
    sim = SimulatedMachine(replace(_machine().workload, repeat=True), 1, reference=other == "reference")
    if other == "advance":
        sim.virtual_clock.advance = lambda now: None
    if other == "closed":
        sim.close()
    if other == "phase":
        sim.clock.sleep_us(999_000)
    if other == "thread":
        sim.virtual_clock.spawn("sleeper", lambda: sim.clock.sleep_us(5000))
        sim.clock.sleep_us(1)
    none = Stretch(NEVER, 0, NEVER)
    assert sim.begin_stretch(5000, none) is None
    assert sim.begin_stretch(1 << 60, none) is None
    if other in ("phase", "thread"):
        assert sim.begin_stretch(900, none) is not None
    sim.close()


@pytest.mark.parametrize("metric", list(DamosWmarkMetric))
@given(st.lists(st.tuples(*[st.integers(0, 1000)] * 3, st.booleans()), max_size=3), st.integers(0, 999), st.data())
def test_watermarks_decide_the_same_while_free_memory_is_steady(
    metric: DamosWmarkMetric, marks: list[tuple[int, int, int, bool]], free: int, data: st.DataObject
) -> None:
    fake = FakeMachine()
    fake.free = (free, 999)
    schemes = []
    for number, (*bounds, activated) in enumerate(marks):
        low, mid, high = sorted(bounds)
        wmarks = DamosWatermarks(metric, interval=1000 + number, high=high, mid=mid, low=low)
        wmarks.activated = activated
        schemes.append(Damos(wmarks=wmarks))
    ctx = DamonCtx(machine=fake, schemes=schemes)
    wait = min_wait_us(ctx)
    states = [scheme.wmarks.activated for scheme in schemes]
    least, most = steady_free(ctx)
    assert least <= free <= most
    fake.free = (data.draw(st.integers(max(least, 0), min(most, 999))), 999)
    assert min_wait_us(ctx) == wait
    assert [scheme.wmarks.activated for scheme in schemes] == states
