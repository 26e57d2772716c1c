# SPDX-License-Identifier: GPL-2.0-only
"""Snapshots of a running service's workers, for any number of readers, in bounded time.

A worker is asked as ``update_schemes_stats`` asks it: one call between two samplings, which copies numbers and rows
and computes nothing. At most one question waits for a worker, however many ask. What the worker has not answered in
time is read without it, except for regions: those are the last ones that it gave.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from damon.core import Damon
from damon.damond.runner import Runner
from damon.damond.snapshot import (
    Context,
    Kdamond,
    Rows,
    Snapshot,
    as_object,
    copy_rows,
    read_context,
    with_regions,
)
from damon.model.context import DamonCallControl, DamonCtx

log = logging.getLogger("damon.damond")

#: How long a snapshot waits for workers.
PATIENCE_S: Final = 0.5


@dataclass(frozen=True)
class Worker:
    """``name``: its number in ``kdamonds/``, or its module's name. ``ctx``: None when it was never started."""

    name: str
    module: str | None
    ctx: DamonCtx | None


@dataclass(frozen=True)
class _Answer:
    """What a worker gave: real time, processor seconds of its thread, context, rows."""

    at_s: float
    cpu_s: float
    context: Context
    rows: Rows


@dataclass(eq=False)
class _Asked:
    """One context: its last answer, and the question that waits, if any."""

    answer: _Answer | None = None
    pending: threading.Event | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)


class Workers:
    """Takes snapshots; any thread may.

    Args:
        damon: what the workers run on.
        workers: those that there are now.
        run: where requests may wait for workers.
        about: a snapshot of the service without workers.
        now: real time in seconds, which only goes forward.
    """

    def __init__(
        self,
        damon: Damon,
        workers: Callable[[], Sequence[Worker]],
        run: Runner,
        about: Callable[[], Snapshot],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._damon, self._workers, self._run, self._about, self._now = damon, workers, run, about, now
        self._lock = threading.Lock()
        self._asked: dict[DamonCtx, _Asked] = {}

    def calls(self) -> dict[str, Callable[..., Any]]:
        """What clients of the control socket can ask."""
        return {"snapshot": self._snapshot}

    def _snapshot(self, regions: int = 0) -> dict[str, Any]:
        return as_object(self.take(regions=max(regions, 0)))

    def take(self, patience_s: float = PATIENCE_S, fresh_s: float = 0.0, regions: int = 0) -> Snapshot:
        """What the workers do now.

        Args:
            patience_s: how long to wait for all of them together.
            fresh_s: an answer that is not older is taken as it is, and its worker not asked.
            regions: of each context at most so many, those accessed most.
        """
        workers, oldest = self._workers(), self._now() - fresh_s
        asked = self._known(workers)
        waits = [wait for ctx, one in asked.items() if (wait := self._ask(ctx, one, oldest)) is not None]
        end = time.monotonic() + patience_s
        for wait in waits:
            wait.wait(max(end - time.monotonic(), 0))
        return replace(self._about(), kdamonds=tuple(self._kdamond(one, asked, oldest, regions) for one in workers))

    def _known(self, workers: Sequence[Worker]) -> dict[DamonCtx, _Asked]:
        """What is known of the contexts that there are; the others are forgotten."""
        with self._lock:
            there = [worker.ctx for worker in workers if worker.ctx is not None]
            self._asked = {ctx: self._asked.get(ctx) or _Asked() for ctx in there}
            return dict(self._asked)

    def _ask(self, ctx: DamonCtx, one: _Asked, oldest: float) -> threading.Event | None:
        """The question that waits for the worker now; None when there is nothing to wait for."""
        if not self._damon.is_running(ctx):
            return None
        with one.lock:
            if one.pending is not None:
                return one.pending
            if one.answer is not None and one.answer.at_s > oldest:
                return None
            pending = one.pending = threading.Event()
        try:
            threading.Thread(target=self._wait, args=(ctx, one), name="damond-snapshot", daemon=True).start()
        except RuntimeError:  # no thread can be started: it is read without the worker
            with one.lock:
                one.pending = None
            return None
        return pending

    def _wait(self, ctx: DamonCtx, one: _Asked) -> None:
        """In a thread of its own, as the worker may take hours: a sampling interval, or a pass."""

        def look(ctx: DamonCtx) -> None:
            one.answer = _Answer(self._now(), time.thread_time(), read_context(ctx), copy_rows(ctx))

        try:
            self._run(lambda: self._damon.call(ctx, DamonCallControl(look)))
        except OSError as error:  # the worker, or the service, ended meanwhile
            log.debug("snapshot: %s", error)
        finally:
            with one.lock:
                pending, one.pending = one.pending, None
            if pending is not None:
                pending.set()

    def _kdamond(self, worker: Worker, asked: dict[DamonCtx, _Asked], oldest: float, regions: int) -> Kdamond:
        ctx = worker.ctx
        if ctx is None:
            return Kdamond(worker.name, worker.module, False, -1, None, None, ())
        running, answer = self._damon.is_running(ctx), asked[ctx].answer
        if answer is None or not running:
            context = read_context(ctx)
        else:
            context = answer.context if answer.at_s >= oldest else read_context(ctx)
            context = with_regions(context, answer.rows, max(self._now() - answer.at_s, 0.0), regions)
        return Kdamond(
            name=worker.name,
            module=worker.module,
            running=running,
            pid=self._damon.kdamond_pid(ctx),
            cpu_s=answer.cpu_s if answer is not None else None,
            error=repr(ctx.error)[:200] if ctx.error is not None else None,
            contexts=(context,),
        )
