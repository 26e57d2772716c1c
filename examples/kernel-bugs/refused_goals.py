# SPDX-License-Identifier: GPL-2.0-only
"""A commit of quota goals that is refused for its second goal leaves the first. ``python refused_goals.py ENGINE``"""

import sys

import damon
from damon.core import commit_scheme_goals

with damon.open_machine(sim="hot-cold", seed=1) as machine:
    kernel = damon.open_engine(sys.argv[1]).open(machine, seed=1)
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    metric = damon.DamosQuotaGoalMetric.USER_INPUT
    quota = damon.DamosQuota(reset_interval=200, goals=[damon.DamosQuotaGoal(metric, target_value=1000)])
    ctx.schemes.append(damon.Damos(action=damon.DamosAction.STAT, quota=quota))
    refused = damon.DamosQuota(goals=[damon.DamosQuotaGoal(metric, target_value=target) for target in (2000, 0)])
    with damon.running(kernel, ctx):
        machine.clock.sleep_us(1_000_000)
        try:
            kernel.call(ctx, damon.DamonCallControl(lambda ctx: commit_scheme_goals(ctx, 0, refused)))
        except damon.DamonError as error:
            print(f"refused: {error}")
        if sys.argv[1] != "pydamon":  # the kernel's own structures are elsewhere
            kernel.refresh(ctx)
        print(f"targets: {[goal.target_value for goal in ctx.schemes[0].quota.goals]}")
