# SPDX-License-Identifier: GPL-2.0-only
"""Filters of schemes, and ``probes/`` of contexts (DAMON spec, sysfs 3.3, 3.5)."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from damon.core.level import of_level
from damon.model.arrays import MAX_PROBES
from damon.model.level import Level
from damon.model.probe import DamonFilterType, DamonPrepAction
from damon.model.scheme import CORE_FILTER_TYPES, DamosFilterType
from damon.modules.sysfs.node import Directory, TreeLock
from damon.modules.sysfs.values import Keyword, Numbered, Value, boolean, integer, path, uint, ulong


class Layer(enum.Enum):
    """Which types a scheme's directory of filters takes."""

    BOTH = "filters"
    CORE = "core_filters"
    OPS = "ops_filters"

    def types(self, level: Level) -> Iterable[DamosFilterType]:
        """The types whose names can be written."""
        known = of_level(level, DamosFilterType)
        if self is Layer.BOTH:
            return known
        return [kind for kind in known if (kind in CORE_FILTER_TYPES) == (self is Layer.CORE)]


class Filter(Directory):
    """One filter of a scheme. Its type is ``anon`` at first, also where ``anon`` cannot be written."""

    def __init__(self, layer: Layer, level: Level) -> None:
        super().__init__()
        self.type = self.add("type", Keyword(DamosFilterType.ANON, layer.types(level)))
        self.matching = self.add("matching", boolean())
        self.allow = self.add("allow", boolean())
        self.memcg_path = self.add("memcg_path", path())
        self.addr_start = self.add("addr_start", ulong())
        self.addr_end = self.add("addr_end", ulong())
        self.min = self.add("min", ulong())
        self.max = self.add("max", ulong())
        self.damon_target_idx = self.add("damon_target_idx", integer())


def filters(layer: Layer, lock: TreeLock, level: Level) -> Numbered[Filter]:
    return Numbered("filters", lambda: Filter(layer, level), lock.held)


class ProbeFilter(Directory):
    """One filter of a probe. ``min`` and ``max`` are files of the level ``next`` only."""

    def __init__(self, level: Level) -> None:
        super().__init__()
        self.type = self.add("type", Keyword(DamonFilterType.ANON, of_level(level, DamonFilterType)))
        self.matching = self.add("matching", boolean())
        self.allow = self.add("allow", boolean())
        self.path = self.add("path", path())
        self.min, self.max = ulong(), ulong()
        if level is Level.NEXT:
            self.add("min", self.min)
            self.add("max", self.max)


class Prep(Directory):
    """One preparation of a probe."""

    def __init__(self) -> None:
        super().__init__()
        self.prep_action = self.add("prep_action", Keyword(DamonPrepAction.SET_PGIDLE))


class Probe(Directory):
    """One data-attribute probe. ``preps`` is a directory of the level ``next`` only."""

    def __init__(self, lock: TreeLock, level: Level) -> None:
        super().__init__()
        self.weight: Value[int] = self.add("weight", uint())
        self.preps: Numbered[Prep] = Numbered("preps", Prep, lock.held)
        if level is Level.NEXT:
            self.add("preps", self.preps)
        self.filters: Numbered[ProbeFilter] = self.add(
            "filters", Numbered("filters", lambda: ProbeFilter(level), lock.held)
        )


def probes(lock: TreeLock, level: Level) -> Numbered[Probe]:
    return Numbered("probes", lambda: Probe(lock, level), lock.held, limit=MAX_PROBES)
