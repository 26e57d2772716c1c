# SPDX-License-Identifier: GPL-2.0-only
"""What a comparison comes to: a row of figures of each monitor, and one of each area."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from damon.guests.accuracy.compare import Compared, Moment

_PAGE: Final = 4096
PERCENTILES: Final = (50, 75, 95)


@dataclass(frozen=True)
class Figures:
    """Of one run. Recall and precision are of hot byte-snapshots, None where there are none.

    ``used`` and ``observed_used`` are the working set in bytes at ``PERCENTILES`` of the snapshots, ``used_error`` the
    share by which the second differs. Errors of idle time and age are means over pages and snapshots, in s.
    """

    snapshots: int
    snapshot_s: float
    sample_us: float
    regions: float
    recall: float | None
    precision: float | None
    hot: float
    observed_hot: float
    used: tuple[float, ...]
    observed_used: tuple[float, ...]
    used_error: tuple[float | None, ...]
    idle_error_s: float
    idle_bias_s: float
    age_error_s: float

    def plain(self) -> dict[str, Any]:
        """As plain values."""
        return {name: list(value) if isinstance(value, tuple) else value for name, value in self.__dict__.items()}


def figures(compared: Compared) -> Figures:
    """Of a run that has a snapshot."""
    moments = compared.moments
    both = sum(one.both for one in moments)
    used, seen = _spread([one.used for one in moments]), _spread([one.observed_used for one in moments])
    return Figures(
        len(moments), _step(moments), float(np.median([one.sample_us for one in moments])),
        _mean([one.regions for one in moments]), _share(both, sum(one.hot for one in moments)),
        _share(both, sum(one.observed_hot for one in moments)), _mean([one.hot for one in moments]),
        _mean([one.observed_hot for one in moments]), used, seen,
        tuple(b / a - 1 if a else None for a, b in zip(used, seen, strict=True)),
        _mean([one.idle_error_s for one in moments]), _mean([one.idle_bias_s for one in moments]),
        _mean([one.age_error_s for one in moments]),
    )  # fmt: skip


def areas(compared: Compared, most: int) -> list[tuple[str, float, float, float]]:
    """The largest areas: name, mean bytes, frequency in truth and as observed."""
    nr = len(compared.moments)
    rows = [
        (name, sums.bytes / nr, sums.true * _PAGE / sums.bytes, sums.observed * _PAGE / sums.bytes)
        for name, sums in compared.areas.items()
        if sums.bytes
    ]
    return sorted(rows, key=lambda row: -row[1])[:most]


def _step(moments: list[Moment]) -> float:
    times = [one.at_s for one in moments]
    return float(np.median(np.diff(times))) if len(times) > 1 else 0.0


def _spread(values: list[int]) -> tuple[float, ...]:
    return tuple(float(value) for value in np.percentile(values, PERCENTILES))


def _mean(values: list[float] | list[int]) -> float:
    return float(np.mean(values))


def _share(part: int, whole: int) -> float | None:
    return part / whole if whole else None
