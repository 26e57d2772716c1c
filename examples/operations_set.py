#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""An operations set that samples two pages of each region: an access to either counts.

Run it with ``python examples/operations_set.py``; the machine is simulated. For the kernel's set and for this one it
prints how much memory the monitor found accessed, and in how many samples of an aggregation interval.

Actions, priorities and the end of targets come from ``Fvaddr``, the parent. ``two_pages_arrays.py`` is the same set
with its loops in NumPy.
"""

from __future__ import annotations

import damon


class TwoPages(damon.Fvaddr):
    """Virtual addresses; a region was accessed if either of two pages of it was."""

    id = "vaddr-two"

    def prepare_access_checks(self, ctx: damon.DamonCtx) -> None:
        """Pick two pages of each region and clear their accessed bits."""
        for target in ctx.targets:
            addrs = target.addrs
            addrs.reserve(2 * len(target.regions))
            for index, region in enumerate(target.regions):
                addrs[2 * index] = region.sampling_addr = ctx.rnd.rand(region.start, region.end)
                addrs[2 * index + 1] = ctx.rnd.rand(region.start, region.end)
            target.batch = damon.process_space(target).mkold(addrs, 2 * len(target.regions))

    def check_accesses(self, ctx: damon.DamonCtx) -> int:
        """Count the regions of which a page was accessed since; the highest count is the result."""
        highest = 0
        for target in ctx.targets:
            young = target.accessed
            young.reserve(2 * len(target.regions))
            damon.process_space(target).young(target.batch, young)
            for index, region in enumerate(target.regions):
                region.nr_accesses += young[2 * index] | young[2 * index + 1]
                highest = max(highest, region.nr_accesses)
        return highest


def watch(ops: str) -> damon.Aggregation:
    """The 20th aggregation of the hot-cold workload."""
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        kernel.register_ops(TwoPages())
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, ops)
        pid = machine.pids["main"]
        damon.add_process(ctx, pid, list(machine.open_process(pid).mappings()))
        with damon.running(kernel, ctx):
            return [result for result, _ in zip(damon.aggregations(kernel, ctx), range(20), strict=False)][-1]


def main() -> None:
    for ops in ("fvaddr", TwoPages.id):
        result = watch(ops)
        hot = [region for region in result.regions if region.nr_accesses]
        size, least = sum(region.size for region in hot), min(region.nr_accesses for region in hot)
        print(f"{ops}: {size >> 20} MiB accessed in {least} or more of {result.max_nr_accesses} samples")


if __name__ == "__main__":
    main()
