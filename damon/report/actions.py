# SPDX-License-Identifier: GPL-2.0-only
"""What schemes did where and when: the table ``actions``, with those side by side in time and address as one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from damon.report.asked import Context
from damon.report.heat import Grid
from damon.report.space import Floats
from damon.results.arrays import chunks
from damon.results.run import Run

#: Actions of a context that are shown; those that applied to the most.
MAX_ACTIONS: Final = 3000
#: Cells of time, in which actions of a scheme on the same range are one.
_TIMES: Final = 480


@dataclass(frozen=True)
class Actions:
    """Each at ``time`` (s) from ``low`` to ``high`` of the address axis, of ``scheme``, to ``applied`` bytes."""

    time: Floats
    low: Floats
    high: Floats
    scheme: Floats
    applied: Floats
    nr: int = 0  #: actions that applied to anything, in all
    idle: int = 0  #: actions that applied to nothing


def actions(run: Run, context: Context, grid: Grid) -> Actions:
    """Those of ``context``, on the axes of ``grid``."""
    joined: dict[tuple[int, ...], list[float]] = {}
    nr = idle = 0
    scale = _TIMES / max(grid.end_ns - grid.start_ns, 1)
    names = ("time_ns", "scheme", "target", "start", "end", "applied_bytes")
    for chunk in chunks(run, "actions"):
        mine = (chunk["context"] == context.number) & np.isin(chunk["target"], grid.space.targets)
        idle += int((mine & (chunk["applied_bytes"] == 0)).sum())
        for time_ns, scheme, target, start, end, applied in zip(
            *(chunk[name][mine & (chunk["applied_bytes"] > 0)].tolist() for name in names), strict=True
        ):
            nr += 1
            low, high = grid.space.at(target, [start, max(start, end)])
            cell = int((time_ns - grid.start_ns) * scale)
            places = np.searchsorted(grid.edges, [low, high], side="right").tolist()
            one = joined.setdefault((cell, scheme, *places), [time_ns / 1e9, low, high, 0.0])
            one[1], one[2], one[3] = min(one[1], low), max(one[2], high), one[3] + applied
            if len(joined) > 8 * MAX_ACTIONS:
                joined = _most(joined, MAX_ACTIONS)
    rows = sorted((*values, float(key[1])) for key, values in _most(joined, MAX_ACTIONS).items())
    time, low_, high_, size, by = np.array(rows, np.float64).reshape(-1, 5).T
    return Actions(time, low_, high_, by, size, nr, idle)


def _most(joined: dict[tuple[int, ...], list[float]], nr: int) -> dict[tuple[int, ...], list[float]]:
    ordered = sorted(joined.items(), key=lambda one: -one[1][3])
    return dict(ordered[:nr])
