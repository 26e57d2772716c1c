# SPDX-License-Identifier: GPL-2.0-only
"""``damon record --engine host``: what the running kernel's own DAMON finds out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from damon.cli.record_job import attrs_of, refuse_both, refuse_mismatch
from damon.cli.run import module_words
from damon.errors import InvalidInput, MissingCapability
from damon.host.engine import HostDamon
from damon.library.engine import HOST, HostEngine
from damon.model.context import DamonCtx
from damon.model.regions import set_regions
from damon.model.target import DamonTarget
from damon.modules.host import HostRun, context_of
from damon.records import params
from damon.trace.host import TRACEFS, HostQueue


class HostSource:
    """The kernel's workers for a recorder.

    Args:
        host: at work.
        tracefs: where it is mounted.
    """

    def __init__(self, host: HostDamon, tracefs: Path = TRACEFS) -> None:
        self._host, self._tracefs = host, tracefs
        self._contexts: dict[int, DamonCtx] = {}
        self._modules: dict[DamonCtx, str] = {}

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def queue(self, events: Iterable[str], capacity: int) -> HostQueue:
        return HostQueue(self._host, events, capacity, self._contexts, self._tracefs)

    def kdamond(self, ctx: DamonCtx) -> params.Pairs:
        pid = next((pid for pid, known in self._contexts.items() if known is ctx), -1)
        return params.kdamond(ctx, pid)

    def running(self, ctx: DamonCtx) -> bool:
        name = self._modules.get(ctx)
        return self._host.is_running(ctx) if name is None else self._host.module_runs(name)

    @property
    def ended(self) -> bool:
        """Has the last worker ended?"""
        return not any(map(self.running, self._contexts.values()))

    def start(self, ctx: DamonCtx) -> None:
        """Start it; its events are known as its own from then on."""
        self._host.start([ctx], readable=False)
        self._contexts[self._host.kdamond_pid(ctx)] = ctx

    def start_module(self, name: str, words: Sequence[str]) -> DamonCtx:
        """Turn the kernel's module on with these parameters; returns the context that they ask for.

        Raises:
            MissingCapability: this kernel does not show the module's worker.
        """
        self._host.start_module(name, words)
        pid = self._host.parameters(name).get("kdamond_pid")
        if pid is None:
            raise MissingCapability(f"{name}.kdamond_pid: this kernel has no such parameter; record a context: --ops")
        ctx = context_of(HostRun(self._host), name)
        self._modules[ctx] = name
        self._contexts[int(pid)] = ctx
        return ctx

    def stop(self) -> None:
        """Stop what was started here."""
        self._host.stop()
        for name in self._modules.values():
            self._host.stop_module(name)


def start(host: HostDamon, source: HostSource, arguments: argparse.Namespace) -> list[DamonCtx]:
    """What was asked to be recorded, at work.

    Raises:
        InvalidInput: an option that this engine does not take, or that does not go with the others.
        DamonError: what the kernel refuses.
    """
    if not arguments.linux:
        raise InvalidInput(f"--engine: {HOST}: works on this machine's memory; give --linux")
    if arguments.module or arguments.cmdline:
        refuse_both(arguments)
        words = module_words(arguments, HostEngine(host, host))
        return [source.start_module(kind.name, given) for kind, given in words.items()]
    ctx = _context(host, arguments)
    source.start(ctx)
    return [ctx]


def _context(host: HostDamon, arguments: argparse.Namespace) -> DamonCtx:
    name = arguments.ops or "paddr"
    refuse_mismatch(name, arguments.pid, arguments.region)
    ctx = host.new_ctx()
    host.select_ops(ctx, name)
    ctx.attrs = attrs_of(arguments)
    for pid in arguments.pid:
        host.add_process(ctx, pid, arguments.region)
    if name == "paddr" and arguments.region:
        ctx.targets.append(DamonTarget())
        set_regions(ctx.targets[0], arguments.region, ctx.min_region_sz)
    elif name == "paddr":
        host.add_memory(ctx)
    return ctx
