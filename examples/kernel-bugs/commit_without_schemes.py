# SPDX-License-Identifier: GPL-2.0-only
"""A commit that removes all schemes while their watermarks let the kdamond sleep: it sleeps for ever.

``python commit_without_schemes.py linux-source-7.3``
"""

import sys

import damon

with damon.open_machine(sim="hot-cold", seed=1) as machine:
    kernel = damon.open_engine(sys.argv[1]).open(machine, seed=1)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    wmarks = damon.DamosWatermarks(damon.DamosWmarkMetric.FREE_MEM_RATE, 1_000_000, high=2, mid=1, low=0)
    ctx.schemes.append(damon.Damos(action=damon.DamosAction.STAT, wmarks=wmarks))
    with damon.running(kernel, ctx):
        machine.clock.sleep_us(3_000_000)
        with damon.changes(kernel, ctx) as wanted:
            wanted.schemes.clear()
        machine.clock.sleep_us(100_000_000)
        kernel.call(ctx, damon.DamonCallControl(lambda ctx: None))
        print(f"100 s after the commit: {len(ctx.schemes)} schemes, {ctx.passed_sample_intervals} samples")
