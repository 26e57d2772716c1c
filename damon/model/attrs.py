# SPDX-License-Identifier: GPL-2.0-only
"""Monitoring attributes (DAMON spec, core 2.6)."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

from damon.model import checks
from damon.model.checks import instance, wholes

U32_MAX: Final = checks.U32_MAX
ULONG_MAX: Final = checks.ULONG_MAX


@dataclass
class DamonIntervalsGoal:
    """Intervals auto-tuning goal; ``aggrs`` 0 turns tuning off."""

    access_bp: int = 0  #: wanted access ratio in basis points
    aggrs: int = 0  #: aggregations between two tuning points
    min_sample_us: int = 0
    max_sample_us: int = 0

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse values that are not unsigned integers (EINVAL)."""
        wholes(self, ("access_bp", "aggrs", "min_sample_us", "max_sample_us"))


@dataclass
class DamonAttrs:
    """Intervals in microseconds, numbers of regions; ``aggr_samples`` is internal (0: computed by ``set_attrs``)."""

    sample_interval: int = 5000
    aggr_interval: int = 100000
    ops_update_interval: int = 60000000
    min_nr_regions: int = 10
    max_nr_regions: int = 1000
    intervals_goal: DamonIntervalsGoal = field(default_factory=DamonIntervalsGoal)
    aggr_samples: int = 0

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse values that are not unsigned integers (EINVAL); how they fit together is ``set_attrs``'s."""
        wholes(self, ("sample_interval", "aggr_interval", "ops_update_interval"))
        wholes(self, ("min_nr_regions", "max_nr_regions", "aggr_samples"))
        instance("DamonAttrs.intervals_goal", self.intervals_goal, DamonIntervalsGoal)
        self.intervals_goal.check()

    def copy(self) -> DamonAttrs:
        return replace(self, intervals_goal=replace(self.intervals_goal))

    def max_nr_accesses(self) -> int:
        """Samples per aggregation, at least 1 (DAMON spec, core 1)."""
        return min(self.aggr_interval // max(self.sample_interval, 1), U32_MAX) or 1

    def samples(self, interval_us: int) -> int:
        """``interval_us`` in sampling intervals, rounded down."""
        return interval_us // max(self.sample_interval, 1)
