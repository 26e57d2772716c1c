# SPDX-License-Identifier: GPL-2.0-only
"""``schemes/``: what a scheme is to do, what it did, what it tried (DAMON spec, sysfs 3.5, 4.1)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from damon.model.level import Level
from damon.model.scheme import (
    DamosAction,
    DamosQuotaGoalMetric,
    DamosQuotaGoalTuner,
    DamosStat,
    DamosWmarkMetric,
)
from damon.model.tried import Tried
from damon.modules.sysfs.filters import Filter, Layer, filters
from damon.modules.sysfs.node import Directory, File, TreeLock
from damon.modules.sysfs.values import Keyword, Numbered, Shown, integer, path, uint, ulong


class Range(Directory):
    """``min`` and ``max``, both included."""

    def __init__(self) -> None:
        super().__init__()
        self.min = self.add("min", ulong())
        self.max = self.add("max", ulong())


class AccessPattern(Directory):
    def __init__(self) -> None:
        super().__init__()
        self.sz = self.add("sz", Range())
        self.nr_accesses = self.add("nr_accesses", Range())
        self.age = self.add("age", Range())


class Weights(Directory):
    def __init__(self) -> None:
        super().__init__()
        self.sz = self.add("sz_permil", uint())
        self.nr_accesses = self.add("nr_accesses_permil", uint())
        self.age = self.add("age_permil", uint())


class Goal(Directory):
    def __init__(self) -> None:
        super().__init__()
        self.target_metric = self.add("target_metric", Keyword(DamosQuotaGoalMetric.USER_INPUT))
        self.target_value = self.add("target_value", ulong())
        self.current_value = self.add("current_value", ulong())
        self.nid = self.add("nid", integer())
        self.path = self.add("path", path())


class Quotas(Directory):
    def __init__(self, lock: TreeLock) -> None:
        super().__init__()
        self.ms = self.add("ms", ulong(einval=True))
        self.bytes = self.add("bytes", ulong(einval=True))
        self.reset_interval_ms = self.add("reset_interval_ms", ulong(einval=True))
        self.effective_bytes = self.add("effective_bytes", Shown())
        self.goal_tuner = self.add("goal_tuner", Keyword(DamosQuotaGoalTuner.CONSIST))
        self.fail_charge_num = self.add("fail_charge_num", uint(einval=True))
        self.fail_charge_denom = self.add("fail_charge_denom", uint(einval=True))
        self.weights = self.add("weights", Weights())
        self.goals: Numbered[Goal] = self.add("goals", Numbered("goals", Goal, lock.held))


class Watermarks(Directory):
    def __init__(self) -> None:
        super().__init__()
        self.metric = self.add("metric", Keyword(DamosWmarkMetric.NONE))
        self.interval_us = self.add("interval_us", ulong())
        self.high = self.add("high", ulong())
        self.mid = self.add("mid", ulong())
        self.low = self.add("low", ulong())


class Dest(Directory):
    """A destination of a migration."""

    def __init__(self) -> None:
        super().__init__()
        self.id = self.add("id", uint())
        self.weight = self.add("weight", uint())


class Stats(Directory):
    """Copies of a scheme's statistics, as of the last update."""

    _NAMES = (
        "nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds", "nr_snapshots",
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self._shown = {name: self.add(name, Shown()) for name in self._NAMES}
        self.max_nr_snapshots = self.add("max_nr_snapshots", ulong())

    def update(self, stat: DamosStat) -> None:
        for name, shown in self._shown.items():
            shown.value = getattr(stat, name)


class TriedRegion(Directory):
    def __init__(self, tried: Tried) -> None:
        super().__init__()
        for name in ("start", "end", "nr_accesses", "age", "sz_filter_passed"):
            self.add(name, Shown(getattr(tried, name)))
        probes = self.add("probes", Directory())
        for index, hits in enumerate(tried.probe_hits):
            probes.add(str(index), Directory()).add("hits", Shown(hits))


class TriedRegions(Directory):
    """One directory a region, as of the last request."""

    def __init__(self) -> None:
        super().__init__()
        self.total_bytes = 0
        self.nr = 0
        self.add("total_bytes", File(lambda: f"{self.total_bytes}\n"))

    def append(self, tried: Tried, only_total: bool) -> None:
        self.total_bytes += tried.end - tried.start
        if not only_total:
            self.add(str(self.nr), TriedRegion(tried))
            self.nr += 1

    def clear(self) -> None:
        for name in self.names():
            if name != "total_bytes":
                self.drop(name)
        self.total_bytes = self.nr = 0


class Schemes(Numbered["Scheme"]):
    """``schemes/``. The last figures of the schemes are kept, for directories that no client has opened yet."""

    __slots__ = ("_effective_bytes", "_stats")

    def __init__(self, lock: TreeLock, level: Level) -> None:
        super().__init__("schemes", lambda: Scheme(lock, level), lock.held)
        self._stats: Sequence[DamosStat] = ()
        self._effective_bytes: Sequence[int] = ()

    def show_stats(self, stats: Sequence[DamosStat]) -> None:
        """``stats`` are copies of the worker's, by position."""
        self._stats = stats
        for index, scheme in self._known(len(stats)):
            scheme.stats.update(stats[index])

    def show_effective_bytes(self, sizes: Sequence[int]) -> None:
        self._effective_bytes = sizes
        for index, scheme in self._known(len(sizes)):
            scheme.quotas.effective_bytes.value = sizes[index]

    def _known(self, limit: int) -> Iterator[tuple[int, Scheme]]:
        """Number and directory of those that were opened, below ``limit``."""
        for name in Directory.names(self):
            found = Directory.child(self, name)
            if isinstance(found, Scheme) and int(name) < limit:
                yield int(name), found

    def _bring_up_to_date(self, index: int, child: Scheme) -> None:
        if index < len(self._stats):
            child.stats.update(self._stats[index])
        if index < len(self._effective_bytes):
            child.quotas.effective_bytes.value = self._effective_bytes[index]

    def clear(self) -> None:
        super().clear()
        self._stats = self._effective_bytes = ()


class Scheme(Directory):
    def __init__(self, lock: TreeLock, level: Level) -> None:
        super().__init__()
        self.action = self.add("action", Keyword(DamosAction.STAT))
        self.apply_interval_us = self.add("apply_interval_us", ulong())
        self.target_nid = self.add("target_nid", integer(-1))
        self.access_pattern = self.add("access_pattern", AccessPattern())
        self.quotas = self.add("quotas", Quotas(lock))
        self.watermarks = self.add("watermarks", Watermarks())
        self.filters: list[Numbered[Filter]] = [
            self.add(layer.value, filters(layer, lock, level)) for layer in (Layer.CORE, Layer.OPS, Layer.BOTH)
        ]
        self.dests: Numbered[Dest] = self.add("dests", Numbered("dests", Dest, lock.held))
        self.stats = self.add("stats", Stats())
        self.tried_regions = self.add("tried_regions", TriedRegions())
