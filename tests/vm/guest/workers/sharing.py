# SPDX-License-Identifier: GPL-2.0-only
"""Two kdamonds and one idle bitmap: how near the truth is each, alone, beside another, on the same memory."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from damon.core import Damon
from damon.library import Aggregation, add_process, aggregations, running
from damon.mm.linux import LinuxMachine
from tests.vm.guest.linux_mm.stage import machine
from tests.vm.guest.workers.stage import check, context, until

Areas = dict[str, tuple[int, int]]
INTERVAL_US = 20000
COUNT = 10
OUT = Path("/tmp/shared.out")


class Workload:
    """``damon-workload`` with its areas and, once it has ended, their truth."""

    def __init__(self) -> None:
        # A hot page is touched every 5 ms: each touch is seen with a flush of the TLB every 4.
        options = ["--json", "--interval", str(INTERVAL_US), "--round", "4000"]
        words = [sys.executable, "-m", "damon.workload.runner", *options]
        path = Path(__file__).parent / "shared.yaml"
        with OUT.open("w") as out:
            self.process = subprocess.Popen([*words, str(path)], stdout=out)
        ready = self._next("ready")
        self.pid: int = ready["pid"]
        self.areas: Areas = {area["name"]: (area["start"], area["end"]) for area in ready["areas"]}

    def _next(self, event: str) -> dict[str, Any]:
        found: list[dict[str, Any]] = []

        def look() -> bool:
            reports = [json.loads(line) for line in OUT.read_text().splitlines() if line.endswith("]}")]
            found[:] = [report for report in reports if report["event"] == event]
            return bool(found)

        until(f"the workload says {event!r}", look)
        return found[0]

    def end(self) -> dict[str, float]:
        """Of each area: the share of intervals in which one of its pages was touched."""
        self.process.terminate()
        return {area["name"]: area["share"] for area in self._next("end")["areas"]}


@contextmanager
def workload() -> Iterator[Workload]:
    running_one = Workload()
    try:
        yield running_one
    finally:
        running_one.process.terminate()
        running_one.process.wait()


def watch(ours: LinuxMachine, pid: int, *workers: list[tuple[int, int]]) -> list[list[Aggregation]]:
    """What each worker, on its ranges, saw in the same time."""
    damon = Damon(ours, seed=1)
    ctxs = []
    for ranges in workers:
        ctx = context(damon, "fvaddr", sample_us=INTERVAL_US, regions=30, most=60)
        add_process(ctx, pid, ranges)
        ctxs.append(ctx)
    with running(damon, *ctxs):
        streams = [aggregations(damon, ctx) for ctx in ctxs]
        seen = [[next(stream) for stream in streams] for _ in range(COUNT + 1)]
        for stream in streams:
            stream.close()  # type: ignore[attr-defined]
    return [list(column)[1:] for column in zip(*seen, strict=True)]


def ratio(results: list[Aggregation], start: int, end: int) -> float:
    """The share of samples that were accessed, by bytes."""
    found = 0.0
    for result in results:
        for region in result.regions:
            inside = max(0, min(region.end, end) - max(region.start, start))
            found += inside * region.nr_accesses / result.max_nr_accesses
    return found / ((end - start) * len(results))


def interval_us(results: list[Aggregation]) -> float:
    """How long a sampling interval really was."""
    spent = results[-1].time_ns - results[0].time_ns
    return spent / 1000 / (len(results) - 1) / results[0].max_nr_accesses


@check
def two_workers() -> dict[str, Any]:
    """Neither on disjoint memory nor on the same does one take what the other would have seen - but for a single page,
    where each misses what the other's mark has wiped out."""
    with workload() as load, machine() as ours:
        areas = load.areas
        everything = sorted(areas.values())
        half = (areas["cold"][0] + areas["cold"][1]) // 2
        parts = [
            sorted([areas["hot"], (areas["cold"][0], half)]),
            sorted([areas["warm"], areas["lone"], (half, areas["cold"][1])]),
        ]
        found = {
            "alone": watch(ours, load.pid, everything),
            "same": watch(ours, load.pid, everything, everything),
            "disjoint": watch(ours, load.pid, *parts),
        }
        truth = load.end()
    report: dict[str, Any] = {"truth": truth}
    for name, workers in found.items():
        for nr, results in enumerate(workers):
            report[f"{name} {nr}"] = {area: ratio(results, *bounds) for area, bounds in areas.items()} | {
                "interval_us": interval_us(results)
            }
    for name, row in report.items():
        if name == "truth":
            continue
        assert row["cold"] <= 0.02, (name, report)
        # A longer interval than the truth's sees no fewer touches, and each page's rate says how many more.
        wanted = 1 - math.exp(row["interval_us"] / INTERVAL_US * math.log(1 - min(truth["warm"], 0.999)))
        row["warm expected"] = wanted
        if name != "disjoint 1":
            assert row["hot"] >= 0.9 * truth["hot"], (name, report)
        if name != "disjoint 0":
            assert truth["warm"] - 0.1 <= row["warm"] <= wanted + 0.1, (name, report)
    assert abs(report["same 0"]["warm"] - report["same 1"]["warm"]) <= 0.15, report
    return report
