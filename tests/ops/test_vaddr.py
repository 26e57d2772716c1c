# SPDX-License-Identifier: GPL-2.0-only
"""vaddr and fvaddr: three regions, updates, advice (ops 1)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import InvalidInput
from damon.model.context import DamonCtx
from damon.model.machine import Advice
from damon.model.operations import Score
from damon.model.scheme import Damos, DamosAction
from damon.model.target import DamonTarget
from damon.ops.registry import OperationsRegistry
from damon.ops.vaddr import Fvaddr, Vaddr, damon_va_three_regions
from tests.fakes import FakeSpace, regions_of

PAGE = 4096


def test_three_regions_vector() -> None:
    """Ops 1.2, minimum size 1."""
    mappings = [(10, 25), (200, 220), (300, 305), (307, 330)]
    assert damon_va_three_regions(mappings, 1) == [(10, 25), (200, 220), (300, 330)]


@pytest.mark.parametrize("mappings", [[], [(0, 9)], [(0, 9), (20, 30)], [(0, 9), (9, 20), (30, 40)]])
def test_fewer_than_two_gaps_are_refused(mappings: list[tuple[int, int]]) -> None:
    with pytest.raises(InvalidInput):
        damon_va_three_regions(mappings, 1)


def test_ties_keep_the_earlier_gap_and_every_bound_is_aligned_up() -> None:
    assert damon_va_three_regions([(0, 1), (11, 12), (22, 23), (33, 34)], 1) == [(0, 1), (11, 12), (22, 34)]
    assert damon_va_three_regions([(1, 5000), (20000, 20001), (90000, 90001)]) == [
        (4096, 8192), (20480, 20480), (90112, 90112),
    ]  # fmt: skip


@given(st.lists(st.tuples(st.integers(1, 50), st.integers(0, 50)), min_size=3, max_size=30))
def test_three_regions_cover_all_mappings_but_the_two_biggest_gaps(steps: list[tuple[int, int]]) -> None:
    mappings, at = [], 0
    for size, gap in steps:
        mappings.append((at, at + size))
        at += size + gap
    gaps = sorted((b[0] - a[1] for a, b in zip(mappings, mappings[1:], strict=False)), reverse=True)
    if gaps[1] == 0:
        return
    ranges = damon_va_three_regions(mappings, 1)
    assert sum(b - a for a, b in ranges) == mappings[-1][1] - gaps[0] - gaps[1]
    assert all(any(a <= start and end <= b for a, b in ranges) for start, end in mappings)


def _ctx(ops: Fvaddr, space: FakeSpace) -> DamonCtx:
    return DamonCtx(ops=ops, targets=[DamonTarget(space=space)])


def test_vaddr_builds_regions_once_and_follows_updates() -> None:
    space = FakeSpace()
    space.areas = [(0, 4 * PAGE), (100 * PAGE, 104 * PAGE), (200 * PAGE, 204 * PAGE)]
    ctx = _ctx(Vaddr(), space)
    ctx.ops.init(ctx)
    regions = ctx.targets[0].regions
    assert regions.ranges() == space.areas
    regions[0].age = 7
    ctx.ops.init(ctx)
    space.areas = [(PAGE, 6 * PAGE), *space.areas[1:], (204 * PAGE, 210 * PAGE)]
    ctx.ops.update(ctx)
    assert regions.ranges() == [(PAGE, 6 * PAGE), (100 * PAGE, 104 * PAGE), (200 * PAGE, 210 * PAGE)]
    assert regions[0].age == 7
    before = regions.ranges()
    space.areas = []  # exiting
    ctx.ops.update(ctx)
    assert regions.ranges() == before


def test_fvaddr_never_touches_the_regions() -> None:
    space = FakeSpace()
    space.areas = [(0, 4 * PAGE), (100 * PAGE, 104 * PAGE), (200 * PAGE, 204 * PAGE)]
    ctx = _ctx(Fvaddr(), space)
    ctx.ops.init(ctx)
    ctx.ops.update(ctx)
    assert not ctx.targets[0].regions.nr


@pytest.mark.parametrize(
    ("action", "advice"),
    [
        (DamosAction.WILLNEED, Advice.WILLNEED),
        (DamosAction.COLD, Advice.COLD),
        (DamosAction.PAGEOUT, Advice.PAGEOUT),
        (DamosAction.HUGEPAGE, Advice.HUGEPAGE),
        (DamosAction.NOHUGEPAGE, Advice.NOHUGEPAGE),
        (DamosAction.COLLAPSE, Advice.COLLAPSE),
        (DamosAction.LRU_PRIO, None),
        (DamosAction.LRU_DEPRIO, None),
        (DamosAction.STAT, None),
    ],
)
def test_actions_are_advice_on_the_page_aligned_region(action: DamosAction, advice: Advice | None) -> None:
    space = FakeSpace()
    ctx = _ctx(Vaddr(), space)
    region = regions_of((100, 5000))[0]
    applied = ctx.ops.apply_scheme(ctx, ctx.targets[0], region, Damos(action=action))
    if advice is None:
        assert (applied, space.advice) == ((0, 0), [])
    else:
        assert (applied, space.advice) == ((2 * PAGE, 0), [(PAGE, 2 * PAGE, advice)])


def test_failed_advice_applies_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    space = FakeSpace()
    monkeypatch.setattr(space, "madvise", lambda start, length, advice: -12)
    ctx = _ctx(Vaddr(), space)
    region = regions_of((0, 5000))[0]
    assert ctx.ops.apply_scheme(ctx, ctx.targets[0], region, Damos(action=DamosAction.PAGEOUT)) == (0, 0)


def test_scores() -> None:
    score = Vaddr().score
    assert score(Damos(action=DamosAction.PAGEOUT)) is Score.COLD
    assert score(Damos(action=DamosAction.LRU_PRIO)) is Score.MAX
    assert score(Damos(action=DamosAction.MIGRATE_HOT)) is Score.HOT


def test_registry_lists_the_kernels_sets_in_order_and_refuses_doubles() -> None:
    registry = OperationsRegistry()
    assert registry.names() == ["vaddr", "fvaddr", "paddr"]
    with pytest.raises(OSError, match=r"^operations set: 'vaddr': is registered already"):
        registry.register(Vaddr())
