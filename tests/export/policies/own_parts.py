# SPDX-License-Identifier: GPL-2.0-only
"""Parts in Python: an operations set, an action, a filter, a metric. What of them is exported is a stub."""

import damon
from damon.mm.sim import SimulatedMachine


class Twice(damon.Fvaddr):
    """Samples as its parent does."""

    id = "vaddr-twice"


def gently(ctx: damon.DamonCtx, target: damon.DamonTarget, region: damon.DamonRegion) -> int:
    return region.size


def is_big(ctx: damon.DamonCtx, target: damon.DamonTarget, region: damon.DamonRegion) -> bool:
    return region.size >= 8 << 20


def free_mib(ctx: damon.DamonCtx, scheme: damon.Damos) -> int:
    return ctx.machine.free_mem()[0] >> 8


def policy(kernel: damon.Damon) -> damon.DamonCtx:
    kernel.register_ops(Twice())
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "vaddr-twice")
    assert isinstance(kernel.machine, SimulatedMachine)
    damon.add_process(ctx, kernel.machine.pids["main"], [(0x700000000000, 0x700000400000)])
    goal = damon.DamosQuotaGoal(damon.DamosCustomMetric("free_mib", free_mib), 400)
    ctx.schemes = [
        damon.Damos(action=damon.DamosCustomAction("gently", on_region=gently), quota=damon.DamosQuota(sz=1 << 20)),
        damon.Damos(action=damon.DamosAction.PAGEOUT, quota=damon.DamosQuota(goals=[goal], reset_interval=500)),
        damon.Damos(action=damon.DamosAction.COLD),
    ]
    ctx.schemes[2].add_filter(damon.DamosRegionFilter(is_big))
    ctx.schemes[2].add_filter(damon.DamosFilter(damon.DamosFilterType.TARGET, True))
    return ctx
