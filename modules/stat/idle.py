# SPDX-License-Identifier: GPL-2.0-only
"""The numbers of DAMON_STAT from regions (DAMON spec, modules 5): integers, in the kernel's order of operations."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from damon.model.arrays import RegionArray

NR_PERCENTILES: Final = 101
_US_PER_S: Final = 1_000_000
_US_PER_MS: Final = 1000


def memory_bandwidth(regions: Iterable[RegionArray], aggr_interval: int) -> int:
    """Bytes a second: every access seen stands for its whole region once in ``aggr_interval`` us.

    The counts are those of the window that runs; before its end they are too low, and so is the result.
    """
    accessed = sum((r.end - r.start) * r.nr_accesses for rows in regions for r in rows)
    return accessed * _US_PER_S // aggr_interval


def idle_ms(key: int, aggr_interval: int) -> int:
    """``key`` aggregations of ``aggr_interval`` us in ms. Signed division is C's: towards zero."""
    ms = abs(key) * aggr_interval // _US_PER_MS
    return ms if key >= 0 else -ms


def idle_ms_percentiles(regions: RegionArray, aggr_interval: int) -> tuple[int, ...]:
    """The idle times of memory in ms, one for each percent of it from 0 to 100, least idle first.

    Negative: in use, and for so long with a similar rate of accesses. No regions: nothing.
    """
    keyed = [(-1 - r.age if r.nr_accesses else r.age + 1, r.end - r.start) for r in regions]
    keyed.sort()
    total = sum(size for _, size in keyed)
    result: list[int] = []
    accounted = 0
    for key, size in keyed:
        accounted += size
        missing = accounted * 100 // total + 1 - len(result)
        if missing:
            result += [idle_ms(key, aggr_interval)] * missing
    return tuple(result)
