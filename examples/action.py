#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""An action: MADV_COLD while 40 % of the memory is free, MADV_PAGEOUT when less is.

Run it with ``python examples/action.py``; the machine is simulated. It prints how often either advice was given, and
the scheme's statistics, which the core keeps for this action as for the kernel's.
"""

from __future__ import annotations

from collections import Counter

import damon

given: Counter[str] = Counter()


def cold_or_out(ctx: damon.DamonCtx, target: damon.DamonTarget, region: damon.DamonRegion) -> int:
    """Act on one region; the result is how many bytes of it were acted on."""
    free, total = ctx.machine.free_mem()
    advice = damon.Advice.COLD if free * 10 > total * 4 else damon.Advice.PAGEOUT
    given[advice.name] += 1
    failed = damon.process_space(target).madvise(region.start, region.size, advice)
    return 0 if failed else region.size


COLD_OR_OUT = damon.DamosCustomAction("cold_or_out", on_region=cold_or_out)


def main() -> None:
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "vaddr")
        damon.add_process(ctx, machine.pids["main"])
        cold = damon.DamosAccessPattern(max_nr_accesses=0, min_age_region=5)
        quota = damon.DamosQuota(sz=32 << 20, reset_interval=1000)
        scheme = damon.Damos(action=COLD_OR_OUT, pattern=cold, quota=quota)
        ctx.schemes.append(scheme)
        with damon.running(kernel, ctx):
            machine.clock.sleep_us(12_000_000)
        for name, times in sorted(given.items()):
            print(f"{name}: {times} regions")
        stat = scheme.stat
        print(f"{scheme.action.value}: applied to {stat.sz_applied >> 20} of {stat.sz_tried >> 20} MiB tried")


if __name__ == "__main__":
    main()
