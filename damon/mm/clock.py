# SPDX-License-Identifier: GPL-2.0-only
"""The two clocks. Every wait goes through one: ``RealClock`` is the monotonic clock, ``VirtualClock`` counts by itself.

Under the virtual clock exactly one thread runs at a time. A thread that sleeps hands over to the one that wakes first
(ties: first come, first served), so several workers interleave the same way in every run.
"""

from __future__ import annotations

import ctypes
import heapq
import threading
import time
from collections.abc import Callable

from damon.model.clock import Event, Thread
from damon.model.ticks import EXACT, Ticks

PR_SET_NAME = 15


def _named(name: str, function: Callable[[], None]) -> Callable[[], None]:
    """``function`` in a thread whose kernel name (``comm``) is ``name``: what ``ps -L`` and traces show."""

    def run() -> None:
        ctypes.CDLL(None).prctl(PR_SET_NAME, name.encode()[:15], 0, 0, 0)
        function()

    return run


def _seconds(us: float) -> float:
    """What the operating system can wait; parameters go to 2**64 - 1."""
    return min(us / 1e6, threading.TIMEOUT_MAX)


class _RealEvent(threading.Event):
    def wait(self, timeout_us: float | None = None) -> bool:
        return super().wait(None if timeout_us is None else _seconds(timeout_us))

    def wait_until(self, end_ns: int) -> bool:
        return self.wait(max(end_ns - time.monotonic_ns(), 0) / 1000)


class RealClock:
    """The monotonic clock of the running system. It is exact: what runs in user space is bound to no tick."""

    def __init__(self) -> None:
        self.ticks = EXACT

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def jiffies(self) -> int:
        return self.ticks.jiffies(self.now_ns())

    def coarse_ns(self) -> int:
        return self.now_ns()

    def sleep_us(self, us: int) -> None:
        time.sleep(_seconds(us))

    def sleep_until(self, end_ns: int) -> None:
        time.sleep(_seconds(max(end_ns - self.now_ns(), 0) / 1000))

    def next_deadline_ns(self, last_ns: int, us: int) -> int:
        """When a sampling interval ends that begins now, after one whose end was due at ``last_ns`` (0: none was).

        Intervals follow each other without what the work between them takes, where it leaves half of an interval.
        """
        now = self.now_ns()
        due = last_ns + us * 1000 if last_ns else now + us * 1000
        return min(max(due, now + us * 500), now + us * 1000)

    def event(self) -> Event:
        return _RealEvent()

    def spawn(self, name: str, function: Callable[[], None]) -> Thread:
        thread = threading.Thread(target=_named(name, function), name=name, daemon=True)
        thread.start()
        return thread


class _Seat:
    """One thread's place in the virtual clock: it runs when ``baton`` is released for it."""

    __slots__ = ("baton", "queued")

    def __init__(self) -> None:
        self.baton = threading.Semaphore(0)
        self.queued = 0  # ticket of its valid entry in the queue; entries with another ticket are stale


class VirtualClock:
    """Virtual time from 0. The creating thread is its first participant; others come by ``spawn``.

    Args:
        advance: called with the new time in ns each time that time moves on, before any thread wakes
            (the simulated machine catches up here).
        ticks: how the machine's kernel counts time.
    """

    def __init__(self, advance: Callable[[int], None] | None = None, ticks: Ticks = EXACT) -> None:
        self.ticks = ticks
        self._now = 0
        self.advance = advance
        self._queue: list[tuple[int, int, _Seat]] = []
        self._ticket = 0
        self._local = threading.local()
        self._local.seat = _Seat()

    def now_ns(self) -> int:
        return self._now

    def jiffies(self) -> int:
        return self.ticks.jiffies(self._now)

    def coarse_ns(self) -> int:
        return self.ticks.coarse_ns(self._now)

    def next_wake_ns(self) -> int | None:
        """When the first sleeping thread wakes; None when no thread sleeps."""
        while self._queue and self._queue[0][2].queued != self._queue[0][1]:
            heapq.heappop(self._queue)
        return self._queue[0][0] if self._queue else None

    def pass_to(self, now_ns: int) -> None:
        """The calling thread slept up to then, the machine has caught up, and no other thread was to wake before."""
        self._now = now_ns

    def charge_ns(self, ns: int) -> None:
        """The calling thread worked for ``ns``: the same as sleeping that long."""
        self.sleep_until(self._now + ns)

    def sleep_us(self, us: int) -> None:
        self.sleep_until(self._now + us * 1000)

    def sleep_until(self, end_ns: int) -> None:
        queue, wake = self._queue, end_ns
        if not queue or wake < queue[0][0]:  # no other thread wakes before: keep running
            if wake > self._now:
                self._now = wake
                if self.advance is not None:
                    self.advance(wake)
            return
        seat = self._seat()
        self._enqueue(seat, wake)
        self._hand_over(seat)

    def _seat(self) -> _Seat:
        seat = getattr(self._local, "seat", None)
        if seat is None:
            raise RuntimeError("this thread takes no part in the virtual clock; start it with clock.spawn()")
        return seat  # type: ignore[no-any-return]

    def _enqueue(self, seat: _Seat, wake: int) -> None:
        self._ticket += 1
        seat.queued = self._ticket
        heapq.heappush(self._queue, (wake, self._ticket, seat))

    def _pass_baton(self) -> _Seat:
        while self._queue:
            wake, ticket, seat = heapq.heappop(self._queue)
            if seat.queued != ticket:
                continue
            seat.queued = 0
            if wake > self._now:
                self._now = wake
                if self.advance is not None:
                    self.advance(wake)
            return seat
        raise RuntimeError("every thread of the virtual clock waits for another one: none can go on")

    def _hand_over(self, me: _Seat) -> None:
        seat = self._pass_baton()
        if seat is not me:
            seat.baton.release()
            me.baton.acquire()

    def event(self) -> Event:
        return _VirtualEvent(self)

    def spawn(self, name: str, function: Callable[[], None]) -> Thread:
        seat = _Seat()
        done = _VirtualEvent(self)
        self._enqueue(seat, self._now)

        def run() -> None:
            self._local.seat = seat
            seat.baton.acquire()
            try:
                function()
            finally:
                done.set()
                if self._queue:
                    self._pass_baton().baton.release()

        thread = threading.Thread(target=_named(name, run), name=name, daemon=True)
        thread.start()
        return _VirtualThread(thread, done)


class _VirtualThread:
    def __init__(self, thread: threading.Thread, done: _VirtualEvent) -> None:
        self._thread = thread
        self._done = done

    @property
    def name(self) -> str:
        return self._thread.name

    @property
    def native_id(self) -> int | None:
        return self._thread.native_id

    def is_alive(self) -> bool:
        return not self._done.is_set()

    def join(self, timeout: float | None = None) -> None:
        """Wait on virtual time for the worker to end."""
        self._done.wait()


class _VirtualEvent:
    def __init__(self, clock: VirtualClock) -> None:
        self._clock = clock
        self._set = False
        self._waiting: list[_Seat] = []

    def is_set(self) -> bool:
        return self._set

    def set(self) -> None:
        self._set = True
        for seat in self._waiting:
            self._clock._enqueue(seat, self._clock.now_ns())
        self._waiting.clear()

    def wait(self, timeout_us: int | None = None) -> bool:
        return self._wait(None if timeout_us is None else self._clock.now_ns() + timeout_us * 1000)

    def wait_until(self, end_ns: int) -> bool:
        return self._wait(end_ns)

    def _wait(self, end_ns: int | None) -> bool:
        if not self._set:
            seat = self._clock._seat()
            self._waiting.append(seat)
            if end_ns is not None:
                self._clock._enqueue(seat, end_ns)
            self._clock._hand_over(seat)
            if seat in self._waiting:
                self._waiting.remove(seat)
        return self._set
