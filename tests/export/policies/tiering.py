# SPDX-License-Identifier: GPL-2.0-only
"""Two nodes, the fast one being 0: what is hot on node 1 and what is cold on node 0 change places.

Node 0 is filled up to 99.7 %, and 5 % of it are freed; at most 200 MiB a second move each way.
"""

from collections.abc import Sequence

import damon

FAST, SLOW = 0, 1


def context(kernel: damon.Damon, node: int, scheme: damon.Damos) -> damon.DamonCtx:
    """A context on the memory of ``node``."""
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    spans = [(start, end) for start, end, nid in kernel.machine.node_spans() if nid == node]
    damon.add_memory(ctx, spans[0][0], spans[-1][1])
    ctx.schemes.append(scheme)
    return ctx


def quota(metric: damon.DamosQuotaGoalMetric, target_bp: int) -> damon.DamosQuota:
    return damon.DamosQuota(
        sz=200 << 20, reset_interval=1000, weight_nr_accesses=100, weight_age=100,
        goals=[damon.DamosQuotaGoal(metric, target_bp, nid=FAST)], goal_tuner=damon.DamosQuotaGoalTuner.TEMPORAL,
    )  # fmt: skip


def policy(kernel: damon.Damon) -> Sequence[damon.DamonCtx]:
    metric = damon.DamosQuotaGoalMetric
    promote = damon.Damos(
        damon.DamosAccessPattern(min_sz_region=4096, min_nr_accesses=1), damon.DamosAction.MIGRATE_HOT,
        quota=quota(metric.NODE_MEM_USED_BP, 9970), target_nid=FAST,
    )  # fmt: skip
    demote = damon.Damos(
        damon.DamosAccessPattern(min_sz_region=4096, max_nr_accesses=0), damon.DamosAction.MIGRATE_COLD,
        quota=quota(metric.NODE_MEM_FREE_BP, 500), target_nid=SLOW,
    )  # fmt: skip
    return [context(kernel, SLOW, promote), context(kernel, FAST, demote)]
