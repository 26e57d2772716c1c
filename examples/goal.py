#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-only
"""A quota goal: page out cold memory until the machine has a given number of free MiB.

Run it with ``python examples/goal.py``; the machine is simulated. It prints the metric and its target every two
seconds, and how much the scheme paged out.
"""

from __future__ import annotations

import damon


def free_mib(ctx: damon.DamonCtx, scheme: damon.Damos) -> int:
    """The metric; the core measures it once a quota window."""
    free, _total = ctx.machine.free_mem()
    return free * 4096 >> 20


FREE_MIB = damon.DamosCustomMetric("free_mib", free_mib)


def main() -> None:
    with damon.open_machine(sim="hot-cold", seed=1) as machine:
        kernel = damon.Damon(machine, seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "vaddr")
        damon.add_process(ctx, machine.pids["main"])
        goal = damon.DamosQuotaGoal(FREE_MIB, target_value=400)
        quota = damon.DamosQuota(
            sz=8 << 20,
            reset_interval=500,
            goals=[goal],
            goal_tuner=damon.DamosQuotaGoalTuner.TEMPORAL,  # the whole quota until the goal is reached, then nothing
        )
        cold = damon.DamosAccessPattern(max_nr_accesses=0, min_age_region=5)
        scheme = damon.Damos(action=damon.DamosAction.PAGEOUT, pattern=cold, quota=quota)
        ctx.schemes.append(scheme)
        with damon.running(kernel, ctx):
            for second in range(2, 17, 2):
                machine.clock.sleep_us(2_000_000)
                print(f"after {second:2} s: {goal.metric.value} {goal.current_value} of {goal.target_value}")
        print(f"paged out {scheme.stat.sz_applied >> 20} MiB")


if __name__ == "__main__":
    main()
