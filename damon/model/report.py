# SPDX-License-Identifier: GPL-2.0-only
"""Accesses that a source reports, and which of them count: ``damon_report_access()`` (DAMON spec, next 7)."""

from __future__ import annotations

import enum
from collections.abc import Sequence
from dataclasses import dataclass

from damon.model.checks import INT_MAX, INT_MIN, U32_MAX, member, truths, wholes


@dataclass(slots=True)
class DamonAccessReport:
    """One access: of ``size`` bytes at ``paddr`` and, in the process of ``tid``, at ``vaddr``."""

    paddr: int
    vaddr: int = 0
    size: int = 1
    cpu: int = 0
    tid: int = 0
    is_write: bool = False

    def __post_init__(self) -> None:
        wholes(self, ("paddr", "vaddr"))
        wholes(self, ("size",), 1)
        wholes(self, ("cpu",), high=U32_MAX)
        wholes(self, ("tid",), INT_MIN, INT_MAX)
        truths(self, "is_write")


class DamonSampleFilterType(enum.Enum):
    """What a filter asks about a report."""

    CPUMASK = "cpumask"  #: one of ``cpus`` made it
    THREADS = "threads"  #: one of ``tids`` made it
    WRITE = "write"  #: it is a write


@dataclass(frozen=True)
class DamonSampleFilter:
    """A report hits iff its type's test equals ``matching``; the first hit decides by ``allow``.

    Without a hit the opposite of the last filter's ``allow`` decides, as for all other filters.
    """

    type: DamonSampleFilterType
    matching: bool
    allow: bool = False
    cpus: frozenset[int] = frozenset()
    tids: frozenset[int] = frozenset()

    def __post_init__(self) -> None:
        object.__setattr__(self, "type", member("DamonSampleFilter.type", self.type, DamonSampleFilterType))

    def hits(self, report: DamonAccessReport) -> bool:
        if self.type is DamonSampleFilterType.CPUMASK:
            test = report.cpu in self.cpus
        elif self.type is DamonSampleFilterType.THREADS:
            test = report.tid in self.tids
        else:
            test = report.is_write
        return test == self.matching


def allowed(report: DamonAccessReport, filters: Sequence[DamonSampleFilter]) -> bool:
    """Does ``report`` count?"""
    for wanted in filters:
        if wanted.hits(report):
            return wanted.allow
    return not filters or not filters[-1].allow
