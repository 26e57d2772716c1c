# SPDX-License-Identifier: GPL-2.0-only
"""The engine: the kernel's own ``mm/damon`` on a machine of this project, used as :class:`damon.core.Damon` is.

A context is described in Python, as for the other engine; its start makes the kernel's from it. Then the C holds the
truth: requests (``call``, ``walk``) get the Python context brought up to date, and commits go to
``damon_commit_ctx()``.
"""

from __future__ import annotations

import ctypes
import errno
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from damon.core import Damon
from damon.core.waiting import at_exit, waiting, working
from damon.errors import DamonError, InvalidInput
from damon.kernel.builder import Builder
from damon.kernel.library import Library
from damon.kernel.memory import Memory
from damon.kernel.mirror import Mirror
from damon.kernel.operations import OperationsBridge
from damon.kernel.requests import Requests
from damon.kernel.spaces import Spaces
from damon.kernel.trace import KernelTrace
from damon.model.clock import Event
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.machine import Machine
from damon.model.operations import Stretch
from damon.model.scheme import Damos, DamosQuota, DamosStat

if TYPE_CHECKING:
    from damon.kernel.build import Built

#: Without ticks a jiffy is a millisecond, and no sleep is rounded.
_HZ_EXACT: Final = 1000
_NEVER: Final = (1 << 64) - 1
_UNBOUNDED: Final = Stretch(_NEVER >> 1, 0, _NEVER)


class _Task:
    """A kernel thread of the C: ``struct task_struct``."""

    def __init__(self, address: int, name: str, ctx: DamonCtx, wake: Event) -> None:
        self.address, self.name, self.ctx, self.wake = address, name, ctx, wake
        self.thread: Any = None


class KernelDamon(Damon):
    """``mm/damon`` of a kernel tree, at work on ``machine``.

    Args:
        machine: the memory to work on.
        built: the library (``damon.kernel.build``); a fresh copy of it is loaded, with the kernel's static variables.
        seed: contexts' generators derive from it, as those of the other engine do.

    ``warnings`` has what ``WARN()`` said and ``log`` what ``pr_*()`` did, a line each.
    """

    def __init__(self, machine: Machine, built: Built, seed: int = 0) -> None:
        super().__init__(machine, seed=seed)
        self.lib = Library(built)
        self.mirror = Mirror(self.lib)
        self.warnings: list[str] = []
        self.log: list[str] = []
        self._tasks: dict[int, _Task] = {}
        self._ctxs: dict[int, DamonCtx] = {}  # by the address of the C context
        self._c: dict[DamonCtx, int] = {}
        self._adopted: set[DamonCtx] = set()  # what modules of the C have made, and free
        self.spaces = Spaces(machine.open_process)
        self._builder = Builder(self.lib, self.spaces, self._destroy)
        self._waiting: dict[int, list[Event]] = {}
        self._trouble: BaseException | None = None
        self._quiet = False
        self.tracepoints = KernelTrace(machine.clock, self.lib)
        self.trace = self.tracepoints
        self._requests = Requests(self)
        self.memory = Memory(machine)
        self.bridge = OperationsBridge(self)
        self._install()
        lib = self.lib
        lib.check(lib.shim_init(b"shim.", 0, 7), "initialization")
        lib.check(lib.shim_init(b"damon_core.", 0, 7), "damon_init()")
        lib.check(lib.shim_register_ops(), "damon_register_ops()")

    # -- callbacks

    def _install(self) -> None:
        callbacks, ticks = self.lib.callbacks, self.machine.clock.ticks
        callbacks.hz = ticks.hz or _HZ_EXACT
        callbacks.upper_us = ticks.upper_us if ticks.hz else _NEVER
        callbacks.tick_ns, callbacks.first_tick, callbacks.exact = ticks.tick_ns, ticks.jiffies(0), not ticks.hz
        own: dict[str, Callable[..., Any]] = {
            "sleep": self._sleep, "wait": self._wait, "wake": self._wake, "spawn": self._spawn, "join": self._join,
            "seed": lambda: 0, "process": self.spaces.find_get_pid,
            "put_process": self.spaces.put, "log": self._log, "warn": self._warn,
            "trace": self.tracepoints.received,
            "call": self._requests.called, "walk": self._requests.walked, "query": self.memory.query,
            "ram": self.memory.ram, "folios": self.memory.folios,
        }  # fmt: skip
        own |= self.bridge.callbacks()
        self.lib.install({name: self._guarded(name, function) for name, function in own.items()})
        self._update_time()

    def _guarded(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """An error in a callback cannot pass through C: it is kept, and every worker is asked to end."""
        quick = name in ("ops_access", "ops_valid")
        update = name in ("sleep", "wait", "spawn", "join", "ops_apply", "call", "walk")
        opens = name in ("sleep", "call")  # in a worker: whoever waits for one goes on in Python

        def guarded(*arguments: Any) -> Any:
            if not quick:
                self._end_quiet()
            try:
                return function(*arguments)
            except BaseException as error:
                self.fail(error)
                return 0
            finally:
                if update:
                    self._update_time()
                if opens:
                    self._begin_quiet()

        return guarded

    def fail(self, error: BaseException) -> None:
        """End every worker with ``error``."""
        if self._trouble is None:
            self._trouble = error
        for task in self._tasks.values():
            task.ctx.error = task.ctx.error or error
            self.lib.shim_stop_task(task.address)
            task.wake.set()

    def _update_time(self) -> None:
        clock, callbacks = self.machine.clock, self.lib.callbacks
        callbacks.now_ns = clock.now_ns()
        callbacks.jiffies = clock.jiffies()
        callbacks.coarse_ns = clock.coarse_ns()
        self.lib.shim_progress()

    def _begin_quiet(self) -> None:
        """Let C pass the machine's time, up to what is due next."""
        begin = getattr(self.machine, "begin_stretch", None)
        time = begin(1, _UNBOUNDED) if begin is not None and self._trouble is None else None
        self.lib.callbacks.window += 1
        self._quiet = time is not None
        if self._quiet:
            self.lib.callbacks.total_pages = self.machine.free_mem()[1]
        self.lib.shim_set_quiet(time)

    def _end_quiet(self) -> None:
        """The clock is where C is."""
        if self._quiet:
            self._quiet = False
            self.lib.shim_set_quiet(None)
            self.machine.end_stretch()  # type: ignore[attr-defined]

    def _sleep(self, address: int, us: int, ticks: int) -> None:
        clock = self.machine.clock
        task = self._tasks.get(address)
        if ticks:
            end, early = clock.ticks.timeout_end_ns(clock.now_ns(), ticks), True
        else:  # on a machine without ticks timeouts come here too
            end, early = clock.now_ns() + max(us, 1) * 1000, not clock.ticks.hz and us >= clock.ticks.upper_us
        if early and task is not None:
            task.wake.wait_until(end)
        else:
            clock.sleep_until(end)

    def _wait(self, key: int) -> None:
        event = self.machine.clock.event()
        self._waiting.setdefault(key, []).append(event)
        event.wait()

    def _wake(self, key: int) -> None:
        for event in self._waiting.pop(key, ()):
            event.set()

    def _spawn(self, address: int) -> int:
        pid, data, comm = ctypes.c_int(), ctypes.c_void_p(), ctypes.c_char_p()
        self.lib.shim_task(address, ctypes.byref(pid), ctypes.byref(data), ctypes.byref(comm))
        assert data.value is not None
        ctx = self._ctxs.get(data.value)
        if ctx is None:
            ctx = self._adopt(data.value)
        self._own_spaces(data.value)
        task = _Task(address, (comm.value or b"kdamond").decode(), ctx, self.machine.clock.event())
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
        self._enter(address, ctx)
        self.refresh(ctx)
        self._adopted.add(ctx)
        return ctx

    def _enter(self, address: int, ctx: DamonCtx) -> None:
        """``ctx`` is what is at ``address`` now; a module may have freed what was there before."""
        stale = self._ctxs.get(address)
        if stale is not None:
            del self._c[stale]
            self.bridge.forget(address)
            self._adopted.discard(stale)
        ctx.engine = self
        self._ctxs[address], self._c[ctx] = ctx, address

    def _work(self, task: _Task) -> None:
        ctx = task.ctx
        with working(ctx):
            self.tracepoints.enter(ctx)
            try:
                self.lib.shim_call_kthread(task.address)
            finally:
                self._ended_task(task)

    def _ended_task(self, task: _Task) -> None:
        ctx = task.ctx
        self.refresh(ctx)
        self._requests.cancel(ctx)
        self._put_pids(self._c[ctx])
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

    def raise_trouble(self) -> None:
        """Raise what went wrong in a callback, once."""
        trouble, self._trouble = self._trouble, None
        if trouble is not None:
            raise trouble

    # -- contexts

    def running(self) -> list[DamonCtx]:
        """Contexts with a worker, in the order of their starts."""
        return [task.ctx for task in self._tasks.values()]

    def stats(self, ctx: DamonCtx) -> list[DamosStat]:
        """The statistics of each scheme, as they are now, or were at the end of a run."""
        if self._has_ended(ctx):
            return [scheme.stat for scheme in ctx.schemes]
        found = []
        for scheme in self.mirror.schemes(self._c[ctx]):
            found.append(DamosStat())
            self.mirror.read_stat(scheme, found[-1])
        return found

    def activated(self, ctx: DamonCtx) -> bool:
        """Is a scheme active, by its watermarks?"""
        if self._has_ended(ctx):
            return False
        lib = self.lib
        wmarks = (lib.at(scheme, "damos", "wmarks") for scheme in self.mirror.schemes(self._c[ctx]))
        return any(lib.get(at, "damos_watermarks", "activated") for at in wmarks)

    def _has_ended(self, ctx: DamonCtx) -> bool:
        """A module may have freed its context after the end of its worker."""
        return ctx in self._adopted and ctx.kdamond is None

    def c_ctx(self, ctx: DamonCtx) -> int:
        """The address of the C context of ``ctx``; 0 without one."""
        return self._c.get(ctx, 0)

    def ctx_at(self, address: int) -> DamonCtx:
        return self._ctxs[address]

    def _own_spaces(self, address: int) -> None:
        """The C closes the processes of this context, from now on."""
        for target in self.mirror.targets(address):
            self.spaces.own(self.mirror.space_id(target))

    def _put_pids(self, address: int) -> None:
        """What operations sets do with targets that end, in versions where they do not."""
        if not self.lib.has_field("damon_operations", "cleanup_target"):
            for target in self.mirror.targets(address):
                self.lib.shim_put_pid(target)

    def _destroy(self, address: int) -> None:
        self._put_pids(address)
        self.lib.damon_destroy_ctx(address)

    def refresh(self, ctx: DamonCtx) -> None:
        """Bring ``ctx`` up to date with its C context: parameters, statistics, quotas, regions, deadlines."""
        at = self._c.get(ctx)
        if at is None or self._has_ended(ctx):
            return
        lib, mirror = self.lib, self.mirror
        ctx.ops = self.operations.select(mirror.ops[mirror.ops_id(at)])
        ctx.attrs = mirror.read_attrs(at)
        ctx.addr_unit = lib.get(at, "damon_ctx", "addr_unit", 1)
        ctx.min_region_sz = lib.get(at, "damon_ctx", "min_region_sz", 4096)
        ctx.pause = bool(lib.get(at, "damon_ctx", "pause", 0))
        for name in ("passed_sample_intervals", "next_aggregation_sis", "next_ops_update_sis"):
            setattr(ctx, name, lib.get(at, "damon_ctx", name))
        ctx.next_intervals_tune_sis = lib.get(at, "damon_ctx", "next_intervals_tune_sis", 0)
        ctx.maybe_corrupted = bool(lib.get(at, "damon_ctx", "maybe_corrupted", 0))
        self.bridge.refresh(ctx, at)

    def start(self, ctxs: Sequence[DamonCtx], exclusive: bool = False) -> None:
        at_exit(self)
        for ctx in ctxs:
            if ctx.ops is None:
                raise InvalidInput("the context has no operations set: select one first")
            if ctx.kdamond is not None:
                raise DamonError(errno.EBUSY, "the context runs already: stop it first")
        addresses = []
        for ctx in ctxs:
            self._forget(ctx)
            address = self._builder.build(ctx)
            self._enter(address, ctx)
            if not self.lib.has("damon_call") and self.lib.has("shim_install_callbacks"):
                self.lib.shim_install_callbacks(address)
            ctx.call_controls_obsolete = False
            self.refresh(ctx)
            addresses.append(address)
        array = (ctypes.c_void_p * len(addresses))(*addresses)
        self.lib.check(self.lib.damon_start(array, len(addresses), exclusive), "damon_start()")
        self.raise_trouble()

    def _forget(self, ctx: DamonCtx) -> None:
        """Free the C context of a run that has ended."""
        address = self._c.pop(ctx, None)
        if address is not None:
            del self._ctxs[address]
            self.bridge.forget(address)
            if ctx in self._adopted:
                self._adopted.discard(ctx)
            else:
                self._destroy(address)

    def _stop_one(self, ctx: DamonCtx) -> None:
        address = self._c.get(ctx)
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
        for ctx in list(self._c):
            if ctx.kdamond is None:
                self._forget(ctx)

    def commit(self, dst: DamonCtx, src: DamonCtx) -> None:
        """``damon_commit_ctx()``, in the worker of ``dst``."""
        address = self._c[dst]
        source = self._builder.build(src)
        try:
            self.lib.check(self.lib.damon_commit_ctx(address, source), "damon_commit_ctx()")
        finally:
            self._own_spaces(address)
            self._destroy(source)
        self.refresh(dst)

    def commit_goals(self, ctx: DamonCtx, index: int, src: DamosQuota) -> None:
        """``damos_commit_quota_goals()`` for scheme ``index``, in the worker of ``ctx``."""
        lib = self.lib
        running = self.mirror.schemes(self._c[ctx])[index]
        source = self._builder.build_scheme(Damos(quota=DamosQuota(goals=src.goals)))
        try:
            quotas = (lib.at(scheme, "damos", "quota") for scheme in (running, source))
            lib.check(lib.damos_commit_quota_goals(*quotas), "damos_commit_quota_goals()")
        finally:
            lib.damon_destroy_scheme(source)
        self.refresh(ctx)

    # -- requests

    def _call(self, ctx: DamonCtx, control: DamonCallControl) -> None:
        if self._requests.call(self._c.get(ctx), ctx, control):
            return
        super()._call(ctx, control)

    def _walk(self, ctx: DamonCtx, control: DamosWalkControl) -> None:
        self._requests.walk(self._c.get(ctx), ctx, control)
