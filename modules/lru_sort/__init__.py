# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_LRU_SORT: hot memory to the active list, cold memory to the inactive one (DAMON spec, modules 2.2).

The kernel's ``mm/damon/lru_sort.c``. Two schemes: ``lru_prio`` for what is hot, ``lru_deprio`` for what is cold.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from damon.errors import InvalidInput
from damon.model.attrs import U32_MAX, DamonAttrs
from damon.model.context import DAMON_MIN_REGION_SZ
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
)
from damon.modules.common import DamonModule, cold_pattern, common_specs, counter, refuse_zero, ulong
from damon.modules.params import ParamSpec


def _stats(kind: str) -> tuple[str, ...]:
    return (
        f"nr_lru_sort_tried_{kind}_regions",
        f"bytes_lru_sort_tried_{kind}_regions",
        f"nr_lru_sorted_{kind}_regions",
        f"bytes_lru_sorted_{kind}_regions",
        f"nr_{kind}_quota_exceeds",
    )


_STAT_MEANINGS: Final = (
    ("count", "{} regions that it tried to sort"),
    ("addr_unit", "size of the {} regions that it tried to sort"),
    ("count", "{} regions of which something was sorted"),
    ("addr_unit", "size of what was sorted as {}"),
    ("count", "quota windows for {} memory that were used up"),
)
_MAX_BP: Final = 10000
_OVERLAP_BP: Final = 2  # both goals can be met at once


class LruSort(DamonModule):
    """Sorts the lists by what monitoring saw."""

    name: ClassVar[str] = "damon_lru_sort"
    description: ClassVar[str] = "move hot memory to the active LRU list and cold memory to the inactive one"

    SPECS: Sequence[ParamSpec] = (
        *common_specs(wmarks=(200, 150, 50)),
        ulong("hot_thres_access_freq", 500, "per mille", "accessed in at least so many samples is hot"),
        ulong("cold_min_age", 120000000, "us", "memory not accessed for so long is cold"),
        ulong("active_mem_bp", 0, "bp", "wanted share of active memory, up to 10000; 0: not a goal"),
        ParamSpec("filter_young_pages", "bool", False, "look at each page again before moving it"),
        *(
            counter(name, unit, description.format(kind))
            for kind in ("hot", "cold")
            for name, (unit, description) in zip(_stats(kind), _STAT_MEANINGS, strict=True)
        ),
    )

    def needs(self) -> tuple[str, Sequence[str]]:
        return "paddr", ("lru_prio", "lru_deprio")

    def check_intervals(self) -> None:
        refuse_zero("sample_interval", self._number("sample_interval"))

    def _scheme(self, pattern: DamosAccessPattern, action: DamosAction) -> Damos:
        quota = DamosQuota(
            ms=self._number("quota_ms") // 2,
            reset_interval=self._number("quota_reset_interval_ms"),
            weight_nr_accesses=1,
            weight_age=1,
        )
        scheme = Damos(pattern=pattern, action=action, quota=quota, wmarks=self.watermarks())
        if self.parameters["filter_young_pages"].value:
            matching = action is DamosAction.LRU_DEPRIO
            scheme.add_filter(DamosFilter(DamosFilterType.YOUNG, matching=matching, allow=False))
        return scheme

    def schemes(self, attrs: DamonAttrs) -> list[Damos]:
        threshold = attrs.max_nr_accesses() * self._number("hot_thres_access_freq") // 1000
        hot = self._scheme(
            DamosAccessPattern(min_sz_region=DAMON_MIN_REGION_SZ, min_nr_accesses=min(threshold, U32_MAX)),
            DamosAction.LRU_PRIO,
        )
        cold = self._scheme(cold_pattern(self._number("cold_min_age"), attrs.aggr_interval), DamosAction.LRU_DEPRIO)
        active = self._number("active_mem_bp")
        if active > _MAX_BP:
            raise InvalidInput(f"active_mem_bp: {active}: is above {_MAX_BP}; give a share in basis points")
        if active:
            hot.quota.goals.append(DamosQuotaGoal(DamosQuotaGoalMetric.ACTIVE_MEM_BP, active))
            inactive = _MAX_BP - active + _OVERLAP_BP
            cold.quota.goals.append(DamosQuotaGoal(DamosQuotaGoalMetric.INACTIVE_MEM_BP, inactive))
        return [hot, cold]

    def copy_stats(self, schemes: Sequence[Damos]) -> None:
        for kind, scheme in zip(("hot", "cold"), schemes, strict=True):
            self.store_stats(_stats(kind), scheme.stat)


MODULE: Final[type[LruSort]] = LruSort
