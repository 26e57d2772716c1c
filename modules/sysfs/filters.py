# SPDX-License-Identifier: GPL-2.0-only
"""Filters of schemes, and ``probes/`` of contexts (DAMON spec, sysfs 3.3, 3.5)."""

from __future__ import annotations

import enum
from collections.abc import Iterable

from damon.model.arrays import MAX_PROBES
from damon.model.probe import DamonFilterType
from damon.model.scheme import CORE_FILTER_TYPES, DamosFilterType
from damon.modules.sysfs.node import Directory, TreeLock
from damon.modules.sysfs.values import Keyword, Numbered, Value, boolean, integer, path, uint, ulong


class Layer(enum.Enum):
    """Which types a scheme's directory of filters takes."""

    BOTH = "filters"
    CORE = "core_filters"
    OPS = "ops_filters"

    def types(self) -> Iterable[DamosFilterType]:
        """The types whose names can be written."""
        if self is Layer.BOTH:
            return list(DamosFilterType)
        return [kind for kind in DamosFilterType if (kind in CORE_FILTER_TYPES) == (self is Layer.CORE)]


class Filter(Directory):
    """One filter of a scheme. Its type is ``anon`` at first, also where ``anon`` cannot be written."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.type = self.add("type", Keyword(DamosFilterType.ANON, layer.types()))
        self.matching = self.add("matching", boolean())
        self.allow = self.add("allow", boolean())
        self.memcg_path = self.add("memcg_path", path())
        self.addr_start = self.add("addr_start", ulong())
        self.addr_end = self.add("addr_end", ulong())
        self.min = self.add("min", ulong())
        self.max = self.add("max", ulong())
        self.damon_target_idx = self.add("damon_target_idx", integer())


def filters(layer: Layer, lock: TreeLock) -> Numbered[Filter]:
    return Numbered("filters", lambda: Filter(layer), lock.held)


class ProbeFilter(Directory):
    """One filter of a probe."""

    def __init__(self) -> None:
        super().__init__()
        self.type = self.add("type", Keyword(DamonFilterType.ANON))
        self.matching = self.add("matching", boolean())
        self.allow = self.add("allow", boolean())
        self.path = self.add("path", path())


class Probe(Directory):
    """One data-attribute probe."""

    def __init__(self, lock: TreeLock) -> None:
        super().__init__()
        self.weight: Value[int] = self.add("weight", uint())
        self.filters: Numbered[ProbeFilter] = self.add("filters", Numbered("filters", ProbeFilter, lock.held))


def probes(lock: TreeLock) -> Numbered[Probe]:
    return Numbered("probes", lambda: Probe(lock), lock.held, limit=MAX_PROBES)
