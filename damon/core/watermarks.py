# SPDX-License-Identifier: GPL-2.0-only
"""Watermarks: when a scheme is active at all (DAMON spec, damos 8)."""

from __future__ import annotations

from damon.mm.interface import Machine
from damon.model.context import DamonCtx
from damon.model.scheme import Damos, DamosWmarkMetric


def free_mem_rate(machine: Machine) -> int:
    """Free memory in per mille of all memory."""
    free, total = machine.free_mem()
    return free * 1000 // total


def wait_time_us(machine: Machine, scheme: Damos) -> int:
    """Update ``activated`` of ``scheme``; 0 when active, else how long to wait before asking again."""
    marks = scheme.wmarks
    if marks.metric is DamosWmarkMetric.NONE:
        return 0
    metric = free_mem_rate(machine)
    if metric > marks.high or metric < marks.low:
        marks.activated = False
        return marks.interval
    if metric >= marks.mid and not marks.activated:
        return marks.interval
    marks.activated = True
    return 0


def min_wait_us(ctx: DamonCtx) -> int:
    """The shortest wait over all schemes; 0 when one is active or there are none."""
    wait: int | None = None
    for scheme in ctx.schemes:
        this = wait_time_us(ctx.machine, scheme)
        wait = this if wait is None else min(wait, this)
    return wait or 0
