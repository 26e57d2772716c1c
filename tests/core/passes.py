# SPDX-License-Identifier: GPL-2.0-only
"""Passes of schemes over regions, one at a time, and the address ranges that each applied its action to."""

from __future__ import annotations

from damon.core.damos_walk import kdamond_apply_schemes
from damon.model.arrays import DamonRegion, RegionArray
from damon.model.context import DamonCtx
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from tests.fakes import FakeMachine, regions_of
from tests.regions import Ranges, joined

K = 1024


class Recorder(Paddr):
    """paddr that applies to ``share`` of a region in ``cost_us``, and keeps the range."""

    def __init__(self, share: float = 1.0, cost_us: int = 0) -> None:
        self.applied: Ranges = []
        self.share, self.cost_us = share, cost_us

    def apply_scheme(self, ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos) -> tuple[int, int]:
        self.applied.append((region.start, region.end))
        ctx.machine.clock.sleep_us(self.cost_us)
        return int(region.size * self.share), region.size


def taken(ctx: DamonCtx) -> Ranges:
    """The ranges that the context's ``Recorder`` applied since the last call."""
    assert isinstance(ctx.ops, Recorder)
    applied, ctx.ops.applied = ctx.ops.applied, []
    return applied


def recorded(
    *schemes: Damos,
    regions: RegionArray | None = None,
    ops: Recorder | None = None,
    machine: FakeMachine | None = None,
    at_us: int = 1_000_000,
) -> DamonCtx:
    """A context on one target (80 KiB), at ``at_us`` of the machine's time."""
    target = DamonTarget(regions=regions or regions_of((0, 80 * K)))
    ctx = DamonCtx(machine=machine or FakeMachine(), ops=ops or Recorder(), targets=[target], schemes=[*schemes])
    ctx.machine.clock.sleep_us(at_us)
    return ctx


def one_pass(ctx: DamonCtx, advance_ms: int = 0) -> Ranges:
    """One pass of all schemes; then time goes on."""
    for scheme in ctx.schemes:
        scheme.next_apply_sis = ctx.passed_sample_intervals
    kdamond_apply_schemes(ctx)
    ctx.machine.clock.sleep_us(advance_ms * 1000)
    return taken(ctx)


def kib(ranges: Ranges) -> Ranges:
    """Contiguous ranges as one, in KiB."""
    return [(start // K, end // K) for start, end in joined(RegionArray(ranges))]
