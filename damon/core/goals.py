# SPDX-License-Identifier: GPL-2.0-only
"""What quota goals measure, how far the best is, and the input that follows (DAMON spec, damos 6.1, 6.2, 6.2b)."""

from __future__ import annotations

from collections.abc import Callable
from ctypes import c_uint32, c_uint64, c_void_p
from typing import Final

from damon.core.priority import left_window_bp, matches
from damon.model.arrays import FolioArray
from damon.model.attrs import ULONG_MAX
from damon.model.checks import called, whole
from damon.model.context import DamonCtx
from damon.model.custom import DamosCustomMetric
from damon.model.machine import PAGE_SIZE
from damon.model.scheme import Damos, DamosQuotaGoal, DamosQuotaGoalMetric, DamosQuotaGoalTuner
from damon.native import bind

_BP: Final = 10000
#: The score of a goal that is met, and the least input.
TARGET_SCORE: Final = 10000
_FLOOR: Final = 10000
_bytes_within = bind("folio_bytes_within", c_uint64, c_void_p, c_uint32, c_uint64, c_uint64)


def bytes_within(folios: FolioArray, start: int, end: int) -> int:
    """Reference: the bytes of ``folios`` that lie in ``[start, end)``."""
    total = 0
    for folio in folios:
        first = folio.pfn * PAGE_SIZE
        total += max(min(first + folio.nr_pages * PAGE_SIZE, end) - max(first, start), 0)
    return total


def _pressure(ctx: DamonCtx, scheme: Damos, goal: DamosQuotaGoal) -> int:
    """The increase since the last time; neutral the first time, unless it is all or nothing and a limit is there."""
    total, last = ctx.machine.psi_some_us(), goal.last_psi_total
    goal.last_psi_total = total
    if last is not None:
        return int(total - last)
    if scheme.quota.goal_tuner is DamosQuotaGoalTuner.CONSIST or not scheme.quota.esz:
        return goal.target_value
    return 0


def damos_get_in_active_mem_bp(ctx: DamonCtx, scheme: Damos, goal: DamosQuotaGoal) -> int:
    active, inactive = ctx.machine.lru_pages()
    part = active if goal.metric is DamosQuotaGoalMetric.ACTIVE_MEM_BP else inactive
    return int(part * _BP // max(active + inactive, 1))


def _complement(goal: DamosQuotaGoal) -> bool:
    return goal.metric in (DamosQuotaGoalMetric.NODE_MEM_FREE_BP, DamosQuotaGoalMetric.NODE_MEMCG_FREE_BP)


def damos_get_node_mem_bp(ctx: DamonCtx, scheme: Damos, goal: DamosQuotaGoal) -> int:
    if not ctx.machine.node_spans():
        return 0
    mem = ctx.machine.node_mem(goal.nid)
    if mem is None:
        return _BP if _complement(goal) else 0
    free, total = mem
    if not total or total < free:
        return 0 if _complement(goal) else _BP
    return int((free if _complement(goal) else total - free) * _BP // total)


def damos_get_node_memcg_used_bp(ctx: DamonCtx, scheme: Damos, goal: DamosQuotaGoal) -> int:
    if not ctx.machine.node_spans():
        return 0
    mem = ctx.machine.node_mem(goal.nid)
    used = ctx.machine.node_memcg_pages(goal.nid, goal.memcg_id) if mem is not None else None
    if mem is None or used is None:
        return _BP if _complement(goal) else 0
    total = mem[1]
    if not total or total < used:
        return 0 if _complement(goal) else _BP
    return int((total - used if _complement(goal) else used) * _BP // total)


def _lru_bytes(ctx: DamonCtx, start: int, end: int) -> int:
    """Bytes of ``[start, end)`` that folios on LRU lists take."""
    if start >= end:
        return 0
    batches = ctx.machine.phys.folios(start, end)
    if ctx.reference:
        return sum(bytes_within(folios, start, end) for folios in batches)
    return sum(int(_bytes_within(folios.pointer, folios.nr, start, end)) for folios in batches)


def damos_get_node_eligible_mem_bp(ctx: DamonCtx, scheme: Damos, goal: DamosQuotaGoal) -> int:
    """Of the bytes that the pattern matches, quota and filters aside, those on the node."""
    spans = ctx.machine.node_spans()
    if ctx.ops.id != "paddr" or not spans:
        return 0
    left_bp = left_window_bp(ctx)
    on_node = everywhere = 0
    for target in ctx.targets:
        for region in target.regions:
            if not matches(region, scheme, left_bp):
                continue
            start, end = region.start * ctx.addr_unit, region.end * ctx.addr_unit
            for node_start, node_end, nid in spans:
                size = _lru_bytes(ctx, max(node_start, start), min(node_end, end))
                everywhere += size
                on_node += size if nid == goal.nid else 0
    return on_node * _BP // everywhere if everywhere else 0


def _given(ctx: DamonCtx, scheme: Damos, goal: DamosQuotaGoal) -> int:
    return goal.current_value


_MEASURES: Final[dict[DamosQuotaGoalMetric, Callable[[DamonCtx, Damos, DamosQuotaGoal], int]]] = {
    DamosQuotaGoalMetric.USER_INPUT: _given,
    DamosQuotaGoalMetric.SOME_MEM_PSI_US: _pressure,
    DamosQuotaGoalMetric.NODE_MEM_USED_BP: damos_get_node_mem_bp,
    DamosQuotaGoalMetric.NODE_MEM_FREE_BP: damos_get_node_mem_bp,
    DamosQuotaGoalMetric.NODE_MEMCG_USED_BP: damos_get_node_memcg_used_bp,
    DamosQuotaGoalMetric.NODE_MEMCG_FREE_BP: damos_get_node_memcg_used_bp,
    DamosQuotaGoalMetric.ACTIVE_MEM_BP: damos_get_in_active_mem_bp,
    DamosQuotaGoalMetric.INACTIVE_MEM_BP: damos_get_in_active_mem_bp,
    DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP: damos_get_node_eligible_mem_bp,
}


def damos_quota_score(ctx: DamonCtx, scheme: Damos) -> int:
    """Bring each goal's ``current_value`` up to date; the best achieved one in basis points of its target."""
    best = 0
    for goal in scheme.quota.goals:
        if isinstance(goal.metric, DamosCustomMetric):
            what = f"metric {goal.metric.value}: {called('measure', goal.metric.measure)}"
            goal.current_value = whole(what, goal.metric.measure(ctx, scheme))
        else:
            goal.current_value = _MEASURES[goal.metric](ctx, scheme, goal)
        best = max(best, goal.current_value * _BP // goal.target_value)
    return best


def damon_feed_loop_next_input(last_input: int, score: int) -> int:
    """The next input of what quota and interval tuning tune (DAMON spec, damos 6.1).

    Less when ``score`` is above 10000, more when below; never under 10000, at most twice the last.
    """
    if score == TARGET_SCORE:
        return last_input
    if score >= 2 * TARGET_SCORE:
        return _FLOOR
    distance = abs(score - TARGET_SCORE)
    if last_input * distance <= ULONG_MAX:
        change = last_input * distance // TARGET_SCORE
    else:
        change = last_input // TARGET_SCORE * distance
    if score > TARGET_SCORE:
        return max(last_input - change, _FLOOR)
    return min(last_input + change, ULONG_MAX)
