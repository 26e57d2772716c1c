# SPDX-License-Identifier: GPL-2.0-only
"""What is in the level ``next`` only: features that are merged for the release after 7.3 (DAMON spec, next)."""

from __future__ import annotations

import enum
from collections.abc import Iterable, Sequence
from typing import Final, TypeVar

from damon.errors import InvalidInput
from damon.model.level import Level
from damon.model.probe import DamonFilterType, DamonProbe
from damon.model.scheme import Damos, DamosFilter, DamosFilterType

E = TypeVar("E", bound=enum.Enum)


_NEXT: Final[frozenset[enum.Enum]] = frozenset(
    {
        DamonFilterType.PGIDLE_UNSET,
        DamonFilterType.PGIDLE_SET,
        DamonFilterType.HUGEPAGE_SIZE,
        DamosFilterType.PROBE_HITS_WSUM,
    }
)


def of_level(level: Level, members: Iterable[E]) -> list[E]:
    """Those of ``members`` that ``level`` has, in their order."""
    return [member for member in members if level is Level.NEXT or member not in _NEXT]


def _later(what: str, value: str) -> InvalidInput:
    return InvalidInput(f"{what}: {value}: comes after level 7.3; give level 'next'")


def check_level(level: Level, probes: Sequence[DamonProbe], schemes: Sequence[Damos]) -> None:
    """Refuse what ``level`` does not have (EINVAL), with the field and its value."""
    if level is Level.NEXT:
        return
    for number, probe in enumerate(probes):
        for prep in probe.preps:
            raise _later(f"probes[{number}].preps", prep.action.value)
        for place, wanted in enumerate(probe.filters):
            if wanted.type in _NEXT:
                raise _later(f"probes[{number}].filters[{place}].type", wanted.type.value)
    for number, scheme in enumerate(schemes):
        for place, core in enumerate(scheme.core_filters):
            if isinstance(core, DamosFilter) and core.type in _NEXT:
                raise _later(f"schemes[{number}].core_filters[{place}].type", core.type.value)
