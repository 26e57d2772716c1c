# SPDX-License-Identifier: GPL-2.0-only
"""Requests in virtual time that keeps pace with real time."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator

import pytest

from damon.damond.runner import LOOK_S, STEP_NS, DirectRunner, PacedRunner
from damon.mm.clock import VirtualClock
from tests.waiting import HANG_S


@pytest.fixture
def paced() -> Iterator[tuple[PacedRunner, VirtualClock]]:
    """A runner whose clock, with a sleeping worker, is served by a thread of its own."""
    made: list[tuple[PacedRunner, VirtualClock]] = []
    ready, stop = threading.Event(), threading.Event()

    def serve() -> None:
        clock = VirtualClock()
        made.append((PacedRunner(clock, speed=10.0), clock))
        ready.set()
        made[0][0].serve(stop)

    thread = threading.Thread(target=serve)
    thread.start()
    ready.wait()
    yield made[0]
    stop.set()
    thread.join()


def test_a_request_waits_in_virtual_time(paced: tuple[PacedRunner, VirtualClock]) -> None:
    run, clock = paced
    seen: list[int] = []

    def request() -> None:
        seen.append(clock.now_ns())
        clock.sleep_us(500_000)
        seen.append(clock.now_ns())

    run(request)
    assert seen[1] - seen[0] == 500_000_000


def test_time_passes_at_its_speed(monkeypatch: pytest.MonkeyPatch) -> None:
    """It waits for the time that a step takes, divided by the speed; here the waiting is what moves the time."""
    now, waits = [1_000_000_000], []

    def get(requests: object, timeout: float) -> None:
        waits.append(timeout)
        now[0] += round(timeout * 1e9)
        raise queue.Empty

    monkeypatch.setattr("damon.damond.runner.time.monotonic_ns", lambda: now[0])
    monkeypatch.setattr(queue.Queue, "get", get)
    monkeypatch.setattr(queue.Queue, "get_nowait", lambda requests: get(requests, 0))
    clock, stop = VirtualClock(), threading.Event()
    runner = PacedRunner(clock, speed=10.0)
    sleeping = clock.sleep_us
    steps: list[int] = []

    def sleep_us(us: int) -> None:
        sleeping(us)
        steps.append(us)
        if len(steps) >= 25:
            stop.set()

    monkeypatch.setattr(clock, "sleep_us", sleep_us)
    runner.serve(stop)
    assert clock.now_ns() == 25 * STEP_NS
    assert sum(waits) == pytest.approx(25 * STEP_NS / 10 / 1e9)
    assert runner.late_ns == 0


def test_time_passes_however_slow_it_is_and_late_the_machine(
    paced: tuple[PacedRunner, VirtualClock], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it waits for a step is not time that it is late by: else a slow clock would stand still."""
    monkeypatch.setattr("damon.damond.runner.PATIENCE_NS", 0)
    run, clock = paced
    run(lambda: clock.sleep_us(30_000))
    assert clock.now_ns() >= 30_000_000


def test_however_slow_it_is_it_looks_whether_it_is_to_end(monkeypatch: pytest.MonkeyPatch) -> None:
    stop, waits = threading.Event(), []

    def get(requests: object, timeout: float) -> None:
        waits.append(timeout)
        stop.set()  # by a signal handler, in the middle of the wait
        raise queue.Empty

    monkeypatch.setattr(queue.Queue, "get", get)
    PacedRunner(VirtualClock(), speed=1e-6).serve(stop)
    assert waits == [LOOK_S]


def test_errors_come_back(paced: tuple[PacedRunner, VirtualClock]) -> None:
    run, _ = paced

    def request() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(request)


def test_requests_of_several_threads_do_not_wait_for_each_other(paced: tuple[PacedRunner, VirtualClock]) -> None:
    run, clock = paced
    event = clock.event()

    def wait() -> None:
        event.wait()

    waiting = threading.Thread(target=lambda: run(wait))
    waiting.start()
    run(lambda: clock.sleep_us(1000))
    run(event.set)
    waiting.join(HANG_S)
    assert not waiting.is_alive()


def test_the_direct_way() -> None:
    seen: list[int] = []
    DirectRunner()(lambda: seen.append(1))
    assert seen == [1]
