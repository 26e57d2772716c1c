# SPDX-License-Identifier: GPL-2.0-only
"""The virtual clock: one thread at a time, in the order of wake-ups, the same in every run."""

from __future__ import annotations

import threading
from functools import partial

import pytest

from damon.mm.clock import RealClock, VirtualClock


def test_threads_interleave_by_wake_time_then_first_come() -> None:
    clock = VirtualClock()
    log: list[tuple[str, int]] = []

    def ticker(name: str, us: int) -> None:
        for _ in range(3):
            clock.sleep_us(us)
            log.append((name, clock.now_ns() // 1000))

    for name, us in (("a", 20), ("b", 30)):
        clock.spawn(name, partial(ticker, name, us))
    clock.sleep_us(1000)
    assert log == [("a", 20), ("b", 30), ("a", 40), ("b", 60), ("a", 60), ("b", 90)]
    assert clock.now_ns() == 1_000_000


def test_advance_sees_every_step_once() -> None:
    seen: list[int] = []
    clock = VirtualClock(advance=seen.append)
    clock.sleep_us(5)
    clock.sleep_us(0)
    clock.charge_ns(7)
    clock.spawn("w", lambda: clock.sleep_us(1)).join()
    assert seen == [5000, 5007, 6007]


def test_events_wake_waiters_and_time_out() -> None:
    clock = VirtualClock()
    event = clock.event()
    got: list[tuple[bool, int]] = []
    clock.spawn("w", lambda: got.append((event.wait(100), clock.now_ns())))
    clock.spawn("x", lambda: got.append((event.wait(10), clock.now_ns())))
    clock.sleep_us(50)
    event.set()
    clock.sleep_us(0)
    clock.sleep_us(100)
    assert got == [(False, 10_000), (True, 50_000)]
    assert event.wait()


def test_waiting_for_each_other_is_an_error_and_no_hang() -> None:
    clock = VirtualClock()
    with pytest.raises(RuntimeError, match="none can go on"):
        clock.event().wait()


def test_the_real_clock_waits_for_as_long_as_a_parameter_can_say() -> None:
    event = RealClock().event()
    timer = threading.Timer(0.05, event.set)
    timer.start()
    assert event.wait(2**64 - 1)
    timer.join()


def test_the_real_clock_names_its_threads_for_the_system() -> None:
    clock = RealClock()
    comm: list[str] = []

    def read() -> None:
        with open("/proc/thread-self/comm") as file:
            comm.append(file.read().strip())

    clock.spawn("kdamond.7", read).join()
    assert comm == ["kdamond.7"]


def test_sampling_intervals_of_the_real_clock_follow_each_other(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the work takes comes off the sleep, but half an interval stays; nothing is made up for."""
    now = 0
    clock = RealClock()
    monkeypatch.setattr(clock, "now_ns", lambda: now)
    now = 1_000_000
    first = clock.next_deadline_ns(0, 5000)
    assert first == 6_000_000
    now = 7_000_000  # 1 ms of work
    second = clock.next_deadline_ns(first, 5000)
    assert second == 11_000_000
    now = 15_000_000  # 4 ms
    third = clock.next_deadline_ns(second, 5000)
    assert third == 17_500_000
    now = 1_000_000_000
    assert clock.next_deadline_ns(third, 5000) == 1_002_500_000
    now = third - 2_000_000  # woken early
    assert clock.next_deadline_ns(third, 5000) == third + 3_000_000
