# SPDX-License-Identifier: GPL-2.0-only
"""The core's routines over 1000 regions: C against the plain Python twin, taken in turns."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

from damon.core import regions as adjust
from damon.core.damos_walk import kdamond_apply_schemes
from damon.core.regions import SplitState
from damon.model.arrays import Batch, Buffer, RegionArray
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.model.random import Random
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosQuota
from damon.model.target import DamonTarget
from damon.ops import sampling
from damon.ops.paddr import Paddr
from tests.fakes import FakeMachine

NR = 1000
ROUNDS = 7


class NullSpace:
    """Memory that answers nothing, for free."""

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        return Batch(addrs, nr)

    def young(self, batch: Batch, out: Buffer) -> None: ...


def context(reference: bool) -> DamonCtx:
    regions = RegionArray((i << 20, (i + 1) << 20) for i in range(NR))
    for index, region in enumerate(regions):
        region.nr_accesses = region.last_nr_accesses = index % 3 * 7
    scheme = Damos(
        pattern=DamosAccessPattern(min_age_region=1 << 30),
        action=DamosAction.PAGEOUT,
        quota=DamosQuota(sz=1 << 20, reset_interval=1 << 40, weight_age=1),
    )
    return DamonCtx(
        machine=FakeMachine(), ops=Paddr(), attrs=DamonAttrs(max_nr_regions=2 * NR + 1), rnd=Random(1),
        reference=reference, targets=[DamonTarget(regions=regions)], schemes=[scheme],
    )  # fmt: skip


def sample(ctx: DamonCtx) -> None:
    sampling.prepare(ctx, ctx.targets[0], NullSpace())
    sampling.check(ctx, ctx.targets[0], NullSpace())


def split_and_merge(ctx: DamonCtx) -> None:
    adjust.kdamond_split_regions(ctx, SplitState())
    adjust.kdamond_merge_regions(ctx, 0, 1 << 20)


def schemes(ctx: DamonCtx) -> None:
    ctx.schemes[0].next_apply_sis = 0
    kdamond_apply_schemes(ctx)


def microseconds(job: Callable[[DamonCtx], None], reference: bool) -> float:
    ctx = context(reference)
    job(ctx)
    repeat = 1 if reference else 20
    began = time.perf_counter()
    for _ in range(repeat):
        job(ctx)
    return (time.perf_counter() - began) / repeat * 1e6


def main() -> None:
    print(f"{'1000 regions':<22}{'C, us':>10}{'Python, us':>12}{'ratio':>9}")
    for name, job in (("one sample", sample), ("split and merge", split_and_merge), ("scheme pass", schemes)):
        pairs = [(microseconds(job, False), microseconds(job, True)) for _ in range(ROUNDS)]
        native, python = (statistics.median(column) for column in zip(*pairs, strict=True))
        ratio = statistics.median(b / a for a, b in pairs)
        print(f"{name:<22}{native:>10.1f}{python:>12.0f}{ratio:>8.0f}x")


if __name__ == "__main__":
    main()
