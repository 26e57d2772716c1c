# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_RECLAIM and DAMON_LRU_SORT: tables of parameters, schemes, regions (DAMON spec, modules)."""

from __future__ import annotations

import pytest

from damon.model.attrs import U32_MAX, ULONG_MAX, DamonIntervalsGoal
from damon.model.scheme import (
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosWatermarks,
    DamosWmarkMetric,
)
from tests.modules.loaded import loaded

COMMON = """
enabled bool 0600 N
commit_inputs bool 0600 N
quota_ms ulong 0600 10
quota_reset_interval_ms ulong 0600 1000
wmarks_interval ulong 0600 5000000
sample_interval ulong 0600 5000
aggr_interval ulong 0600 100000
min_nr_regions ulong 0600 10
max_nr_regions ulong 0600 1000
monitor_region_start ulong 0600 0
monitor_region_end ulong 0600 0
addr_unit ulong 0600 1
autotune_monitoring_intervals bool 0600 N
kdamond_pid int 0400 -1
"""
RECLAIM = """
wmarks_high ulong 0600 500
wmarks_mid ulong 0600 400
wmarks_low ulong 0600 200
min_age ulong 0600 120000000
quota_sz ulong 0600 134217728
quota_mem_pressure_us ulong 0600 0
quota_autotune_feedback ulong 0600 0
skip_anon bool 0600 N
nr_reclaim_tried_regions ulong 0400 0
bytes_reclaim_tried_regions ulong 0400 0
nr_reclaimed_regions ulong 0400 0
bytes_reclaimed_regions ulong 0400 0
nr_quota_exceeds ulong 0400 0
"""
LRU_SORT = """
wmarks_high ulong 0600 200
wmarks_mid ulong 0600 150
wmarks_low ulong 0600 50
hot_thres_access_freq ulong 0600 500
cold_min_age ulong 0600 120000000
active_mem_bp ulong 0600 0
filter_young_pages bool 0600 N
nr_lru_sort_tried_hot_regions ulong 0400 0
bytes_lru_sort_tried_hot_regions ulong 0400 0
nr_lru_sorted_hot_regions ulong 0400 0
bytes_lru_sorted_hot_regions ulong 0400 0
nr_hot_quota_exceeds ulong 0400 0
nr_lru_sort_tried_cold_regions ulong 0400 0
bytes_lru_sort_tried_cold_regions ulong 0400 0
nr_lru_sorted_cold_regions ulong 0400 0
bytes_lru_sorted_cold_regions ulong 0400 0
nr_cold_quota_exceeds ulong 0400 0
"""


@pytest.mark.parametrize(("name", "table"), [("damon_reclaim", RECLAIM), ("damon_lru_sort", LRU_SORT)])
def test_every_parameter_of_the_specification_and_no_other(name: str, table: str) -> None:
    _, _, module = loaded(name)
    ours = {f"{p.spec.name} {p.spec.type} {p.spec.perm:04o} {p.show().strip()}" for p in module.parameters.values()}
    assert ours == {line for line in (COMMON + table).splitlines() if line}
    assert all(p.spec.description for p in module.parameters.values())


def test_reclaims_scheme() -> None:
    """Modules 2.1 with the defaults, then with everything set."""
    _, _, module = loaded("reclaim", "enabled=Y")
    assert module.ctx is not None
    (scheme,) = module.ctx.schemes
    assert scheme.action is DamosAction.PAGEOUT
    assert scheme.pattern == DamosAccessPattern(4096, ULONG_MAX, 0, 0, 1200, U32_MAX)
    assert (scheme.apply_interval_us, scheme.target_nid) == (0, -1)
    quota = scheme.quota
    assert (quota.ms, quota.sz, quota.reset_interval) == (10, 134217728, 1000)
    assert (quota.weight_sz, quota.weight_nr_accesses, quota.weight_age, quota.goals) == (0, 0, 1, [])
    assert scheme.wmarks == DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 5000000, 500, 400, 200)
    assert module.ctx.attrs.ops_update_interval == 0
    module.exit()

    words = ("min_age=2000000", "aggr_interval=200000", "skip_anon", "quota_mem_pressure_us=50",
             "quota_autotune_feedback=9000", "enabled=1")  # fmt: skip
    _, _, module = loaded("reclaim", *words)
    assert module.ctx is not None
    (scheme,) = module.ctx.schemes
    assert scheme.pattern.min_age_region == 10
    assert scheme.quota.goals == [
        DamosQuotaGoal(DamosQuotaGoalMetric.SOME_MEM_PSI_US, 50),
        DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 10000, 9000),
    ]
    assert scheme.ops_filters == [DamosFilter(DamosFilterType.ANON, matching=True, allow=False)]
    assert module.needs() == ("paddr", ("pageout:file",))
    module.exit()


def test_lru_sorts_schemes() -> None:
    """Modules 2.2."""
    _, _, module = loaded("lru_sort", "enabled=Y", "active_mem_bp=6000", "filter_young_pages=Y", "quota_ms=11")
    assert module.ctx is not None
    hot, cold = module.ctx.schemes
    assert (hot.action, cold.action) == (DamosAction.LRU_PRIO, DamosAction.LRU_DEPRIO)
    assert hot.pattern == DamosAccessPattern(4096, ULONG_MAX, 10, U32_MAX, 0, U32_MAX)
    assert cold.pattern == DamosAccessPattern(4096, ULONG_MAX, 0, 0, 1200, U32_MAX)
    for scheme in (hot, cold):
        quota = scheme.quota
        assert (quota.ms, quota.sz, quota.weight_nr_accesses, quota.weight_age) == (5, 0, 1, 1)
    assert hot.quota.goals == [DamosQuotaGoal(DamosQuotaGoalMetric.ACTIVE_MEM_BP, 6000)]
    assert cold.quota.goals == [DamosQuotaGoal(DamosQuotaGoalMetric.INACTIVE_MEM_BP, 4002)]
    assert hot.ops_filters == [DamosFilter(DamosFilterType.YOUNG, matching=False, allow=False)]
    assert cold.ops_filters == [DamosFilter(DamosFilterType.YOUNG, matching=True, allow=False)]
    module.exit()


def test_autotune_ignores_the_given_intervals() -> None:
    _, _, module = loaded(
        "reclaim", "enabled=Y", "autotune_monitoring_intervals=Y", "sample_interval=9", "aggr_interval=99"
    )
    assert module.ctx is not None
    attrs = module.ctx.attrs
    assert (attrs.sample_interval, attrs.aggr_interval) == (5000, 100000)
    assert attrs.intervals_goal == DamonIntervalsGoal(40, 3, 5000, 10_000_000)
    module.exit()


def test_the_region_found_is_written_back() -> None:
    machine, _, module = loaded("reclaim")
    machine.ram = [(0x1000, 0x9F000), (0x100000, 1 << 30)]
    module.parameters["enabled"].store("Y")
    assert module.parameters["monitor_region_start"].show() == "4096\n"
    assert module.parameters["monitor_region_end"].show() == f"{1 << 30}\n"
    assert module.ctx is not None
    assert module.ctx.targets[0].regions.ranges()[0][0] == 0x1000
    module.exit()


def test_addr_unit_scales_the_region() -> None:
    _, _, module = loaded("reclaim", "addr_unit=1024", "enabled=Y")
    assert module.ctx is not None
    assert (module.ctx.addr_unit, module.ctx.min_region_sz) == (1024, 4)
    assert module.parameters["monitor_region_end"].value == 1 << 20
    module.exit()


@pytest.mark.parametrize(("unit", "least"), [(1, 4096), (1024, 4), (4096, 1), (8192, 1)])
def test_the_least_region_is_a_page_in_address_units(unit: int, least: int) -> None:
    """Modules 2: max(4096 / addr_unit, 1)."""
    _, _, module = loaded("lru_sort", f"addr_unit={unit}", "enabled=Y")
    assert module.ctx is not None
    assert module.ctx.min_region_sz == least
    module.exit()


@pytest.mark.parametrize(("quota_ms", "share"), [(10, 5), (11, 5), (1, 0), (0, 0)])
def test_lru_sort_halves_its_time_quota(quota_ms: int, share: int) -> None:
    """Modules 2.2: half for each scheme; half of 1 ms is 0, no limit at all."""
    _, _, module = loaded("lru_sort", f"quota_ms={quota_ms}", "enabled=Y")
    assert module.ctx is not None
    assert [scheme.quota.ms for scheme in module.ctx.schemes] == [share, share]
    module.exit()


@pytest.mark.parametrize(("threshold", "samples"), [(500, 10), (549, 10), (550, 11), (0, 0), (1000, 20)])
def test_the_hot_threshold_is_a_share_of_the_samples(threshold: int, samples: int) -> None:
    """Modules 2.2: T = 20 samples * per mille / 1000."""
    _, _, module = loaded("lru_sort", f"hot_thres_access_freq={threshold}", "enabled=Y")
    assert module.ctx is not None
    assert module.ctx.schemes[0].pattern.min_nr_accesses == samples
    module.exit()


def test_one_bound_of_zero_is_taken_literally() -> None:
    """Modules 3: only both being 0 asks for all System RAM."""
    _, _, module = loaded("reclaim", f"monitor_region_end={1 << 20}", "enabled=Y")
    assert module.ctx is not None
    regions = module.ctx.targets[0].regions
    assert (regions[0].start, regions[-1].end) == (0, 1 << 20)
    module.exit()
