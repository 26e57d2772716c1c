# SPDX-License-Identifier: GPL-2.0-only
"""The host engine at work on a real kernel: ``host_run.py PID START:END`` of a process that performs a workload, and of
its hot area.

It prints one JSON object.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Callable
from typing import Any

from damon.host.engine import HostDamon
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosQuota
from tests.waiting import until

#: Each look has the kernel's worker tell its results, and an emulated processor read dozens of files.
LOOK_S = 0.5


def monitored(host: HostDamon, pid: int, start: int, end: int) -> list[tuple[int, int, int]]:
    """Regions of the process, when more than half of ``[start, end)`` is in hot ones: start, end, accesses."""
    ctx = host.new_ctx()
    host.select_ops(ctx, "vaddr")
    host.add_process(ctx, pid)
    ctx.attrs.sample_interval, ctx.attrs.aggr_interval = 20_000, 400_000  # each hot page is touched every 20 ms
    host.start([ctx])
    found: list[tuple[int, int, int]] = []

    def hot() -> bool:
        found[:] = [(one.start, one.end, one.nr_accesses) for one in host.regions(ctx)]
        return sum(max(min(end, b) - max(start, a), 0) for a, b, count in found if count >= 10) > (end - start) // 2

    until(hot, lambda: f"the area is not hot: {found}", LOOK_S)
    host.stop()
    return found


def schemed(host: HostDamon) -> dict[str, int]:
    """Statistics of a scheme that reclaims cold physical memory, when 64 MiB of the cold area have gone."""
    ctx = host.new_ctx()
    host.select_ops(ctx, "paddr")
    host.add_memory(ctx)
    ctx.attrs.min_nr_regions = 50
    pattern = DamosAccessPattern(min_sz_region=4096, max_nr_accesses=0, min_age_region=20)
    quota = DamosQuota(sz=1 << 29, reset_interval=1000, weight_age=1)
    ctx.schemes.append(Damos(pattern, DamosAction.PAGEOUT, quota=quota))
    host.start([ctx])
    until(lambda: host.stats(ctx)[0].sz_applied > 64 << 20, lambda: f"little is reclaimed: {host.stats(ctx)}", LOOK_S)
    stats = dataclasses.asdict(host.stats(ctx)[0])
    host.stop()
    return stats


def loaded(host: HostDamon, name: str, words: list[str], done: Callable[[dict[str, str]], bool]) -> dict[str, Any]:
    """Parameters and statistics of a module, when it has done something."""
    host.start_module(name, words)
    until(lambda: done(host.module_stats(name)), lambda: f"{name} does nothing: {host.parameters(name)}", LOOK_S)
    parameters = host.parameters(name)
    host.stop_module(name)
    return parameters


def main() -> None:
    pid, span = sys.argv[1:]
    start, end = map(int, span.split(":"))
    with HostDamon() as host:
        found: dict[str, Any] = {"modules": host.modules(), "regions": monitored(host, int(pid), start, end)}
        marks = ["wmarks_high=1000", "wmarks_mid=999", "wmarks_low=0"]
        words = [*marks, "cold_min_age=1000000"]
        found["lru_sort"] = loaded(
            host, "lru_sort", words, lambda stats: int(stats["nr_lru_sort_tried_cold_regions"]) > 0
        )
        found["stats"] = schemed(host)
        # What the module of 6.12 reclaims is another matter: little or nothing.
        found["reclaim"] = loaded(host, "damon_reclaim", [*marks, "min_age=2000000"], lambda _: True)
    print(json.dumps(found))


if __name__ == "__main__":
    main()
