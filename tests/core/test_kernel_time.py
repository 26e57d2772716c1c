# SPDX-License-Identifier: GPL-2.0-only
"""A machine with ticks: when workers wake, what actions cost, how long windows are (core 3.5, damos 5)."""

from __future__ import annotations

import pytest

from damon.core import Damon
from damon.core import quota as quotas
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.scheme import Damos, DamosAction, DamosQuota, DamosWatermarks, DamosWmarkMetric
from tests.contexts import started
from tests.core.passes import Recorder, one_pass, recorded
from tests.fakes import FakeMachine, regions_of

PAGE, MIB = 4096, 1 << 20
MS = 1_000_000


def _started(machine: FakeMachine, sample_us: int, *schemes: Damos) -> tuple[Damon, DamonCtx, list[int]]:
    """A worker, and a list that grows by the time, in ns, of each of its iterations."""
    attrs = DamonAttrs(sample_us, 20 * sample_us)
    damon, ctx = started(machine, *schemes, regions=[regions_of((0, MIB))], attrs=attrs)
    times: list[int] = []
    damon.call(ctx, DamonCallControl(lambda ctx: times.append(machine.clock.now_ns()), repeat=True))
    return damon, ctx, times


@pytest.mark.parametrize(
    ("hz", "sample_us", "interval_ns"),
    [
        (0, 20_000, 20 * MS), (100, 20_000, 20 * MS), (100, 40_000, 50 * MS),
        (250, 5_000, 5 * MS), (250, 15_999, 15_999_000), (250, 16_000, 20 * MS), (250, 17_000, 24 * MS),
        (300, 20_000, 7 * 3_333_333), (1000, 3_999, 3_999_000), (1000, 5_000, 6 * MS),
    ],
)  # fmt: skip
def test_a_sampling_interval_of_four_ticks_or_more_ends_at_the_tick_after(
    hz: int, sample_us: int, interval_ns: int
) -> None:
    machine = FakeMachine(hz=hz)
    damon, ctx, times = _started(machine, sample_us)
    machine.clock.sleep_us(10 * sample_us)
    assert len(times) >= 5
    assert times == [nr * interval_ns for nr in range(1, len(times) + 1)]
    damon.stop([ctx])


def test_a_wait_for_watermarks_ends_where_the_timer_wheel_is_that_coarse() -> None:
    machine = FakeMachine(hz=250)
    machine.free = (950, 1000)
    marks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 1_000_000, 900, 800, 100)
    damon, ctx, times = _started(machine, 5000, Damos(wmarks=marks))
    machine.clock.sleep_us(3_100_000)
    assert times == [1024 * MS, 2048 * MS, 3072 * MS]  # 250 ticks in steps of 8: 256
    damon.stop([ctx])


def test_a_timeout_ends_early_when_the_worker_is_asked_to_end() -> None:
    for hz, sample_us, now_ns in ((250, 10**9, 1000), (250, 15_000, 15 * MS), (1000, 15_000, 1000)):
        machine = FakeMachine(hz=hz)
        damon, ctx, _ = _started(machine, sample_us)
        machine.clock.sleep_us(1)
        damon.stop([ctx])
        assert machine.clock.now_ns() == now_ns


def _ctx(hz: int, cost_us: int, at_us: int, quota: DamosQuota) -> DamonCtx:
    scheme, ops = Damos(action=DamosAction.PAGEOUT, quota=quota), Recorder(cost_us=cost_us)
    return recorded(scheme, regions=regions_of((0, 4 * MIB)), ops=ops, machine=FakeMachine(hz=hz), at_us=at_us)


@pytest.mark.parametrize(
    ("hz", "at_us", "cost_us", "charged_ns"),
    [
        (0, 1_000_000, 1234, 1_234_000), (250, 1_000_000, 3999, 0), (250, 1_000_000, 4000, 4 * MS),
        (250, 1_003_000, 1000, 4 * MS), (1000, 1_000_100, 950, MS), (1000, 1_000_100, 850, 0),
        (100, 1_000_000, 9999, 0),
    ],
)  # fmt: skip
def test_an_action_takes_the_ticks_that_come_while_it_runs(hz: int, at_us: int, cost_us: int, charged_ns: int) -> None:
    ctx = _ctx(hz, cost_us, at_us, DamosQuota())
    one_pass(ctx)
    assert ctx.schemes[0].quota.total_charged_ns == charged_ns


@pytest.mark.parametrize(("hz", "esz"), [(0, 10 * MIB), (250, 40 * MIB)])
def test_a_time_quota_goes_by_what_the_coarse_clock_saw(hz: int, esz: int) -> None:
    """4 MiB in 4 ms; between two ticks that is no time, and the rate stays the first guess of 4 MiB a millisecond."""
    ctx = _ctx(hz, 3900 if hz else 4000, 1_000_000, DamosQuota(ms=10, reset_interval=1000))
    scheme = ctx.schemes[0]
    assert one_pass(ctx) == [(0, 4 * MIB)]
    scheme.quota.total_charged_sz = scheme.quota.charged_sz
    quotas.damos_set_effective_quota(ctx, scheme)
    assert scheme.quota.esz == esz


@pytest.mark.parametrize(("hz", "exceeds"), [(0, [0, 0, 0, 1]), (250, [0, 0, 1, 1]), (100, [0, 0, 1, 1])])
def test_a_window_is_a_number_of_ticks(hz: int, exceeds: list[int]) -> None:
    """It begins with the tick before its first pass: here 3 ms earlier, and 9 ms with 100 ticks a second."""
    ctx = _ctx(hz, 0, 1_003_000 if hz != 100 else 1_009_000, DamosQuota(sz=PAGE, reset_interval=1000))
    got = []
    for pause_us in (0, 990_000, 9_000, 1000):
        ctx.machine.clock.sleep_us(pause_us)
        one_pass(ctx)
        got.append(ctx.schemes[0].stat.qt_exceeds)
    assert got == exceeds
