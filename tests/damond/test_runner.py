# SPDX-License-Identifier: GPL-2.0-only
"""Requests in virtual time that keeps pace with real time."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from damon.damond.runner import DirectRunner, PacedRunner
from damon.mm.clock import VirtualClock


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

    began = time.monotonic()
    run(request)
    took = time.monotonic() - began
    assert seen[1] - seen[0] == 500_000_000
    assert 0.03 < took < 5  # 50 ms at this speed, and what a busy machine adds


def test_errors_come_back(paced: tuple[PacedRunner, VirtualClock]) -> None:
    run, _ = paced

    def request() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        run(request)


def test_requests_of_several_threads_do_not_wait_for_each_other(paced: tuple[PacedRunner, VirtualClock]) -> None:
    run, clock = paced
    event = clock.event()
    waiting = threading.Thread(target=lambda: run(lambda: event.wait() and None))
    waiting.start()
    run(lambda: clock.sleep_us(1000))
    run(event.set)
    waiting.join(10)
    assert not waiting.is_alive()


def test_the_direct_way() -> None:
    seen: list[int] = []
    DirectRunner()(lambda: seen.append(1))
    assert seen == [1]
