# SPDX-License-Identifier: GPL-2.0-only
"""vaddr monitoring of one process, by ours or the kernel's: ``compare_vaddr.py WHO PID SECONDS NAME=START:END ...``.

WHO is ``pydamon``, ``kernel`` or both with a comma between. Prints, for each, every area's size-weighted access ratio:
the share of its bytes times samples that were seen accessed.
"""

from __future__ import annotations

import json
import sys
import time

from damon.core import Damon
from damon.mm.linux import LinuxMachine
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.target import DamonTarget
from tests.vm.guest import kernel_damon

Snapshot = list[tuple[int, int, int]]
#: By the guest's clock, as ``/proc/uptime``: begin and end.
Window = tuple[float, float]
WARM_UP_S = 10.0  # for the regions to find the areas


def ratio(snapshots: list[Snapshot], start: int, end: int, max_nr_accesses: int) -> float:
    """Bytes times samples seen accessed, over all of them."""
    seen = sum(
        max(0, min(r_end, end) - max(r_start, start)) * nr for regions in snapshots for r_start, r_end, nr in regions
    )
    return seen / ((end - start) * max_nr_accesses * len(snapshots))


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def ours(pid: int, seconds: float) -> tuple[list[Snapshot], Window, float, int]:
    """Snapshots, when, CPU seconds of the worker, samples of regions taken."""
    machine = LinuxMachine(access="page_idle")  # as the kernel does
    machine.require("vaddr", [])
    damon = Damon(machine, seed=1)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, "vaddr")
    ctx.targets.append(DamonTarget(space=machine.open_process(pid)))
    snapshots: list[Snapshot] = []
    samples = 0

    def watch(ctx: DamonCtx) -> None:
        nonlocal samples
        samples += ctx.nr_regions()
        if ctx.passed_sample_intervals >= ctx.next_aggregation_sis:
            snapshots.append([(r.start, r.end, r.nr_accesses) for t in ctx.targets for r in t.regions])

    damon.start([ctx])
    tid = damon.kdamond_pid(ctx)
    time.sleep(WARM_UP_S)
    damon.call(ctx, DamonCallControl(watch, repeat=True))
    before, began = thread_cpu(tid), now()
    time.sleep(seconds)
    cpu, ended = thread_cpu(tid) - before, now()
    damon.stop([ctx])
    machine.close()
    return snapshots, (began, ended), cpu, samples


def thread_cpu(tid: int) -> float:
    with open(f"/proc/self/task/{tid}/schedstat") as file:
        return int(file.read().split()[0]) / 1e9


def theirs(pid: int, seconds: float) -> tuple[list[Snapshot], Window, float, int]:
    kernel_damon.stage("vaddr", pid=pid)
    with kernel_damon.running() as kdamond:
        time.sleep(WARM_UP_S)
        before, began = kernel_damon.cpu_seconds(kdamond), now()
        snapshots = kernel_damon.snapshots(seconds)
        cpu, ended = kernel_damon.cpu_seconds(kdamond) - before, now()
    return snapshots, (began, ended), cpu, sum(len(regions) * 20 for regions in snapshots)


WATCHERS = {"pydamon": ours, "kernel": theirs}


def main() -> None:
    wanted, pid, seconds = sys.argv[1].split(","), int(sys.argv[2]), float(sys.argv[3])
    areas = {}
    for word in sys.argv[4:]:
        name, _, span = word.partition("=")
        areas[name] = tuple(int(edge, 0) for edge in span.split(":"))
    result = {}
    for who in wanted:
        snapshots, window, cpu, samples = WATCHERS[who](pid, seconds)
        result[who] = {
            "areas": {name: ratio(snapshots, start, end, 20) for name, (start, end) in areas.items()},
            "window": window,
            "aggregations": len(snapshots),
            "regions": len(snapshots[-1]),
            "cpu_us_per_region_sample": cpu * 1e6 / max(samples, 1),
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
