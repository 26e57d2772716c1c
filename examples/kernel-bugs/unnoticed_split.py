# SPDX-License-Identifier: GPL-2.0-only
"""A region that cannot be split for want of memory is taken whole: a scheme acts beyond the addresses that it may.

``python unnoticed_split.py linux-source-7.2``
"""

import sys

import damon

MIB = 1 << 20
with damon.open_machine(sim="hot-cold", seed=1) as machine:
    kernel = damon.open_engine(sys.argv[1]).open(machine, seed=1)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx, 0, 1024 * MIB)
    ctx.schemes.append(damon.Damos(action=damon.DamosAction.STAT))
    ctx.schemes[0].add_filter(damon.DamosFilter(damon.DamosFilterType.ADDR, True, allow=True, addr_end=64 * MIB))
    with damon.running(kernel, ctx):
        for what, failing in (("fail", 1 << 30), ("succeed", 0)):
            kernel.lib.fail_regions.value = failing  # of the stand-in for the kernel's allocator
            ends: list[int] = []
            kernel.walk(ctx, damon.DamosWalkControl(lambda c, t, region, s, p, ends=ends: ends.append(region.end)))
            kernel.lib.fail_regions.value = 0
            print(f"allowed up to 64 MiB, allocations {what}: acts up to {max(ends, default=0) // MIB} MiB")
