# SPDX-License-Identifier: GPL-2.0-only
"""Rules of schemes that have no worked example: what counts, what is skipped, what stays (damos 2 to 10)."""

from __future__ import annotations

import pytest

from damon.core import quota as quotas
from damon.core.damos_filter import damos_set_filters_default_reject
from damon.core.damos_walk import kdamond_apply_schemes
from damon.model.arrays import DamonRegion
from damon.model.context import DamonCtx, DamosWalkControl
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
)
from damon.model.target import DamonTarget
from tests.core.passes import Recorder, kib, one_pass, recorded
from tests.fakes import regions_of

K, PAGE = 1024, 4096
PAGEOUT, STAT = DamosAction.PAGEOUT, DamosAction.STAT


def _addr(start: int, end: int, allow: bool) -> DamosFilter:
    return DamosFilter(DamosFilterType.ADDR, True, allow, addr_start=start * PAGE, addr_end=end * PAGE)


# -- when (damos 3)


def test_without_a_scheme_that_is_due_and_active_nothing_happens() -> None:
    """An inactive one stays due; beside an active one it is re-armed without having done anything."""
    asleep, awake = Damos(action=STAT), Damos(action=STAT)
    asleep.wmarks.activated = False
    ctx = recorded(asleep, awake)
    ctx.passed_sample_intervals, awake.next_apply_sis = 10, 11
    kdamond_apply_schemes(ctx)
    assert (asleep.next_apply_sis, awake.next_apply_sis) == (0, 11)
    ctx.passed_sample_intervals = 11
    kdamond_apply_schemes(ctx)
    assert (asleep.next_apply_sis, awake.next_apply_sis) == (31, 31)
    assert (asleep.stat.nr_tried, awake.stat.nr_tried) == (0, 1)


def test_invalid_targets_are_skipped_and_no_scheme_resumes_in_them(monkeypatch: pytest.MonkeyPatch) -> None:
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=20 * K, reset_interval=100))
    ctx = recorded(scheme)
    ctx.targets.append(DamonTarget(regions=regions_of((80 * K, 160 * K))))
    gone = ctx.targets[0]
    monkeypatch.setattr(ctx.ops, "target_valid", lambda target: target is not gone)
    scheme.quota.charge_target_from, scheme.quota.charge_addr_from = gone, 20 * K
    assert kib(one_pass(ctx)) == [(80, 100)]
    assert scheme.quota.charge_target_from is ctx.targets[1]


# -- quota (damos 4, 5)


def test_a_quota_is_full_when_less_than_a_region_is_left() -> None:
    """22K: each window takes 20K, and counts as exceeded although 2K are left."""
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=22 * K, reset_interval=100))
    ctx = recorded(scheme)
    assert [kib(one_pass(ctx, 100)) for _ in range(3)] == [[(0, 20)], [(20, 40)], [(40, 60)]]
    assert scheme.stat.qt_exceeds == 2
    assert (scheme.stat.nr_tried, scheme.stat.sz_tried) == (3, 60 * K)


def test_a_window_may_begin_at_time_0() -> None:
    """Damos 5.1: begin 0 means no window yet, and is no begin otherwise; a goal is tuned once a window."""
    quota = DamosQuota(goals=[DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 100)], reset_interval=100)
    ctx = recorded(Damos(action=STAT, quota=quota), regions=regions_of((0, PAGE)), at_us=0)
    assert ctx.machine.clock.now_ns() == 0
    for _ in range(3):
        quotas.damos_adjust_quota(ctx, ctx.schemes[0])
    assert quota.esz_bp == 20_000


def test_no_window_without_reset_interval() -> None:
    """Damos 5.1: 0 opens a new window at every adjustment."""
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=20 * K))
    ctx = recorded(scheme)
    assert [kib(one_pass(ctx)) for _ in range(3)] == [[(0, 20)], [(20, 40)], [(40, 60)]]


def test_a_quota_that_is_taken_away_ends_with_its_window() -> None:
    """Damos 5.3: ms = sz = 0 without goals: in force until the next window, then none."""
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=20 * K, reset_interval=100))
    ctx = recorded(scheme)
    assert kib(one_pass(ctx, 50)) == [(0, 20)]
    scheme.quota.sz = 0
    assert one_pass(ctx, 50) == []
    assert kib(one_pass(ctx, 100)) == [(20, 80)]
    assert not quotas.damos_quota_is_set(scheme.quota)
    assert kib(one_pass(ctx, 100)) == [(0, 80)]


@pytest.mark.parametrize(
    ("start", "pages", "resume", "applied"),
    [
        (0, 8, 100, [(PAGE, 8 * PAGE)]),  # less than a page charged: the first page is taken for it
        (0, 8, PAGE + 100, [(2 * PAGE, 8 * PAGE)]),  # the page that it is in, too
        (0, 1, 100, []),  # no more than a page: all of it is
        (0, 8, 8 * PAGE, []),
        (4 * PAGE, 4, 4 * PAGE, [(4 * PAGE, 8 * PAGE)]),
    ],
)
@pytest.mark.parametrize("reference", [False, True])
def test_where_a_scheme_resumes(
    start: int, pages: int, resume: int, applied: list[tuple[int, int]], reference: bool
) -> None:
    """Damos 4, skip-charged steps 3 to 5; in all cases the target's last region clears the pointer."""
    quota = DamosQuota(sz=100 * PAGE, reset_interval=100)
    ctx = recorded(Damos(action=PAGEOUT, quota=quota), regions=regions_of((start, start + pages * PAGE, 0, 0, 5)))
    ctx.reference = reference
    quota.charge_target_from, quota.charge_addr_from = ctx.targets[0], resume
    assert one_pass(ctx) == applied
    left: tuple[DamonTarget | None, int] = (quota.charge_target_from, quota.charge_addr_from)
    assert left == (None, 0)


@pytest.mark.parametrize(
    ("reset_ms", "windows"), [(100, 3), (2**32 + 100, 3), (2**32, 3), (250, 2), (2**31, 1), (2**32 - 1, 1)]
)
def test_a_window_s_length_has_32_bits_and_half_of_them_mean_never(reset_ms: int, windows: int) -> None:
    """Damos 5.1: ``reset_interval`` goes through ``msecs_to_jiffies()``."""
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=PAGE, reset_interval=reset_ms))
    ctx = recorded(scheme)
    applied: list[tuple[int, int]] = []
    for _ in range(3):
        applied += one_pass(ctx)
        ctx.machine.clock.sleep_us(150_000)
    assert len(applied) == windows


def test_goals_that_allow_nothing_allow_nothing() -> None:
    """Damos 6.2: an effective size of 0 with goals is full, not unlimited."""
    goal = DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 100, 200)
    quota = DamosQuota(goals=[goal], reset_interval=100)
    ctx = recorded(Damos(action=PAGEOUT, quota=quota))
    quota.charged_from, quota.esz = ctx.machine.clock.jiffies(), 0
    quota.total_charged_sz = 1
    assert one_pass(ctx) == []
    assert quotas.damos_quota_is_full(ctx, quota)


def test_the_best_achieved_goal_decides() -> None:
    """Damos 6.2: 5000 and 9000 of 10000: the step up is by a tenth, not by half."""
    user = DamosQuotaGoalMetric.USER_INPUT
    quota = DamosQuota(goals=[DamosQuotaGoal(user, 100, 50), DamosQuotaGoal(user, 10, 9)], esz_bp=100_000)
    quotas.damos_set_effective_quota(recorded(), Damos(quota=quota))
    assert quota.esz_bp == 110_000


def test_within_the_last_admitted_score_addresses_win() -> None:
    """Damos 6.3: the pass goes by address; of equal regions the first ones get the quota."""
    regions = regions_of(*((n * PAGE, (n + 1) * PAGE, 0, 0, 50 + n // 3 * 500) for n in range(6)))
    quota = DamosQuota(sz=4 * PAGE, reset_interval=100, weight_age=1)
    ctx = recorded(Damos(action=PAGEOUT, quota=quota), regions=regions)
    assert [start // PAGE for start, _ in one_pass(ctx)] == [0, 1, 2, 3]
    assert 0 < quota.min_score < 99


def test_without_weights_nothing_is_prioritized() -> None:
    """Damos 6.4: hot 0, cold 99 for every region."""
    for action, least in ((PAGEOUT, 99), (DamosAction.LRU_PRIO, 0)):
        quota = DamosQuota(sz=PAGE, reset_interval=100)
        ctx = recorded(Damos(action=action, quota=quota), regions=regions_of((0, PAGE, 20, 20, 9), (PAGE, 2 * PAGE)))
        assert one_pass(ctx) == [(0, PAGE)]
        assert quota.min_score == least


def test_filters_split_only_what_the_pattern_matches_when_priorities_are_counted() -> None:
    """Damos 6.3: a region of another age is not touched; a piece that got too small is not looked at again."""
    scheme = Damos(
        action=PAGEOUT,
        pattern=DamosAccessPattern(min_sz_region=8 * PAGE, min_age_region=5),
        quota=DamosQuota(sz=PAGE, reset_interval=100, weight_age=1),
    )
    scheme.add_filter(_addr(2, 4, allow=True))
    scheme.add_filter(_addr(22, 24, allow=True))
    damos_set_filters_default_reject(scheme)
    ctx = recorded(scheme, regions=regions_of((0, 8 * PAGE, 0, 0, 5), (20 * PAGE, 28 * PAGE, 0, 0, 4)))
    quotas.damos_adjust_quota(ctx, scheme)
    assert [(a // PAGE, b // PAGE) for a, b in ctx.targets[0].regions.ranges()] == [(0, 2), (2, 8), (20, 28)]


# -- one region (damos 4, 7, 9)


def test_a_rejected_region_leaves_nothing_but_the_cut() -> None:
    """No try, no charge, no age; what the quota cut off stays cut off."""
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=20 * K, reset_interval=100))
    scheme.add_filter(_addr(0, 100, allow=False))
    ctx = recorded(scheme, regions=regions_of((0, 80 * K, 0, 0, 5)))
    ctx.attrs.min_nr_regions = 8  # pieces of 20K and 60K are too big to be merged back
    quotas.damos_adjust_quota(ctx, scheme)
    scheme.quota.min_score = 0
    assert one_pass(ctx) == []
    assert scheme.stat.nr_tried == scheme.quota.charged_sz == 0
    assert {region.age for region in ctx.targets[0].regions} == {5}
    assert ctx.targets[0].regions[0].size == 20 * K


def test_more_than_the_region_can_be_applied() -> None:
    """A folio that reaches out of it: applied as it is, charged as the region."""
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=100 * PAGE, reset_interval=100))
    ctx = recorded(scheme, regions=regions_of((0, PAGE)), ops=Recorder(share=16))
    one_pass(ctx)
    assert (scheme.stat.sz_tried, scheme.stat.sz_applied, scheme.quota.charged_sz) == (PAGE, 16 * PAGE, PAGE)


@pytest.mark.parametrize("ops_too", [False, True])
def test_the_operations_layer_sees_that_a_core_filter_allows(ops_too: bool) -> None:
    """Damos 7.2: a hit allows whatever the folios' filters say; without a hit their default stands."""
    scheme = Damos(action=PAGEOUT)
    scheme.add_filter(_addr(0, 2, allow=True))
    if ops_too:
        scheme.add_filter(DamosFilter(DamosFilterType.ANON, True, True))
    damos_set_filters_default_reject(scheme)
    seen = []

    class Noting(Recorder):
        def apply_scheme(
            self, ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos
        ) -> tuple[int, int]:
            seen.append((region.start // PAGE, region.end // PAGE, scheme.core_allowed))
            return 0, 0

    kdamond_apply_schemes(recorded(scheme, regions=regions_of((0, 4 * PAGE)), ops=Noting(), at_us=0))
    assert seen == ([(0, 2, True), (2, 4, False)] if ops_too else [(0, 2, True)])


def test_snapshots_are_counted_at_each_targets_last_region() -> None:
    """Damos 9: not in passes where the quota is full, or the last region is charged already or was cut for it."""
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=40 * K, reset_interval=100))
    ctx = recorded(scheme)
    counts = []
    for advance in (50, 50, 100, 100, 100):
        one_pass(ctx, advance)
        counts.append(scheme.stat.nr_snapshots)
    # 0-40K: cut. Full. 40-80K: the last region itself. Nothing, charged. 0-40K again.
    assert counts == [0, 0, 1, 1, 1]
    ctx = recorded(scheme := Damos(action=STAT))
    ctx.targets.append(DamonTarget(regions=regions_of((80 * K, 160 * K), (160 * K, 200 * K))))
    one_pass(ctx)
    assert scheme.stat.nr_snapshots == 2


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(
    ("second", "merged"),
    [
        ((PAGE, 2 * PAGE, 1, 2, 3), True),
        ((PAGE, 2 * PAGE, 0, 2, 3), False),
        ((PAGE, 2 * PAGE, 1, 1, 3), False),
        ((PAGE, 2 * PAGE, 1, 2, 4), False),
        ((PAGE + 1, 2 * PAGE, 1, 2, 3), False),
        ((PAGE, 3 * PAGE, 1, 2, 3), False),  # too big together
    ],
)
def test_only_neighbours_that_agree_in_everything_are_merged_back(
    second: tuple[int, ...], merged: bool, reference: bool
) -> None:
    """Damos 3: age, last and current count, no hole, not above the size limit."""
    rows = [(0, PAGE, 1, 2, 3), second, (10 * PAGE, 10 * PAGE + 6 * PAGE + 2 * PAGE - second[1] + second[0])]
    scheme = Damos(action=STAT, pattern=DamosAccessPattern(min_nr_accesses=99))
    ctx = recorded(scheme, regions=regions_of(*rows))
    ctx.reference, ctx.attrs.min_nr_regions = reference, 4  # of 9 pages in all: up to 2.25
    one_pass(ctx)
    assert ctx.targets[0].regions.nr == (2 if merged else 3)


def test_several_schemes_each_take_what_the_one_before_left() -> None:
    """Damos 3: region by region, scheme by scheme; an age that one has reset does not match the next."""
    old = DamosAccessPattern(min_age_region=5)
    first, second = Damos(action=DamosAction.WILLNEED, pattern=old), Damos(action=PAGEOUT, pattern=old)
    ctx = recorded(first, second, regions=regions_of((0, PAGE, 0, 0, 5), (PAGE, 2 * PAGE, 0, 0, 4)))
    one_pass(ctx)
    assert (first.stat.nr_tried, second.stat.nr_tried) == (1, 0)


# -- walks (damos 10)


def test_a_walk_takes_one_pass_of_each_scheme_an_inactive_one_included() -> None:
    asleep, fast, slow = Damos(action=STAT), Damos(action=STAT), Damos(action=STAT)
    asleep.wmarks.activated = False
    ctx = recorded(asleep, fast, slow)
    slow.next_apply_sis = 25
    seen: list[tuple[int, int]] = []

    def visit(ctx: DamonCtx, target: DamonTarget, region: object, scheme: Damos, passed: int) -> None:
        seen.append((ctx.passed_sample_intervals, ctx.schemes.index(scheme)))

    control = DamosWalkControl(visit, done=ctx.machine.clock.event())
    ctx.walk_control = control
    for sample in range(0, 41, 5):
        ctx.passed_sample_intervals = sample
        kdamond_apply_schemes(ctx)
    assert seen == [(0, 1), (25, 2)]  # the fast one's pass at 20 is not reported any more
    assert ctx.walk_control is None
    assert not control.canceled
    assert not any(scheme.walk_completed for scheme in ctx.schemes)


def test_a_walk_sees_neither_rejected_regions_nor_those_without_quota() -> None:
    scheme = Damos(action=PAGEOUT, quota=DamosQuota(sz=2 * PAGE, reset_interval=100))
    scheme.add_filter(_addr(0, 1, allow=False))
    ctx = recorded(scheme, regions=regions_of(*((n * PAGE, (n + 1) * PAGE, 0, 0, 7) for n in range(6))))
    seen: list[tuple[int, int]] = []
    ctx.walk_control = DamosWalkControl(
        lambda ctx, target, region, scheme, passed: seen.append((region.start // PAGE, region.age)),
        done=ctx.machine.clock.event(),
    )
    one_pass(ctx)
    assert seen == [(1, 7), (2, 7)]  # before the age is reset
