# SPDX-License-Identifier: GPL-2.0-only
"""Monitoring results, aggregation by aggregation."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final

from damon.core import Damon
from damon.core.waiting import waiting
from damon.model.context import DamonCallControl, DamonCtx

#: Aggregations that wait for a slow consumer; then the oldest is dropped, and counted.
WAITING: Final = 64


@dataclass(frozen=True, slots=True)
class Region:
    """``[start, end)`` in core address units, as it was at the end of an aggregation interval.

    ``nr_accesses`` counts samples of the interval, ``age`` aggregations; ``probe_hits`` has one count a probe.
    """

    start: int
    end: int
    nr_accesses: int
    age: int
    probe_hits: tuple[int, ...] = ()

    @property
    def size(self) -> int:
        return self.end - self.start


@dataclass(frozen=True, slots=True)
class Aggregation:
    """The result of one aggregation interval: the regions of each target, before schemes act on them.

    ``time_ns`` is the machine's clock; ``max_nr_accesses`` the samples of the interval; ``lost`` counts the
    aggregations before this one that a slow consumer did not get.
    """

    time_ns: int
    max_nr_accesses: int
    targets: tuple[tuple[Region, ...], ...]
    lost: int = 0

    @property
    def regions(self) -> tuple[Region, ...]:
        """Of all targets."""
        return tuple(region for target in self.targets for region in target)


def _take(ctx: DamonCtx) -> Aggregation:
    nr_probes = len(ctx.probes)
    targets = tuple(
        tuple(
            Region(row.start, row.end, row.nr_accesses, row.age, tuple(row.probe_hits[:nr_probes]))
            for row in target.regions
        )
        for target in ctx.targets
    )
    return Aggregation(ctx.machine.clock.now_ns(), ctx.attrs.max_nr_accesses(), targets)


# Long by its docstring: the request and the loop that waits for it share queue, counter and event.
def aggregations(damon: Damon, ctx: DamonCtx, timeout_us: int | None = None) -> Iterator[Aggregation]:
    """The result of each aggregation of the running context ``ctx``, from now on.

    On a simulated machine time passes only while this waits, so a consumer sees every one. On a running system a slow
    consumer gets the last ``WAITING``. It ends when the worker has ended, or after ``timeout_us`` without a result.

    Raises:
        DamonError: ECANCELED, no worker runs.
        BaseException: what ended the worker, if it was not asked to.
    """
    clock = ctx.machine.clock
    found: deque[Aggregation] = deque()
    lost = 0
    ready = clock.event()

    def look(ctx: DamonCtx) -> None:
        nonlocal lost
        if not control.repeat or ctx.passed_sample_intervals < ctx.next_aggregation_sis:
            return
        if len(found) >= WAITING:
            found.popleft()
            lost += 1
        found.append(_take(ctx))
        ready.set()

    control = DamonCallControl(look, repeat=True, results_only=True)
    damon.call(ctx, control)
    try:
        left = timeout_us
        while True:
            step = 2 * max(ctx.attrs.aggr_interval, 1000)
            if not found and not damon.is_running(ctx):
                break
            if not found:
                with waiting(ctx, "aggregations()"):
                    ready.wait(step if left is None else min(step, left))
            if found:
                ready = clock.event()
                left = timeout_us
                yield replace(found.popleft(), lost=lost)
            elif left is not None:
                left -= min(step, left)
                if not left:
                    return
    finally:
        control.repeat = False  # the worker drops it at its next turn
    if ctx.error is not None:
        raise ctx.error
