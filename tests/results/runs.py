# SPDX-License-Identifier: GPL-2.0-only
"""Recorded runs on simulated machines, kept in memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from damon.core import Damon, set_attrs, set_regions, system_ram_region
from damon.mm.sim import SimulatedMachine
from damon.mm.sim.counters import Counters
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.model.machine import PAGE_SIZE
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from damon.records.params import kdamond
from damon.results.recorder import ResultsRecorder
from damon.results.request import workload_request
from damon.results.run import Run
from damon.results.sink import MemorySink
from damon.results.truth import RATES, traced_rates
from damon.workload.load import parse_workload


def machine_of(workload: Mapping[str, Any], seed: int = 1) -> SimulatedMachine:
    """The simulated machine of a workload file's content."""
    return SimulatedMachine(parse_workload(dict(workload)), seed)


def recorded(
    machine: SimulatedMachine,
    schemes: Sequence[Damos],
    seconds: float,
    *,
    attrs: DamonAttrs | None = None,
    ranges: Sequence[tuple[int, int]] = (),
    **options: Any,
) -> Run:
    """A run of one paddr context with ``schemes``, and all of what ``ResultsRecorder`` records by ``options``."""
    damon = Damon(machine, seed=1)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, "paddr")
    set_attrs(ctx, attrs or DamonAttrs())
    ctx.targets.append(DamonTarget())
    set_regions(ctx.targets[0], ranges or [system_ram_region(machine, 0, 0)], ctx.min_region_sz)
    ctx.schemes.extend(schemes)
    return run_of(machine, damon, ctx, seconds, **options)


def run_of(machine: SimulatedMachine, damon: Damon, ctx: DamonCtx, seconds: float, **options: Any) -> Run:
    """``ctx`` at work for ``seconds``, recorded."""
    sink = MemorySink()
    recorder = ResultsRecorder(damon, sink, Counters(machine), **options)
    head: dict[str, Any] = {
        "request": {"workload": workload_request(machine.workload, machine), "why": options.get("why", False)},
        "contexts": [kdamond(ctx, 0)["contexts"][0]],
        "state": "complete",
        "result": {"memory": {"total_bytes": machine.free_mem()[1] * PAGE_SIZE}},
    }
    damon.start([ctx])
    recorder.watch(ctx)
    recorder.sample()
    machine.clock.sleep_us(round(seconds * 1e6))
    recorder.sample()
    damon.stop()
    recorder.finish()
    if options.get("why"):
        head["result"] |= {RATES: traced_rates(machine.workload, machine.clock.now_ns())}
    return Run.of_memory(sink, head)
