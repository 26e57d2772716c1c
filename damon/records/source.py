# SPDX-License-Identifier: GPL-2.0-only
"""Where a recording comes from: the workers of this process, or those of another."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from damon.core import Damon
from damon.core.trace import TraceEvent
from damon.model.context import DamonCtx
from damon.records import params


class Events(Protocol):
    """Trace events that wait to be fetched (``core.trace.TraceQueue``)."""

    lost: int  #: how many did not fit, since the start

    def drain(self) -> list[TraceEvent]: ...

    def close(self) -> None:
        """No more; those that came can still be fetched."""


class Source(Protocol):
    """What a recorder asks of workers. ``ctx`` is one that an event came with."""

    def now_ns(self) -> int:
        """The machine's clock."""

    def queue(self, events: Iterable[str], capacity: int) -> Events: ...

    def kdamond(self, ctx: DamonCtx) -> params.Pairs:
        """A worker's parameters and statistics as they are now (``params.kdamond``)."""

    def running(self, ctx: DamonCtx) -> bool: ...


class LocalSource:
    """The workers of a ``Damon`` in this process."""

    def __init__(self, damon: Damon) -> None:
        self._damon = damon
        self._pids: dict[DamonCtx, int] = {}

    def now_ns(self) -> int:
        return self._damon.machine.clock.now_ns()

    def queue(self, events: Iterable[str], capacity: int) -> Events:
        return self._damon.trace.queue(events, capacity)

    def kdamond(self, ctx: DamonCtx) -> params.Pairs:
        pid = self._pids.setdefault(ctx, self._damon.kdamond_pid(ctx))
        return params.kdamond(ctx, pid)

    def running(self, ctx: DamonCtx) -> bool:
        return self._damon.is_running(ctx)
