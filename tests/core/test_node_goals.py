# SPDX-License-Identifier: GPL-2.0-only
"""Quota goals of NUMA nodes and cgroups: values, edges, commit (damos 6.2b, core 9)."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import commit_ctx
from damon.core.goals import _bytes_within, bytes_within, damos_quota_score
from damon.errors import InvalidInput
from damon.model.arrays import FOLIO_ANON, FolioArray
from damon.model.context import DamonCtx
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
)
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from damon.ops.vaddr import Vaddr
from tests.fakes import NODE_SIZE, FakeMachine, regions_of

PAGE = 4096
M = DamosQuotaGoalMetric
USED, FREE, CG_USED, CG_FREE = M.NODE_MEM_USED_BP, M.NODE_MEM_FREE_BP, M.NODE_MEMCG_USED_BP, M.NODE_MEMCG_FREE_BP


def _value(machine: FakeMachine, metric: DamosQuotaGoalMetric, nid: int = 0, memcg_id: int = 0, **pattern: int) -> int:
    goal = DamosQuotaGoal(metric, 10000, current_value=77, nid=nid, memcg_id=memcg_id)
    scheme = Damos(quota=DamosQuota(goals=[goal]), pattern=DamosAccessPattern(**pattern))
    target = DamonTarget()
    target.regions = regions_of(
        (0, 4 * PAGE, 0), (NODE_SIZE, NODE_SIZE + 2 * PAGE, 0), (NODE_SIZE * 2, NODE_SIZE * 3, 9)
    )
    ctx = DamonCtx(machine=machine, ops=Paddr(), targets=[target], schemes=[scheme])
    assert damos_quota_score(ctx, scheme) == goal.current_value
    return goal.current_value


@pytest.mark.parametrize(
    ("free", "total", "used_bp", "free_bp"),
    [
        (250, 1000, 7500, 2500),
        (1, 3, 6666, 3333),
        (0, 7, 10000, 0),
        (7, 7, 0, 10000),
        (0, 0, 10000, 0),
        (8, 7, 10000, 0),
    ],
)
def test_memory_of_a_node(free: int, total: int, used_bp: int, free_bp: int) -> None:
    machine = FakeMachine(nodes={0: (1, 1), 1: (free, total)})
    assert _value(machine, USED, 1) == used_bp
    assert _value(machine, FREE, 1) == free_bp


@pytest.mark.parametrize("nid", [-1, 2, 1 << 20])
def test_no_such_node(nid: int) -> None:
    machine = FakeMachine(nodes={0: (5, 10)})
    machine.memcgs[0, 3] = 4
    assert [_value(machine, metric, nid, 3) for metric in (USED, FREE, CG_USED, CG_FREE)] == [0, 10000, 0, 10000]


def test_memory_of_a_cgroup_on_a_node() -> None:
    machine = FakeMachine(nodes={0: (0, 1000), 1: (0, 300)})
    machine.memcgs = {(0, 3): 100, (1, 3): 100, (1, 4): 301}
    assert _value(machine, CG_USED, 0, 3) == 1000
    assert _value(machine, CG_FREE, 0, 3) == 9000
    assert _value(machine, CG_USED, 1, 3) == 3333
    assert _value(machine, CG_FREE, 1, 3) == 6666
    assert [_value(machine, metric, 1, 4) for metric in (CG_USED, CG_FREE)] == [10000, 0]  # more than the node has
    assert [_value(machine, metric, 1, 5) for metric in (CG_USED, CG_FREE)] == [0, 10000]  # no such cgroup


def test_without_numa_support_all_are_0() -> None:
    machine = FakeMachine()
    assert [_value(machine, metric) for metric in (USED, FREE, CG_USED, CG_FREE, M.NODE_ELIGIBLE_MEM_BP)] == [0] * 5


def test_eligible_memory_counts_folios_of_matching_regions_only() -> None:
    machine = FakeMachine(nodes={0: (0, 1), 1: (0, 1), 2: (0, 1)})
    on_node_1 = NODE_SIZE // PAGE
    machine.phys.pages = dict.fromkeys([0, 1, 3, on_node_1, on_node_1 + 5, 2 * on_node_1], FOLIO_ANON)
    assert _value(machine, M.NODE_ELIGIBLE_MEM_BP, 0, max_nr_accesses=0) == 7500  # 3 of 4; + 5 lies outside
    assert _value(machine, M.NODE_ELIGIBLE_MEM_BP, 1, max_nr_accesses=0) == 2500
    assert _value(machine, M.NODE_ELIGIBLE_MEM_BP, 2, max_nr_accesses=0) == 0
    assert _value(machine, M.NODE_ELIGIBLE_MEM_BP, 0, min_nr_accesses=30) == 0  # nothing matches


def test_eligible_memory_is_for_paddr_only() -> None:
    machine = FakeMachine(nodes={0: (0, 1)})
    goal = DamosQuotaGoal(M.NODE_ELIGIBLE_MEM_BP, 5000)
    scheme = Damos(quota=DamosQuota(goals=[goal]))
    src = DamonCtx(machine=machine, ops=Vaddr(), schemes=[scheme])
    with pytest.raises(InvalidInput, match=r"^quota goal: node_eligible_mem_bp: operations set vaddr "):
        commit_ctx(DamonCtx(machine=machine, ops=Vaddr()), src)
    goal.current_value = 7
    damos_quota_score(src, scheme)
    assert goal.current_value == 0


def test_commit_takes_node_and_cgroup_and_leaves_what_was_measured() -> None:
    machine = FakeMachine(nodes={0: (0, 1)})

    def context(*goals: DamosQuotaGoal) -> DamonCtx:
        schemes = [Damos(quota=DamosQuota(goals=list(goals)))]
        return DamonCtx(machine=machine, ops=Paddr(), schemes=schemes)

    dst = context(DamosQuotaGoal(CG_USED, 5, current_value=42, nid=1, memcg_id=2), DamosQuotaGoal(USED, 5, 43, nid=1))
    new = DamosQuotaGoal(CG_FREE, 9, current_value=8, nid=6, memcg_id=7)
    src = context(DamosQuotaGoal(CG_FREE, 6, 1, nid=3, memcg_id=4), DamosQuotaGoal(FREE, 6, 1, nid=4, memcg_id=5), new)
    commit_ctx(dst, src)
    assert dst.schemes[0].quota.goals == [
        DamosQuotaGoal(CG_FREE, 6, 42, nid=3, memcg_id=4),
        DamosQuotaGoal(FREE, 6, 43, nid=4),
        replace(new, current_value=0),
    ]


rows = st.lists(st.tuples(st.integers(0, 40), st.sampled_from([1, 2, 16])), max_size=10)


@given(rows, st.integers(0, 200), st.integers(0, 200))
def test_bytes_within_native_and_reference(folios: list[tuple[int, int]], start: int, end: int) -> None:
    batch = FolioArray(10)
    for pfn, pages in folios:
        batch.rows[batch.nr].pfn, batch.rows[batch.nr].nr_pages = pfn, pages
        batch.nr += 1
    start, end = start * 1000, end * 1000
    assert bytes_within(batch, start, end) == _bytes_within(batch.pointer, batch.nr, start, end)
