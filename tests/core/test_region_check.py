# SPDX-License-Identifier: GPL-2.0-only
"""Regions that an operations set leaves: what the core cannot compute with is named, and nothing crashes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core.reference import RegionFault, first_fault
from damon.core.region_check import find_fault
from damon.errors import InvalidInput
from damon.model.arrays import RegionArray
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from tests.contexts import started
from tests.fakes import FakeMachine, FakeOperations, regions_of

PAGE = 4096
TOP = 2**64 - 1
Rows = Sequence[tuple[int, int]]


def leaves(step: str, rows: Rows) -> FakeOperations:
    """A set of which one step leaves ``rows``."""

    def leave(ctx: DamonCtx) -> int:
        regions = ctx.targets[0].regions
        regions.clear()
        for start, end in rows:
            regions.append(start, end)
        return 0

    return FakeOperations(id="leaves", **{step: leave})


def ended_with(step: str, rows: Rows, reference: bool = False) -> BaseException | None:
    """What ended a worker whose operations set leaves ``rows``; None: it goes on."""
    attrs, regions = DamonAttrs(ops_update_interval=200_000), regions_of((0, 64 * PAGE))
    damon, ctx = started(FakeMachine(), ops=leaves(step, rows), regions=[regions], attrs=attrs, reference=reference)
    damon.machine.clock.sleep_us(1_000_000)
    damon.stop()
    return ctx.error


VECTORS: list[tuple[Rows, str]] = [
    ([(PAGE, PAGE)] * 3, "region 0 of target 0"),  # all empty at one address
    ([(0, PAGE), (2 * PAGE, 2 * PAGE)], "region 1 of target 0"),
    ([(2 * PAGE, PAGE)], "8192-4096: it ends at or before its start"),
    ([(0, 2 * PAGE), (PAGE, 3 * PAGE)], "4096-12288: it begins before the end"),
    ([(2 * PAGE, 3 * PAGE), (0, PAGE)], "0-4096: it begins before the end"),
    ([(0, PAGE), (PAGE, 2 * PAGE), (PAGE, 2 * PAGE)], "region 2 of target 0"),
]
UNALIGNED: list[tuple[Rows, str]] = [
    ([(0, TOP)], f"0-{TOP}: its bounds are not multiples of min_region_sz 4096"),
    ([(PAGE, TOP)], "its bounds are not multiples of min_region_sz 4096"),
    ([(1, PAGE)], "its bounds are not multiples of min_region_sz 4096"),
    ([(0, PAGE), (PAGE, PAGE + 5)], "region 1 of target 0"),
]


@pytest.mark.parametrize("reference", [False, True], ids=["native", "reference"])
@pytest.mark.parametrize("step", ["init", "update", "prepare_access_checks", "check_accesses"])
@pytest.mark.parametrize(("rows", "named"), VECTORS + UNALIGNED)
def test_what_an_operations_set_leaves_is_named(rows: Rows, named: str, step: str, reference: bool) -> None:
    error = ended_with(step, rows, reference)
    if step in ("prepare_access_checks", "check_accesses") and (rows, named) in UNALIGNED:
        assert error is None  # legal after a commit of another address unit: it costs nothing but precision
        return
    assert isinstance(error, InvalidInput)
    assert named in str(error)
    assert "'leaves'" in str(error)
    assert "\n" not in str(error)


def test_more_regions_than_there_is_memory_for() -> None:
    def lie(ctx: DamonCtx) -> int:
        ctx.targets[0].regions.nr = 1 << 30
        return 0

    damon, ctx = started(FakeMachine(), ops=FakeOperations(check_accesses=lie))
    damon.machine.clock.sleep_us(1_000_000)
    assert isinstance(ctx.error, ValueError)
    assert "1073741824 regions" in str(ctx.error)


def test_the_highest_addresses_can_be_monitored() -> None:
    """A region up to the last page there is; its pieces are counted without overflow."""
    assert ended_with("init", [(0, TOP - PAGE + 1)]) is None
    assert ended_with("update", [(PAGE, TOP - PAGE + 1)]) is None


addresses = st.one_of(
    st.integers(0, 40).map(lambda page: page * PAGE),
    st.integers(0, 40),
    st.integers(0, 40).map(lambda page: TOP - page * PAGE),
    st.integers(0, TOP),
)


@given(st.lists(st.tuples(addresses, addresses), max_size=12), st.sampled_from([1, 64, PAGE]))
def test_twins_find_the_same_fault(rows: list[tuple[int, int]], unit: int) -> None:
    regions = RegionArray(rows)
    fault, index = find_fault(DamonCtx(), regions, unit)
    assert (fault, index) == first_fault(regions, unit)
    ordered = all(a[0] < a[1] <= b[0] < b[1] for a, b in zip(rows, rows[1:], strict=False))
    sound = all(start < end for start, end in rows) and ordered
    assert (fault in (RegionFault.RIGHT, RegionFault.UNALIGNED)) >= sound
    if fault is RegionFault.RIGHT:
        assert sound
        assert all(start % unit == end % unit == 0 for start, end in rows)


@given(st.lists(st.tuples(addresses, addresses), max_size=6), st.sampled_from(["init", "update", "check_accesses"]))
def test_no_rows_whatever_bring_the_core_down(rows: list[tuple[int, int]], step: str) -> None:
    error = ended_with(step, rows)
    assert error is None or isinstance(error, InvalidInput)
    if error is None:
        assert find_fault(DamonCtx(), RegionArray(rows))[0] is RegionFault.RIGHT
