# SPDX-License-Identifier: GPL-2.0-only
"""The fields of a study file: names, types and defaults, and what each takes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Final

import msgspec

from damon.workload.generators import Quantity
from damon.workload.schema import Strict

#: The version of the file format.
FORMAT: Final = 1
Seed = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]


class CoarseFields(Strict, frozen=True):
    trials: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)]
    duration: Quantity | msgspec.UnsetType = msgspec.UNSET
    scale: dict[str, Any] = msgspec.field(default_factory=dict)  # numbers above 0; checked one by one
    keep: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 3


class TuneFields(Strict, frozen=True):
    trials: Annotated[int, msgspec.Meta(ge=1, le=1_000_000)] = 50
    batch: Annotated[int, msgspec.Meta(ge=1, le=1000)] = 4
    startup: Annotated[int, msgspec.Meta(ge=1, le=10_000)] = 10
    seed: Seed = 0
    prune: bool = True
    refine: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 0
    coarse: CoarseFields | None = None


class RangeFields(Strict, frozen=True, rename={"start": "from", "end": "to"}):
    start: Any
    end: Any
    step: Any = msgspec.UNSET
    log: Annotated[int, msgspec.Meta(ge=2, le=10_000)] | msgspec.UnsetType = msgspec.UNSET


class CoupledFields(Strict, frozen=True):
    of: str
    times: Any


class FileFields(Strict, frozen=True):
    workloads: Annotated[list[str], msgspec.Meta(min_length=1, max_length=100)]
    modules: dict[str, Any]  # each a mapping of parameters to values, converted one by one, so that messages name it
    duration: Quantity
    objectives: Annotated[list[str], msgspec.Meta(min_length=1, max_length=4)]
    format: int = FORMAT
    name: str = ""
    engines: Annotated[list[str], msgspec.Meta(min_length=1, max_length=20)] = msgspec.field(
        default_factory=lambda: ["pydamon"]
    )
    seeds: Annotated[list[Seed], msgspec.Meta(min_length=1, max_length=1000)] = msgspec.field(
        default_factory=lambda: [0]
    )
    constraints: Annotated[list[str], msgspec.Meta(max_length=20)] = msgspec.field(default_factory=list)
    default: bool = True
    tune: TuneFields = TuneFields()


_WHOLE: Final = "a whole number above 0"
#: What each field takes; the key is the end of its path.
TAKES: Final[Mapping[str, str]] = {
    "format": "1",
    "name": "text",
    "workloads": "a list of 1 to 100 workloads, e.g. [hot-cold, day.yaml]",
    "workloads[]": "a workload: a file, or a shipped one's name",
    "engines": "a list of 1 to 20 engines, e.g. [pydamon, linux-source-7.3]",
    "engines[]": "an engine: pydamon, kernel:DIR or linux-source-VERSION",
    "modules": "a mapping of modules to parameters, e.g. {damon_reclaim: {min_age: [5s, 30s]}}",
    "modules.*": "a mapping of parameters to values, e.g. {min_age: [5s, 30s]}",
    "values": "a value, a list, {from: 1s, to: 10s, step: 1s}, {from: 1s, to: 1h, log: 12} or {of: NAME, times: 20}",
    "from": "the first value, e.g. 1s", "to": "the last value, e.g. 10s", "step": "a difference above 0, e.g. 1s",
    "log": "the number of values, from 2 to 10000", "of": "the name of another parameter of the module",
    "times": "a number above 0, a list, or a range",
    "seeds": "a list of 1 to 1000 seeds, e.g. [1, 2, 3]",
    **dict.fromkeys(("seeds[]", "seed"), "a seed: a whole number from 0"),
    "duration": "a duration, e.g. 24h",
    "objectives": "a list of 1 to 4 objectives, e.g. [maximize saved_bytes]",
    "objectives[]": "an objective, e.g. maximize saved_bytes",
    "constraints": "a list of constraints, e.g. [slowdown < 1.02]",
    "constraints[]": "a constraint, e.g. slowdown < 1.02",
    **dict.fromkeys(("default", "prune"), "true or false"),
    "tune": "settings of damon tune, e.g. {trials: 100, seed: 1}",
    "coarse": "a first stage, e.g. {trials: 40, duration: 6h, scale: {sample_interval: 4, aggr_interval: 4}}",
    "scale": "factors of parameters, e.g. {sample_interval: 4, max_nr_regions: 0.5}",
    "refine": "a whole number from 0",
    **dict.fromkeys(("trials", "batch", "startup", "keep"), _WHOLE),
}  # fmt: skip
STRUCTS: Final[Mapping[str, type[Strict]]] = {
    "": FileFields, "tune": TuneFields, "coarse": CoarseFields, "range": RangeFields, "coupled": CoupledFields,
}  # fmt: skip
