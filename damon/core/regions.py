# SPDX-License-Identifier: GPL-2.0-only
"""Adaptive regions adjustment of a whole context (DAMON spec, core 5): merge and age, reset, split."""

from __future__ import annotations

from ctypes import c_int, c_uint32, c_uint64, c_void_p
from dataclasses import dataclass

from damon.core import reference
from damon.core.trace import trace_aggregated
from damon.model.arrays import RegionArray
from damon.model.context import DamonCtx
from damon.model.probe import has_weights, probe_weights
from damon.model.regions import align_up
from damon.native import bind

_total_size = bind("damon_total_size", c_uint64, c_void_p, c_uint32)
_merge = bind("damon_merge_regions_of", c_uint32, c_void_p, c_uint32, c_uint32, c_uint64, c_int, c_void_p)
_reset = bind("damon_reset_aggregated", None, c_void_p, c_uint32)
_split = bind("damon_split_regions_of", c_uint32, c_void_p, c_uint32, c_uint32, c_uint64, c_void_p)
_split_some = bind(
    "damon_split_some_regions_of",
    c_uint32, c_void_p, c_uint32, c_uint64, c_uint64, c_uint64, c_uint64, c_void_p,
)  # fmt: skip
_nr_split_to_limit = bind("damon_nr_split_to_limit", c_uint64, c_void_p, c_uint32, c_uint64)
_split_to_limit = bind("damon_split_to_limit", None, c_void_p, c_uint32, c_uint64, c_uint64)


@dataclass
class SplitState:
    """What splitting remembers from aggregation to aggregation: one per machine, shared by its contexts (core 5.5)."""

    last_nr_regions: int = 0
    rotation: int = 0


def damon_region_sz_limit(ctx: DamonCtx) -> int:
    """The size up to which regions may merge (core 5.1), bytes."""
    total = 0
    for target in ctx.targets:
        total += _total_size(target.regions.pointer, target.regions.nr)
    return max(total // ctx.attrs.min_nr_regions, ctx.min_region_sz)


def damon_apply_min_nr_regions(ctx: DamonCtx) -> int:
    """Cut regions that are too big for ``min_nr_regions``; the limit used (core 5.4)."""
    limit = align_up(damon_region_sz_limit(ctx), ctx.min_region_sz)
    for target in ctx.targets:
        regions = target.regions
        if ctx.reference:
            reference.split_to_limit(regions, limit)
            continue
        rows = _nr_split_to_limit(regions.pointer, regions.nr, limit)
        if rows > regions.nr:
            try:
                regions.reserve(rows)
            except (MemoryError, OverflowError):  # as where damon_split_region_at() has none: what there is stays
                return limit
            _split_to_limit(regions.pointer, regions.nr, limit, rows)
            regions.nr = rows
    return limit


def _merge_pass(ctx: DamonCtx, threshold: int, sz_limit: int, with_age: bool) -> None:
    weights = probe_weights(ctx.probes) if has_weights(ctx.probes) else None
    for target in ctx.targets:
        regions = target.regions
        if ctx.reference:
            reference.damon_merge_regions_of(regions, threshold, sz_limit, with_age, weights)
        else:
            regions.nr = _merge(regions.pointer, regions.nr, threshold, sz_limit, with_age, weights)


def kdamond_merge_regions(ctx: DamonCtx, threshold: int, sz_limit: int) -> None:
    """Age and merge; merge again with higher thresholds while there are too many regions (core 5.3).

    Regions differ by their accesses, or where a probe has a weight by the weighted sum of their probe hits.
    """
    max_threshold = ctx.attrs.aggr_interval // max(ctx.attrs.sample_interval, 1)
    _merge_pass(ctx, threshold, sz_limit, with_age=True)
    while ctx.nr_regions() > ctx.attrs.max_nr_regions and threshold < max_threshold:
        threshold = max(1, 2 * threshold) if threshold < max_threshold // 2 else max_threshold
        _merge_pass(ctx, threshold, sz_limit, with_age=False)


def kdamond_reset_aggregated(ctx: DamonCtx) -> None:
    """``last_nr_accesses`` takes over, counting starts again (core 3.5 step 10c)."""
    trace_aggregated(ctx)
    for target in ctx.targets:
        if ctx.reference:
            reference.reset_aggregated(target.regions)
        else:
            _reset(target.regions.pointer, target.regions.nr)


def _split_target(ctx: DamonCtx, regions: RegionArray, nr_subs: int) -> None:
    if ctx.reference:
        reference.damon_split_regions_of(regions, nr_subs, ctx.min_region_sz, ctx.rnd)
        return
    regions.reserve(regions.nr * nr_subs)
    regions.nr = _split(regions.pointer, regions.nr, nr_subs, ctx.min_region_sz, ctx.rnd.pointer)


def damon_split_some_regions(ctx: DamonCtx, nr_regions: int, state: SplitState) -> None:
    """Above half of the maximum: split a rotating subset, so that the total stays below it."""
    step = ctx.attrs.max_nr_regions // (ctx.attrs.max_nr_regions - nr_regions)
    offset = state.rotation % step
    state.rotation += 1
    first = 0
    for target in ctx.targets:
        regions = target.regions
        nr = regions.nr
        if ctx.reference:
            reference.split_some_regions_of(regions, first, step, offset, ctx.min_region_sz, ctx.rnd)
        else:
            regions.reserve(2 * nr)
            regions.nr = _split_some(regions.pointer, nr, first, step, offset, ctx.min_region_sz, ctx.rnd.pointer)
        first += nr


def kdamond_split_regions(ctx: DamonCtx, state: SplitState) -> None:
    """Split at random so that the next aggregations can tell the parts apart (core 5.5)."""
    nr_regions, most = ctx.nr_regions(), ctx.attrs.max_nr_regions
    if most // 2 < nr_regions < most:
        damon_split_some_regions(ctx, nr_regions, state)
    elif nr_regions <= most // 2:
        nr_subs = 3 if state.last_nr_regions == nr_regions and nr_regions < most // 3 else 2
        for target in ctx.targets:
            _split_target(ctx, target.regions, nr_subs)
    state.last_nr_regions = nr_regions
