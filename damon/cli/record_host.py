# SPDX-License-Identifier: GPL-2.0-only
"""``damon record --engine host``: what the running kernel's own DAMON finds out."""

from __future__ import annotations

import argparse
import time
from collections.abc import Iterable
from pathlib import Path

from damon.cli.record_job import attrs_of, refuse_mismatch
from damon.errors import InvalidInput
from damon.host.engine import HostDamon
from damon.library.engine import HOST
from damon.model.context import DamonCtx
from damon.model.regions import set_regions
from damon.model.target import DamonTarget
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

    def now_ns(self) -> int:
        return time.monotonic_ns()

    def queue(self, events: Iterable[str], capacity: int) -> HostQueue:
        return HostQueue(self._host, events, capacity, self._contexts, self._tracefs)

    def kdamond(self, ctx: DamonCtx) -> params.Pairs:
        pid = next((pid for pid, known in self._contexts.items() if known is ctx), -1)
        return params.kdamond(ctx, pid)

    def running(self, ctx: DamonCtx) -> bool:
        return self._host.is_running(ctx)

    @property
    def ended(self) -> bool:
        """Has the last worker ended?"""
        return not any(map(self.running, self._contexts.values()))

    def start(self, ctx: DamonCtx) -> None:
        """Start it; its events are known as its own from then on."""
        self._host.start([ctx], readable=False)
        self._contexts[self._host.kdamond_pid(ctx)] = ctx


def context(host: HostDamon, arguments: argparse.Namespace) -> DamonCtx:
    """What was asked to be monitored.

    Raises:
        InvalidInput: an option that this engine does not take, or that does not go with the others.
    """
    if not arguments.linux:
        raise InvalidInput(f"--engine: {HOST}: works on this machine's memory; give --linux")
    if arguments.module or arguments.cmdline:
        raise InvalidInput(f"--engine: {HOST}: damon record only monitors with it; leave --module and --cmdline out")
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
