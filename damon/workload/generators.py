# SPDX-License-Identifier: GPL-2.0-only
"""The fields of a workload file that stand for many areas and phases; ``expand`` writes them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

import msgspec

Quantity = int | float | str
Factor = Annotated[float, msgspec.Meta(ge=0, le=1e6)]
Point = tuple[Quantity, Factor]


class Generator(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Unknown fields are refused, as in ``schema.Strict``."""


class RhythmFields(Generator, frozen=True):
    period: Quantity = "24h"
    trough: Factor | msgspec.UnsetType = msgspec.UNSET
    peak: Factor | msgspec.UnsetType = msgspec.UNSET
    peak_at: Quantity | msgspec.UnsetType = msgspec.UNSET
    points: list[Point] = []
    levels: list[Point] = []
    step: Quantity | msgspec.UnsetType = msgspec.UNSET


class HotFields(Generator, frozen=True):
    size: Quantity
    rate: Quantity
    every: Quantity
    move: Literal["sweep", "bounce", "walk", "jump"] = "sweep"
    step: Quantity | msgspec.UnsetType = msgspec.UNSET
    at: list[Quantity] = []


class GrowFields(Generator, frozen=True):
    by: Quantity
    every: Quantity
    initial: Quantity = 0
    then: Literal["stay", "drop", "shrink"] = "stay"


class ProgramFields(Generator, frozen=True):
    areas: dict[str, Any]  # each an AreaFields, converted one by one
    access: list[Any] = []  # each an AccessFields
    params: dict[str, Quantity] = {}
    memcg: str = ""
    node: Annotated[int, msgspec.Meta(ge=0)] | str = 0


class InstanceFields(Generator, frozen=True):
    program: str
    name: str = ""
    count: Annotated[int, msgspec.Meta(ge=1, le=10_000)] | msgspec.UnsetType = msgspec.UNSET
    start: Quantity = 0
    every: Quantity | msgspec.UnsetType = msgspec.UNSET
    arrivals: Literal["regular", "poisson"] = "regular"
    lifetime: Quantity | list[Quantity] | msgspec.UnsetType = msgspec.UNSET
    most: Annotated[int, msgspec.Meta(ge=1, le=1000)] | msgspec.UnsetType = msgspec.UNSET
    set: dict[str, Quantity | list[Quantity]] = {}


_TIME: Final = "a time from 0 on, e.g. 0 or 8h"
_POINTS: Final = "a list of times and factors, e.g. [[0h, 0.2], [12h, 1]]"
_PARAMETERS: Final = "a mapping of names to values, e.g. {size: 64M}"
#: What each of them takes; the key is the end of its path.
TAKES: Final[Mapping[str, str]] = {
    "seed": "a whole number from 0 to 2^63 - 1",
    "rhythms": "a mapping of names to rhythms, e.g. {day: {period: 24h, trough: 0.1, peak: 1}}",
    "rhythms.*": "a rhythm, e.g. {period: 24h, trough: 0.1, peak: 1, peak_at: 14h}",
    "rhythm": "the name of a rhythm",
    "period": "a duration, e.g. 24h or 5m",
    **dict.fromkeys(("trough", "peak"), "a factor from 0 to 1e6"),
    "peak_at": _TIME,
    **dict.fromkeys(("points", "points[]", "points[][]", "levels", "levels[]", "levels[][]"), _POINTS),
    "step": "a size for a hot spot, e.g. 8M, and a duration for a rhythm, e.g. 10m",
    "hot": "a hot spot, e.g. {size: 16M, rate: 100k, every: 10m}",
    "every": "a duration, e.g. 10m",
    "move": "sweep, bounce, walk or jump",
    "at": "a list of offsets, e.g. [0, 64M, 32M]",
    "at[]": "an offset from 0 on, e.g. 64M",
    "grow": "growth, e.g. {by: 16M, every: 10m}",
    "by": "a size, e.g. 16M",
    "initial": "a size, or 0",
    "then": "stay, drop or shrink",
    "programs": "a mapping of names to programs, e.g. {web: {areas: {heap: {size: 64M}}}}",
    "programs.*": "a program, e.g. {areas: {heap: {size: 64M}}, access: [{area: heap, rate: 10k}]}",
    "params": _PARAMETERS,
    "params[]": "a value, e.g. 64M",
    "instances": "a list of instances, e.g. [{program: web, count: 3}]",
    "instances[]": "an instance, e.g. {program: web, count: 3}",
    "program": "the name of a program",
    "count": "a whole number from 1 to 10000",
    "start": _TIME,
    "arrivals": "regular or poisson",
    **dict.fromkeys(("lifetime", "lifetime[]"), "a duration, e.g. 10m, or a range, e.g. [5m, 20m]"),
    "most": "a whole number from 1 to 1000",
    "set": _PARAMETERS,
    **dict.fromkeys(("set[]", "set[][]"), "a value, or a list of them, e.g. [64M, 128M]"),
}
FIELDS: Final[Mapping[str, type[msgspec.Struct]]] = {
    "rhythms.*": RhythmFields, "hot": HotFields, "grow": GrowFields, "programs.*": ProgramFields,
    "instances[]": InstanceFields,
}  # fmt: skip
