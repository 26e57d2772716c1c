# SPDX-License-Identifier: GPL-2.0-only
"""Regions as the user's own code leaves them: checked natively before the core computes with them.

Adjustment divides by sizes and makes room by them, so a region that ends before it starts must not get there.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_uint32, c_uint64, c_void_p
from typing import Final

from damon.core.reference import RegionFault, first_fault
from damon.errors import InvalidInput
from damon.model.arrays import RegionArray
from damon.model.context import DamonCtx
from damon.model.operations import Operations
from damon.native import bind

_check = bind("damon_check_regions", c_uint32, c_void_p, c_uint32, c_uint64, c_void_p)

_WHY: Final = {
    RegionFault.EMPTY: "it ends at or before its start; regions are half-open and not empty",
    RegionFault.OVERLAPS: "it begins before the end of the one before; sort regions by address, without overlaps",
    RegionFault.UNALIGNED: "its bounds are not multiples of min_region_sz {unit}; align them",
}


def find_fault(ctx: DamonCtx, regions: RegionArray, unit: int = 1) -> tuple[RegionFault, int]:
    """What is wrong with the first wrong region, and its index."""
    if ctx.reference:
        return first_fault(regions, unit)
    at = c_uint32()
    fault = _check(regions.pointer, regions.nr, unit, ctypes.addressof(at))
    return (RegionFault(fault) if fault else RegionFault.RIGHT), at.value


def check_regions(ctx: DamonCtx, whose: str, unit: int = 1) -> None:
    """Refuse regions that are empty, overlap, are unsorted, or have bounds that are not multiples of ``unit``.

    Raises:
        InvalidInput: names the target, the region and ``whose`` it is.
        ValueError: a target has more regions than memory for them.
    """
    for number, target in enumerate(ctx.targets):
        fault, index = find_fault(ctx, target.regions, unit)
        if fault is not RegionFault.RIGHT:
            region = target.regions[index]
            bounds = f"{region.start}-{region.end}"
            raise InvalidInput(f"region {index} of target {number} {whose}: {bounds}: {_WHY[fault].format(unit=unit)}")


def inherited(ops: Operations, name: str) -> bool:
    """Does an operations set leave the step ``name`` as it is for all, that is empty?"""
    return getattr(getattr(ops, name), "__func__", None) is getattr(Operations, name)


def checked_step(ctx: DamonCtx, step: Callable[[DamonCtx], None], name: str) -> None:
    """``step`` of the operations set (its ``name``), which may set the regions anew; then they are checked.

    Regions that were aligned before have to be afterwards. Those made for another ``min_region_sz``, which a commit
    changed, need not. A set that inherits a step which does nothing costs nothing.
    """
    if inherited(ctx.ops, name):
        return
    aligned = all(find_fault(ctx, target.regions, ctx.min_region_sz)[0] is RegionFault.RIGHT for target in ctx.targets)
    step(ctx)
    check_regions(ctx, f"after {name}() of operations set {ctx.ops.id!r}", ctx.min_region_sz if aligned else 1)
