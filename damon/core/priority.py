# SPDX-License-Identifier: GPL-2.0-only
"""Access rates and priority scores of regions (DAMON spec, core 4.2, damos 6.3, 6.4); the native view of a scheme.

The scheme walk (``damos_walk.py``) and the quota (``quota.py``) both hand ``DamosSpec`` rows to C.
"""

from __future__ import annotations

import ctypes
from ctypes import c_uint32, c_uint64, c_void_p
from typing import Final

from damon.model.arrays import DamonRegion, RegionArray
from damon.model.checks import ULONG_MAX, whole
from damon.model.context import DamonCtx
from damon.model.operations import Score
from damon.model.scheme import DAMOS_MAX_SCORE, Damos
from damon.native import bind
from damon.native.layout import shared

_histogram = bind("damos_score_histogram", c_uint32, c_void_p, c_uint32, c_void_p, c_void_p, c_void_p, c_uint32)
_min_score = bind("damos_min_score", c_uint32, c_void_p, c_uint32, c_uint64)
_BUCKETS: Final = DAMOS_MAX_SCORE + 1


@shared("damos_rates")
class DamosRates(ctypes.Structure):
    """What turns counters into rates during one pass: ``struct damos_rates``."""

    aggr_us: int
    left_bp: int
    max_nr_accesses: int

    _fields_ = (("aggr_us", c_uint64), ("left_bp", c_uint32), ("max_nr_accesses", c_uint32))


@shared("damos_spec")
class DamosSpec(ctypes.Structure):
    """Which regions of one target a scheme tries: ``struct damos_spec``."""

    min_sz: int
    max_sz: int
    skip_below: int
    min_nr_accesses: int
    max_nr_accesses: int
    min_age: int
    max_age: int
    wants: int
    scored: int
    score: int
    min_score: int
    weight_nr_accesses: int
    weight_age: int

    _fields_ = (
        ("min_sz", c_uint64),
        ("max_sz", c_uint64),
        ("skip_below", c_uint64),
        ("min_nr_accesses", c_uint32),
        ("max_nr_accesses", c_uint32),
        ("min_age", c_uint32),
        ("max_age", c_uint32),
        ("wants", c_uint32),
        ("scored", c_uint32),
        ("score", c_uint32),
        ("min_score", c_uint32),
        ("weight_nr_accesses", c_uint32),
        ("weight_age", c_uint32),
    )


def fill_pattern(spec: DamosSpec, scheme: Damos, score: Score) -> None:
    """The parts of ``spec`` that do not change during a pass."""
    pattern, quota = scheme.pattern, scheme.quota
    spec.min_sz, spec.max_sz = pattern.min_sz_region, pattern.max_sz_region
    spec.min_nr_accesses, spec.max_nr_accesses = pattern.min_nr_accesses, pattern.max_nr_accesses
    spec.min_age, spec.max_age = pattern.min_age_region, pattern.max_age_region
    spec.score = score
    spec.weight_nr_accesses, spec.weight_age = quota.weight_nr_accesses, quota.weight_age


def left_window_bp(ctx: DamonCtx) -> int:
    """The share of the aggregation that is still to come, in basis points (core 4.2 step 1)."""
    left = ctx.next_aggregation_sis - ctx.passed_sample_intervals
    if left <= 0:
        return 0
    attrs = ctx.attrs
    return left * 10000 // max(max(attrs.aggr_interval, 1) // max(attrs.sample_interval, 1), 1)


def rates_of(ctx: DamonCtx) -> DamosRates:
    return DamosRates(ctx.attrs.aggr_interval, left_window_bp(ctx), ctx.attrs.max_nr_accesses())


def damon_mvsum(region: DamonRegion, left_bp: int) -> int:
    """Pseudo moving sum of ``nr_accesses`` over one aggregation interval that ends now (core 4.2)."""
    if left_bp == 10000:
        return region.last_nr_accesses
    return region.nr_accesses + region.last_nr_accesses * left_bp // 10000


def damon_hot_score(nr_accesses: int, age: int, weight_nr_accesses: int, weight_age: int, rates: DamosRates) -> int:
    """0 (coldest) to 99 (hottest) by access frequency and age (damos 6.4); a cold score is 99 minus this."""
    frequency = nr_accesses * 100 // rates.max_nr_accesses
    log = min((age * rates.aggr_us // 1000000).bit_length(), 32)
    subscore = ((log if frequency else -log) + 32) * 100 // 32 // 2
    hotness = weight_nr_accesses * frequency + weight_age * subscore
    if weight_nr_accesses + weight_age:
        hotness //= weight_nr_accesses + weight_age
    return max(0, min(hotness * DAMOS_MAX_SCORE // 100, DAMOS_MAX_SCORE))


def region_score(ctx: DamonCtx, region: DamonRegion, scheme: Damos, rates: DamosRates) -> int:
    """The priority of ``region`` for ``scheme``, 0..99."""
    kind = ctx.ops.score(scheme)
    if kind is Score.CUSTOM:
        what = f"operations set {ctx.ops.id}: get_scheme_score() returned"
        return whole(what, ctx.ops.get_scheme_score(ctx, region, scheme), high=DAMOS_MAX_SCORE)
    if kind is Score.MAX:
        return DAMOS_MAX_SCORE
    quota = scheme.quota
    hot = damon_hot_score(
        damon_mvsum(region, rates.left_bp), region.age, quota.weight_nr_accesses, quota.weight_age, rates
    )
    return hot if kind is Score.HOT else DAMOS_MAX_SCORE - hot


def matches(region: DamonRegion, scheme: Damos, left_bp: int) -> bool:
    """Does ``region`` have the scheme's access pattern (damos 2)?"""
    pattern = scheme.pattern
    return (
        pattern.min_sz_region <= region.size <= pattern.max_sz_region
        and pattern.min_nr_accesses <= damon_mvsum(region, left_bp) <= pattern.max_nr_accesses
        and pattern.min_age_region <= region.age <= pattern.max_age_region
    )


class ScoreHistogram:
    """Bytes of a scheme's matching regions by priority score: 100 buckets."""

    def __init__(self, ctx: DamonCtx, scheme: Damos, rates: DamosRates | None = None) -> None:
        self._ctx, self._scheme = ctx, scheme
        self._rates = rates if rates is not None else rates_of(ctx)
        self._spec = DamosSpec()
        self._kind = ctx.ops.score(scheme)
        fill_pattern(self._spec, scheme, self._kind)
        self._buckets = (c_uint64 * _BUCKETS)()
        self._max_score = 0

    def add_region(self, region: DamonRegion) -> None:
        """One region, whatever its pattern."""
        score = region_score(self._ctx, region, self._scheme, self._rates)
        self._buckets[score] += region.size
        self._max_score = max(self._max_score, score)

    def matches(self, region: DamonRegion) -> bool:
        return matches(region, self._scheme, self._rates.left_bp)

    def add(self, regions: RegionArray) -> None:
        if self._ctx.reference or self._kind is Score.CUSTOM:
            for region in regions:
                if self.matches(region):
                    self.add_region(region)
            return
        self._max_score = _histogram(
            regions.pointer, regions.nr, ctypes.addressof(self._spec), ctypes.addressof(self._rates),
            ctypes.addressof(self._buckets), self._max_score,
        )  # fmt: skip

    def min_score(self, esz: int) -> int:
        """The lowest score that still gets a share of ``esz`` bytes when the highest go first (damos 6.3)."""
        if not self._ctx.reference and 0 <= esz <= ULONG_MAX:
            return int(_min_score(ctypes.addressof(self._buckets), self._max_score, esz))
        accumulated, score = 0, self._max_score
        while True:
            accumulated += self._buckets[score]
            if accumulated >= esz or not score:
                return score
            score -= 1
