# SPDX-License-Identifier: GPL-2.0-only
"""Numbers that wrap around in the kernel and do not here (docs/reference/differences.md has the list)."""

from __future__ import annotations

import pytest

from damon.core import quota as quotas
from damon.core import regions as adjust
from damon.core.attrs import damon_nr_samples_for_new_attrs, kdamond_tune_intervals, set_attrs
from damon.model.attrs import U32_MAX, ULONG_MAX, DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.model.probe import DamonProbe
from damon.model.scheme import Damos, DamosQuota, DamosQuotaGoal, DamosQuotaGoalMetric
from damon.model.target import DamonTarget
from tests.fakes import FakeMachine, regions_of

PAGE = 4096


def test_counts_of_very_many_samples_are_converted_exactly() -> None:
    """The kernel multiplies in 32 bits, which hold 10000 times 429,496 samples."""
    assert damon_nr_samples_for_new_attrs(500_000, 600_000, 600_000) == 499_980  # 8333 basis points
    ctx = DamonCtx(attrs=DamonAttrs(1, 600_000), targets=[DamonTarget(regions=regions_of((0, PAGE, 0, 600_000, 0)))])
    set_attrs(ctx, DamonAttrs(1, 1_200_000))
    assert ctx.targets[0].regions[0].last_nr_accesses == 1_200_000


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize("size", [2**32, 2**45, 2**52])
def test_means_of_old_and_huge_regions_are_exact(size: int, reference: bool) -> None:
    """Age times size reaches 2**64 after 36 hours of 13 TiB: the kernel's mean is that of what is left of both."""
    regions = regions_of((0, size, 3, 0, U32_MAX), (size, 2 * size, 5, 0, U32_MAX - 2))
    for region in regions:
        region.probe_hits[0] = 250
    ctx = DamonCtx(reference=reference, probes=[DamonProbe()], targets=[DamonTarget(regions=regions)])
    adjust._merge_pass(ctx, 2, 2 * size, with_age=False)
    (region,) = regions
    assert (region.nr_accesses, region.age, region.probe_hits[0]) == (4, U32_MAX - 1, 250)


@pytest.mark.parametrize("reference", [False, True])
def test_regions_are_cut_where_a_tenth_of_them_is(reference: bool) -> None:
    """Nine tenths of more than 2**64 / 9 bytes: the kernel cuts at the remainder."""
    regions = regions_of((0, 2**63, 0, 0, 0))
    ctx = DamonCtx(reference=reference, targets=[DamonTarget(regions=regions)])
    for _ in range(20):
        adjust._split_target(ctx, regions, 2)
        tenth = 2**63 // 10
        assert any(abs(regions[0].end - n * tenth) < 10 * PAGE for n in range(1, 10))
        regions[0].end = 2**63
        for index in range(regions.nr - 1, 0, -1):
            regions.remove(index)


@pytest.mark.parametrize(
    ("nr_accesses", "access_bp", "sample"), [(20, 10_000, 5000), (10, 10_000, 7500), (20, 5000, 2500)]
)
def test_intervals_of_huge_regions_are_tuned_by_their_true_ratio(nr_accesses: int, access_bp: int, sample: int) -> None:
    """Size times samples times basis points: the kernel's 64 bits hold that of 2 PiB, 20 samples and 4 %."""
    goal = DamonIntervalsGoal(access_bp, 1, 1, 10**9)
    attrs = DamonAttrs(5000, 100_000, intervals_goal=goal, aggr_samples=20)
    ctx = DamonCtx(machine=FakeMachine(), attrs=attrs)
    ctx.targets.append(DamonTarget(regions=regions_of((0, 2**60, nr_accesses, 0, 0))))
    kdamond_tune_intervals(ctx)
    assert ctx.attrs.sample_interval == sample


def test_a_time_quota_beyond_all_memory_is_all_memory() -> None:
    """The kernel's 4 MiB a millisecond times 2**43 milliseconds is 0 bytes, of which one page is left."""
    scheme = Damos(quota=DamosQuota(ms=2**43))
    quotas.damos_set_effective_quota(DamonCtx(machine=FakeMachine()), scheme)
    assert scheme.quota.esz == ULONG_MAX


def test_throughput_stays_right_after_hours_of_charged_time() -> None:
    """The kernel multiplies what is left of the bytes by 10**6: 64 bits are full from 5.1 hours on."""
    quota = DamosQuota(ms=1, total_charged_ns=10**14, total_charged_sz=99 * 10**12)
    quotas.damos_set_effective_quota(DamonCtx(machine=FakeMachine()), Damos(quota=quota))
    assert quota.esz == 990_000


def test_a_goal_that_is_achieved_a_million_times_is_achieved() -> None:
    goal = DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, 1, 2**63)
    quota = DamosQuota(goals=[goal], esz_bp=10**9)
    quotas.damos_set_effective_quota(DamonCtx(machine=FakeMachine()), Damos(quota=quota))
    assert quota.esz_bp == 10_000
