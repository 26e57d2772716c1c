# SPDX-License-Identifier: GPL-2.0-only
"""The address axis of a heatmap: the monitored ranges of all targets one after the other, without what is between."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from damon.model.machine import PAGE_SIZE

Floats = NDArray[np.float64]

#: Between two ranges, as a share of all.
_GAP: Final = 0.006


@dataclass(frozen=True)
class Segment:
    """Addresses from ``start`` to ``end`` of a target, which begin at ``at`` of the axis."""

    target: int
    start: int
    end: int
    at: float


@dataclass(frozen=True)
class Named:
    """``name`` is from ``low`` to ``high`` of the axis."""

    name: str
    low: float
    high: float


class Space:
    """Where addresses of targets are on the axis; its unit is that of the addresses.

    Args:
        ranges: of each target, in order and disjoint.
    """

    def __init__(self, ranges: Mapping[int, Sequence[tuple[int, int]]]) -> None:
        total = sum(end - start for pieces in ranges.values() for start, end in pieces)
        nr = sum(map(len, ranges.values()))
        self.gap = int(total * min(_GAP, 0.3 / max(nr, 1))) // PAGE_SIZE * PAGE_SIZE
        self.segments: list[Segment] = []
        at = 0.0
        for target, pieces in sorted(ranges.items()):
            for start, end in pieces:
                self.segments.append(Segment(target, start, end, at))
                at += end - start + self.gap
        self.size = max(at - self.gap, 1.0)
        self._by_target: dict[int, tuple[Any, Any, Any]] = {}
        for target in ranges:
            mine = [segment for segment in self.segments if segment.target == target]
            starts = np.array([segment.start for segment in mine], np.uint64)
            sizes = np.array([float(segment.end - segment.start) for segment in mine])
            self._by_target[target] = starts, sizes, np.array([segment.at for segment in mine])

    def at(self, target: int, addresses: Any) -> Floats:
        """Where ``addresses`` (ascending) of ``target`` are; those between ranges are at the end of the one below."""
        starts, sizes, ats = self._by_target[target]
        addresses = np.asarray(addresses, np.uint64)
        index = np.maximum(np.searchsorted(starts, addresses, side="right"), 1) - 1
        past = np.where(addresses > starts[index], addresses - starts[index], np.uint64(0)).astype(np.float64)
        found: Floats = ats[index] + np.minimum(past, sizes[index])
        return found

    def span(self, target: int) -> tuple[float, float]:
        """Where the ranges of ``target`` begin and end."""
        _, sizes, ats = self._by_target[target]
        return float(ats[0]), float(ats[-1] + sizes[-1])

    @property
    def targets(self) -> list[int]:
        return list(self._by_target)


def spread(low: Floats, high: Floats, values: Floats, edges: Floats) -> Floats:
    """The integrals between ``edges`` of a function that is ``values`` from ``low`` to ``high``, and 0 elsewhere."""
    if not len(low):
        return np.zeros(len(edges) - 1)
    at = np.empty(2 * len(low))
    at[0::2], at[1::2] = low, high
    total = np.empty(2 * len(low))
    ends = np.cumsum(values * (high - low))
    total[1::2] = ends
    total[0::2] = ends - values * (high - low)
    return np.diff(np.interp(edges, at, total))
