# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_RECLAIM: proactive reclamation of memory that was not accessed for a while (DAMON spec, modules 2.1).

The kernel's ``mm/damon/reclaim.c``. One scheme: page out what is cold, oldest first, within time and size quotas.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from damon.model.attrs import DamonAttrs
from damon.model.scheme import (
    Damos,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
)
from damon.modules.common import DamonModule, cold_pattern, common_specs, counter, refuse_zero, ulong
from damon.modules.params import ParamSpec

_STATS: Final = (
    "nr_reclaim_tried_regions",
    "bytes_reclaim_tried_regions",
    "nr_reclaimed_regions",
    "bytes_reclaimed_regions",
    "nr_quota_exceeds",
)
#: ``quota_autotune_feedback`` is the user's feedback in basis points: above 10000 is too much.
_FEEDBACK_TARGET: Final = 10000


class Reclaim(DamonModule):
    """Cold memory leaves; hot memory stays."""

    name: ClassVar[str] = "damon_reclaim"
    description: ClassVar[str] = "proactively reclaim memory that was not accessed for min_age"

    SPECS: Sequence[ParamSpec] = (
        *common_specs(wmarks=(500, 400, 200)),
        ulong("min_age", 120000000, "us", "memory not accessed for so long is cold"),
        ulong("quota_sz", 134217728, "bytes", "memory to try in each quota window; 0: no limit"),
        ulong("quota_mem_pressure_us", 0, "us", "wanted memory pressure stall in a quota window; 0: not a goal"),
        ulong("quota_autotune_feedback", 0, "bp", "how well it does, 10000 is just right; 0: not a goal"),
        ParamSpec("skip_anon", "bool", False, "leave anonymous memory alone"),
        counter(_STATS[0], "count", "regions that it tried to reclaim"),
        counter(_STATS[1], "addr_unit", "size of the regions that it tried to reclaim"),
        counter(_STATS[2], "count", "regions of which something was reclaimed"),
        counter(_STATS[3], "addr_unit", "size of what was reclaimed"),
        counter(_STATS[4], "count", "quota windows that were used up"),
    )

    def needs(self) -> tuple[str, Sequence[str]]:
        return "paddr", ("pageout:file" if self.parameters["skip_anon"].value else "pageout",)

    def check_intervals(self) -> None:
        refuse_zero("aggr_interval", self._number("aggr_interval"))

    def _goals(self) -> list[DamosQuotaGoal]:
        pressure, feedback = self._number("quota_mem_pressure_us"), self._number("quota_autotune_feedback")
        goals = []
        if pressure:
            goals.append(DamosQuotaGoal(DamosQuotaGoalMetric.SOME_MEM_PSI_US, pressure))
        if feedback:
            goals.append(DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, _FEEDBACK_TARGET, feedback))
        return goals

    def schemes(self, attrs: DamonAttrs) -> list[Damos]:
        scheme = Damos(
            pattern=cold_pattern(self._number("min_age"), attrs.aggr_interval),
            action=DamosAction.PAGEOUT,
            quota=DamosQuota(
                ms=self._number("quota_ms"),
                sz=self._number("quota_sz"),
                reset_interval=self._number("quota_reset_interval_ms"),
                weight_age=1,
                goals=self._goals(),
            ),
            wmarks=self.watermarks(),
        )
        if self.parameters["skip_anon"].value:
            scheme.add_filter(DamosFilter(DamosFilterType.ANON, matching=True, allow=False))
        return [scheme]

    def copy_stats(self, schemes: Sequence[Damos]) -> None:
        self.store_stats(_STATS, schemes[0].stat)


MODULE: Final[type[Reclaim]] = Reclaim
