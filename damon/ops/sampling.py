# SPDX-License-Identifier: GPL-2.0-only
"""One sample of one target: pick addresses, count accesses. Native routines and their plain Python twins."""

from __future__ import annotations

from ctypes import c_uint32, c_uint64, c_void_p

from damon.model.arrays import Buffer, RegionArray
from damon.model.context import DamonCtx
from damon.model.machine import AccessBits
from damon.model.random import Random
from damon.model.target import DamonTarget
from damon.native import bind

_pick = bind("damon_pick_sampling_addrs", None, c_void_p, c_uint32, c_void_p, c_uint64, c_void_p)
_update = bind("damon_update_region_accesses", c_uint32, c_void_p, c_uint32, c_void_p)


def pick_sampling_addrs(regions: RegionArray, rnd: Random, addr_unit: int, out: Buffer) -> None:
    """Reference: a uniform address of each region, in ``sampling_addr`` and, in the machine's bytes, in ``out``."""
    for index, region in enumerate(regions):
        region.sampling_addr = rnd.rand(region.start, region.end)
        out[index] = region.sampling_addr * addr_unit


def damon_update_region_access_rate(regions: RegionArray, accessed: Buffer) -> int:
    """Reference: count one sample (DAMON spec, core 4.1); the highest ``nr_accesses``."""
    for index, region in enumerate(regions):
        region.nr_accesses += accessed[index] != 0
    return max((region.nr_accesses for region in regions), default=0)


def pick(ctx: DamonCtx, target: DamonTarget, addr_unit: int = 1) -> None:
    """Pick a sampling address in each region of ``target``."""
    regions, addrs = target.regions, target.addrs
    addrs.reserve(regions.nr)
    if ctx.reference:
        pick_sampling_addrs(regions, ctx.rnd, addr_unit, addrs)
    else:
        _pick(regions.pointer, regions.nr, ctx.rnd.pointer, addr_unit, addrs.pointer_to(regions.nr))


def prepare(ctx: DamonCtx, target: DamonTarget, space: AccessBits, addr_unit: int = 1) -> None:
    """Pick and make old, for all regions of ``target`` at once."""
    pick(ctx, target, addr_unit)
    target.batch = space.mkold(target.addrs, target.regions.nr)


def count(regions: RegionArray, accessed: Buffer) -> int:
    """Count one sample natively; the highest ``nr_accesses``."""
    return int(_update(regions.pointer, regions.nr, accessed.pointer_to(regions.nr)))


def check(ctx: DamonCtx, target: DamonTarget, space: AccessBits) -> int:
    """Ask and count, for all regions of ``target`` at once; the highest ``nr_accesses``."""
    regions, accessed, batch = target.regions, target.accessed, target.batch
    if batch.nr != regions.nr:
        raise ValueError(f"{regions.nr} regions, {batch.nr} made old: regions changed between prepare and check")
    accessed.reserve(regions.nr)
    space.young(batch, accessed)
    if ctx.reference:
        return damon_update_region_access_rate(regions, accessed)
    return count(regions, accessed)
