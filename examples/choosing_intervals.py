#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""What four choices of intervals show of one program; docs/how-to/choosing-intervals.md explains the output.

Of 256 MiB each page of 'hot' is touched 20 times a second, each page of 'warm' every two seconds, 'cold' never.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from pathlib import Path

import damon
from damon.mm.sim.report import AreaStat

WORKLOAD = """
name: three-rates
areas:
  cold: {size: 192 MiB}
  warm: {size: 32 MiB}
  hot:  {size: 32 MiB}
phases:
  - duration: 60s
    access:
      - {area: hot, rate: 163840}
      - {area: warm, rate: 4096}
machine: {memory: 1 GiB}
"""
MS = 1000
CHOICES = {
    "too short": damon.DamonAttrs(sample_interval=5 * MS, aggr_interval=100 * MS),
    "right": damon.DamonAttrs(sample_interval=100 * MS, aggr_interval=2000 * MS),
    "too long": damon.DamonAttrs(sample_interval=10_000 * MS, aggr_interval=200_000 * MS),
    "tuned": damon.DamonAttrs(
        sample_interval=5 * MS,
        aggr_interval=100 * MS,
        intervals_goal=damon.DamonIntervalsGoal(
            access_bp=400, aggrs=3, min_sample_us=5 * MS, max_sample_us=10_000 * MS
        ),
    ),
}
#: The number of aggregations before the snapshot that is shown.
AGGREGATIONS = 40


def overlap(region: damon.Region, area: AreaStat) -> int:
    return max(min(region.end, area.start + area.size_bytes) - max(region.start, area.start), 0)


def snapshot(workload: Path, attrs: damon.DamonAttrs) -> Iterator[str]:
    """Of each area: the share of samples that found an access, and the age, as means over its bytes."""
    with damon.open_machine(sim=str(workload), seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "vaddr")
        damon.set_attrs(ctx, attrs)
        damon.add_process(ctx, machine.pids["main"])
        with damon.running(kernel, ctx):
            for result in damon.aggregations(kernel, ctx):
                if result.time_ns >= AGGREGATIONS * attrs.aggr_interval * 1000:
                    break
        sample_us, aggr_us = ctx.attrs.sample_interval, ctx.attrs.aggr_interval
        regions = result.regions
        events = sum(region.size * region.nr_accesses for region in regions)
        most = sum(region.size * aggr_us // sample_us for region in regions)
        yield f"{sample_us / MS:8g} ms {aggr_us / MS:8g} ms {events * 10000 / most:7.0f} bp"
        for area in machine.areas():
            parts = [(overlap(region, area) / area.size_bytes, region) for region in regions]
            rate = sum(share * region.nr_accesses for share, region in parts) * sample_us / aggr_us
            age_s = sum(share * region.age for share, region in parts) * aggr_us / 1e6
            yield f"{rate:7.1%} {age_s:8.1f} s"


def main() -> None:
    print(
        f"{'':10}{'sample':>11} {'aggregation':>11} {'accessed':>10}"
        + "".join(f"{n:>19}" for n in ("cold", "warm", "hot"))
    )
    with tempfile.TemporaryDirectory() as directory:
        workload = Path(directory) / "three-rates.yaml"
        workload.write_text(WORKLOAD)
        for name, attrs in CHOICES.items():
            print(f"{name:10}", *snapshot(workload, attrs))


if __name__ == "__main__":
    main()
