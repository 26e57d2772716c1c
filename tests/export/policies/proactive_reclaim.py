# SPDX-License-Identifier: GPL-2.0-only
"""Page out what a process has not accessed for five seconds, as the kernel's samples/damon/prcl.c does."""

import damon
from damon.mm.sim import SimulatedMachine


def policy(kernel: damon.Damon) -> damon.DamonCtx:
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "vaddr")
    assert isinstance(kernel.machine, SimulatedMachine)
    damon.add_process(ctx, kernel.machine.pids["main"])
    pattern = damon.DamosAccessPattern(min_sz_region=4096, max_nr_accesses=0, min_age_region=50)
    ctx.schemes.append(damon.Damos(pattern, damon.DamosAction.PAGEOUT))
    return ctx
