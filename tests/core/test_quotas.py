# SPDX-License-Identifier: GPL-2.0-only
"""Quotas: size, time, resume, goals, priorities (damos 4 to 6)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import quota as quotas
from damon.model.arrays import RegionArray
from damon.model.attrs import ULONG_MAX
from damon.model.operations import Operations, Score
from damon.model.scheme import (
    Damos,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
)
from tests.core.passes import Recorder, kib, one_pass, recorded
from tests.fakes import fake, regions_of
from tests.regions import region_arrays

K = 1024
PAGE = 4096


def test_resume_example_of_the_specification() -> None:
    """Damos 5.3b: 20K of 80K a window; after the end one window does nothing, then it starts over."""
    scheme = Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(sz=20 * K, reset_interval=100))
    ctx = recorded(scheme)
    got = [kib(one_pass(ctx, 100)) for _ in range(6)]
    assert got == [[(0, 20)], [(20, 40)], [(40, 60)], [(60, 80)], [], [(0, 20)]]
    assert scheme.stat.qt_exceeds == 4
    assert ctx.targets[0].regions.total_size() == 80 * K


def test_within_the_open_window_a_full_quota_does_nothing() -> None:
    scheme = Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(sz=20 * K, reset_interval=1000))
    ctx = recorded(scheme)
    assert [kib(one_pass(ctx, 100)) for _ in range(3)] == [[(0, 20)], [], []]
    assert scheme.stat.qt_exceeds == 0


@given(region_arrays(), st.integers(1, 200), st.booleans())
def test_the_size_quota_is_never_exceeded(regions: RegionArray, pages: int, stat: bool) -> None:
    action = DamosAction.STAT if stat else DamosAction.PAGEOUT
    scheme = Damos(action=action, quota=DamosQuota(sz=pages * PAGE, reset_interval=100))
    ctx = recorded(scheme, regions=regions)
    size = regions.total_size()
    for _ in range(4):
        assert sum(end - start for start, end in one_pass(ctx, 100)) <= pages * PAGE
    assert regions.total_size() == size


@pytest.mark.parametrize(
    ("size", "applied", "num", "denom", "charged"),
    [
        (1000 << 20, 700 << 20, 1, 1024, (700 << 20) + (300 << 10)),
        (1000, 700, 0, 0, 1000),
        (1000, 1200, 1, 2, 1000),
        (1000, 0, 2, 1, 2000),
    ],
)
def test_charging(size: int, applied: int, num: int, denom: int, charged: int) -> None:
    """Damos 5.4: 1000 MiB of which 700 were applied, 1/1024 of what failed: 700 MiB + 300 KiB."""
    quota = DamosQuota(fail_charge_num=num, fail_charge_denom=denom)
    quotas.damos_charge_quota(quota, size, applied)
    assert quota.charged_sz == charged


def test_effective_size_is_the_least_of_time_goal_and_size() -> None:
    ctx = recorded()
    quota = DamosQuota(ms=10, sz=1 << 30)
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == 10 * 4096 * K  # nothing measured yet: 4 MiB per ms
    quota.total_charged_sz, quota.total_charged_ns = 1 << 20, 1_000_000
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == 10 << 20
    quota.total_charged_ns = 1 << 60
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == PAGE  # at least one region
    quota.total_charged_ns, quota.sz = 1_000_000, 5 << 20
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == 5 << 20
    quota.goals.append(DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 100, 100))
    for esz_bp, least in ((10000 << 20, 1 << 20), (50000 << 20, 5 << 20), (90000 << 20, 5 << 20)):
        quota.esz_bp = esz_bp
        quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
        assert (quota.esz, quota.esz_bp) == (least, esz_bp)
    quota.goals.clear()
    quota.ms, quota.sz = 0, 1 << 30
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == 1 << 30
    quota.sz = 0
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == 0
    assert not quotas.damos_quota_is_set(quota)


def test_a_time_quota_follows_the_measured_throughput() -> None:
    """10 ms a second; the action takes 1 ms a page: about 10 pages a window."""
    scheme = Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(ms=10, reset_interval=1000))
    regions = RegionArray((i * PAGE, (i + 1) * PAGE) for i in range(20000))
    ctx = recorded(scheme, regions=regions, ops=Recorder(cost_us=1000))
    sizes = [sum(end - start for start, end in one_pass(ctx, 1000)) // PAGE for _ in range(6)]
    assert sizes[0] == 10 * 1024
    assert sizes[1:] == [10] * 5


def test_user_input_goal_doubles_until_reached_and_backs_off() -> None:
    goal = DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, target_value=10000, current_value=0)
    scheme = Damos(action=DamosAction.STAT, quota=DamosQuota(goals=[goal], reset_interval=100))
    ctx = recorded(scheme)
    sizes = []
    for _ in range(14):
        one_pass(ctx, 100)
        sizes.append(scheme.quota.esz)
    assert sizes == [2**n for n in range(1, 15)]
    assert scheme.stat.sz_tried == 4096 + 8192 + 16384  # below one page nothing fits
    goal.current_value = 15000
    one_pass(ctx, 100)
    assert scheme.quota.esz == 2**13
    goal.current_value = 10000
    one_pass(ctx, 100)
    assert scheme.quota.esz == 2**13


def test_pressure_goal_counts_the_stall_of_each_window() -> None:
    goal = DamosQuotaGoal(DamosQuotaGoalMetric.SOME_MEM_PSI_US, target_value=1000)
    scheme = Damos(action=DamosAction.STAT, quota=DamosQuota(goals=[goal], reset_interval=100))
    ctx = recorded(scheme)
    fake(ctx.machine).psi = 123456
    one_pass(ctx, 100)
    assert goal.current_value == 1000  # first evaluation: neutral
    assert scheme.quota.esz_bp == 10000
    fake(ctx.machine).psi += 250
    one_pass(ctx, 100)
    assert goal.current_value == 250
    assert scheme.quota.esz_bp == 17500


def test_temporal_tuner_is_all_or_nothing() -> None:
    goal = DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, target_value=100, current_value=99)
    quota = DamosQuota(goals=[goal], goal_tuner=DamosQuotaGoalTuner.TEMPORAL)
    ctx = recorded(Damos(quota=quota))
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == ULONG_MAX // 10000
    quota.sz = 5 * PAGE
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == 5 * PAGE
    goal.current_value = 100
    quotas.damos_set_effective_quota(ctx, Damos(quota=quota))
    assert quota.esz == 0
    assert quotas.damos_quota_is_full(ctx, quota)


def test_lru_goals_measure_the_machine() -> None:
    goals = [
        DamosQuotaGoal(DamosQuotaGoalMetric.ACTIVE_MEM_BP, 5000),
        DamosQuotaGoal(DamosQuotaGoalMetric.INACTIVE_MEM_BP, 5000),
    ]
    ctx = recorded()
    fake(ctx.machine).lru = (300, 700)
    quotas.damos_set_effective_quota(ctx, Damos(quota=DamosQuota(goals=goals)))
    assert [goal.current_value for goal in goals] == [3000, 7000]


def test_prioritization_prefers_the_coldest_under_a_quota() -> None:
    regions = regions_of((0, 10 * PAGE, 0, 0, 10), (10 * PAGE, 20 * PAGE, 0, 0, 5000), (20 * PAGE, 30 * PAGE, 0, 0, 80))
    quota = DamosQuota(sz=10 * PAGE, reset_interval=1000, weight_age=1)
    ctx = recorded(Damos(action=DamosAction.PAGEOUT, quota=quota), regions=regions)
    assert one_pass(ctx) == [(10 * PAGE, 20 * PAGE)]


def test_a_set_without_scores_does_not_prioritize() -> None:
    class Plain(Recorder):
        score = Operations.score

    scheme = Damos(action=DamosAction.STAT, quota=DamosQuota(sz=PAGE, reset_interval=100))
    ctx = recorded(scheme, ops=Plain())
    one_pass(ctx)
    assert scheme.quota.min_score == 0


@pytest.mark.parametrize("reference", [False, True])
def test_regions_are_looked_at_also_for_an_action_that_scores_all_alike(reference: bool) -> None:
    """Damos 6.3: once a set has scores; looking applies the core filters, which cut regions, though all is charged."""
    scheme = Damos(action=DamosAction.STAT, quota=DamosQuota(sz=PAGE, reset_interval=100_000))
    scheme.core_filters.append(DamosFilter(DamosFilterType.ADDR, True, True, addr_start=20 * K, addr_end=40 * K))
    ctx = recorded(scheme)
    ctx.reference = reference
    assert ctx.ops.score(scheme) is Score.MAX
    scheme.quota.charged_from, scheme.quota.charged_sz, scheme.quota.esz = ctx.machine.clock.jiffies(), PAGE, PAGE
    scheme.quota.total_charged_sz = 1
    assert one_pass(ctx) == []
    assert ctx.targets[0].regions.ranges() == [(0, 20 * K), (20 * K, 40 * K), (40 * K, 80 * K)]
    assert scheme.quota.min_score == 99
