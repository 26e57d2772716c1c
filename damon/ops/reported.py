# SPDX-License-Identifier: GPL-2.0-only
"""Operations sets that count reported accesses instead of asking for accessed bits (DAMON spec, next 7)."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import c_uint32, c_void_p
from typing import ClassVar, Protocol

from damon.model.arrays import U64, Buffer, RegionArray
from damon.model.checks import instance
from damon.model.context import DamonCtx
from damon.model.report import DamonAccessReport, DamonSampleFilter, allowed
from damon.model.target import DamonTarget
from damon.native import bind
from damon.ops import sampling
from damon.ops.paddr import Paddr
from damon.ops.vaddr import Vaddr

_mark = bind("damon_mark_reported", None, c_void_p, c_uint32, c_void_p, c_uint32, c_void_p)


class Reports(Protocol):
    """``Damon.reports``."""

    nr_reported: int

    def after(self, number: int) -> Sequence[DamonAccessReport]:
        """Those after report ``number``."""


def mark_reported(regions: RegionArray, ranges: Sequence[tuple[int, int]], out: Buffer) -> None:
    """Reference: ``out[i]`` := 1 if one of ``ranges`` is in region ``i``, whole, else 0."""
    for index, region in enumerate(regions):
        out[index] = any(region.start <= start and end <= region.end for start, end in ranges)


def _count(ctx: DamonCtx, target: DamonTarget, ranges: Sequence[tuple[int, int]]) -> int:
    """One sample of each region: accessed if a report is in it. The highest ``nr_accesses``."""
    regions, accessed = target.regions, target.accessed
    accessed.reserve(regions.nr)
    if ctx.reference:
        mark_reported(regions, ranges, accessed)
        return sampling.damon_update_region_access_rate(regions, accessed)
    flat = Buffer(U64, max(2 * len(ranges), 1))
    for index, (start, end) in enumerate(ranges):
        flat[2 * index], flat[2 * index + 1] = start, end
    _mark(regions.pointer, regions.nr, flat.pointer_to(2 * len(ranges)), len(ranges), accessed.pointer_to(regions.nr))
    return sampling.count(regions, accessed)


class _Reported:
    """What both sets share.

    Args:
        reports: of the ``Damon`` that runs the contexts.
        filters: which reports count; all of them without any.
    """

    def __init__(self, reports: Reports, filters: Sequence[DamonSampleFilter] = ()) -> None:
        for wanted in filters:
            instance("filters", wanted, DamonSampleFilter)
        self._reports, self._filters = reports, tuple(filters)

    def prepare_access_checks(self, ctx: DamonCtx) -> None:
        """What is reported from now on belongs to the next sample."""
        ctx.sampled = self._reports.nr_reported

    def _counting(self, ctx: DamonCtx) -> list[DamonAccessReport]:
        """The reports of the sampling interval that ends now."""
        number = ctx.sampled
        assert isinstance(number, int), "prepare_access_checks() comes first"
        return [report for report in self._reports.after(number) if allowed(report, self._filters)]


class ReportedPaddr(_Reported, Paddr):
    """``paddr`` by reports of physical addresses: nothing is made old, and nothing asked."""

    id: ClassVar[str] = "paddr_reported"

    def check_accesses(self, ctx: DamonCtx) -> int:
        unit = ctx.addr_unit
        ranges = [(one.paddr // unit, -(-(one.paddr + one.size) // unit)) for one in self._counting(ctx)]
        return max((_count(ctx, target, ranges) for target in ctx.targets), default=0)


class ReportedVaddr(_Reported, Vaddr):
    """``vaddr`` by reports of virtual addresses of each target's own process."""

    id: ClassVar[str] = "vaddr_reported"

    def check_accesses(self, ctx: DamonCtx) -> int:
        counting = self._counting(ctx)
        highest = 0
        for target in ctx.targets:
            ranges = [(one.vaddr, one.vaddr + one.size) for one in counting if one.tid == target.pid]
            highest = max(highest, _count(ctx, target, ranges))
        return highest
