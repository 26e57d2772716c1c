# SPDX-License-Identifier: GPL-2.0-only
"""The engine: the kernel's own ``mm/damon`` on a machine of this project, used as :class:`damon.core.Damon` is.

A context is described in Python, as for the other engine; its start makes the kernel's from it. Then the C holds the
truth: requests (``call``, ``walk``) get the Python context brought up to date, and commits go to
``damon_commit_ctx()``.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from damon.core import Damon
from damon.core.waiting import at_exit, waiting, working
from damon.kernel.builder import Builder
from damon.kernel.contexts import Contexts
from damon.kernel.library import Library
from damon.kernel.memory import Memory
from damon.kernel.mirror import Mirror
from damon.kernel.operations import OperationsBridge
from damon.kernel.requests import Requests
from damon.kernel.spaces import Spaces
from damon.kernel.time import KernelTime, Task
from damon.kernel.trace import KernelTrace
from damon.model import refused
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.machine import Machine
from damon.model.scheme import Damos, DamosQuota, DamosStat

if TYPE_CHECKING:
    from damon.kernel.build import Built


class KernelDamon(Damon):
    """``mm/damon`` of a kernel tree, at work on ``machine``.

    Args:
        machine: the memory to work on.
        built: the library (``damon.kernel.build``); a fresh copy of it is loaded, with the kernel's static variables.
        seed: contexts' generators derive from it, as those of the other engine do.

    ``warnings`` has the output of ``WARN()`` and ``log`` that of ``pr_*()``, a line each.
    """

    def __init__(self, machine: Machine, built: Built, seed: int = 0) -> None:
        super().__init__(machine, seed=seed)
        self.lib = Library(built)
        self.mirror = Mirror(self.lib)
        self.warnings: list[str] = []
        self.log: list[str] = []
        self._tasks: dict[int, Task] = {}
        self.time = KernelTime(machine, self.lib, self._tasks)
        self.spaces = Spaces(machine.open_process)
        self._bridge = OperationsBridge(self.mirror, machine, self.spaces, self.operations)
        self._contexts = Contexts(self, self.mirror, self.spaces, self._bridge)
        self._builder = Builder(self.lib, self.spaces, self._contexts.destroy)
        self._failure: BaseException | None = None
        self.tracepoints = KernelTrace(machine.clock, self.lib)
        self.trace = self.tracepoints
        self._requests = Requests(self.lib, self._contexts, self._bridge, self.fail)
        self.memory = Memory(machine)
        self._install()
        lib = self.lib
        lib.check(lib.shim_init(b"shim.", 0, 7), "initialization")
        lib.check(lib.shim_init(b"damon_core.", 0, 7), "damon_init()")
        lib.check(lib.shim_register_ops(), "damon_register_ops()")

    # -- callbacks

    def _install(self) -> None:
        own: dict[str, Callable[..., Any]] = {
            "sleep": self.time.sleep, "wait": self.time.wait, "wake": self.time.wake,
            "spawn": self._spawn, "join": self._join,
            "seed": lambda: 0, "process": self.spaces.find_get_pid,
            "put_process": self.spaces.put, "log": self._log, "warn": self._warn,
            "trace": self.tracepoints.received,
            "call": self._requests.called, "walk": self._requests.walked, "query": self.memory.query,
            "ram": self.memory.ram, "folios": self.memory.folios,
        }  # fmt: skip
        own |= self._bridge.callbacks()
        self.lib.install({name: self._guarded(name, function) for name, function in own.items()})
        self.time.update()

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """An error in a callback cannot pass through C: it is kept, and every worker is asked to end."""
        quick = name in ("ops_access", "ops_valid")
        update = name in ("sleep", "wait", "spawn", "join", "ops_apply", "call", "walk")
        opens = name in ("sleep", "call")  # in a worker: what waits for one goes on in Python

        def guarded(*arguments: Any) -> Any:
            if not quick:
                self.time.end_quiet()
            try:
                return function(*arguments)
            except BaseException as error:
                self.fail(error)
                return 0
            finally:
                if update:
                    self.time.update()
                if opens:
                    self.time.begin_quiet(allowed=self._failure is None)

        return guarded

    def fail(self, error: BaseException) -> None:
        """End every worker with ``error``."""
        if self._failure is None:
            self._failure = error
        for task in self._tasks.values():
            task.ctx.error = task.ctx.error or error
            self.lib.shim_stop_task(task.address)
            task.wake.set()

    def _spawn(self, address: int) -> int:
        pid, data, comm = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_char_p()
        self.lib.shim_task(address, ctypes.byref(pid), ctypes.byref(data), ctypes.byref(comm))
        assert data.value is not None
        ctx = self._contexts.at.get(data.value)
        if ctx is None:
            ctx = self._adopt(data.value)
        self._contexts.own_spaces(data.value)
        task = Task(address, (comm.value or b"kdamond").decode(), ctx, self.machine.clock.event())
        self._tasks[address] = task
        self.lib.shim_set_random(address, ctx.rnd.pointer)
        ctx.error, ctx.kdamond_stop = None, False
        if self.placeholder is not None:
            self._placeholders[ctx] = self.placeholder(task.name)
            self.trace.pids[ctx] = self._placeholders[ctx].pid
        self.nr_running_ctxs += 1
        task.thread = ctx.kdamond = self.machine.clock.spawn(task.name, lambda: self._work(task))
        return 0

    def _adopt(self, address: int) -> DamonCtx:
        """A context that the C has made itself, in a module."""
        ctx = self.new_ctx()
        self._contexts.enter(address, ctx)
        self.refresh(ctx)
        self._contexts.adopted.add(ctx)
        return ctx

    def _work(self, task: Task) -> None:
        ctx = task.ctx
        with working(ctx):
            self.tracepoints.enter(ctx)
            try:
                self.lib.shim_call_kthread(task.address)
            finally:
                self._ended_task(task)

    def _ended_task(self, task: Task) -> None:
        ctx = task.ctx
        self.refresh(ctx)
        self._requests.cancel(ctx)
        self._contexts.put_pids(self._contexts.address[ctx])
        ctx.targets.clear()
        with self._lock:
            ctx.kdamond = None
            self._tasks.pop(task.address, None)
            placeholder = self._placeholders.pop(ctx, None)
            self.nr_running_ctxs -= 1
        if placeholder is not None:
            del self.trace.pids[ctx]
            placeholder.close()
        if self.ended is not None:
            self.ended.set()

    def _join(self, address: int) -> None:
        task = self._tasks.get(address)
        if task is not None:
            task.wake.set()
            if not self._exiting:
                task.thread.join()

    def _log(self, level: bytes, text: bytes) -> None:
        self.log.append(f"{level.decode()}: {text.decode(errors='replace').rstrip()}")

    def _warn(self, file: bytes, line: int, function: bytes, text: bytes) -> None:
        what = text.decode(errors="replace")
        self.warnings.append(f"WARNING at {file.decode(errors='replace')}:{line}, {function.decode()}(): {what}")

    def raise_failure(self) -> None:
        """Raise what went wrong in a callback, once."""
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure

    # -- contexts

    def running(self) -> list[DamonCtx]:
        """Contexts with a worker, in the order of their starts."""
        return [task.ctx for task in self._tasks.values()]

    def stats(self, ctx: DamonCtx) -> list[DamosStat]:
        """The statistics of each scheme, as they are now, or were at the end of a run."""
        if self._contexts.has_ended(ctx):
            return [scheme.stat for scheme in ctx.schemes]
        found = []
        for scheme in self.mirror.schemes(self._contexts.address[ctx]):
            found.append(DamosStat())
            self.mirror.read_stat(scheme, found[-1])
        return found

    def activated(self, ctx: DamonCtx) -> bool:
        """Is a scheme active, by its watermarks?"""
        if self._contexts.has_ended(ctx):
            return False
        lib = self.lib
        wmarks = (lib.at(scheme, "damos", "wmarks") for scheme in self.mirror.schemes(self._contexts.address[ctx]))
        return any(lib.get(at, "damos_watermarks", "activated") for at in wmarks)

    def c_ctx(self, ctx: DamonCtx) -> int:
        """The address of the C context of ``ctx``; 0 without one."""
        return self._contexts.address.get(ctx, 0)

    def refresh(self, ctx: DamonCtx) -> None:
        """Bring ``ctx`` up to date with its C context: parameters, statistics, quotas, regions, deadlines."""
        self._contexts.refresh(ctx)

    def start(self, ctxs: Sequence[DamonCtx], exclusive: bool = False) -> None:
        at_exit(self)
        for ctx in ctxs:
            if ctx.ops is None:
                raise refused.no_operations()
            if ctx.kdamond is not None:
                raise refused.runs_already()
        addresses = []
        for ctx in ctxs:
            self._contexts.forget(ctx)
            address = self._builder.build(ctx)
            self._contexts.enter(address, ctx)
            if not self.lib.has("damon_call") and self.lib.has("shim_install_callbacks"):
                self.lib.shim_install_callbacks(address)
            ctx.call_controls_obsolete = False
            self.refresh(ctx)
            addresses.append(address)
        array = (ctypes.c_void_p * len(addresses))(*addresses)
        self.lib.check(self.lib.damon_start(array, len(addresses), exclusive), "damon_start()")
        self.raise_failure()

    def _stop_one(self, ctx: DamonCtx) -> None:
        address = self._contexts.address.get(ctx)
        if address is not None and ctx.kdamond is not None:
            self.lib.damon_stop((ctypes.c_void_p * 1)(address), 1)

    def stop(self, ctxs: Sequence[DamonCtx] | None = None) -> None:
        running = self.running()
        for ctx in running if ctxs is None else [ctx for ctx in ctxs if ctx in running]:
            with waiting(ctx, "stop()"):
                self._stop_one(ctx)

    def give_up(self) -> None:
        """The interpreter ends: do not wait for any worker."""
        self._exiting = True
        for task in list(self._tasks.values()):
            self.lib.shim_stop_task(task.address)
            task.wake.set()

    def close(self) -> None:
        """Stop what runs, and free contexts. What the C still holds then are modules' own."""
        self.stop()
        for ctx in list(self._contexts.address):
            if ctx.kdamond is None:
                self._contexts.forget(ctx)

    def commit(self, dst: DamonCtx, src: DamonCtx) -> None:
        """``damon_commit_ctx()``, in the worker of ``dst``."""
        address = self._contexts.address[dst]
        source = self._builder.build(src)
        try:
            self.lib.check(self.lib.damon_commit_ctx(address, source), "damon_commit_ctx()")
        finally:
            self._contexts.own_spaces(address)
            self._contexts.destroy(source)
        self.refresh(dst)

    def commit_goals(self, ctx: DamonCtx, index: int, src: DamosQuota) -> None:
        """``damos_commit_quota_goals()`` for scheme ``index``, in the worker of ``ctx``."""
        lib = self.lib
        running = self.mirror.schemes(self._contexts.address[ctx])[index]
        source = self._builder.build_scheme(Damos(quota=DamosQuota(goals=src.goals)))
        try:
            quotas = (lib.at(scheme, "damos", "quota") for scheme in (running, source))
            lib.check(lib.damos_commit_quota_goals(*quotas), "damos_commit_quota_goals()")
        finally:
            lib.damon_destroy_scheme(source)
        self.refresh(ctx)

    # -- requests

    def _call(self, ctx: DamonCtx, control: DamonCallControl) -> None:
        if self._requests.call(self._contexts.address.get(ctx), ctx, control):
            return
        super()._call(ctx, control)

    def _walk(self, ctx: DamonCtx, control: DamosWalkControl) -> None:
        self._requests.walk(self._contexts.address.get(ctx), ctx, control)
