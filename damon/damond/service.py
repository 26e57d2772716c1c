# SPDX-License-Identifier: GPL-2.0-only
"""The service: a machine, its modules and workers, behind a mounted tree and a control socket."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from contextlib import ExitStack, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.damond.control import ControlServer
from damon.damond.fusefs import Mount
from damon.damond.fusemount import unmount
from damon.damond.instance import Instance
from damon.damond.module_calls import ModuleCalls
from damon.damond.placeholder import Placeholders
from damon.damond.proc import Proc, simulated
from damon.damond.recording import Answers
from damon.damond.runner import DirectRunner, PacedRunner, Runner
from damon.damond.snapshot import Snapshot
from damon.damond.tree import Root
from damon.damond.workers import Worker, Workers
from damon.library.engine import Engine, open_engine, other_modules
from damon.mm.clock import VirtualClock
from damon.model.context import DamonCtx
from damon.model.machine import PAGE_SIZE, Machine
from damon.modules.cmdline import parse_cmdline
from damon.modules.loader import Loader, find_module, find_modules
from damon.modules.module import Module
from damon.modules.sysfs import Admin
from damon.modules.sysfs.kdamonds import Kdamond
from damon.trace.server import TraceServer
from damon.version import __version__

if TYPE_CHECKING:
    from damon.damond.metrics import MetricsServer
    from damon.mm.sim import Kill

log = logging.getLogger("damon.damond")
#: How often the end of workers is looked for.
WATCH_S: Final = 0.5


def notify(state: str) -> None:
    """Tell the service manager, if there is one (``sd_notify(3)``)."""
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as client:
        client.sendto(state.encode(), "\0" + address[1:] if address[0] == "@" else address)


class Service:
    """Make it, ``run()`` it, ``close()`` it. Everything that can be refused is, before anything is there.

    Args:
        machine: closed by ``close()``.
        directory: where the tree is mounted.
        cmdline: parameters as on the kernel's command line; modules that it names are loaded.
        seed: of every random choice.
        speed: virtual seconds in one real second, of a simulated machine.
        engine: whose DAMON; pydamon's own without it.
        metrics: a bound socket where metrics are served; closed by ``close()``.
    """

    # Long: the parts start in one order and end in its reverse, which is to be seen in one place.
    def __init__(
        self,
        machine: Machine,
        directory: Path,
        cmdline: str = "",
        seed: int = 0,
        speed: float = 1.0,
        engine: Engine | None = None,
        metrics: socket.socket | None = None,
    ) -> None:
        self.machine = machine
        self._simulated = simulated(machine)
        engine = engine or open_engine()
        self._engine = engine.identity
        self.damon = engine.open(machine, seed)
        self._known = other_modules(engine)
        self.loader = Loader(self.damon, known=self._known)
        self._stop = threading.Event()
        clock = machine.clock
        self.run_request: Runner = PacedRunner(clock, speed) if isinstance(clock, VirtualClock) else DirectRunner()
        self.admin = Admin(self.damon, self.run_request)
        self._began = time.monotonic()
        self._reported: set[int] = set()
        self._reported_kills = 0
        self.workers = Workers(self.damon, self._workers, self.run_request, self._about)
        self.metrics: MetricsServer | None = None
        self._closing = ExitStack()
        try:
            self._closing.callback(machine.close)
            modules = self._prepare(cmdline)
            self.instance = Instance(directory)
            self._closing.callback(self.instance.close)
            self._placeholders = placeholders = Placeholders(self.instance.programs / "processes")
            self._closing.callback(placeholders.close)
            self.damon.placeholder = placeholders.show
            self._root = root = Root(self.admin, self.loader, self.run_request)
            if self._simulated:
                self._simulated.show_processes(placeholders.show)
                root.add("proc", Proc(self._simulated))
            self._mount = Mount(root, str(self.instance.directory))
            self._modules = ModuleCalls(self.loader, self._known, machine, self.run_request, self._unloaded)
            self._closing.callback(self._mount.join)
            self._closing.callback(self._stop_workers)
            for module in modules:
                self._modules.load(module)
            self._closing.callback(unmount, self.instance.directory)
            self._mount.open()
            events = TraceServer(self.damon.trace, self.instance.trace_socket)
            events.start()
            self._closing.callback(events.close)
            self._control = ControlServer(self.instance.socket, self._calls())
            self._closing.callback(self._control.close)
            if metrics is not None:
                self._serve_metrics(metrics)
        except BaseException:
            self._closing.close()
            raise

    def _prepare(self, cmdline: str) -> list[Module]:
        """The modules, parameters stored: our own are built in, and off unless the command line enables them."""
        words = {find_module(name, known=self._known): given for name, given in parse_cmdline(cmdline).items()}
        built_in = [
            kind
            for kind in (find_modules() if self._known is None else self._known).values()
            if kind.built_in and kind.__module__.startswith("damon.modules.")
        ]
        modules = [
            self.loader.prepare(kind, ["enabled=N", *words.get(kind, ())])
            for kind in dict.fromkeys((*built_in, *words))
        ]
        for ops in self.damon.operations.names():
            self.machine.require(ops, ())
        for module in modules:
            if module.wanted:
                module.check()
                self.machine.require(*module.needs())
        return modules

    def run(self) -> None:
        """Serve until ``stop()``."""
        log.info("mounted at %s, machine %s", self.instance.directory, self.machine.name)
        notify(f"READY=1\nSTATUS=mounted at {self.instance.directory}")
        watch = threading.Thread(target=self._watch, name="damond-watch", daemon=True)
        watch.start()
        self.run_request.serve(self._stop)
        watch.join()

    def stop(self) -> None:
        """End ``run()``; can be called by a signal handler."""
        self._stop.set()

    def _watch(self) -> None:
        while not self._stop.wait(WATCH_S):
            for ctx in self._contexts():
                if ctx.error is not None and id(ctx.error) not in self._reported:
                    self._reported.add(id(ctx.error))
                    log.error("a worker ended: %r", ctx.error, exc_info=ctx.error)
            self._report_kills()
            if not self._mount.alive:
                log.error("%s was unmounted: leaving", self.instance.directory)
                self._stop.set()

    def _kills(self) -> list[Kill]:
        return self._simulated.kills() if self._simulated else []

    def _report_kills(self) -> None:
        kills = self._kills()
        for kill in kills[self._reported_kills :]:
            log.error("process %d was %s", kill.pid, kill)
        self._reported_kills = len(kills)

    def _contexts(self) -> list[DamonCtx]:
        kdamonds = (kdamond.ctx for _, kdamond in self._kdamonds())
        modules = [ctx for module in list(self.loader.loaded.values()) for ctx in module.ctxs]
        return modules + [ctx for ctx in kdamonds if ctx is not None]

    def _kdamonds(self) -> list[tuple[int, Kdamond]]:
        return self.admin.kdamonds.numbered()

    def _workers(self) -> list[Worker]:
        """Those of ``kdamonds/``, then those of modules."""
        own = [Worker(str(index), None, kdamond.ctx) for index, kdamond in self._kdamonds()]
        modules = [
            Worker(f"{name}.{index}" if index else name, name, ctx)
            for name, module in list(self.loader.loaded.items())
            for index, ctx in enumerate(module.ctxs)
        ]
        return own + modules

    def _serve_metrics(self, bound: socket.socket) -> None:
        from damon.damond.metrics import MetricsServer

        self.metrics = MetricsServer(bound, self.workers)
        self._closing.callback(self.metrics.close)
        log.info("metrics at %s", self.metrics.url)

    def _unloaded(self) -> None:
        """The directory of a module is gone, also from what the kernel has cached."""
        self._root.modules.tidy()
        self._mount.settle()

    def _stop_workers(self) -> None:
        """On virtual time this is the clock's own thread: it needs no other."""
        self.admin.stop()
        self.loader.unload_all()

    def close(self) -> None:
        """Stop all workers, unmount, remove what was made."""
        notify("STOPPING=1")
        self._closing.close()

    def abandon(self) -> None:
        """Remove what was made, without waiting: the process ends although ``close()`` has not returned."""
        for step in (partial(unmount, self.instance.directory), self._placeholders.close, self.instance.close):
            with suppress(OSError):
                step()

    # What clients can ask.

    def _calls(self) -> dict[str, Any]:
        return {
            "status": self.status,
            "processes": self._shown,
            "requests": self._requests,
            **self._modules.calls(),
            **Answers(self.damon, self._contexts, self.run_request).calls(),
            **self.workers.calls(),
        }

    def status(self) -> dict[str, Any]:
        """One object: the service, its modules, its kdamonds."""
        now = self.machine.clock.now_ns()
        free, total = self.machine.free_mem()
        return {
            "pid": os.getpid(),
            "mount": str(self.instance.directory),
            "machine": self.machine.name,
            "uptime_s": round(time.monotonic() - self._began, 3),
            "virtual_s": now / 1e9 if isinstance(self.machine.clock, VirtualClock) else None,
            "late_s": self.run_request.late_ns / 1e9 if isinstance(self.run_request, PacedRunner) else 0.0,
            "memory": {"free_bytes": free * PAGE_SIZE, "total_bytes": total * PAGE_SIZE},
            "processes": self._processes(),
            "killed": [kill.as_object() for kill in self._kills()],
            "modules": self._modules.lsmod(),
            "kdamonds": [self._kdamond(index, kdamond) for index, kdamond in self._kdamonds()],
            "metrics": self.metrics.url if self.metrics is not None else None,
        }

    def _about(self) -> Snapshot:
        free, total = self.machine.free_mem()
        return Snapshot(
            pid=os.getpid(),
            mount=str(self.instance.directory),
            machine=self.machine.name,
            version=__version__,
            engine=self._engine.engine,
            engine_version=self._engine.version,
            virtual=isinstance(self.machine.clock, VirtualClock),
            now_ns=self.machine.clock.now_ns(),
            free_bytes=free * PAGE_SIZE,
            total_bytes=total * PAGE_SIZE,
            kdamonds=(),
        )

    def _processes(self) -> list[dict[str, Any]]:
        """Of a simulated machine: those that live, with the numbers that they have for everybody."""
        if self._simulated is None:
            return []
        return [{"name": one.name, "pid": one.pid} for one in self._simulated.processes() if one.alive]

    def _shown(self) -> dict[str, Any]:
        """All that others see as a process of this service: a simulated machine's processes, and the workers."""
        contexts = ((ctx, self.damon.kdamond_pid(ctx)) for ctx in self._contexts())
        workers = [{"name": _comm(pid), "pid": pid} for ctx, pid in contexts if pid > 0 and self.damon.is_running(ctx)]
        return {
            "pid": os.getpid(),
            "simulated": self._simulated is not None,
            "processes": [*self._processes(), *workers],
        }

    def _kdamond(self, index: int, kdamond: Kdamond) -> dict[str, Any]:
        ctx, running = kdamond.ctx, kdamond.running
        answer: dict[str, Any] = {"index": index, "state": "on" if running else "off", "pid": -1}
        if ctx is None:
            return answer
        answer |= {
            "pid": self.damon.kdamond_pid(ctx),
            "operations": ctx.ops.id,
            "targets": len(ctx.targets),
            "regions": ctx.nr_regions(),
            "sample_us": ctx.attrs.sample_interval,
            "aggr_us": ctx.attrs.aggr_interval,
            "schemes": [{"action": scheme.action.value} | vars(scheme.stat) for scheme in list(ctx.schemes)],
        }
        return answer

    def _requests(self) -> dict[str, int]:
        """How many requests of each kind the kernel has sent."""
        return self._mount.tree.requests() if self._mount.tree is not None else {}


def _comm(pid: int) -> str:
    """What ``ps`` calls a process; empty when it is gone."""
    try:
        return Path(f"/proc/{pid}/comm").read_text().rstrip("\n")
    except OSError:
        return ""
