# SPDX-License-Identifier: GPL-2.0-only
"""DAMON on one machine: contexts, workers, exclusivity, requests (DAMON spec, core 3.1, 3.2, 3.8)."""

from __future__ import annotations

import errno
import threading
import time
from collections.abc import Sequence
from typing import Final

from damon.core.commit import rehearse
from damon.core.kdamond import Kdamond
from damon.core.regions import SplitState
from damon.core.reports import AccessReports
from damon.core.trace import Trace
from damon.core.waiting import at_exit, waiting
from damon.errors import DamonError
from damon.mm.clock import VirtualClock
from damon.model import refused
from damon.model.checks import member
from damon.model.clock import Event
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.level import Level
from damon.model.machine import Machine, Placeholder, Show
from damon.model.operations import Operations
from damon.model.random import Random, mix64
from damon.model.report import DamonAccessReport
from damon.ops.registry import OperationsRegistry

#: Real seconds that workers get to end when the interpreter does.
LAST_S: Final = 2.0


class Damon:
    """What is global in the kernel: running contexts, exclusivity, operations sets.

    Args:
        machine: the memory to work on.
        seed: contexts' generators derive from it, each from its number.
        level: the kernel whose features there are: ``7.3``, or ``next`` with those merged for the release after it.
        reference: use the plain Python twins instead of the C routines.
    """

    def __init__(
        self, machine: Machine, seed: int = 0, *, reference: bool = False, level: Level | str = Level.V7_3
    ) -> None:
        self.machine = machine
        self.level = member("Damon.level", level, Level)
        self.operations = OperationsRegistry()
        self.trace = Trace(machine.clock)
        self.reports = AccessReports()  #: for operations sets that count them
        self.nr_running_ctxs = 0
        self.seed, self._reference = seed, reference
        self._nr_ctxs = 0
        self._exclusive = False
        self._split_state = SplitState()
        self._workers: dict[DamonCtx, Kdamond] = {}
        #: Shows a worker of that name to others, for as long as it runs; then its pid is that one's.
        self.placeholder: Show | None = None
        self._placeholders: dict[DamonCtx, Placeholder] = {}
        #: Set, and forgotten, when a worker ends.
        self.ended: Event | None = None
        self._lock = threading.Lock()
        self._exiting = False

    def new_ctx(self) -> DamonCtx:
        """An empty context with default attributes and a generator of its own."""
        self._nr_ctxs += 1
        rnd = Random(mix64((self.seed << 16) + self._nr_ctxs & (1 << 64) - 1))
        return DamonCtx(machine=self.machine, rnd=rnd, reference=self._reference, trace=self.trace, level=self.level)

    def register_ops(self, operations: Operations) -> None:
        """Add an operations set; EINVAL when its id is taken."""
        self.operations.register(operations)

    def select_ops(self, ctx: DamonCtx, name: str) -> None:
        """Use the set ``name`` (``vaddr``, ``fvaddr``, ``paddr``, or a registered one); EINVAL when unknown."""
        ctx.ops = self.operations.select(name)

    def report_access(self, report: DamonAccessReport) -> None:
        """An access that a source knows of, for workers whose operations set counts reports; from any thread."""
        self.reports.add(report)

    def is_running(self, ctx: DamonCtx) -> bool:
        return ctx.kdamond is not None

    def kdamond_pid(self, ctx: DamonCtx) -> int:
        """The worker's thread id, or its placeholder's process id; -1 when there is none."""
        thread, placeholder = ctx.kdamond, self._placeholders.get(ctx)
        if placeholder is not None:
            return placeholder.pid
        return thread.native_id or -1 if thread is not None else -1

    def start(self, ctxs: Sequence[DamonCtx], exclusive: bool = False) -> None:
        """Start a worker for each context.

        Raises:
            InvalidInput: a context has parameters that are refused.
            DamonError: EBUSY when one of them runs already, ``exclusive`` and any runs, or an exclusive one runs.
        """
        at_exit(self)
        for ctx in ctxs:
            if ctx.ops is None:
                raise refused.no_operations()
            rehearse(DamonCtx(machine=ctx.machine, ops=ctx.ops, level=self.level), ctx)
            check = getattr(ctx.machine, "check_ctx", None)  # what a machine cannot do; not all have such
            if check is not None:
                check(ctx)
        with self._lock:
            if exclusive and self.nr_running_ctxs:
                what = f"contexts: {self.nr_running_ctxs} running: an exclusive start needs none; stop them first"
                raise DamonError(errno.EBUSY, what)
            if not exclusive and self._exclusive:
                raise DamonError(errno.EBUSY, "contexts: exclusive ones running: no other can start; stop them first")
        started: list[DamonCtx] = []
        try:
            for ctx in ctxs:
                self._start_one(ctx)
                started.append(ctx)
        except BaseException:
            self.stop(started)
            raise
        self._exclusive = exclusive and self.nr_running_ctxs > 0

    def _start_one(self, ctx: DamonCtx) -> None:
        if ctx.kdamond is not None:
            raise refused.runs_already()
        worker = Kdamond(ctx, self._split_state)
        ctx.kdamond_stop = False
        ctx.error = None
        ctx.trace, ctx.level = self.trace, self.level
        started = self.machine.clock.event()
        with self._lock:
            name = f"kdamond.{self.nr_running_ctxs}"
            if self.placeholder is not None:
                self._placeholders[ctx] = self.placeholder(name)
                self.trace.pids[ctx] = self._placeholders[ctx].pid
            self.nr_running_ctxs += 1
            self._workers[ctx] = worker
        ctx.kdamond = self.machine.clock.spawn(name, lambda: worker.run(started.set, lambda: self._ended(ctx)))
        started.wait()

    def _ended(self, ctx: DamonCtx) -> None:
        with self._lock:
            ctx.kdamond = None
            del self._workers[ctx]
            placeholder = self._placeholders.pop(ctx, None)
            self.nr_running_ctxs -= 1
            if not self.nr_running_ctxs:
                self._exclusive = False
        if placeholder is not None:
            del self.trace.pids[ctx]
            placeholder.close()
        ended, self.ended = self.ended, None
        if ended is not None:
            ended.set()

    def stop(self, ctxs: Sequence[DamonCtx] | None = None) -> None:
        """Stop the workers of ``ctxs``, of all contexts without it, and wait for their end.

        Contexts without a worker are passed over.

        Raises:
            DamonError: EDEADLK, in the thread of a worker that it would wait for.
        """
        with self._lock:
            running = [ctx for ctx in (self._workers if ctxs is None else ctxs) if ctx in self._workers]
        for ctx in running:
            with waiting(ctx, "stop()"):
                """Refused before any of them is stopped."""
        for ctx in running:
            with waiting(ctx, "stop()"):
                self._stop_one(ctx)

    def _stop_one(self, ctx: DamonCtx) -> None:
        with self._lock:
            worker, thread = self._workers.get(ctx), ctx.kdamond
        if worker is not None and thread is not None:
            worker.stop()
            if not self._exiting:
                thread.join()

    def give_up(self) -> None:
        """The interpreter ends: ask all workers to end, and from now on wait for none.

        Threads do not run any more once Python takes itself apart, and a generator that is closed then (``running()``)
        would wait for them for ever. A worker in real time gets ``LAST_S`` to release what it holds; in virtual time it
        runs only while a thread waits.
        """
        self._exiting = True
        with self._lock:
            left = list(self._workers.items())
        if isinstance(self.machine.clock, VirtualClock):
            return
        for _, worker in left:
            worker.stop()
        deadline = time.monotonic() + LAST_S
        for ctx, _ in left:
            thread = ctx.kdamond
            if thread is not None:
                thread.join(max(deadline - time.monotonic(), 0))

    def call(self, ctx: DamonCtx, control: DamonCallControl) -> None:
        """Have the worker run ``control.fn(ctx)`` between two samplings, and wait for it unless it repeats.

        Raises:
            DamonError: ECANCELED, when the worker has ended, or ends before it came to the request; EDEADLK, in the
                thread of that worker (unless ``control`` repeats: nothing waits for it then).
            Exception: what the function raised.
        """
        if control.repeat:
            self._call(ctx, control)
            return
        with waiting(ctx, "call()"):
            self._call(ctx, control)

    def _call(self, ctx: DamonCtx, control: DamonCallControl) -> None:
        control.done = self.machine.clock.event()
        with ctx.lock:
            runs = not ctx.call_controls_obsolete and ctx.kdamond is not None
            if runs:
                ctx.call_controls.append(control)
        if not runs:
            self._wait_end(ctx)
            raise refused.not_running()
        if control.repeat:
            return
        control.done.wait()
        if control.canceled:
            self._wait_end(ctx)
        if control.error is not None:
            raise control.error

    @staticmethod
    def _wait_end(ctx: DamonCtx) -> None:
        """After a canceled request its context can be started again at once."""
        thread = ctx.kdamond
        if thread is not None:
            with waiting(ctx, "call()"):
                thread.join()

    def walk(self, ctx: DamonCtx, control: DamosWalkControl) -> None:
        """Have ``control.fn`` see each region of each scheme's next pass, and wait for the end of the last pass.

        Raises:
            DamonError: EBUSY while another walk is pending; ECANCELED when there are no active schemes, or no worker;
                EDEADLK in the thread of that worker.
        """
        with waiting(ctx, "walk()"):
            self._walk(ctx, control)

    def _walk(self, ctx: DamonCtx, control: DamosWalkControl) -> None:
        control.done = self.machine.clock.event()
        with ctx.lock:
            if ctx.walk_control_obsolete or ctx.kdamond is None:
                raise refused.not_running()
            if ctx.walk_control is not None:
                raise refused.walk_pending()
            ctx.walk_control = control
        control.done.wait()
        if control.canceled:
            raise refused.walk_canceled()
