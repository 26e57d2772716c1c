# SPDX-License-Identifier: GPL-2.0-only
"""DAMON-based operation schemes: pattern, action, quota, goals, filters, watermarks, statistics (DAMON spec, damos)."""

from __future__ import annotations

import enum
import warnings
from dataclasses import dataclass, field
from typing import Final

from damon.errors import InvalidInput
from damon.model import html
from damon.model.checks import INT_MIN, U32_MAX, ULONG_MAX, check_range, instance, member, truths, wholes
from damon.model.custom import DamosCustomAction, DamosCustomMetric, DamosFolioFilter, DamosRegionFilter
from damon.model.target import DamonTarget

DAMOS_MAX_SCORE: Final = 99


class DamosAction(enum.Enum):
    """In the kernel's enum order; values are the kernel's keywords."""

    WILLNEED = "willneed"
    COLD = "cold"
    PAGEOUT = "pageout"
    HUGEPAGE = "hugepage"
    NOHUGEPAGE = "nohugepage"
    COLLAPSE = "collapse"
    LRU_PRIO = "lru_prio"
    LRU_DEPRIO = "lru_deprio"
    MIGRATE_HOT = "migrate_hot"
    MIGRATE_COLD = "migrate_cold"
    STAT = "stat"


@dataclass
class DamosAccessPattern:
    """Closed intervals: bytes, samples per aggregation, aggregations.

    min > max is legal, as in the kernel, and matches nothing: there is a warning.
    """

    min_sz_region: int = 0
    max_sz_region: int = ULONG_MAX
    min_nr_accesses: int = 0
    max_nr_accesses: int = U32_MAX
    min_age_region: int = 0
    max_age_region: int = U32_MAX

    def __post_init__(self) -> None:
        self.check()
        for name in ("sz_region", "nr_accesses", "age_region"):
            low, high = getattr(self, f"min_{name}"), getattr(self, f"max_{name}")
            if low > high:
                text = f"access pattern: min_{name} {low} is above max_{name} {high}: the scheme matches nothing"
                warnings.warn(text, stacklevel=3)

    def check(self) -> None:
        """Refuse bounds that are not unsigned integers, of sizes 64 bits, of the others 32 (EINVAL)."""
        wholes(self, ("min_sz_region", "max_sz_region"))
        wholes(self, ("min_nr_accesses", "max_nr_accesses", "min_age_region", "max_age_region"), high=U32_MAX)


class DamosQuotaGoalMetric(enum.Enum):
    """In the kernel's enum order; values are the kernel's keywords. ``bp`` is 1/10000."""

    USER_INPUT = "user_input"
    SOME_MEM_PSI_US = "some_mem_psi_us"
    NODE_MEM_USED_BP = "node_mem_used_bp"
    NODE_MEM_FREE_BP = "node_mem_free_bp"
    NODE_MEMCG_USED_BP = "node_memcg_used_bp"
    NODE_MEMCG_FREE_BP = "node_memcg_free_bp"
    ACTIVE_MEM_BP = "active_mem_bp"
    INACTIVE_MEM_BP = "inactive_mem_bp"
    NODE_ELIGIBLE_MEM_BP = "node_eligible_mem_bp"


NODE_MEMCG_METRICS: Final = frozenset(
    {DamosQuotaGoalMetric.NODE_MEMCG_USED_BP, DamosQuotaGoalMetric.NODE_MEMCG_FREE_BP}
)
#: Metrics of one NUMA node.
NODE_METRICS: Final = NODE_MEMCG_METRICS | {
    DamosQuotaGoalMetric.NODE_MEM_USED_BP,
    DamosQuotaGoalMetric.NODE_MEM_FREE_BP,
    DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP,
}


class DamosQuotaGoalTuner(enum.Enum):
    CONSIST = "consist"
    TEMPORAL = "temporal"


@dataclass
class DamosQuotaGoal:
    """``target_value`` must not be zero. ``last_psi_total`` None means: not measured yet.

    ``nid`` is the NUMA node of the ``node_*`` metrics, ``memcg_id`` the cgroup of the ``node_memcg_*`` ones.
    """

    metric: DamosQuotaGoalMetric | DamosCustomMetric
    target_value: int
    current_value: int = 0
    last_psi_total: int | None = None
    nid: int = 0
    memcg_id: int = 0

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse a metric that is none, and values that are not unsigned integers (EINVAL)."""
        if not isinstance(self.metric, DamosCustomMetric):
            self.metric = member("DamosQuotaGoal.metric", self.metric, DamosQuotaGoalMetric)
        wholes(self, ("target_value", "current_value", "memcg_id"))
        wholes(self, ("nid",), INT_MIN, U32_MAX)


@dataclass
class DamosQuota:
    """User part first; the internal part (from ``esz`` on) starts at zero and survives commits."""

    ms: int = 0  #: time quota per window, 0 = off
    sz: int = 0  #: bytes per window, 0 = off
    reset_interval: int = 0  #: window in ms
    weight_sz: int = 0  #: accepted, used by no operations set
    weight_nr_accesses: int = 0
    weight_age: int = 0
    goals: list[DamosQuotaGoal] = field(default_factory=list)
    goal_tuner: DamosQuotaGoalTuner = DamosQuotaGoalTuner.CONSIST
    fail_charge_num: int = 0
    fail_charge_denom: int = 0

    esz: int = 0
    total_charged_sz: int = 0
    total_charged_ns: int = 0
    charged_sz: int = 0
    charged_from: int = 0  #: jiffies
    charge_target_from: DamonTarget | None = None
    charge_addr_from: int = 0
    min_score: int = 0
    esz_bp: int = 0

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse goals and a tuner that are none, and values that are not unsigned integers (EINVAL)."""
        wholes(self, ("ms", "sz", "reset_interval"))
        wholes(
            self,
            ("weight_sz", "weight_nr_accesses", "weight_age", "fail_charge_num", "fail_charge_denom"),
            high=U32_MAX,
        )
        self.goal_tuner = member("DamosQuota.goal_tuner", self.goal_tuner, DamosQuotaGoalTuner)
        for goal in self.goals:
            instance("DamosQuota.goals", goal, DamosQuotaGoal)
            goal.check()


class DamosWmarkMetric(enum.Enum):
    NONE = "none"
    FREE_MEM_RATE = "free_mem_rate"


@dataclass
class DamosWatermarks:
    """``interval`` in us; marks in per mille for ``free_mem_rate``."""

    metric: DamosWmarkMetric = DamosWmarkMetric.NONE
    interval: int = 0
    high: int = 0
    mid: int = 0
    low: int = 0
    activated: bool = True

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse a metric that is none, and marks that are not unsigned integers (EINVAL)."""
        self.metric = member("DamosWatermarks.metric", self.metric, DamosWmarkMetric)
        wholes(self, ("interval", "high", "mid", "low"))


class DamosFilterType(enum.Enum):
    """In the kernel's enum order; values are the kernel's keywords."""

    ANON = "anon"
    ACTIVE = "active"
    MEMCG = "memcg"
    YOUNG = "young"
    HUGEPAGE_SIZE = "hugepage_size"
    UNMAPPED = "unmapped"
    ADDR = "addr"
    TARGET = "target"
    PROBE_HITS_WSUM = "probe_hits_wsum"  #: level next: the weighted sum of probe hits is in ``range_min..range_max``


#: Types that the core evaluates on regions; the others are evaluated on folios by the operations set.
CORE_FILTER_TYPES: Final = frozenset({DamosFilterType.ADDR, DamosFilterType.TARGET, DamosFilterType.PROBE_HITS_WSUM})


@dataclass
class DamosFilter:
    """A unit hits iff its type's test equals ``matching``; the first hit decides by ``allow``."""

    type: DamosFilterType
    matching: bool
    allow: bool = False
    memcg_id: int = 0
    addr_start: int = 0
    addr_end: int = 0
    target_idx: int = 0
    sz_min: int = 0
    sz_max: int = 0
    range_min: int = 0
    range_max: int = 0

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse a type, truth values and numbers that are none, and the ranges that the kernel refuses (EINVAL)."""
        self.type = member("DamosFilter.type", self.type, DamosFilterType)
        truths(self, "matching", "allow")
        wholes(self, ("memcg_id", "addr_start", "addr_end", "sz_min", "sz_max", "range_min", "range_max"))
        wholes(self, ("target_idx",), INT_MIN, U32_MAX)
        if self.type is DamosFilterType.ADDR and self.addr_end < self.addr_start:
            start, end = self.addr_start, self.addr_end
            raise InvalidInput(f"DamosFilter.addr_end: {end}: is below addr_start, {start}; raise it")
        if self.type is DamosFilterType.HUGEPAGE_SIZE and self.sz_min > self.sz_max:
            low, high = self.sz_min, self.sz_max
            raise InvalidInput(f"DamosFilter.sz_min: {low}: is above sz_max, {high}; lower it")
        if self.type is DamosFilterType.PROBE_HITS_WSUM:
            check_range("DamosFilter", self.range_min, self.range_max)


@dataclass
class DamosStat:
    """Cumulative since the scheme was created; survives commits (DAMON spec, damos 9)."""

    nr_tried: int = 0
    sz_tried: int = 0
    nr_applied: int = 0
    sz_applied: int = 0
    sz_ops_filter_passed: int = 0
    qt_exceeds: int = 0
    nr_snapshots: int = 0


@dataclass
class DamosMigrateDest:
    """One destination of a migration: it gets ``weight`` parts of all parts."""

    node_id: int
    weight: int

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse a node and a weight that are not integers of 32 bits (EINVAL)."""
        wholes(self, ("node_id",), INT_MIN, U32_MAX)
        wholes(self, ("weight",), high=U32_MAX)


@dataclass(eq=False)
class Damos:
    """One scheme. Fields from ``stat`` on are the worker's own."""

    pattern: DamosAccessPattern = field(default_factory=DamosAccessPattern)
    action: DamosAction | DamosCustomAction = DamosAction.STAT
    apply_interval_us: int = 0  #: 0: the aggregation interval
    quota: DamosQuota = field(default_factory=DamosQuota)
    wmarks: DamosWatermarks = field(default_factory=DamosWatermarks)
    target_nid: int = -1  #: where ``migrate_*`` moves folios to; -1 nowhere
    migrate_dests: list[DamosMigrateDest] = field(default_factory=list)  #: instead of it, for processes' memory
    core_filters: list[DamosFilter | DamosRegionFilter] = field(default_factory=list)
    ops_filters: list[DamosFilter | DamosFolioFilter] = field(default_factory=list)
    max_nr_snapshots: int = 0

    stat: DamosStat = field(default_factory=DamosStat)
    next_apply_sis: int = 0
    core_filters_default_reject: bool = False
    ops_filters_default_reject: bool = False
    core_allowed: bool = False  #: the core filters allowed the region at hand: ops filters are not asked
    last_applied: int | None = None  #: head PFN of the last folio of the previous region
    walk_completed: bool = False
    position: int = 0  #: in its context, when that was last looked for

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse what is of another type or out of its range (EINVAL). An action may be given by its keyword."""
        if not isinstance(self.action, DamosCustomAction):
            self.action = member("Damos.action", self.action, DamosAction)
        wholes(self, ("apply_interval_us", "max_nr_snapshots"))
        wholes(self, ("target_nid",), INT_MIN, U32_MAX)
        instance("Damos.pattern", self.pattern, DamosAccessPattern)
        instance("Damos.quota", self.quota, DamosQuota)
        instance("Damos.wmarks", self.wmarks, DamosWatermarks)
        for part in (self.pattern, self.quota, self.wmarks):
            part.check()
        for dest in self.migrate_dests:
            instance("Damos.migrate_dests", dest, DamosMigrateDest)
            dest.check()
        for core in self.core_filters:
            instance("Damos.core_filters", core, DamosFilter, DamosRegionFilter)
            core.check()
        for ops in self.ops_filters:
            instance("Damos.ops_filters", ops, DamosFilter, DamosFolioFilter)
            ops.check()

    def _repr_html_(self) -> str:
        """For notebooks: what was set, and the statistics."""
        return html.table(
            f"scheme: {html.text(self.action)}", ("field", "value"), html.fields(self, until="next_apply_sis")
        )

    def add_filter(self, new: DamosFilter | DamosRegionFilter | DamosFolioFilter) -> None:
        """Route by type to the core or the ops list, keeping order (DAMON spec, damos 7.1)."""
        instance("Damos.add_filter()", new, DamosFilter, DamosRegionFilter, DamosFolioFilter)
        if isinstance(new, DamosRegionFilter):
            self.core_filters.append(new)
        elif isinstance(new, DamosFolioFilter):
            self.ops_filters.append(new)
        else:
            (self.core_filters if new.type in CORE_FILTER_TYPES else self.ops_filters).append(new)
