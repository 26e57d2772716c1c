# SPDX-License-Identifier: GPL-2.0-only
"""Online commit: what is taken, what survives, what is refused (core 7 and 9)."""

from __future__ import annotations

import copy

import pytest

from damon.core import commit_ctx
from damon.core.attrs import set_attrs
from damon.errors import InvalidInput
from damon.model.attrs import DamonAttrs
from damon.model.scheme import (
    Damos,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosWatermarks,
)
from damon.model.target import DamonTarget
from tests.contexts import pair
from tests.fakes import regions_of

PAGE = 4096
PSI, USER = DamosQuotaGoalMetric.SOME_MEM_PSI_US, DamosQuotaGoalMetric.USER_INPUT


def test_schemes_match_by_position_and_keep_their_state() -> None:
    dst, src = pair()
    ours = [Damos(action=DamosAction.STAT), Damos(action=DamosAction.COLD)]
    dst.schemes.extend(ours)
    ours[0].stat.nr_tried, ours[0].quota.charged_sz, ours[0].next_apply_sis = 5, 6, 7
    ours[0].wmarks.activated = False
    src.schemes.append(Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(sz=99, ms=3), wmarks=DamosWatermarks()))
    commit_ctx(dst, src)
    assert dst.schemes == [ours[0]]
    assert (ours[0].action, ours[0].quota.sz, ours[0].quota.ms) == (DamosAction.PAGEOUT, 99, 3)
    assert (ours[0].stat.nr_tried, ours[0].quota.charged_sz, ours[0].next_apply_sis) == (5, 6, 7)
    assert ours[0].wmarks.activated  # an inactive scheme is active again until the next check
    src.schemes.append(Damos(apply_interval_us=50_000))
    dst.passed_sample_intervals = 100
    commit_ctx(dst, src)
    assert dst.schemes[1].next_apply_sis == 110
    assert dst.schemes[1].quota is not src.schemes[1].quota


def test_goals_keep_measured_values_and_take_user_input() -> None:
    dst, src = pair()
    dst.schemes.append(Damos(quota=DamosQuota(goals=[DamosQuotaGoal(PSI, 10, 4, last_psi_total=9)], esz=77, esz_bp=5)))
    src.schemes.append(Damos(quota=DamosQuota(goals=[DamosQuotaGoal(PSI, 20, 1), DamosQuotaGoal(USER, 30, 2)])))
    commit_ctx(dst, src)
    quota = dst.schemes[0].quota
    assert quota.goals == [DamosQuotaGoal(PSI, 20, 4), DamosQuotaGoal(USER, 30, 2)]
    assert (quota.esz, quota.esz_bp) == (77, 5)


def test_attrs_that_do_not_differ_leave_the_deadlines_alone() -> None:
    dst, src = pair()
    set_attrs(dst, DamonAttrs())
    dst.passed_sample_intervals = 13
    commit_ctx(dst, src)
    assert dst.next_aggregation_sis == 20
    set_attrs(src, DamonAttrs(aggr_interval=200_000))
    commit_ctx(dst, src)
    assert dst.next_aggregation_sis == 13 + 40


def test_results_are_rescaled() -> None:
    """Core 7: the partial window is thrown away, what was finished is converted."""
    dst, src = pair()
    dst.targets.append(DamonTarget(regions=regions_of((0, PAGE, 9, 10, 6))))
    dst.next_aggregation_sis = 20
    src.targets.append(DamonTarget())
    set_attrs(src, DamonAttrs(sample_interval=5000, aggr_interval=200_000))
    commit_ctx(dst, src)
    region = dst.targets[0].regions[0]
    assert (region.nr_accesses, region.last_nr_accesses, region.age) == (0, 20, 3)
    dst.passed_sample_intervals = dst.next_aggregation_sis
    region.nr_accesses = 20
    set_attrs(dst, DamonAttrs())
    assert (region.nr_accesses, region.last_nr_accesses, region.age) == (10, 10, 6)


def test_targets_keep_regions_unless_the_source_has_some() -> None:
    dst, src = pair()
    for rows in (((0, PAGE, 1, 1, 5),), ((PAGE, 2 * PAGE, 2, 2, 6),)):
        dst.targets.append(DamonTarget(regions=regions_of(*rows)))
    first, second = dst.targets
    src.targets += [DamonTarget(), DamonTarget(regions=regions_of((0, PAGE), (PAGE, 3 * PAGE)))]
    commit_ctx(dst, src)
    assert dst.targets == [first, second]
    assert first.regions[0].age == 5
    assert second.regions.ranges() == [(0, 3 * PAGE)]
    assert second.regions[0].age == 6


def test_surplus_and_obsolete_targets_go_with_the_resume_points_in_them() -> None:
    dst, src = pair()
    dst.targets += [DamonTarget(), DamonTarget(), DamonTarget()]
    keep = dst.targets[1]
    scheme = Damos(quota=DamosQuota(charge_target_from=dst.targets[2], charge_addr_from=5))
    dst.schemes.append(scheme)
    src.schemes.append(Damos())
    src.targets += [DamonTarget(obsolete=True), DamonTarget()]
    commit_ctx(dst, src)
    assert dst.targets == [keep]
    assert scheme.quota.charge_target_from is None
    src.targets += [DamonTarget(), DamonTarget(obsolete=True)]
    with pytest.raises(InvalidInput, match=r"^targets\[3\]: obsolete: "):
        commit_ctx(dst, src)


def test_filters_and_default_reject_are_taken() -> None:
    dst, src = pair()
    dst.schemes.append(Damos())
    src.schemes.append(Damos())
    src.schemes[0].add_filter(DamosFilter(DamosFilterType.ANON, matching=True, allow=True))
    commit_ctx(dst, src)
    assert dst.schemes[0].ops_filters == src.schemes[0].ops_filters
    assert dst.schemes[0].ops_filters_default_reject
    assert dst.schemes[0].ops_filters[0] is not src.schemes[0].ops_filters[0]


@pytest.mark.parametrize("fault", ["attrs", "min_region_sz", "goal", "regions", "obsolete"])
def test_a_refused_commit_changes_nothing(fault: str) -> None:
    dst, src = pair()
    dst.targets.append(DamonTarget(regions=regions_of((0, PAGE, 1, 2, 3))))
    dst.schemes.append(Damos(action=DamosAction.COLD))
    src.schemes += [Damos(action=DamosAction.STAT), Damos()]
    src.targets.append(DamonTarget())
    if fault == "attrs":
        src.attrs.min_nr_regions = 1
    elif fault == "min_region_sz":
        src.min_region_sz = 1365
    elif fault == "goal":
        src.schemes[1].quota.goals.append(DamosQuotaGoal(USER, 0))
    elif fault == "regions":
        src.targets[0].regions = regions_of((0, 9), (20, 30))  # meet after alignment
    else:
        src.targets.append(DamonTarget(obsolete=True))
    before = copy.deepcopy((dst.attrs, [s.action for s in dst.schemes], dst.min_region_sz)), dst.targets[:]
    snapshot = dst.targets[0].regions.snapshot()
    with pytest.raises(InvalidInput):
        commit_ctx(dst, src)
    assert ((dst.attrs, [s.action for s in dst.schemes], dst.min_region_sz), dst.targets) == before
    assert dst.targets[0].regions.snapshot() == snapshot
    assert not dst.maybe_corrupted
