# SPDX-License-Identifier: GPL-2.0-only
"""Data-attribute probes: how often a sampled page has an attribute (DAMON spec, core 2.7)."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from damon.model.arrays import MAX_PROBES
from damon.model.checks import U32_MAX, check_range, instance, member, truths, wholes

#: Weights of all ``MAX_PROBES`` probes that there can be, as C routines take them.
Weights = ctypes.Array[ctypes.c_uint32]


class DamonFilterType(enum.Enum):
    """In the kernel's enum order; values are the kernel's keywords."""

    ANON = "anon"
    MEMCG = "memcg"
    PGIDLE_UNSET = "pgidle_unset"  #: level next: the folio was accessed since it was last made idle
    PGIDLE_SET = "pgidle_set"  #: level next: it was not
    HUGEPAGE_SIZE = "hugepage_size"  #: level next: the folio has ``range_min..range_max`` bytes


@dataclass
class DamonFilter:
    """A page hits iff its type's test equals ``matching``; the first hit decides by ``allow``.

    Without a hit the opposite of the last filter's ``allow`` decides. A page without folio fails every test.
    ``range_min`` and ``range_max`` are bytes, both inclusive.
    """

    type: DamonFilterType
    matching: bool
    allow: bool = False
    memcg_id: int = 0
    range_min: int = 0
    range_max: int = 0

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse a type, truth values and numbers that are none, and a range that ends below its start (EINVAL)."""
        self.type = member("DamonFilter.type", self.type, DamonFilterType)
        truths(self, "matching", "allow")
        wholes(self, ("memcg_id", "range_min", "range_max"))
        if self.type is DamonFilterType.HUGEPAGE_SIZE:
            check_range("DamonFilter", self.range_min, self.range_max)


class DamonPrepAction(enum.Enum):
    """What is done to each sampled page before the interval at whose end probes look at it (level next)."""

    SET_PGIDLE = "set_pgidle"  #: the folio is made idle


@dataclass
class DamonPrep:
    """One preparation of a probe."""

    action: DamonPrepAction = DamonPrepAction.SET_PGIDLE

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse an action that is none (EINVAL). It may be given by its keyword."""
        self.action = member("DamonPrep.action", self.action, DamonPrepAction)


@dataclass
class DamonProbe:
    """One attribute: its hits are counted in each region's ``probe_hits``, at the probe's place in the context.

    As soon as one ``weight`` of a context is not 0, accesses are not sampled any more: regions then differ by
    the weighted sum of their hits. Preparations are carried out for all probes, in order, before each interval.
    """

    weight: int = 0
    filters: list[DamonFilter] = field(default_factory=list)
    preps: list[DamonPrep] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse filters and preparations that are none, and a weight that is not a u32 (EINVAL)."""
        wholes(self, ("weight",), high=U32_MAX)
        for wanted in self.filters:
            instance("DamonProbe.filters", wanted, DamonFilter)
            wanted.check()
        for prep in self.preps:
            instance("DamonProbe.preps", prep, DamonPrep)
            prep.check()

    def copy(self) -> DamonProbe:
        return DamonProbe(self.weight, [replace(f) for f in self.filters], [replace(p) for p in self.preps])


def has_weights(probes: Sequence[DamonProbe]) -> bool:
    """Is only the attributes' distribution monitored, not accesses?"""
    return any(probe.weight for probe in probes)


def has_preps(probes: Sequence[DamonProbe]) -> bool:
    """Is there anything to prepare?"""
    return any(probe.preps for probe in probes)


def probe_weights(probes: Sequence[DamonProbe]) -> Weights:
    """The weights of ``probes``."""
    return (ctypes.c_uint32 * MAX_PROBES)(*(probe.weight for probe in probes))
