# SPDX-License-Identifier: GPL-2.0-only
"""Ticks: what a kernel reads as the time, and when its sleeps end. The numbers are those of the kernel's own code."""

from __future__ import annotations

from typing import Any

import pytest

from damon.errors import InvalidInput
from damon.mm.clock import RealClock, VirtualClock
from damon.model.ticks import MAX_JIFFY_OFFSET, RATES, Ticks

MS = 1_000_000


@pytest.mark.parametrize(("hz", "tick_ns", "upper_us"), [(100, 10 * MS, 40_000), (250, 4 * MS, 16_000),
                                                        (300, 3_333_333, 13_333), (1000, MS, 4_000)])  # fmt: skip
def test_a_tick_and_the_shortest_sleep_that_ends_at_one(hz: int, tick_ns: int, upper_us: int) -> None:
    ticks = Ticks(hz)
    assert (ticks.tick_ns, ticks.upper_us) == (tick_ns, upper_us)
    now = 7 * tick_ns + 1234
    assert ticks.sleep_end_ns(now, upper_us - 1) == now + (upper_us - 1) * 1000
    assert ticks.sleep_end_ns(now, upper_us) % tick_ns == 0
    assert ticks.coarse_ns(now) == 7 * tick_ns
    assert ticks.jiffies(now) - ticks.jiffies(0) == 7
    assert ticks.jiffies(0) == 2**32 - 300 * hz


@pytest.mark.parametrize(("jiffies", "end"), [(0, 1), (1, 2), (62, 63), (63, 64), (70, 72), (72, 80), (503, 504),
                                              (504, 512), (1000, 1024), (4032, 4096), (100_000, 102_400)])  # fmt: skip
def test_a_timeout_ends_at_the_tick_after_and_the_wheel_rounds_long_ones(jiffies: int, end: int) -> None:
    ticks = Ticks(1000)
    now = (32**4 - ticks.jiffies(0) % 32**4) * MS  # the count of jiffies is a multiple of all steps of the wheel
    assert ticks.timeout_end_ns(now, jiffies) == now + end * MS
    assert ticks.timeout_end_ns(now + MS - 1, jiffies) == now + end * MS


def test_conversions_round_up_and_windows_keep_32_bits() -> None:
    ticks = Ticks(250)
    assert [ticks.ms_to_jiffies(ms) for ms in (0, 1, 4, 5, 1000)] == [0, 1, 1, 2, 250]
    assert [ticks.us_to_jiffies(us) for us in (0, 1, 4000, 4001)] == [0, 1, 1, 2]
    assert Ticks(300).ms_to_jiffies(10) == 3
    for one in (Ticks(0), ticks):
        assert one.ms_to_jiffies(2**32) == 0
        assert one.ms_to_jiffies(2**32 + 4) == one.ms_to_jiffies(4)
        assert one.ms_to_jiffies(2**31) == MAX_JIFFY_OFFSET


def test_a_sleep_of_72_minutes_and_more_does_not_wrap() -> None:
    """The kernel's is one tick: ``usecs_to_jiffies()`` has an argument of 32 bits."""
    assert Ticks(250).sleep_end_ns(0, 2**32) >= 2**32 * 1000


def test_without_ticks_time_is_exact() -> None:
    ticks = Ticks(0)
    assert ticks.sleep_end_ns(1234, 10**6) == 1234 + 10**9
    assert ticks.timeout_end_ns(1234, 7) == 1234 + 7 * MS
    assert ticks.coarse_ns(1234) == 1234
    assert [ticks.jiffies(ns) for ns in (0, MS - 1, MS)] == [1, 1, 2]
    assert ticks.upper_us == 20_000


def test_a_rate_that_no_kernel_has_is_refused() -> None:
    assert [Ticks(hz).hz for hz in RATES] == [0, 100, 250, 300, 1000]
    rates: list[Any] = [60, -250, 250.0, True]
    for hz in rates:
        with pytest.raises(InvalidInput, match=rf"^machine\.hz: {hz}: is not a rate of Linux; give 100, 250"):
            Ticks(hz)


def test_the_virtual_clock_reads_as_its_ticks_say() -> None:
    clock = VirtualClock(ticks=Ticks(100))
    clock.sleep_us(14_999)
    assert (clock.now_ns(), clock.coarse_ns(), clock.jiffies()) == (14_999_000, 10 * MS, 2**32 - 30_000 + 1)
    clock.sleep_until(clock.ticks.sleep_end_ns(clock.now_ns(), 50_000))
    assert clock.now_ns() == 70 * MS
    event = clock.event()
    assert not event.wait_until(71 * MS)
    assert clock.now_ns() == 71 * MS
    clock.spawn("w", event.set)
    assert event.wait_until(10**12)
    assert clock.now_ns() == 71 * MS


def test_the_real_clock_is_exact() -> None:
    clock = RealClock()
    assert clock.ticks.hz == 0
    before = clock.now_ns()
    clock.sleep_until(before)
    assert not clock.event().wait_until(before)
    assert clock.coarse_ns() >= before
    assert clock.jiffies() >= before // MS
