# SPDX-License-Identifier: GPL-2.0-only
"""Watermarks: when a scheme is active at all (DAMON spec, damos 8)."""

from __future__ import annotations

from typing import Final

from damon.model.context import DamonCtx
from damon.model.machine import Machine
from damon.model.scheme import Damos, DamosWatermarks, DamosWmarkMetric

_ANY: Final = 2**63 - 1


def damos_get_wmark_metric_value(machine: Machine) -> int:
    """Free memory in per mille of all memory."""
    free, total = machine.free_mem()
    return free * 1000 // total


def damos_wmark_wait_us(machine: Machine, scheme: Damos) -> int:
    """Update ``activated`` of ``scheme``; 0 when active, else how long to wait before asking again."""
    marks = scheme.wmarks
    if marks.metric is DamosWmarkMetric.NONE:
        return 0
    metric = damos_get_wmark_metric_value(machine)
    if metric > marks.high or metric < marks.low:
        marks.activated = False
        return marks.interval
    if metric >= marks.mid and not marks.activated:
        return marks.interval
    marks.activated = True
    return 0


def _steady_rates(marks: DamosWatermarks, rate: int) -> tuple[int, int]:
    """Rates of free memory around ``rate`` with which ``damos_wmark_wait_us`` decides the same again."""
    if marks.activated:
        return marks.low, marks.high
    if rate > marks.high:
        return marks.high + 1, _ANY
    if rate < marks.low:
        return 0, marks.low - 1
    return marks.mid, marks.high


def steady_free(ctx: DamonCtx) -> tuple[int, int]:
    """From how many to how many free pages no scheme is activated or deactivated; both bounds are included."""
    asked = [scheme.wmarks for scheme in ctx.schemes if scheme.wmarks.metric is not DamosWmarkMetric.NONE]
    if not asked:
        return 0, _ANY
    free, total = ctx.machine.free_mem()
    low, high, rate = 0, _ANY, free * 1000 // total
    for marks in asked:
        this = _steady_rates(marks, rate)
        low, high = max(low, this[0]), min(high, this[1])
    return -(-low * total // 1000), min(-(-(high + 1) * total // 1000) - 1, _ANY)


def min_wait_us(ctx: DamonCtx) -> int:
    """The shortest wait over all schemes; 0 when one is active or there are none."""
    wait: int | None = None
    for scheme in ctx.schemes:
        this = damos_wmark_wait_us(ctx.machine, scheme)
        wait = this if wait is None else min(wait, this)
    return wait or 0
