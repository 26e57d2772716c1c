# SPDX-License-Identifier: GPL-2.0-only
"""The tables of results and their columns: names, kinds, units. The same for each engine and machine.

Times are ns of the machine's clock since recording began, sizes are bytes. Counts are since the start.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

#: The values of one column, one for each row; None: it is not known there.
Values = Sequence[int] | Sequence[float] | Sequence[str] | Sequence[int | None] | Sequence[float | None]
#: Rows of one table: equally many values of each column.
Columns = Mapping[str, Values]


class Kind(enum.Enum):
    """What the values of a column are; integers are unsigned and have 64 bits."""

    INT = "int"
    FLOAT = "float"
    TEXT = "text"


@dataclass(frozen=True)
class Column:
    """A column of a table; ``unit`` as users read it."""

    name: str
    unit: str
    text: str
    kind: Kind = Kind.INT
    optional: bool = False  #: a machine may not know it


def _text(name: str, text: str) -> Column:
    return Column(name, "name", text, Kind.TEXT)


_TIME: Final = Column("time_ns", "ns", "of the machine's clock")
_CONTEXT: Final = Column("context", "number", "of the context, by run.json")
_SCHEME: Final = Column("scheme", "number", "of the scheme in its context")
_TARGET: Final = Column("target", "number", "of the target in its context")
_RESIDENT: Final = Column("resident_bytes", "bytes", "in memory")
_SWAPPED: Final = Column("swapped_bytes", "bytes", "in swap", optional=True)
_FAULTS: Final = Column("faults", "count", "accesses that found their page absent", optional=True)
_REFAULTS: Final = Column("refaults", "count", "of these, pages that had been reclaimed", optional=True)
_MEMORY_EVENTS: Final = ("low", "high", "max", "oom", "oom_kill")
_START: Final = Column("start", "address unit", "of the range")
_END: Final = Column("end", "address unit", "after the range")

TABLES: Final[Mapping[str, Sequence[Column]]] = {
    "machine": (
        _TIME, Column("free_bytes", "bytes", "free memory"),
        Column("resident_bytes", "bytes", "in memory, of all processes", optional=True), _SWAPPED, _FAULTS, _REFAULTS,
        Column("swap_ins", "pages", "read from swap", optional=True),
        Column("swap_outs", "pages", "written to swap", optional=True),
        Column("psi_some_us", "us", "memory pressure: time in which some process waited", optional=True),
        Column("slowdown", "ratio", "of the process that waited longest, since the start", Kind.FLOAT, optional=True),
    ),
    "areas": (
        _TIME, _text("area", "of the workload"), _RESIDENT, _SWAPPED, _FAULTS, _REFAULTS,
        Column("reclaimed_bytes", "bytes", "taken out of memory", optional=True),
        Column("touch_ns", "ns", "mean cost of an access, by the nodes of its pages", Kind.FLOAT, optional=True),
    ),
    "processes": (
        _TIME, _text("process", "of the workload"), _RESIDENT, _SWAPPED, _FAULTS, _REFAULTS,
        Column("stall_us", "us", "that it waited for memory"),
    ),
    "cgroups": (
        _TIME, _text("cgroup", "below the root"), _RESIDENT, _SWAPPED, _FAULTS, _REFAULTS,
        Column("reclaimed_bytes", "bytes", "taken for want of memory below its own limits", optional=True),
        Column("psi_some_us", "us", "memory pressure: time in which some process of it waited", optional=True),
        *(Column(name, "count", f"{name} of memory.events", optional=True) for name in _MEMORY_EVENTS),
    ),
    "nodes": (
        _TIME, Column("node", "number", "of the NUMA node"), Column("free_bytes", "bytes", "free"), _RESIDENT,
        Column("tier", "number", "of memory: 0 has the least latency", optional=True),
        Column("touches_per_s", "1/s", "accesses to memory there", Kind.FLOAT, optional=True),
        Column("touch_ns", "ns", "mean cost of these, by the nodes of the processes", Kind.FLOAT, optional=True),
    ),
    "placement": (
        _TIME, _text("area", "of the workload"), _START, _END, Column("resident_bytes", "bytes", "of the area there"),
    ),
    "contexts": (
        _TIME, _CONTEXT,
        Column("sample_us", "us", "sampling interval"), Column("aggr_us", "us", "aggregation interval"),
        Column("nr_regions", "count", "of all targets"), Column("accessed_bytes", "bytes", "in regions with accesses"),
    ),
    "schemes": (
        _TIME, _CONTEXT, _SCHEME,
        Column("nr_tried", "regions", "the kernel's statistic"), Column("sz_tried", "bytes", "the kernel's statistic"),
        Column("nr_applied", "regions", "the kernel's statistic"),
        Column("sz_applied", "bytes", "the kernel's statistic"),
        Column("sz_ops_filter_passed", "bytes", "the kernel's statistic"),
        Column("qt_exceeds", "count", "the kernel's statistic"),
        Column("nr_snapshots", "count", "the kernel's statistic"),
        Column("esz", "bytes", "effective size quota"), Column("charged_sz", "bytes", "charged in the quota window"),
        Column("min_score", "0..99", "the least priority that is applied", optional=True),
        Column("active", "0 or 1", "by the watermarks"),
    ),
    "goals": (
        _TIME, _CONTEXT, _SCHEME, Column("goal", "number", "of the goal in its scheme"),
        Column("current_value", "the metric's", "as measured last"), Column("target_value", "the metric's", "wanted"),
    ),
    "truth": (
        _TIME, Column("begin_ns", "ns", "when the interval began that ended then"), _CONTEXT, _TARGET, _START, _END,
        Column("share", "0..1", "of sampling intervals with an access, mean of the pages", Kind.FLOAT),
    ),
    "snapshots": (
        _TIME, _CONTEXT, _TARGET, Column("nr_rows", "count", "of its rows in the table regions"),
        Column("aged", "aggregations", "0: its rows are all regions; else all others are as before, and so much older"),
    ),
    "regions": (
        _START, _END, Column("nr_accesses", "samples", "in an aggregation interval"),
        Column("age", "aggregations", "for which it is like that"),
    ),
    "actions": (
        _TIME, _CONTEXT, _SCHEME, _TARGET, _START, _END, Column("applied_bytes", "bytes", "that the action applied to"),
    ),
    "funnel": (
        _TIME, _CONTEXT, _SCHEME,
        Column("eligible", "bytes", "in memory that fits the scheme in truth", optional=True),
        Column("monitored", "bytes", "of these, in regions (real machines: of regions)"),
        Column("active", "bytes", "0 while watermarks keep the scheme inactive"),
        Column("observed", "bytes", "in regions with the wanted nr_accesses"),
        Column("old_enough", "bytes", "and with the wanted age"),
        Column("right_size", "bytes", "and of the wanted size"),
        Column("in_quota", "bytes", "not left out by quota or priority"),
        Column("tried", "bytes", "that core filters let pass: the action was tried"),
        Column("ops_passed", "bytes", "that passed the operations set's filters, eligible or not"),
        Column("applied", "bytes", "that the action applied to, eligible or not"),
        Column("came_back", "bytes", "refaults, of all schemes and of reclaim", optional=True),
        Column("in_use", "bytes", "tried, but not eligible", optional=True),
        Column("tried_present", "bytes", "in memory where the action was tried"),
        Column("mixed", "bytes", "eligible, in regions with the wrong nr_accesses that have much else in them"),
        Column("largest_mixed", "bytes", "of the largest such region"), _text("mixed_areas", "in such regions"),
        _text("outside_areas", "eligible and in no region"),
        Column("oldest_us", "us", "the highest age of regions that have memory and the wanted nr_accesses"),
        Column("esz", "bytes", "effective size quota"), Column("min_score", "0..99", "the least priority applied"),
    ),
    "events": (_TIME, _CONTEXT, _text("event", "the kernel's name of the tracepoint"), _text("fields", "its text")),
}  # fmt: skip
