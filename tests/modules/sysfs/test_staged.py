# SPDX-License-Identifier: GPL-2.0-only
"""Every file of a context, staged with a value of its own, and the attribute that it sets (sysfs 3)."""

from __future__ import annotations

from operator import attrgetter
from typing import Any

from damon.model.scheme import DamosAction, DamosFilter, DamosFilterType, DamosQuotaGoalMetric, DamosQuotaGoalTuner
from tests.modules.sysfs.conftest import PAGE, C, S, Tree

BIG = 3689348814741910528
#: File below the context's directory, what is written, attribute of the context, its value.
OF_CONTEXT: list[tuple[str, object, str, object]] = [
    ("pause", "Y", "pause", True),
    ("monitoring_attrs/intervals/sample_us", 6000, "attrs.sample_interval", 6000),
    ("monitoring_attrs/intervals/aggr_us", 120000, "attrs.aggr_interval", 120000),
    ("monitoring_attrs/intervals/update_us", 7, "attrs.ops_update_interval", 7),
    ("monitoring_attrs/intervals/intervals_goal/access_bp", 400, "attrs.intervals_goal.access_bp", 400),
    ("monitoring_attrs/intervals/intervals_goal/aggrs", 3, "attrs.intervals_goal.aggrs", 3),
    ("monitoring_attrs/intervals/intervals_goal/min_sample_us", 5000, "attrs.intervals_goal.min_sample_us", 5000),
    ("monitoring_attrs/intervals/intervals_goal/max_sample_us", 9000, "attrs.intervals_goal.max_sample_us", 9000),
    ("monitoring_attrs/nr_regions/min", 4, "attrs.min_nr_regions", 4),
    ("monitoring_attrs/nr_regions/max", 50, "attrs.max_nr_regions", 50),
]
#: The same of the first scheme.
OF_SCHEME: list[tuple[str, object, str, object]] = [
    ("action", "migrate_hot", "action", DamosAction.MIGRATE_HOT),
    ("apply_interval_us", 8, "apply_interval_us", 8),
    ("target_nid", -1, "target_nid", -1),
    ("access_pattern/sz/min", 1, "pattern.min_sz_region", 1),
    ("access_pattern/sz/max", 2, "pattern.max_sz_region", 2),
    ("access_pattern/nr_accesses/min", 3, "pattern.min_nr_accesses", 3),
    ("access_pattern/nr_accesses/max", BIG + 4, "pattern.max_nr_accesses", (BIG + 4) % 2**32),
    ("access_pattern/age/min", 5, "pattern.min_age_region", 5),
    ("access_pattern/age/max", 2**64 - 1, "pattern.max_age_region", 2**32 - 1),
    ("quotas/ms", 10, "quota.ms", 10),
    ("quotas/bytes", 11, "quota.sz", 11),
    ("quotas/reset_interval_ms", 12, "quota.reset_interval", 12),
    ("quotas/goal_tuner", "temporal", "quota.goal_tuner", DamosQuotaGoalTuner.TEMPORAL),
    ("quotas/fail_charge_num", 13, "quota.fail_charge_num", 13),
    ("quotas/fail_charge_denom", 14, "quota.fail_charge_denom", 14),
    ("quotas/weights/sz_permil", 15, "quota.weight_sz", 15),
    ("quotas/weights/nr_accesses_permil", 16, "quota.weight_nr_accesses", 16),
    ("quotas/weights/age_permil", 17, "quota.weight_age", 17),
    ("watermarks/interval_us", 22, "wmarks.interval", 22),
    ("watermarks/high", 23, "wmarks.high", 23),
    ("watermarks/mid", 24, "wmarks.mid", 24),
    ("watermarks/low", 25, "wmarks.low", 25),
    ("stats/max_nr_snapshots", 28, "max_nr_snapshots", 28),
]
#: What is in lists, which the test below compares whole.
OF_LISTS: dict[str, object] = {
    "quotas/goals/nr_goals": 3,  # the first has no target value: it is none
    "quotas/goals/1/target_value": 18, "quotas/goals/1/current_value": 19,
    "quotas/goals/2/target_metric": "node_memcg_free_bp", "quotas/goals/2/target_value": 20, "quotas/goals/2/nid": 21,
    "quotas/goals/2/path": "/a",
    "watermarks/metric": "free_mem_rate",
    "dests/nr_dests": 1, "dests/0/id": 26, "dests/0/weight": 27,
    "filters/nr_filters": 2, "filters/0/type": "target", "filters/0/damon_target_idx": 29,
    "filters/1/type": "memcg", "filters/1/memcg_path": "/a",
    "core_filters/nr_filters": 1, "core_filters/0/type": "addr", "core_filters/0/addr_start": 30,
    "core_filters/0/addr_end": 31, "core_filters/0/matching": "Y",
    "ops_filters/nr_filters": 1, "ops_filters/0/type": "hugepage_size", "ops_filters/0/min": 32,
    "ops_filters/0/max": 33, "ops_filters/0/allow": "Y",
}  # fmt: skip


def _filters(filters: list[Any], *fields: str) -> list[tuple[object, ...]]:
    assert all(isinstance(one, DamosFilter) for one in filters)
    return [attrgetter(*fields)(one) for one in filters]


def test_everything_that_is_staged_arrives(tree: Tree) -> None:
    tree.machine.memcg_ids["/a"] = 9
    tree.stage("fvaddr", schemes=2, regions=((PAGE, 5 * PAGE),))
    tree.fill(C, {path: value for path, value, _, _ in OF_CONTEXT})
    tree.fill(S, {path: value for path, value, _, _ in OF_SCHEME} | OF_LISTS)
    tree.state("on")
    scheme, other = tree.ctx.schemes
    for place, table in ((tree.ctx, OF_CONTEXT), (scheme, OF_SCHEME)):
        for path, _, attribute, value in table:
            arrived = attrgetter(attribute)(place)
            assert (type(arrived), arrived) == (type(value), value), path
    assert [(goal.metric, goal.target_value, goal.current_value, goal.nid, goal.memcg_id)
            for goal in scheme.quota.goals] == [
        (DamosQuotaGoalMetric.USER_INPUT, 18, 19, 0, 0),
        (DamosQuotaGoalMetric.NODE_MEMCG_FREE_BP, 20, 0, 21, 9),
    ]  # fmt: skip
    assert [(dest.node_id, dest.weight) for dest in scheme.migrate_dests] == [(26, 27)]
    assert _filters(scheme.core_filters, "type", "addr_start", "addr_end", "target_idx", "matching") == [
        (DamosFilterType.ADDR, 30, 31, 0, True),
        (DamosFilterType.TARGET, 0, 0, 29, False),
    ]
    assert _filters(scheme.ops_filters, "type", "sz_min", "sz_max", "memcg_id", "allow") == [
        (DamosFilterType.HUGEPAGE_SIZE, 32, 33, 0, True),
        (DamosFilterType.MEMCG, 0, 0, 9, False),
    ]
    untouched = other.pattern
    assert (untouched.min_sz_region, untouched.max_sz_region, untouched.max_age_region) == (0, 0, 0)
