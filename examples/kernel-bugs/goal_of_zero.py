# SPDX-License-Identifier: GPL-2.0-only
"""A quota goal whose target is 0 divides by zero in the kernel. ``python goal_of_zero.py linux-source-7.2``"""

import sys

import damon

with damon.open_machine(sim="hot-cold", seed=1) as machine:
    kernel = damon.open_engine(sys.argv[1]).open(machine, seed=1)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    goal = damon.DamosQuotaGoal(damon.DamosQuotaGoalMetric.USER_INPUT, target_value=0, current_value=100)
    quota = damon.DamosQuota(reset_interval=200, goals=[goal])
    ctx.schemes.append(damon.Damos(action=damon.DamosAction.STAT, quota=quota))
    try:
        with damon.running(kernel, ctx):
            machine.clock.sleep_us(1_000_000)
        print("it ran")
    except damon.DamonError as error:
        print(f"refused: {error}")
