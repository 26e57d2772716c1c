# SPDX-License-Identifier: GPL-2.0-only
"""``contexts/<c>/``: operations set, attributes, targets, schemes (DAMON spec, sysfs 3.2-3.4)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

from damon.errors import InvalidInput
from damon.model.level import Level
from damon.modules.sysfs.filters import Probe, probes
from damon.modules.sysfs.node import Directory, File, TreeLock
from damon.modules.sysfs.schemes import Schemes
from damon.modules.sysfs.values import Keyword, Numbered, boolean, integer, ulong


class Ops(enum.Enum):
    """Every operations set that can be written, registered or not."""

    VADDR = "vaddr"
    FVADDR = "fvaddr"
    PADDR = "paddr"


class Intervals(Directory):
    def __init__(self) -> None:
        super().__init__()
        self.sample_us = self.add("sample_us", ulong(5000))
        self.aggr_us = self.add("aggr_us", ulong(100000))
        self.update_us = self.add("update_us", ulong(60000000))
        self.goal = self.add("intervals_goal", IntervalsGoal())


class IntervalsGoal(Directory):
    def __init__(self) -> None:
        super().__init__()
        self.access_bp = self.add("access_bp", ulong())
        self.aggrs = self.add("aggrs", ulong())
        self.min_sample_us = self.add("min_sample_us", ulong())
        self.max_sample_us = self.add("max_sample_us", ulong())


class NrRegions(Directory):
    def __init__(self) -> None:
        super().__init__()
        self.min = self.add("min", ulong(10))
        self.max = self.add("max", ulong(1000))


class MonitoringAttrs(Directory):
    def __init__(self, lock: TreeLock, level: Level) -> None:
        super().__init__()
        self.intervals = self.add("intervals", Intervals())
        self.nr_regions = self.add("nr_regions", NrRegions())
        self.probes: Numbered[Probe] = self.add("probes", probes(lock, level))


class Region(Directory):
    """``[start, end)`` in address units."""

    def __init__(self) -> None:
        super().__init__()
        self.start = self.add("start", ulong())
        self.end = self.add("end", ulong())


class Target(Directory):
    def __init__(self, lock: TreeLock) -> None:
        super().__init__()
        self.pid_target = self.add("pid_target", integer(einval=True))
        self.obsolete_target = self.add("obsolete_target", boolean())
        self.regions: Numbered[Region] = self.add("regions", Numbered("regions", Region, lock.held))


def _no_zero(value: int) -> None:
    if not value:
        raise InvalidInput("addr_unit: 0: is not a unit; give 1 or more")


class Context(Directory):
    """One context's staged parameters.

    Args:
        available: names of the operations sets that are registered.
        level: which files there are.
    """

    def __init__(self, lock: TreeLock, available: Callable[[], Sequence[str]], level: Level) -> None:
        super().__init__()
        self.add("avail_operations", File(lambda: "".join(f"{name}\n" for name in available())))
        self.operations = self.add("operations", Keyword(Ops.VADDR))
        self.addr_unit = self.add("addr_unit", ulong(1, check=_no_zero))
        self.pause = self.add("pause", boolean())
        self.attrs = self.add("monitoring_attrs", MonitoringAttrs(lock, level))
        self.targets: Numbered[Target] = self.add("targets", Numbered("targets", lambda: Target(lock), lock.held))
        self.schemes = self.add("schemes", Schemes(lock, level))
