# SPDX-License-Identifier: GPL-2.0-only
"""What ends a stretch of sampling intervals in one call, or allows none: a user's code, other threads, watermarks."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import Damon
from damon.core.watermarks import min_wait_us, steady_free
from damon.mm.sim import SimulatedMachine
from damon.mm.sim.spaces import SimulatedPhysical
from damon.model.arrays import Batch, Buffer
from damon.model.context import NEVER, DamonCtx
from damon.model.operations import Stretch
from damon.model.scheme import Damos, DamosWatermarks, DamosWmarkMetric
from damon.ops.paddr import Paddr
from damon.workload.model import Access, Area, Pattern
from tests.core.ahead import on_memory
from tests.fakes import FakeMachine
from tests.mm.sim.machines import MIB, machine


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


def _machine() -> SimulatedMachine:
    return machine(Area("a", 8 * MIB), accesses=(Access("a", 1e5, pattern=Pattern.RANDOM),))


def test_code_of_a_user_is_called_at_every_sample(monkeypatch: pytest.MonkeyPatch) -> None:
    """An operations set with a step of its own, a space with a method of its own, one that was put in its place."""
    with _machine() as sim:
        damon = Damon(sim)
        own = _Own()
        damon.register_ops(own)
        ctx = on_memory(damon, "own")
        damon.start([ctx])
        sim.clock.sleep_us(1_000_000 - 1)
        assert own.samples == 199
        damon.stop()

        sim.phys = space = _Space(sim.engine, sim.state, sim.virtual_clock)
        ctx = on_memory(damon)
        damon.start([ctx])
        sim.clock.sleep_us(1_000_000 - 1)
        assert space.asked == 200
        damon.stop()

        asked: list[int] = []
        sim.phys = SimulatedPhysical(sim.engine, sim.state, sim.virtual_clock)
        young = sim.phys.young

        def ask(batch: Batch, out: Buffer) -> None:
            asked.append(batch.nr)
            young(batch, out)

        monkeypatch.setattr(sim.phys, "young", ask)
        ctx = on_memory(damon)
        damon.start([ctx])
        sim.clock.sleep_us(1_000_000 - 1)
        assert len(asked) == 199
        damon.stop()


@pytest.mark.parametrize("other", ["advance", "closed", "phase", "thread"])
def test_no_stretch(other: str) -> None:
    """None where another thread or event comes first."""
    sim = SimulatedMachine(replace(_machine().workload, repeat=True), 1)
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
