# SPDX-License-Identifier: GPL-2.0-only
"""Runs on the simulated machine that are played twice: with many sampling intervals in one call, and one by one.

Each takes ``counted``: what was sampled in one call is noted there; None: one interval after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

from damon.core import Damon, commit_ctx
from damon.errors import DamonError
from damon.library.contexts import add_memory
from damon.mm.sim import SimulatedMachine
from damon.model.checks import U32_MAX, ULONG_MAX
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.machine import Machine
from damon.model.operations import Stretch
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosQuota, DamosQuotaGoal, DamosQuotaGoalMetric
from damon.model.ticks import Ticks
from damon.modules.loader import Loader
from damon.ops.ahead import NONE
from damon.workload.model import Access, Area, Kind, Pattern
from tests.contexts import selected
from tests.invariants import dump
from tests.mm.sim.machines import MIB, machine
from tests.random_contexts import random_commit, random_contexts, random_workload

HZ = [0, 250, 1000]


class Counted:
    """Calls, the intervals that they sampled, and the most intervals in one call."""

    def __init__(self) -> None:
        self.most = self.calls = self.intervals = 0

    def note(self, done: int) -> None:
        self.most, self.calls, self.intervals = max(self.most, done), self.calls + 1, self.intervals + done


def watch(damon: Damon, counted: Counted | None) -> None:
    """The engine's operations sets note how far they sample ahead, or do not at all."""
    for name in damon.operations.names():
        ops = damon.operations.select(name)

        def sample_ahead(ctx: DamonCtx, nr: int, stretch: Stretch, own: Any = ops.sample_ahead) -> tuple[int, int]:
            if counted is None:
                return NONE
            done, highest = own(ctx, nr, stretch)
            assert done <= nr or stretch.boundary
            counted.note(done)
            return done, highest

        ops.sample_ahead = sample_ahead  # type: ignore[method-assign]  # in place of the method, for this instance


def watched(machine: Machine, seed: int, counted: Counted | None) -> Damon:
    damon = Damon(machine, seed)
    watch(damon, counted)
    return damon


def on_memory(damon: Damon, ops: str = "paddr") -> DamonCtx:
    """A context on all memory, from the first to the last range."""
    ctx = selected(damon, ops)
    add_memory(ctx)
    return ctx


class RandomRun:
    """Random contexts of any kind on a random machine, with commits and statistics at random moments."""

    def __init__(self, seed: int, counted: Counted | None) -> None:
        rnd = self.rnd = Random(seed)
        self.machine = SimulatedMachine(random_workload(rnd), seed)
        self.machine.virtual_clock.ticks = Ticks(rnd.choice([0, 100, 250, 1000]), rnd.choice([0, 700_000]))
        self.machine.check_ns = rnd.choice([0, 1500])
        for row in self.machine.state.areas():
            row.more_looks = rnd.choice([0, 0, 7])
        self.damon = watched(self.machine, seed, counted)
        self.ctxs = random_contexts(rnd, self.damon)
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

    def _commit(self, ctx: DamonCtx) -> None:
        src = random_commit(self.rnd, ctx)
        try:
            self.damon.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, src)))
        except DamonError as error:
            self.seen.append(str(error))

    def step(self) -> None:
        self.machine.clock.sleep_us(self.rnd.randint(1, 700_000))
        for ctx in self.ctxs:
            if self.rnd.random() < 0.3:
                self._commit(ctx)

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


def compare(seed: int, counted: Counted, steps: int = 4) -> None:
    one, two = RandomRun(seed, counted), RandomRun(seed, None)
    for _ in range(steps):
        one.step()
        two.step()
        assert one.state() == two.state()
    assert one.end() == two.end()


def module_run(name: str, parameters: Sequence[str], seed: int, counted: Counted | None) -> list[Any]:
    """A module's parameters at random moments, and its context and the machine in the end."""
    rnd = Random(seed)
    pattern = rnd.choice([Pattern.RANDOM, Pattern.SEQUENTIAL, Pattern.ZIPF])
    areas = Area("cold", 24 * MIB), Area("hot", 4 * MIB), Area("file", 4 * MIB, Kind.FILE)
    accesses = Access("hot", 1e6, pattern=pattern), Access("file", 2e3)
    sim = machine(*areas, accesses=accesses, seed=seed, memory=64 * MIB, reserved=8 * MIB, hz=rnd.choice(HZ))
    loader = Loader(watched(sim, seed, counted))
    module = loader.prepare(name, ["enabled=Y", *parameters])
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


def _random_scheme(rnd: Random) -> Damos:
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
    return Damos(pattern, rnd.choice(list(DamosAction)), interval, quota)


def empty_run(seed: int, counted: Counted | None) -> list[Any]:
    """Schemes with quotas of any kind over physical memory of which the most is empty, at random moments."""
    rnd = Random(seed)
    access = Access("a", 1e4, pattern=Pattern.RANDOM)
    sim = machine(Area("a", 2 * MIB), accesses=(access,), memory=64 * MIB, hz=rnd.choice(HZ))
    damon = watched(sim, seed, counted)
    ctx = on_memory(damon)
    ctx.attrs.max_nr_regions = rnd.choice([10, 40, 1000])
    ctx.schemes += [_random_scheme(rnd) for _ in range(rnd.choice([1, 1, 2, 3]))]
    damon.start([ctx])
    seen: list[Any] = []
    for _ in range(5):
        sim.clock.sleep_us(rnd.randint(1, 3_000_000))
        seen.append((sim.clock.now_ns(), ctx.passed_sample_intervals, dump(ctx)))
    seen += [sim.counters(), sim.state.snapshot()]
    damon.stop()
    sim.close()
    return [*seen, repr(ctx.error)]
