# SPDX-License-Identifier: GPL-2.0-only
"""Data-attribute probes on one target's sampled pages (DAMON spec, ops 2.4): a native routine and its plain twin."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from ctypes import c_uint32, c_uint64, c_void_p
from typing import Final

from damon.model.arrays import (
    FOLIO_ANON,
    FOLIO_DECIDED,
    FOLIO_YOUNG,
    MAX_PROBES,
    DamonFolio,
    FolioArray,
    RegionArray,
)
from damon.model.attrs import U32_MAX
from damon.model.context import DamonCtx
from damon.model.machine import PAGE_SIZE, PhysicalSpace
from damon.model.probe import (
    DamonFilter,
    DamonFilterType,
    DamonPrepAction,
    DamonProbe,
    Weights,
    probe_weights,
)
from damon.model.target import DamonTarget
from damon.native import bind
from damon.native.layout import shared
from damon.ops import sampling

_apply = bind(
    "damon_apply_probes",
    c_uint32, c_void_p, c_uint32, c_void_p, c_void_p, c_uint32, c_uint32, c_void_p,
)  # fmt: skip

_probe_begin = bind("damon_probe_begin", None, c_void_p, c_uint32)

#: ``enum probe_test`` of the C side.
_TESTS: Final = {kind: number for number, kind in enumerate(DamonFilterType)}
#: Those that ask whether the page was accessed.
_OF_ACCESS: Final = (DamonFilterType.PGIDLE_UNSET, DamonFilterType.PGIDLE_SET)


@shared("damon_probe_filter")
class _Filter(ctypes.Structure):
    """``struct damon_probe_filter``."""

    _fields_ = (
        ("memcg", c_uint64),
        ("min", c_uint64),
        ("max", c_uint64),
        ("probe", c_uint32),
        ("type", c_uint32),
        ("matching", c_uint32),
        ("allow", c_uint32),
    )


def _native_filters(probes: Sequence[DamonProbe]) -> ctypes.Array[_Filter]:
    rows = [
        _Filter(f.memcg_id, f.range_min, f.range_max, index, _TESTS[f.type], f.matching, f.allow)
        for index, probe in enumerate(probes)
        for f in probe.filters
    ]
    return (_Filter * len(rows))(*rows)


def _matches(wanted: DamonFilter, folio: DamonFolio) -> bool:
    if not folio.nr_pages:
        test = False
    elif wanted.type is DamonFilterType.ANON:
        test = bool(folio.flags & FOLIO_ANON)
    elif wanted.type in _OF_ACCESS:
        test = bool(folio.flags & FOLIO_YOUNG) == (wanted.type is DamonFilterType.PGIDLE_UNSET)
    elif wanted.type is DamonFilterType.HUGEPAGE_SIZE:
        test = wanted.range_min <= folio.nr_pages * PAGE_SIZE <= wanted.range_max
    else:
        test = folio.memcg != 0 and folio.memcg == wanted.memcg_id
    return test == wanted.matching


def passes(probe: DamonProbe, folio: DamonFolio) -> bool:
    """Reference: the first filter that ``folio`` hits decides, else the opposite of the last one's ``allow``."""
    result = True
    for wanted in probe.filters:
        if _matches(wanted, folio):
            return wanted.allow
        result = not wanted.allow
    return result


def apply_probes(
    regions: RegionArray, folios: FolioArray, probes: Sequence[DamonProbe], weights: Weights | None
) -> int:
    """Reference: count the hits of each region's folio; the highest weighted sum of hits, 0 without ``weights``."""
    highest = 0
    for region, folio in zip(regions, folios, strict=True):
        for index, probe in enumerate(probes):
            region.probe_hits[index] = (region.probe_hits[index] + passes(probe, folio)) & 0xFF
        if weights is not None:
            wsum = sum(region.probe_hits[index] * weights[index] for index in range(MAX_PROBES)) & U32_MAX
            highest = max(highest, wsum)
    return highest


def _begin(folios: FolioArray) -> None:
    """Reference: rows without a folio need not be asked whether they are young."""
    for folio in folios:
        folio.flags = folio.flags & ~(FOLIO_YOUNG | FOLIO_DECIDED) if folio.nr_pages else FOLIO_DECIDED


def prepare(ctx: DamonCtx, target: DamonTarget, space: PhysicalSpace, set_samples: bool) -> None:
    """Carry out the preparations of all probes on the sampled page of each region of ``target``."""
    if set_samples:
        sampling.pick(ctx, target, ctx.addr_unit)
    for probe in ctx.probes:
        for prep in probe.preps:
            assert prep.action is DamonPrepAction.SET_PGIDLE
            space.mkold(target.addrs, target.regions.nr)


def _look_up(ctx: DamonCtx, target: DamonTarget, space: PhysicalSpace) -> FolioArray:
    """The folios that the probes test, with what their filters ask about."""
    regions, folios = target.regions, target.folios
    types = {wanted.type for probe in ctx.probes for wanted in probe.filters}
    folios.reserve(regions.nr)
    space.folios_at(target.addrs, regions.nr, folios, sizes=DamonFilterType.HUGEPAGE_SIZE in types)
    if not types.isdisjoint(_OF_ACCESS):
        if ctx.reference:
            _begin(folios)
        else:
            _probe_begin(folios.pointer_to(regions.nr), regions.nr)
        space.folios_young(folios)
    return folios


def apply(ctx: DamonCtx, target: DamonTarget, space: PhysicalSpace, set_samples: bool, return_max_wsum: bool) -> int:
    """Probe the sampled page of each region of ``target``; the highest weighted sum of hits if wanted, else 0.

    Args:
        set_samples: pick the addresses here; else they are those of this sample's access check, or preparation.
    """
    regions = target.regions
    if set_samples:
        sampling.pick(ctx, target, ctx.addr_unit)
    folios = _look_up(ctx, target, space)
    weights = probe_weights(ctx.probes) if return_max_wsum else None
    if ctx.reference:
        return apply_probes(regions, folios, ctx.probes, weights)
    filters = _native_filters(ctx.probes)
    return int(
        _apply(
            regions.pointer, regions.nr, folios.pointer_to(regions.nr), filters, len(filters), len(ctx.probes), weights
        )
    )
