# SPDX-License-Identifier: GPL-2.0-only
"""Operations sets that count what sources report, and which reports count (next 7)."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st

import damon
from damon.core import Damon
from damon.core.reports import CAPACITY, AccessReports
from damon.model.arrays import RegionArray
from damon.model.report import DamonAccessReport, DamonSampleFilter, DamonSampleFilterType, allowed
from damon.ops.reported import ReportedPaddr, ReportedVaddr
from tests.contexts import new_ctx
from tests.fakes import FakeMachine, FakeSpace, regions_of
from tests.refusals import refused
from tests.regions import copied, region_arrays

PAGE = 4096
CPU, TID, WRITE = DamonSampleFilterType.CPUMASK, DamonSampleFilterType.THREADS, DamonSampleFilterType.WRITE


def _counted(ctx: damon.DamonCtx, *reports: DamonAccessReport) -> list[int]:
    """What each region's count grows by when ``reports`` come in an interval."""
    before = [region.nr_accesses for region in ctx.targets[0].regions]
    ctx.ops.prepare_access_checks(ctx)
    for report in reports:
        KERNEL.report_access(report)
    highest = ctx.ops.check_accesses(ctx)
    after = [region.nr_accesses for region in ctx.targets[0].regions]
    assert highest == max((region.nr_accesses for target in ctx.targets for region in target.regions), default=0)
    return [new - old for new, old in zip(after, before, strict=True)]


KERNEL = Damon(FakeMachine())


def _ctx(*filters: DamonSampleFilter, reference: bool = False, unit: int = 1) -> damon.DamonCtx:
    regions = regions_of((0, 2 * PAGE), (2 * PAGE, 3 * PAGE), (8 * PAGE, 9 * PAGE))
    ctx = new_ctx(KERNEL, regions=[regions])
    ctx.ops, ctx.reference, ctx.addr_unit = ReportedPaddr(KERNEL.reports, filters), reference, unit
    return ctx


@pytest.mark.parametrize("reference", [False, True])
def test_a_region_is_accessed_if_a_report_is_in_it_whole(reference: bool) -> None:
    ctx = _ctx(reference=reference)
    report = DamonAccessReport
    assert _counted(ctx) == [0, 0, 0]
    assert _counted(ctx, report(0), report(1), report(2 * PAGE - 1)) == [1, 0, 0], "once an interval"
    assert _counted(ctx, report(2 * PAGE - 1, size=2)) == [0, 0, 0], "in two regions"
    assert _counted(ctx, report(2 * PAGE, size=PAGE), report(9 * PAGE - 1)) == [0, 1, 1]
    assert _counted(ctx, report(2 * PAGE, size=PAGE + 1), report(3 * PAGE), report(9 * PAGE)) == [0, 0, 0]
    assert _counted(_ctx(reference=reference, unit=2), report(5 * PAGE)) == [0, 1, 0]


def test_what_came_before_the_interval_is_not_of_it() -> None:
    ctx, other = _ctx(), _ctx()
    other.ops.prepare_access_checks(other)
    KERNEL.report_access(DamonAccessReport(0))
    assert _counted(ctx, DamonAccessReport(8 * PAGE)) == [0, 0, 1]
    assert other.ops.check_accesses(other) == 1, "each worker has intervals of its own"
    assert [region.nr_accesses for region in other.targets[0].regions] == [1, 0, 1]


def test_virtual_addresses_count_for_their_process_only() -> None:
    spaces = FakeSpace(), FakeSpace()
    spaces[1].pid = 8
    ctx = new_ctx(KERNEL, regions=[regions_of((0, PAGE)), regions_of((0, PAGE))])
    for target, space in zip(ctx.targets, spaces, strict=True):
        target.space = space
    ctx.ops = ReportedVaddr(KERNEL.reports)
    assert _counted(ctx, DamonAccessReport(paddr=0, vaddr=5, tid=8), DamonAccessReport(0, 9 * PAGE, tid=7)) == [0]
    assert ctx.targets[1].regions[0].nr_accesses == 1


REPORTS = [DamonAccessReport(0, cpu=n % 2, tid=n // 2, is_write=n >= 4) for n in range(8)]


@pytest.mark.parametrize(
    ("filters", "count"),
    [
        ([], list(range(8))),
        ([(WRITE, True, True)], [4, 5, 6, 7]),
        ([(WRITE, True, False)], [0, 1, 2, 3]),
        ([(WRITE, False, True)], [0, 1, 2, 3]),
        ([(CPU, True, True)], [1, 3, 5, 7]),
        ([(TID, False, False)], [2, 3, 6, 7]),
        ([(WRITE, True, False), (CPU, True, True)], [1, 3]),
        ([(CPU, True, True), (WRITE, True, False)], [0, 1, 2, 3, 5, 7]),
    ],
)
def test_the_first_filter_that_a_report_hits_decides(
    filters: list[tuple[DamonSampleFilterType, bool, bool]], count: list[int]
) -> None:
    chain = [DamonSampleFilter(*row, cpus=frozenset({1}), tids=frozenset({1, 3})) for row in filters]
    assert [n for n, report in enumerate(REPORTS) if allowed(report, chain)] == count
    inside = [_counted(_ctx(*chain), report)[0] for report in REPORTS]
    assert [n for n, seen in enumerate(inside) if seen] == count


ranges = st.lists(st.tuples(st.integers(0, 400 * PAGE), st.integers(1, 3 * PAGE)), max_size=30)


@given(region_arrays(), ranges)
def test_native_equals_reference(regions: RegionArray, reported: list[tuple[int, int]]) -> None:
    found = []
    for reference in (False, True):
        ctx = _ctx(reference=reference)
        ctx.targets[0].regions = copied(regions)
        _counted(ctx, *(DamonAccessReport(start, size=size) for start, size in reported))
        found.append(ctx.targets[0].regions.snapshot())
    assert found[0] == found[1]


def test_the_oldest_reports_make_room() -> None:
    reports = AccessReports()
    made = [DamonAccessReport(n) for n in range(CAPACITY + 5)]
    for report in made:
        reports.add(report)
    assert reports.nr_reported == CAPACITY + 5
    assert reports.after(0) == reports.after(5) == made[5:]
    assert reports.after(CAPACITY + 3) == made[-2:]
    assert reports.after(CAPACITY + 5) == []


@pytest.mark.parametrize("values", [{"paddr": -1}, {"paddr": 0, "size": 0}, {"paddr": 0, "is_write": "yes"}])
def test_reports_that_are_none(values: dict[str, object]) -> None:
    with refused(errno.EINVAL):
        DamonAccessReport(**values)  # type: ignore[arg-type]


def test_filters_that_are_none() -> None:
    with refused(errno.EINVAL):
        DamonSampleFilter("speed", True)  # type: ignore[arg-type]
    with refused(errno.EINVAL):
        ReportedPaddr(KERNEL.reports, [damon.DamonFilter("anon", True)])  # type: ignore[arg-type, list-item]
