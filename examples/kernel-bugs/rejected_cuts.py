# SPDX-License-Identifier: GPL-2.0-only
"""A quota cuts a region before core filters are asked. What they reject is not charged, so the rest is cut again.

A pass takes as many steps as the quota's share fits into the region. ``python rejected_cuts.py linux-source-7.3``
"""

import sys
import time

import damon

MIB = 1 << 20
for sz in (16 << 30, MIB):
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.open_engine(sys.argv[1]).open(machine, seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "paddr")
        damon.add_memory(ctx, 0, 16 << 30)
        reject = damon.DamosFilter(damon.DamosFilterType.ADDR, matching=True, addr_start=0, addr_end=16 << 30)
        quota = damon.DamosQuota(sz=sz, reset_interval=1000)
        ctx.schemes.append(damon.Damos(action=damon.DamosAction.STAT, quota=quota))
        ctx.schemes[0].add_filter(reject)
        with damon.running(kernel, ctx):
            began = time.process_time()
            machine.clock.sleep_us(2_000_000)
            took = time.process_time() - began
        print(f"quota of {sz >> 10} KiB: {took * 50:.1f} ms of processor time an aggregation")
