# SPDX-License-Identifier: GPL-2.0-only
"""A commit through sysfs that changes nothing clears the quota state of running schemes: effective bytes start over.

What ``damon_sysfs_commit_input()`` of 7.2 does first is all that it takes: it copies the running context, to try the
commit. ``python commit_clears_quota.py linux-source-7.2``
"""

import sys

import damon

with damon.open_machine(sim="hot-cold", seed=1) as machine:
    kernel = damon.open_engine(sys.argv[1]).open(machine, seed=1)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    goal = damon.DamosQuotaGoal(damon.DamosQuotaGoalMetric.USER_INPUT, target_value=1000, current_value=100)
    quota = damon.DamosQuota(reset_interval=200, goals=[goal])
    ctx.schemes.append(damon.Damos(action=damon.DamosAction.STAT, quota=quota))

    def try_commit(ctx: damon.DamonCtx) -> None:
        test = kernel.lib.damon_new_ctx()
        kernel.lib.damon_commit_ctx(test, kernel.c_ctx(ctx))
        kernel.lib.damon_destroy_ctx(test)

    with damon.running(kernel, ctx):
        for second in range(1, 8):
            if second == 5:
                kernel.call(ctx, damon.DamonCallControl(try_commit))
            machine.clock.sleep_us(1_000_000)
            kernel.refresh(ctx)
            print(f"{second} s: effective_bytes {ctx.schemes[0].quota.esz}")
