# SPDX-License-Identifier: GPL-2.0-only
"""migrate_hot and migrate_cold, filters and stat on processes' memory (ops 1.6, 1.7, 2.5)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import commit_ctx
from damon.core.damos_filter import damos_set_filters_default_reject
from damon.model.arrays import FOLIO_ANON, FolioArray
from damon.model.context import DamonCtx
from damon.model.operations import Score
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosFilterType, DamosMigrateDest
from damon.model.target import DamonTarget
from damon.ops.folio_walk import migration, pick_dests
from damon.ops.paddr import Paddr
from damon.ops.vaddr import Fvaddr, Vaddr
from tests.fakes import NODE_SIZE, FakeMachine, FakeSpace, regions_of

PAGE = 4096
MIGRATE = [DamosAction.MIGRATE_HOT, DamosAction.MIGRATE_COLD]
NODE_1 = NODE_SIZE // PAGE


def _apply(
    ops: Paddr | Fvaddr, scheme: Damos, *pfns: int, start: int = 0, pages: int = 9
) -> tuple[FakeSpace, int, int]:
    space = FakeSpace()
    space.pages = dict.fromkeys(pfns, FOLIO_ANON)
    machine = FakeMachine()
    machine.phys = space
    ctx = DamonCtx(machine=machine, ops=ops, targets=[DamonTarget(space=space)])
    damos_set_filters_default_reject(scheme)
    region = regions_of((start, start + pages * PAGE))[0]
    return space, *ops.apply_scheme(ctx, ctx.targets[0], region, scheme)


def _dests(*weights: int) -> list[DamosMigrateDest]:
    return [DamosMigrateDest(node_id, weight) for node_id, weight in enumerate(weights)]


def _chosen(dests: list[DamosMigrateDest], places: list[int], reference: bool) -> list[int]:
    folios = FolioArray(len(places) or 1)
    for place in places:
        folios.rows[folios.nr].ilx = place
        folios.nr += 1
    if reference:
        pick_dests(folios, dests)
    else:
        machine = FakeMachine()
        migration(DamonCtx(machine=machine), machine.phys, dests)(folios)
    return [folio.target_nid for folio in folios]


@pytest.mark.parametrize("reference", [False, True])
def test_destinations_by_weight(reference: bool) -> None:
    """The vector of ops 1.7: weights 2, 1, 1."""
    assert _chosen(_dests(2, 1, 1), list(range(9)), reference) == [0, 0, 1, 2, 0, 0, 1, 2, 0]
    assert _chosen(_dests(0, 3), [0, 1, 7], reference) == [1, 1, 1]
    assert _chosen(_dests(0, 0), [0, 1], reference) == [-1, -1]
    assert _chosen([], [0, 1], reference) == [-1, -1]


@given(st.lists(st.integers(0, 2**32 - 1), max_size=5), st.lists(st.integers(0, 2**64 - 1), max_size=20))
def test_native_destinations_are_the_references(weights: list[int], places: list[int]) -> None:
    assert _chosen(_dests(*weights), places, False) == _chosen(_dests(*weights), places, True)


@pytest.mark.parametrize("action", MIGRATE)
@pytest.mark.parametrize("ops", [Paddr(), Vaddr(), Fvaddr()])
def test_folios_go_to_the_target_node(ops: Paddr | Fvaddr, action: DamosAction) -> None:
    space, applied, passed = _apply(ops, Damos(action=action, target_nid=1), 0, 3, 8, 9)
    assert space.migrated == [(0, 1), (3, 1), (8, 1)]
    assert (applied, passed) == (3 * PAGE, 3 * PAGE)


@pytest.mark.parametrize("ops", [Paddr(), Vaddr()])
def test_what_is_there_already_is_not_counted(ops: Paddr | Fvaddr) -> None:
    scheme = Damos(action=DamosAction.MIGRATE_HOT, target_nid=1)
    space, applied, passed = _apply(ops, scheme, NODE_1 - 1, NODE_1, start=NODE_SIZE - PAGE, pages=2)
    assert space.migrated == [(NODE_1 - 1, 1)]
    assert (applied, passed) == (PAGE, 2 * PAGE)


@pytest.mark.parametrize("ops", [Paddr(), Vaddr()])
def test_nowhere_to_go(ops: Paddr | Fvaddr) -> None:
    space, applied, passed = _apply(ops, Damos(action=DamosAction.MIGRATE_COLD), 0, 1)
    assert not space.migrated
    assert (applied, passed) == (0, 2 * PAGE)


def test_weighted_destinations_are_for_processes_memory_only() -> None:
    scheme = Damos(action=DamosAction.MIGRATE_HOT, target_nid=3, migrate_dests=_dests(0, 2, 1))
    space, *_ = _apply(Vaddr(), scheme, *range(6))
    assert [nid for _, nid in space.migrated] == [1, 1, 2, 1, 1, 2]
    space, *_ = _apply(Paddr(), scheme, *range(6))
    assert {nid for _, nid in space.migrated} == {3}
    space, applied, _ = _apply(Vaddr(), Damos(action=DamosAction.MIGRATE_HOT, migrate_dests=_dests(0, 0)), 0)
    assert not space.migrated
    assert not applied


@pytest.mark.parametrize("ops", [Paddr(), Vaddr()])
def test_only_what_filters_let_pass_moves(ops: Paddr | Fvaddr) -> None:
    scheme = Damos(action=DamosAction.MIGRATE_HOT, target_nid=1)
    scheme.add_filter(DamosFilter(DamosFilterType.ANON, matching=True, allow=False))
    space, applied, passed = _apply(ops, scheme, 0, 1)
    assert (space.migrated, applied, passed) == ([], 0, 0)
    scheme.core_allowed = True  # the core allowed the region: the operations layer is not asked
    space, applied, passed = _apply(ops, scheme, 0, 1)
    assert (applied, passed) == (2 * PAGE, 2 * PAGE)


def test_a_young_filter_on_a_process_makes_old() -> None:
    space = FakeSpace()
    space.pages, space.young_pages = dict.fromkeys(range(4), FOLIO_ANON), {1, 2}
    ctx = DamonCtx(machine=FakeMachine(), ops=Vaddr(), targets=[DamonTarget(space=space)])
    scheme = Damos(action=DamosAction.MIGRATE_COLD, target_nid=1)
    scheme.add_filter(DamosFilter(DamosFilterType.YOUNG, matching=True, allow=False))
    region = regions_of((0, 4 * PAGE))[0]
    assert ctx.ops.apply_scheme(ctx, ctx.targets[0], region, scheme) == (2 * PAGE, 2 * PAGE)
    assert [pfn for pfn, _ in space.migrated] == [0, 3]
    assert not space.young_pages


@pytest.mark.parametrize("ops", [Vaddr(), Fvaddr()])
def test_stat_on_a_process_counts_what_passes_only_with_filters(ops: Fvaddr) -> None:
    scheme = Damos(action=DamosAction.STAT)
    assert _apply(ops, scheme, 0, 1)[1:] == (0, 0)
    scheme.add_filter(DamosFilter(DamosFilterType.ANON, matching=True, allow=True))
    assert _apply(ops, scheme, 0, 1)[1:] == (0, 2 * PAGE)
    assert scheme.last_applied == 1
    assert _apply(ops, scheme, 1, 2)[1:] == (0, PAGE)  # the last one is met again: counted once


def test_advice_ignores_filters() -> None:
    scheme = Damos(action=DamosAction.COLD)
    scheme.add_filter(DamosFilter(DamosFilterType.ANON, matching=True, allow=False))
    space, applied, passed = _apply(Vaddr(), scheme, 0)
    assert (applied, passed) == (9 * PAGE, 0)
    assert len(space.advice) == 1


def test_scores() -> None:
    for ops in (Paddr(), Vaddr(), Fvaddr()):
        assert ops.score(Damos(action=DamosAction.MIGRATE_HOT)) is Score.HOT
        assert ops.score(Damos(action=DamosAction.MIGRATE_COLD)) is Score.COLD


def test_commit_copies_destinations() -> None:
    machine = FakeMachine()
    dst = DamonCtx(machine=machine, ops=Vaddr(), schemes=[Damos(target_nid=1, migrate_dests=_dests(1))])
    src = DamonCtx(machine=machine, ops=Vaddr(), schemes=[Damos(target_nid=2, migrate_dests=_dests(2, 3))])
    commit_ctx(dst, src)
    assert dst.schemes[0].target_nid == 2
    assert dst.schemes[0].migrate_dests == _dests(2, 3)
    src.schemes[0].migrate_dests[0].weight = 9
    assert dst.schemes[0].migrate_dests == _dests(2, 3)
