# SPDX-License-Identifier: GPL-2.0-only
"""What tracing and recording 1000 regions cost: a reset of results without a subscriber and with some; a simulated run
beside the same run with a recorder, taken in turns."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from benchmarks.bench_core import context
from damon.core import Damon, set_attrs, set_regions, system_ram_region
from damon.core.events import AGGREGATED
from damon.core.regions import kdamond_reset_aggregated
from damon.core.trace import Trace
from damon.mm.sim import SimulatedMachine
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.model.target import DamonTarget
from damon.records.recorder import Recorder
from damon.trace.text import json_lines, script_lines
from damon.workload.load import load_workload

ROUNDS = 9
SECONDS = 20


def exhaust(rows: Iterable[object]) -> None:
    """Make each of them, and keep none."""
    for _ in rows:
        pass


def _prepare(kind: str) -> DamonCtx:
    ctx = context(False)
    if kind == "no tracepoints at all":
        return ctx
    trace = ctx.trace = Trace(ctx.machine.clock)
    if kind == "a full queue":
        queue = trace.queue([AGGREGATED], capacity=1)
        kdamond_reset_aggregated(ctx)
        assert queue.lost == 0
    elif kind == "a copy of the rows":
        trace.subscribe(lambda event: None, [AGGREGATED])
    elif kind == "... as Python numbers":
        trace.subscribe(lambda event: exhaust(event.regions()), [AGGREGATED])
    elif kind == "... as text":
        trace.subscribe(lambda event: exhaust(script_lines(event)), [AGGREGATED])
    elif kind == "... as JSON lines":
        trace.subscribe(lambda event: exhaust(json_lines(event)), [AGGREGATED])
    return ctx


KINDS = (
    "no tracepoints at all", "no subscriber", "a full queue", "a copy of the rows", "... as Python numbers",
    "... as text", "... as JSON lines",
)  # fmt: skip


def _microseconds(kind: str) -> float:
    ctx = _prepare(kind)
    repeat = 20 if kind.startswith("...") else 2000
    began = time.perf_counter()
    for _ in range(repeat):
        kdamond_reset_aggregated(ctx)
    return (time.perf_counter() - began) / repeat * 1e6


def _run(nr_regions: int, record: Callable[[Damon], Recorder | None]) -> float:
    """Wall seconds of ``SECONDS`` virtual ones."""
    machine = SimulatedMachine(load_workload("workloads/hot-cold.yaml"), 1)
    damon = Damon(machine, seed=1)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, "paddr")
    set_attrs(ctx, DamonAttrs(min_nr_regions=nr_regions, max_nr_regions=nr_regions))
    ctx.targets.append(DamonTarget())
    set_regions(ctx.targets[0], [system_ram_region(machine, 0, 0)], ctx.min_region_sz)
    recorder = record(damon)
    began = time.perf_counter()
    damon.start([ctx])
    for _ in range(SECONDS * 10):
        machine.clock.sleep_us(100_000)
        if recorder is not None:
            recorder.poll()
    damon.stop([ctx])
    if recorder is not None:
        recorder.finish()
    wall = time.perf_counter() - began
    machine.close()
    return wall


def main() -> None:
    print(f"{'1000 regions, reset with':<28}{'us':>10}")
    rounds = [[_microseconds(kind) for kind in KINDS] for _ in range(ROUNDS)]
    for kind, column in zip(KINDS, zip(*rounds, strict=True), strict=True):
        print(f"{kind:<28}{statistics.median(column):>10.2f}")
    print(f"\n{f'{SECONDS} s of paddr, wall seconds':<28}{'alone':>10}{'recorded':>10}{'a snapshot':>14}")
    with tempfile.TemporaryDirectory() as directory:
        for nr in (100, 1000):
            pairs = [
                (_run(nr, lambda damon: None), _run(nr, lambda damon: Recorder(damon, Path(directory, "x"))))
                for _ in range(5)
            ]
            alone, recorded = (statistics.median(column) for column in zip(*pairs, strict=True))
            each = (recorded - alone) / (SECONDS * 10) * 1000
            print(f"{f'{nr} regions':<28}{alone:>10.3f}{recorded:>10.3f}{f'{each:.2f} ms':>14}")


if __name__ == "__main__":
    main()
