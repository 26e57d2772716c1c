# SPDX-License-Identifier: GPL-2.0-only
"""Recording what a running service's workers find out: what it answers, and the recorder's side of that."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from damon.core import Damon
from damon.damond import structures
from damon.damond.client import Client
from damon.damond.proc import simulated
from damon.damond.runner import Runner
from damon.damond.runtime import socket_path, trace_socket_path
from damon.errors import DamonError, InvalidInput
from damon.model.context import DamonCallControl, DamonCtx
from damon.records import params
from damon.records.environment import Environment, LinuxEnvironment, SimEnvironment
from damon.trace.remote import RemoteQueue

Pairs = params.Pairs


T = TypeVar("T")


class Answers:
    """The service's side.

    Args:
        contexts: those that there are now.
        run: where requests may wait for workers.
    """

    def __init__(self, damon: Damon, contexts: Callable[[], Iterable[DamonCtx]], run: Runner) -> None:
        self._damon, self._contexts, self._run = damon, contexts, run

    def calls(self) -> dict[str, Callable[..., Any]]:
        return {
            "now": self._now,
            "parameters": self._parameters,
            "struct_damon_ctx": self._structure,
            "environment": self._environment,
        }

    def _now(self) -> dict[str, Any]:
        return {
            "now_ns": self._damon.machine.clock.now_ns(),
            "running": [self._damon.kdamond_pid(ctx) for ctx in self._contexts() if self._damon.is_running(ctx)],
        }

    def _parameters(self, pid: int) -> Pairs:
        """Of the worker ``pid``; ECANCELED when it has ended."""
        return self._asked(pid, lambda ctx: params.kdamond(ctx, pid))

    def _structure(self, pid: int) -> dict[str, Any]:
        """The context of the worker ``pid`` as the kernel's structures have it; ECANCELED when it has ended."""
        return self._asked(pid, structures.damon_ctx)

    def _asked(self, pid: int, question: Callable[[DamonCtx], T]) -> T:
        found: list[T] = []

        def ask() -> None:
            for ctx in self._contexts():
                if self._damon.is_running(ctx) and self._damon.kdamond_pid(ctx) == pid:
                    self._damon.call(ctx, DamonCallControl(lambda ctx: found.append(question(ctx))))

        self._run(ask)
        if not found:
            raise DamonError(errno.ECANCELED, f"worker: {pid}: does not run; give the pid of one that runs")
        return found[0]

    def _environment(self, pids: Sequence[int]) -> Pairs:
        """Of a simulated machine's processes."""
        machine = simulated(self._damon.machine)
        if machine is None:
            raise InvalidInput("machine: is not a simulated one; read /proc")
        there = SimEnvironment(machine)
        answer: Pairs = {}

        def look() -> None:
            answer.update(time=there.time(), footprint=there.footprint(pids), vmas=there.vmas(pids))

        self._run(look)
        return answer


class RunningSource:
    """The workers of the service that is mounted at ``mount``.

    Raises:
        DamonError: none is there.
        InvalidInput: none of its workers runs.
    """

    def __init__(self, mount: Path) -> None:
        self._events_path = str(trace_socket_path(mount))
        self._client = Client(socket_path(mount))
        status = self._client.call("status")
        self.simulated = status["virtual_s"] is not None
        if not self._client.call("now")["running"]:
            self.close()
            raise InvalidInput(
                f"workers: none of the damond at {status['mount']} runs; start one "
                "(damon param set damon_reclaim.enabled=Y, or write on to a kdamond's state)"
            )
        self._queue: RemoteQueue | None = None
        self._known: dict[DamonCtx, Pairs] = {}
        self._now: dict[str, Any] = {"now_ns": 0, "running": []}

    def ask(self, name: str, default: Any, **arguments: Any) -> Any:
        """What the service answers; ``default`` when it, or the worker, has just ended."""
        try:
            return self._client.call(name, **arguments)
        except OSError as error:
            if error.errno in (errno.ECONNRESET, errno.EPIPE, errno.ECANCELED):
                return default
            raise

    def now_ns(self) -> int:
        self._now = self.ask("now", self._now | {"running": []})
        return int(self._now["now_ns"])

    def queue(self, events: Iterable[str], capacity: int) -> RemoteQueue:
        self._queue = RemoteQueue(self._events_path, events, capacity)
        return self._queue

    def kdamond(self, ctx: DamonCtx) -> Pairs:
        """The last that was known when the worker has ended."""
        assert self._queue is not None
        pid = self._queue.pid(ctx)
        known = self._known.get(ctx) or params.kdamond(ctx, pid)
        found: Pairs = self.ask("parameters", known, pid=pid)
        self._known[ctx] = found
        return found

    def running(self, ctx: DamonCtx) -> bool:
        return self._queue is not None and self._queue.pid(ctx) in self._now["running"]

    @property
    def ended(self) -> bool:
        """Has the service ended, or its last worker?"""
        return self._queue is None or self._queue.ended or not self._now["running"]

    def environment(self) -> Environment:
        return _SimSurroundings(self) if self.simulated else LinuxEnvironment()

    def close(self) -> None:
        self._client.close()


class _SimSurroundings:
    """Of the service's simulated machine, asked once for each look."""

    def __init__(self, source: RunningSource) -> None:
        self._source = source
        self._last: Pairs = {"time": 0.0, "footprint": {"time": 0.0, "footprints": []}, "vmas": []}

    def time(self) -> float:
        return float(self._last["time"])

    def footprint(self, pids: Sequence[int]) -> Pairs:
        self._last = self._source.ask("environment", self._last, pids=list(pids))
        footprint: Pairs = self._last["footprint"]
        return footprint

    def vmas(self, pids: Sequence[int]) -> list[Pairs]:
        vmas: list[Pairs] = self._last["vmas"]
        return vmas

    def stats(self, pids: Sequence[int]) -> list[Pairs]:
        return []
