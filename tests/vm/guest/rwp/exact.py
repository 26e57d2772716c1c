# SPDX-License-Identifier: GPL-2.0-only
"""``vaddr-exact``: each page, as it was."""

from __future__ import annotations

import time
from typing import Any

from damon import Damon, DamonCtx, DamonTarget
from damon.core import set_attrs
from damon.mm.linux import LinuxMachine
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCallControl
from tests.vm.guest.rwp.stage import PAGE, check, victim

#: Runs of pages that are hot, in an area of 16 MiB: not one of them is aligned.
HOT = [(3, 5), (100, 612), (1000, 1001), (2047, 2600), (4000, 4095)]


def _hot(page: int) -> bool:
    return any(first <= page < end for first, end in HOT)


@check
def every_page_is_right() -> dict[str, Any]:
    with victim(16) as other, LinuxMachine(access="rwp") as machine:
        other.tell(f"write 0 {other.pages} 1")
        for first, end in HOT:
            other.tell(f"spin {first} {end} 1")
        damon = Damon(machine, seed=1)
        ctx = damon.new_ctx()
        damon.select_ops(ctx, "vaddr-exact")
        set_attrs(
            ctx, DamonAttrs(sample_interval=500_000, aggr_interval=500_000, min_nr_regions=10, max_nr_regions=200)
        )
        ctx.targets.append(DamonTarget(space=machine.open_process(other.pid)))
        snapshots: list[list[tuple[int, int, int, int]]] = []

        def see(ctx: DamonCtx) -> None:
            rows = ctx.targets[0].regions
            snapshots.append([(row.start, row.end, row.nr_accesses, row.age) for row in rows])

        damon.start([ctx])
        begin = time.process_time()
        damon.call(ctx, DamonCallControl(see, repeat=True, results_only=True))
        time.sleep(10)
        spent = time.process_time() - begin
        damon.stop()
        wrong = [_wrong(rows, other.base, other.pages) for rows in snapshots[2:]]
    assert len(wrong) > 5, len(wrong)
    # A thread that is not scheduled for a whole interval reads nothing in it.
    assert sum(1 for one in wrong if one) <= 1, wrong
    ages = {
        age for start, end, nr, age in snapshots[-1] if start >= other.base and end <= other.base + other.pages * PAGE
    }
    assert max(ages) > 5, ages
    return {"snapshots": len(wrong), "wrong": wrong, "cpu": spent / 10}


def _wrong(rows: list[tuple[int, int, int, int]], base: int, pages: int) -> int:
    """Pages of the area whose region says another thing."""
    wrong = 0
    for start, end, nr_accesses, _ in rows:
        for at in range(max(start, base), min(end, base + pages * PAGE), PAGE):
            wrong += bool(nr_accesses) != _hot((at - base) // PAGE)
    return wrong
