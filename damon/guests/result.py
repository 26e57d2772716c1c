# SPDX-License-Identifier: GPL-2.0-only
"""What is believed of a guest's answer: the result of ``damon run`` as this project writes it, and no more."""

from __future__ import annotations

from typing import Annotated, Any, Final

import msgspec

from damon import format_version

#: Bytes of an answer that are read.
MOST: Final = 4 << 20
#: Names that a result may have of each kind.
_NAMES: Final = 10_000

_Count = Annotated[int, msgspec.Meta(ge=0, le=(1 << 63) - 1)]
_Seconds = Annotated[float, msgspec.Meta(ge=0, le=1e12)]
_Text = Annotated[str, msgspec.Meta(max_length=200)]
_Scalar = bool | int | float | _Text | None
_Values = dict[_Text, _Scalar | list[_Scalar]]


class _Engine(msgspec.Struct):
    engine: _Text
    version: _Text
    origin: _Text
    sha256: _Text | None


class _Module(msgspec.Struct):
    parameters: _Values
    stats: _Values
    state: _Text
    tried_bytes: _Count | None
    applied_bytes: _Count | None


class _Area(msgspec.Struct):
    size_bytes: _Count
    resident_bytes_start: _Count
    resident_bytes_end: _Count
    refaults: _Count | None
    hot: bool


class _Memory(msgspec.Struct):
    total_bytes: _Count
    free_bytes_start: _Count
    free_bytes: _Count
    resident_bytes_start: _Count
    resident_bytes: _Count
    refaults: _Count
    swap_bytes: _Count | msgspec.UnsetType = msgspec.UNSET
    swap_used_bytes: _Count | msgspec.UnsetType = msgspec.UNSET


class _Timing(msgspec.Struct):
    seconds: _Seconds
    wall_seconds: _Seconds
    kdamond_cpu_seconds: dict[_Text, _Seconds]


class _Result(msgspec.Struct):
    seed: int
    engine: _Engine
    machine: _Text
    virtual_seconds: None
    modules: Annotated[dict[_Text, _Module], msgspec.Meta(max_length=_NAMES)]
    error: _Text | None
    killed: Annotated[list[None], msgspec.Meta(max_length=0)]
    areas: Annotated[dict[_Text, _Area], msgspec.Meta(max_length=_NAMES)]
    slowdown: _Seconds | None
    memory: _Memory
    psi_some_us: _Count
    timing: _Timing
    format: int = format_version.RUN_RESULT


def parse(data: bytes) -> dict[str, Any]:
    """The result as plain values; unknown fields are dropped.

    Raises:
        ValueError: it is not such a result.
    """
    try:
        later = format_version.refusal(msgspec.json.decode(data), format_version.RUN_RESULT)
        if later is not None:
            raise ValueError(later)
        found = msgspec.json.decode(data, type=_Result)
    except msgspec.MsgspecError as error:
        raise ValueError(str(error)) from error
    plain: dict[str, Any] = msgspec.to_builtins(found)
    return plain
