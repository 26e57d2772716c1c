# SPDX-License-Identifier: GPL-2.0-only
"""Physical memory: take cold anonymous memory until half of node 0 is free; what is hot goes up on its LRU list."""

import damon


def policy(kernel: damon.Damon) -> damon.DamonCtx:
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.set_attrs(ctx, damon.DamonAttrs(min_nr_regions=20, max_nr_regions=500, ops_update_interval=2_000_000))
    damon.add_memory(ctx)
    anon, young = damon.DamosFilterType.ANON, damon.DamosFilterType.YOUNG
    # 400 ms: an emulated processor is some ten times slower, and this has to end in a guest as well.
    reclaim = damon.Damos(
        damon.DamosAccessPattern(min_sz_region=4096, max_nr_accesses=0, min_age_region=20),
        damon.DamosAction.PAGEOUT,
        quota=damon.DamosQuota(
            ms=400, sz=64 << 20, reset_interval=500, weight_nr_accesses=3, weight_age=7,
            goals=[damon.DamosQuotaGoal(damon.DamosQuotaGoalMetric.NODE_MEM_FREE_BP, 5000),
                   damon.DamosQuotaGoal(damon.DamosQuotaGoalMetric.SOME_MEM_PSI_US, 10_000)],
            goal_tuner=damon.DamosQuotaGoalTuner.TEMPORAL, fail_charge_num=1, fail_charge_denom=10,
        ),
        wmarks=damon.DamosWatermarks(damon.DamosWmarkMetric.FREE_MEM_RATE, 1_000_000, 990, 980, 1),
    )  # fmt: skip
    reclaim.add_filter(damon.DamosFilter(damon.DamosFilterType.ADDR, True, addr_end=16 << 20))  # not the lowest memory
    reclaim.add_filter(damon.DamosFilter(young, matching=True))
    reclaim.add_filter(damon.DamosFilter(anon, matching=True, allow=True))
    sort = damon.Damos(
        damon.DamosAccessPattern(min_nr_accesses=10), damon.DamosAction.LRU_PRIO, 500_000, max_nr_snapshots=1000
    )
    sort.add_filter(damon.DamosFilter(damon.DamosFilterType.HUGEPAGE_SIZE, True, sz_min=2 << 20, sz_max=1 << 30))
    ctx.schemes += [reclaim, sort]
    return ctx
