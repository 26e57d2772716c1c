# SPDX-License-Identifier: GPL-2.0-only
"""Schemes on regions: timing, quota, resume, filters, statistics (damos 2 to 9), as the test dictates accesses."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import damos_walk
from damon.core import quota as quotas
from damon.core.attrs import set_attrs
from damon.core.damos import try_scheme
from damon.core.damos_filter import damos_core_filter_out, damos_set_filters_default_reject
from damon.core.damos_walk import kdamond_apply_schemes
from damon.core.watermarks import damos_wmark_wait_us
from damon.model.arrays import RegionArray
from damon.model.attrs import ULONG_MAX, DamonAttrs
from damon.model.operations import Operations, Score
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.model.target import DamonTarget
from tests.core.passes import Recorder, kib, one_pass, recorded
from tests.fakes import FakeMachine, fake, regions_of
from tests.regions import copied, region_arrays

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


@given(region_arrays(), st.integers(0, 300), st.integers(0, 20), st.integers(0, 2000), st.integers(0, 40))
def test_native_walk_equals_reference(regions: RegionArray, pages: int, nr: int, age: int, passed: int) -> None:
    """The native skip over regions that nobody wants changes neither what is tried nor the regions left."""
    results = []
    for use_reference in (False, True):
        schemes = [
            Damos(
                pattern=DamosAccessPattern(max_nr_accesses=nr, min_age_region=age),
                action=DamosAction.PAGEOUT,
                quota=DamosQuota(sz=pages * PAGE, reset_interval=100, weight_nr_accesses=1, weight_age=1),
            ),
            Damos(pattern=DamosAccessPattern(min_nr_accesses=nr), action=DamosAction.LRU_PRIO),
        ]
        ctx = recorded(*schemes, regions=copied(regions))
        ctx.reference = use_reference
        ctx.passed_sample_intervals, ctx.next_aggregation_sis = passed, 20
        seen = [one_pass(ctx, 60) for _ in range(5)]
        results.append((seen, ctx.targets[0].regions.snapshot(), [scheme.stat for scheme in schemes]))
    assert results[0] == results[1]


_core_filters = st.lists(
    st.builds(
        lambda addr, matching, allow, target, start, end: DamosFilter(
            DamosFilterType.ADDR if addr else DamosFilterType.TARGET, matching, allow,
            addr_start=min(start, end) * PAGE, addr_end=max(start, end) * PAGE, target_idx=target,
        ),
        st.booleans(), st.booleans(), st.booleans(), st.integers(0, 1), st.integers(0, 400), st.integers(0, 400),
    ),
    min_size=1, max_size=3,
)  # fmt: skip


@given(region_arrays(), st.integers(1, 40), _core_filters, st.integers(3, 40), st.integers(0, 20), st.integers(0, 60))
def test_pieces_that_filters_reject_in_one_go(
    regions: RegionArray, pages: int, filters: list[DamosFilter], min_nr: int, nr: int, least: int
) -> None:
    """A small quota cuts a region into many pieces. Skipping those that filters reject leaves what attempts leave."""
    results = []
    for use_reference in (False, True):
        pattern = DamosAccessPattern(min_sz_region=least * PAGE, max_nr_accesses=nr)
        scheme = Damos(pattern, DamosAction.PAGEOUT, quota=DamosQuota(sz=pages * PAGE, reset_interval=100))
        for wanted in filters:
            scheme.add_filter(wanted)
        damos_set_filters_default_reject(scheme)
        ctx = recorded(scheme, regions=copied(regions))
        ctx.reference, ctx.attrs.min_nr_regions = use_reference, min_nr
        seen = [one_pass(ctx, 60) for _ in range(4)]
        results.append(
            (seen, ctx.targets[0].regions.snapshot(), scheme.stat, scheme.core_allowed, scheme.quota.charged_sz)
        )
    assert results[0] == results[1]


def test_a_rejecting_filter_costs_by_regions_not_by_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    """16 GiB in pieces of 1 MiB: a handful of attempts, not 16384."""
    tried = []

    def count(*arguments: Any) -> None:
        tried.append(arguments[2])
        try_scheme(*arguments)

    monkeypatch.setattr(damos_walk, "try_scheme", count)
    scheme = Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(sz=1 << 20, reset_interval=100))
    scheme.add_filter(DamosFilter(DamosFilterType.TARGET, matching=True, allow=False, target_idx=0))
    damos_set_filters_default_reject(scheme)
    ctx = recorded(scheme, regions=regions_of((0, 16 << 30)))
    assert one_pass(ctx) == []
    assert len(tried) <= 4
    assert (scheme.stat.nr_tried, scheme.stat.nr_snapshots) == (0, 1)
    assert ctx.targets[0].regions.total_size() == 16 << 30


def test_actions_reset_the_age_but_stat_does_not() -> None:
    for action, age in ((DamosAction.PAGEOUT, 0), (DamosAction.STAT, 5), (DamosAction.WILLNEED, 0)):
        ctx = recorded(Damos(action=action), regions=regions_of((0, PAGE, 0, 0, 5)))
        one_pass(ctx)
        assert ctx.targets[0].regions[0].age == age


def test_statistics() -> None:
    scheme = Damos(action=DamosAction.PAGEOUT)
    ctx = recorded(scheme, regions=regions_of((0, 8 * PAGE), (9 * PAGE, 10 * PAGE)), ops=Recorder(share=0.5))
    one_pass(ctx)
    stat = scheme.stat
    assert (stat.nr_tried, stat.sz_tried, stat.nr_applied, stat.sz_applied) == (2, 9 * PAGE, 2, 9 * PAGE // 2)
    assert (stat.sz_ops_filter_passed, stat.nr_snapshots) == (9 * PAGE, 1)


def test_max_nr_snapshots_stops_a_scheme_until_it_is_raised() -> None:
    scheme = Damos(action=DamosAction.STAT, max_nr_snapshots=2)
    ctx = recorded(scheme)
    assert [bool(one_pass(ctx)) for _ in range(4)] == [True, True, False, False]
    scheme.max_nr_snapshots = 3
    assert [bool(one_pass(ctx)) for _ in range(2)] == [True, False]


def test_pieces_that_agree_in_everything_are_merged_back() -> None:
    """[7.x] damos 3: a cut that left no trace is undone at the end of the pass."""
    scheme = Damos(action=DamosAction.STAT, pattern=DamosAccessPattern(min_nr_accesses=99))
    ctx = recorded(
        scheme, regions=regions_of((0, PAGE, 1, 1, 1), (PAGE, 2 * PAGE, 1, 1, 1), (2 * PAGE, 3 * PAGE, 2, 1, 1))
    )
    ctx.attrs.min_nr_regions = 1
    one_pass(ctx)
    assert ctx.targets[0].regions.ranges() == [(0, 2 * PAGE), (2 * PAGE, 3 * PAGE)]


def test_apply_intervals_follow_the_time_line_of_the_specification() -> None:
    """Damos 11: due at 20, 40, ... by default; 250 ms means 50, 100, ...; a changed attribute re-arms both."""
    slow = Damos(action=DamosAction.STAT, apply_interval_us=250000)
    fast = Damos(action=DamosAction.STAT)
    ctx = recorded(fast, slow)
    set_attrs(ctx, DamonAttrs())
    seen: dict[int, list[int]] = {0: [], 1: []}
    for sample in range(1, 101):
        ctx.passed_sample_intervals = sample
        before = [scheme.stat.nr_tried for scheme in ctx.schemes]
        kdamond_apply_schemes(ctx)
        for index, scheme in enumerate(ctx.schemes):
            if scheme.stat.nr_tried > before[index]:
                seen[index].append(sample)
    assert seen == {0: [20, 40, 60, 80, 100], 1: [50, 100]}
    ctx.passed_sample_intervals = 33
    set_attrs(ctx, DamonAttrs(aggr_interval=200000))
    assert (fast.next_apply_sis, slow.next_apply_sis, ctx.next_aggregation_sis) == (33 + 40, 33 + 50, 33 + 40)


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


@pytest.mark.parametrize(
    ("start", "end", "allow", "matching", "applied"),
    [
        (2, 4, True, True, [(2, 4)]),
        (2, 4, False, True, [(0, 2), (4, 8)]),
        (2, 4, True, False, [(0, 2), (4, 8)]),
        (2, 4, False, False, [(2, 4)]),
        (0, 8, True, True, [(0, 8)]),
        (9, 12, True, True, []),
    ],
)
def test_addr_filter_splits_at_its_bounds(
    start: int, end: int, allow: bool, matching: bool, applied: list[tuple[int, int]]
) -> None:
    scheme = Damos(action=DamosAction.PAGEOUT)
    scheme.add_filter(
        DamosFilter(DamosFilterType.ADDR, matching, allow, addr_start=start * PAGE, addr_end=end * PAGE + 17)
    )
    damos_set_filters_default_reject(scheme)
    ctx = recorded(scheme, regions=regions_of((0, 8 * PAGE)))
    assert one_pass(ctx) == [(a * PAGE, b * PAGE) for a, b in applied]
    assert scheme.stat.nr_tried == len(applied)


def test_target_filter() -> None:
    scheme = Damos(action=DamosAction.STAT)
    scheme.add_filter(DamosFilter(DamosFilterType.TARGET, matching=True, allow=True, target_idx=1))
    damos_set_filters_default_reject(scheme)
    ctx = recorded(scheme, regions=regions_of((0, PAGE)))
    ctx.targets.append(DamonTarget(regions=regions_of((PAGE, 2 * PAGE))))
    assert one_pass(ctx) == [(PAGE, 2 * PAGE)]


@pytest.mark.parametrize(
    ("core", "ops", "reject_core", "reject_ops"),
    [([], [], False, False), ([True], [], True, False), ([True, False], [], False, False),
     ([True], [True], False, True), ([], [True, False], False, False), ([], [False, True], False, True)],
)  # fmt: skip
def test_default_reject_follows_the_last_filter(
    core: list[bool], ops: list[bool], reject_core: bool, reject_ops: bool
) -> None:
    """Damos 7.2: the lists hold the ``allow`` of each filter."""
    scheme = Damos()
    for allow in core:
        scheme.add_filter(DamosFilter(DamosFilterType.ADDR, True, allow, addr_start=1, addr_end=2))
    for allow in ops:
        scheme.add_filter(DamosFilter(DamosFilterType.ANON, True, allow))
    damos_set_filters_default_reject(scheme)
    assert (scheme.core_filters_default_reject, scheme.ops_filters_default_reject) == (reject_core, reject_ops)
    ctx = recorded(scheme)
    assert damos_core_filter_out(ctx, ctx.targets[0], 0, scheme) == reject_core


def test_watermark_state_machine() -> None:
    """Damos 8: activates inside [low, mid) only, stays active in [low, high]."""
    marks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, interval=77, high=500, mid=400, low=200)
    scheme = Damos(wmarks=marks)
    machine = FakeMachine()
    trace = []
    for rate in (450, 500, 501, 450, 400, 399, 450, 200, 199, 250, 1000):
        machine.free = (rate, 1000)
        wait = damos_wmark_wait_us(machine, scheme)
        trace.append(marks.activated)
        assert wait == (0 if marks.activated else 77)
    assert trace == [True, True, False, False, False, True, True, True, False, True, False]


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
