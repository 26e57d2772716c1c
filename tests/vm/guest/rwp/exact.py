# SPDX-License-Identifier: GPL-2.0-only
"""``vaddr-exact``: each page, as it was."""

from __future__ import annotations

import random
import statistics
import time
from typing import Any

from damon import Damon, DamonCtx, DamonTarget
from damon.core import set_attrs, set_regions
from damon.mm.linux import LinuxMachine
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCallControl
from tests.vm.guest.rwp.stage import PAGE, Victim, check, observed, victim

#: Runs of pages that are hot, in an area of 16 MiB: not one of them is aligned.
HOT = [(3, 5), (100, 612), (1000, 1001), (2047, 2600), (4000, 4095)]
Runs = list[tuple[int, int]]


def _ctx(machine: LinuxMachine, other: Victim) -> tuple[Damon, DamonCtx]:
    damon = Damon(machine, seed=1)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, "vaddr-exact")
    set_attrs(ctx, DamonAttrs(sample_interval=500_000, aggr_interval=500_000, min_nr_regions=10, max_nr_regions=200))
    ctx.targets.append(DamonTarget(space=machine.open_process(other.pid)))
    return damon, ctx


@check
def every_page_is_right() -> dict[str, Any]:
    """Reads between which it is known which pages were touched: others ones each time."""
    rng = random.Random(3)
    with victim(16) as other, LinuxMachine(access="rwp") as machine:
        other.tell(f"write 0 {other.pages} 1")
        _, ctx = _ctx(machine, other)
        (target,) = ctx.targets
        for read in range(20):
            set_regions(target, [(other.base, other.base + other.pages * PAGE)], PAGE)
            edges = sorted(rng.sample(range(other.pages), 2 * rng.randint(1, 40)))
            runs = [*zip(edges[::2], edges[1::2], strict=True)] if read else HOT
            ctx.ops.prepare_access_checks(ctx)
            for first, end in runs:
                other.tell(f"touch {first} {end} 1")
            ctx.ops.check_accesses(ctx)
            rows = [(row.start, row.end, row.nr_accesses) for row in target.regions]
            assert _wrong(rows, other, runs) == 0, (read, runs)
            target.regions.clear()
        ctx.ops.cleanup_target(target)
    return {"reads": 20}


@check
def a_mapping_that_was_replaced_spoils_no_other() -> dict[str, Any]:
    """The kernel refuses a range with memory in it that is not registered: what is around it is still protected."""
    with victim(4) as other, observed(other) as space:
        other.tell(f"write 0 {other.pages} 1")
        area = other.base, other.base + other.pages * PAGE
        space.protect([area])
        other.tell("replace 100 200")
        space.protect([area])
        other.tell("touch 0 10 1")
        seen = [((start - area[0]) // PAGE, (end - area[0]) // PAGE) for start, end in space.accessed(*area)]
    assert seen == [(0, 10)], seen
    return {"seen": seen}


@check
def a_worker_finds_the_hot_pages() -> dict[str, Any]:
    """Threads touch them all the time; one that does not run for an interval touches nothing in it."""
    with victim(16) as other, LinuxMachine(access="rwp") as machine:
        other.tell(f"write 0 {other.pages} 1")
        for first, end in HOT:
            other.tell(f"spin {first} {end} 1")
        damon, ctx = _ctx(machine, other)
        snapshots: list[list[tuple[int, int, int]]] = []
        ages: list[int] = []

        def see(ctx: DamonCtx) -> None:
            rows = ctx.targets[0].regions
            snapshots.append([(row.start, row.end, row.nr_accesses) for row in rows])
            ages.append(max(row.age for row in rows if not row.nr_accesses))

        damon.start([ctx])
        begin = time.process_time()
        damon.call(ctx, DamonCallControl(see, repeat=True, results_only=True))
        time.sleep(10)
        spent = time.process_time() - begin
        damon.stop()
        wrong = [_wrong(rows, other, HOT) for rows in snapshots[2:]]
    assert len(wrong) > 5, len(wrong)
    assert statistics.median(wrong) == 0, wrong
    assert max(ages) > 5, ages
    return {"snapshots": len(wrong), "wrong": wrong, "cpu": spent / 10}


def _wrong(rows: list[tuple[int, int, int]], other: Victim, runs: Runs) -> int:
    """Pages of the area whose region has another answer."""
    hot = {page for first, end in runs for page in range(first, end)}
    return sum(
        bool(nr_accesses) != ((at - other.base) // PAGE in hot)
        for start, end, nr_accesses in rows
        for at in range(max(start, other.base), min(end, other.base + other.pages * PAGE), PAGE)
    )
