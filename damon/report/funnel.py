# SPDX-License-Identifier: GPL-2.0-only
"""How much of memory each stage of a scheme lets through: the table ``funnel``, if a run has one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from damon.report.asked import Context
from damon.report.curves import MIB, scheme_name
from damon.report.differences import text
from damon.results.arrays import chunks
from damon.results.run import Run
from damon.results.tables import TABLES, Kind

_TABLE: Final = "funnel"
_KEYS: Final = ("time_ns", "context", "scheme")
_MAX_SCHEMES: Final = 64


@dataclass(frozen=True)
class Funnel:
    """Of a scheme: the stages in order, and MiB that passed each, as a mean over time."""

    scheme: str
    stages: tuple[str, ...]
    mib: tuple[float, ...]

    def texts(self) -> list[tuple[str, str]]:
        """A row for each stage."""
        return [(stage, text(mib)) for stage, mib in zip(self.stages, self.mib, strict=True)]


def funnels(run: Run, known: dict[int, Context]) -> list[Funnel]:
    """One for each scheme; none where the table is not known or has no rows."""
    if _TABLE not in TABLES:
        return []
    stages = [column.name for column in TABLES[_TABLE] if column.name not in _KEYS and column.kind is not Kind.TEXT]
    sums: dict[tuple[int, int], np.ndarray[tuple[int], np.dtype[np.float64]]] = {}
    counts: dict[tuple[int, int], int] = {}
    for chunk in chunks(run, _TABLE):
        keys = np.stack([chunk["context"], chunk["scheme"]], axis=1)
        for context, scheme in np.unique(keys, axis=0).tolist():
            rows = (chunk["context"] == context) & (chunk["scheme"] == scheme)
            more = np.array([np.nansum(chunk[stage][rows].astype(np.float64)) for stage in stages])
            if (context, scheme) in sums or len(sums) < _MAX_SCHEMES:
                sums[context, scheme] = sums.get((context, scheme), np.zeros(len(stages))) + more
                counts[context, scheme] = counts.get((context, scheme), 0) + int(rows.sum())
    names = tuple(stage.removesuffix("_bytes").replace("_", " ") for stage in stages)
    return [
        Funnel(scheme_name(known, *key), names, tuple((total / counts[key] / MIB).tolist()))
        for key, total in sorted(sums.items())
    ]
