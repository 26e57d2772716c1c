# SPDX-License-Identifier: GPL-2.0-only
"""Data-attribute probes of a context: validation, commit, moving sum of hits (DAMON spec, core 2.7, 4.2, 9)."""

from __future__ import annotations

from typing import Final

from damon.errors import InvalidInput
from damon.model.arrays import MAX_PROBES, DamonRegion
from damon.model.attrs import U32_MAX
from damon.model.context import DamonCtx
from damon.model.probe import has_weights

_U8_MAX: Final = 255


def damon_valid_probe_params(ctx: DamonCtx) -> None:
    """Refuse probes whose hits, or weighted sums of hits, could overflow (EINVAL). Hits alone may: they wrap."""
    if len(ctx.probes) > MAX_PROBES:
        raise InvalidInput(f"probes: {len(ctx.probes)}: are too many; give at most {MAX_PROBES}")
    if not has_weights(ctx.probes):
        return
    attrs = ctx.attrs
    if attrs.samples(attrs.aggr_interval) > _U8_MAX:
        raise InvalidInput(
            f"aggr_interval: {attrs.aggr_interval} us: has {attrs.samples(attrs.aggr_interval)} samples, probes with "
            f"weights count up to {_U8_MAX}; lower it or raise sample_interval, {attrs.sample_interval} us"
        )
    total, samples = 0, attrs.max_nr_accesses()
    for index, probe in enumerate(ctx.probes):
        total += probe.weight * samples
        if total > U32_MAX:
            raise InvalidInput(
                f"probes[{index}].weight: {probe.weight}: {samples} hits of each probe up to this one weigh {total}, "
                f"above {U32_MAX}; lower the weights"
            )


def damon_commit_probes(dst: DamonCtx, src: DamonCtx) -> None:
    """By position; the regions' hits survive."""
    del dst.probes[len(src.probes) :]
    for ours, theirs in zip(dst.probes, src.probes, strict=False):
        new = theirs.copy()
        ours.weight, ours.filters, ours.preps = new.weight, new.filters, new.preps
    dst.probes.extend(probe.copy() for probe in src.probes[len(dst.probes) :])


def damon_probe_hits_mvsum(region: DamonRegion, probe: int, left_bp: int) -> int:
    """Pseudo moving sum of the hits of ``probe`` over one aggregation interval that ends now (core 4.2); a u8."""
    last = region.last_probe_hits[probe]
    if left_bp == 10000:
        return int(last)
    return (region.probe_hits[probe] + last * left_bp // 10000) & _U8_MAX


def damon_probe_hits_wsum(region: DamonRegion, ctx: DamonCtx, left_bp: int) -> int:
    """The moving sums of all probes' hits by their weights; a u32 (core 2.7)."""
    sums = (damon_probe_hits_mvsum(region, index, left_bp) * probe.weight for index, probe in enumerate(ctx.probes))
    return sum(sums) & U32_MAX
