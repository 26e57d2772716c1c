# SPDX-License-Identifier: GPL-2.0-only
"""Data-attribute probes: how often a sampled page has an attribute (DAMON spec, core 2.7)."""

from __future__ import annotations

import ctypes
import enum
from collections.abc import Sequence
from dataclasses import dataclass, field

from damon.model.arrays import MAX_PROBES
from damon.model.checks import U32_MAX, instance, member, truths, wholes

#: Weights of all ``MAX_PROBES`` probes that there can be, as C routines take them.
Weights = ctypes.Array[ctypes.c_uint32]


class DamonFilterType(enum.Enum):
    """In the kernel's enum order; values are the kernel's keywords."""

    ANON = "anon"
    MEMCG = "memcg"


@dataclass
class DamonFilter:
    """A page hits iff its type's test equals ``matching``; the first hit decides by ``allow``.

    Without a hit the opposite of the last filter's ``allow`` decides. A page without folio fails every test.
    """

    type: DamonFilterType
    matching: bool
    allow: bool = False
    memcg_id: int = 0

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse a type, truth values and a cgroup that are none (EINVAL)."""
        self.type = member("DamonFilter.type", self.type, DamonFilterType)
        truths(self, "matching", "allow")
        wholes(self, ("memcg_id",))


@dataclass
class DamonProbe:
    """One attribute: its hits are counted in each region's ``probe_hits``, at the probe's place in the context.

    As soon as one ``weight`` of a context is not 0, accesses are not sampled any more: regions then differ by
    the weighted sum of their hits.
    """

    weight: int = 0
    filters: list[DamonFilter] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.check()

    def check(self) -> None:
        """Refuse filters that are none, and a weight that is not an unsigned integer of 32 bits (EINVAL)."""
        wholes(self, ("weight",), high=U32_MAX)
        for wanted in self.filters:
            instance("DamonProbe.filters", wanted, DamonFilter)
            wanted.check()

    def copy(self) -> DamonProbe:
        return DamonProbe(self.weight, [DamonFilter(f.type, f.matching, f.allow, f.memcg_id) for f in self.filters])


def has_weights(probes: Sequence[DamonProbe]) -> bool:
    """Is only the attributes' distribution monitored, not accesses?"""
    return any(probe.weight for probe in probes)


def probe_weights(probes: Sequence[DamonProbe]) -> Weights:
    """The weights of ``probes``."""
    return (ctypes.c_uint32 * MAX_PROBES)(*(probe.weight for probe in probes))
