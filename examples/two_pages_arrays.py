# SPDX-License-Identifier: GPL-2.0-only
"""``TwoPages`` of docs/how-to/prototyping.md with its loops in NumPy: all regions of a target at once."""

from __future__ import annotations

import numpy

import damon
from damon.ops import sampling

ROW = numpy.dtype(damon.DamonRegion)


class TwoPagesArrays(damon.Fvaddr):
    """Virtual addresses; a region was accessed if either of two pages of it was."""

    id = "vaddr-two-arrays"

    def prepare_access_checks(self, ctx: damon.DamonCtx) -> None:
        for target in ctx.targets:
            nr = len(target.regions)
            target.addrs.reserve(2 * nr)
            addrs = numpy.frombuffer(memoryview(target.addrs.rows), numpy.uint64)
            sampling.pick(ctx, target)  # an address of each region, in addrs[:nr] and in the regions' sampling_addr
            addrs[nr : 2 * nr] = addrs[:nr]
            sampling.pick(ctx, target)
            target.batch = damon.process_space(target).mkold(target.addrs, 2 * nr)

    def check_accesses(self, ctx: damon.DamonCtx) -> int:
        highest = 0
        for target in ctx.targets:
            nr = len(target.regions)
            target.accessed.reserve(2 * nr)
            damon.process_space(target).young(target.batch, target.accessed)
            young = numpy.frombuffer(memoryview(target.accessed.rows), numpy.uint8)
            counts = numpy.frombuffer(memoryview(target.regions.rows()), ROW)["nr_accesses"]
            counts += young[:nr] | young[nr : 2 * nr]
            highest = max(highest, int(counts.max(initial=0)))
        return highest
