# SPDX-License-Identifier: GPL-2.0-only
"""Where requests run: at once on the running system, between two moments of virtual time on a simulated machine."""

from __future__ import annotations

import errno
import queue
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final, Protocol

from damon.errors import DamonError
from damon.mm.clock import VirtualClock

#: Virtual time goes on in steps of so much at most, while no worker wakes before.
STEP_NS: Final = 20_000_000
#: Real time after which a slow clock's wait looks whether the service ends.
LOOK_S: Final = 0.1
#: A machine that is further behind than that does not try to catch up.
PATIENCE_NS: Final = 500_000_000


class Runner(Protocol):
    """Runs requests of any thread, which wait for the result, and lets the workers' time pass."""

    def __call__(self, function: Callable[[], None]) -> None:
        """Run ``function``, which may wait for workers; raises what it raises.

        ESHUTDOWN: the service ended first.
        """

    def serve(self, stop: threading.Event) -> None:
        """Take requests until ``stop`` is set."""


class DirectRunner:
    """For real time: the requesting thread runs it."""

    def __call__(self, function: Callable[[], None]) -> None:
        function()

    def serve(self, stop: threading.Event) -> None:
        stop.wait()


def _shutdown() -> DamonError:
    return DamonError(errno.ESHUTDOWN, "damond: is ending; start it again, and repeat the request")


@dataclass(eq=False)
class _Request:
    function: Callable[[], None]
    done: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None

    def run(self) -> None:
        try:
            self.function()
        except BaseException as error:
            self.error = error
        finally:
            self.done.set()


class PacedRunner:
    """For virtual time, which it lets pass as fast as real time (times ``speed``).

    ``serve`` must be called by the thread that made the clock. Each request becomes a participant of the clock.
    """

    def __init__(self, clock: VirtualClock, speed: float = 1.0) -> None:
        self._clock, self._speed = clock, speed
        # Not a SimpleQueue: its get() with a timeout can wait for ever when that has just passed (CPython 3.11).
        self._requests: queue.Queue[_Request] = queue.Queue()
        self._lock = threading.Lock()
        self._waiting: set[_Request] = set()  #: requests whose threads wait
        self._ended = False
        self.late_ns = 0  #: virtual time given up because the simulation could not keep pace

    def __call__(self, function: Callable[[], None]) -> None:
        request = _Request(function)
        with self._lock:
            if self._ended:
                raise _shutdown()
            self._waiting.add(request)
        self._requests.put(request)
        request.done.wait()
        with self._lock:
            self._waiting.discard(request)
        if request.error is not None:
            raise request.error

    def _end(self) -> None:
        """Release every waiting client, whether its request has begun or not."""
        with self._lock:
            self._ended = True
            for request in self._waiting:
                if not request.done.is_set():
                    request.error = _shutdown()
                    request.done.set()

    def serve(self, stop: threading.Event) -> None:
        try:
            self._serve(stop)
        finally:
            self._end()

    def _serve(self, stop: threading.Event) -> None:
        real, virtual = time.monotonic_ns(), self._clock.now_ns()
        while not stop.is_set():
            due = virtual + round((time.monotonic_ns() - real) * self._speed)
            now, wake = self._clock.now_ns(), self._clock.next_wake_ns()
            until = now + STEP_NS if wake is None else min(wake, now + STEP_NS)
            if due - until > PATIENCE_NS * self._speed:  # later than it was to be, however long the wait for it was
                self.late_ns += due - until
                real, virtual = time.monotonic_ns(), until
                due = until
            if until > due:
                self._take(min((until - due) / self._speed / 1e9, LOOK_S))
            else:
                self._take(0)
                self._clock.sleep_us(max((until - now) // 1000, 1))

    def _take(self, seconds: float) -> None:
        """Start the requests that are there; wait for the first one for so long."""
        try:
            request = self._requests.get(timeout=seconds) if seconds else self._requests.get_nowait()
            while True:
                self._clock.spawn("request", request.run)
                request = self._requests.get_nowait()
        except queue.Empty:
            pass
