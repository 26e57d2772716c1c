# SPDX-License-Identifier: GPL-2.0-only
"""Do C and Python mean the same by a record? Names, offsets, sizes and kinds of fields, from ``src/layout.c``.

The tests compare all of them. In Python's development mode (``python -X dev``) or with ``PYDAMON_DEBUG=1`` each record
is compared when its class is made, so that a library of another version is refused before it writes anywhere.
"""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Callable
from functools import cache
from typing import Final, TypeVar

from damon.errors import MissingCapability
from damon.native import library

Record = TypeVar("Record", bound=type[ctypes.Structure])
#: Name, offset, bytes, kind: u, i, f (unsigned, signed, floating point), or - for arrays, pointers and structs.
Field = tuple[str, int, int, str]

#: The Python record of each C struct, by the struct's name.
SHARED: Final[dict[str, type[ctypes.Structure]]] = {}
_KINDS: Final[dict[object, str]] = {
    **dict.fromkeys((ctypes.c_uint8, ctypes.c_uint32, ctypes.c_uint64), "u"),
    **dict.fromkeys((ctypes.c_int32, ctypes.c_int64), "i"),
    ctypes.c_double: "f",
}


class _Field(ctypes.Structure):
    """``struct field_layout``."""

    _fields_ = (("name", ctypes.c_char_p), *((name, ctypes.c_uint32) for name in ("offset", "size", "kind", "pad")))


class _Struct(ctypes.Structure):
    """``struct struct_layout``."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("fields", ctypes.POINTER(_Field)),
        ("size", ctypes.c_uint32),
        ("nr_fields", ctypes.c_uint32),
    )


@cache
def c_layouts() -> dict[str, tuple[int, list[Field]]]:
    """Bytes and fields of each struct, as the C compiler laid them out."""
    table = library().damon_struct_layouts
    table.restype, table.argtypes = ctypes.POINTER(_Struct), (ctypes.c_void_p,)
    nr = ctypes.c_uint32()
    rows = table(ctypes.addressof(nr))
    return {
        row.name.decode(): (
            row.size,
            [(f.name.decode(), f.offset, f.size, chr(f.kind)) for f in row.fields[: row.nr_fields]],
        )
        for row in rows[: nr.value]
    }


def python_fields(record: type[ctypes.Structure]) -> list[Field]:
    """The fields of ``record``, as ctypes laid them out."""
    found = []
    for name, kind, *_ in record._fields_:
        place = getattr(record, name)
        found.append((name, place.offset, place.size, _KINDS.get(kind, "-")))
    return found


def mismatches(name: str, record: type[ctypes.Structure]) -> list[str]:
    """What C and Python do not agree on about struct ``name``; a hole in it counts, as a field may be missing there."""
    if name not in c_layouts():
        return [f"struct {name}: layout.c does not have it"]
    size, fields = c_layouts()[name]
    wrong = []
    if size != ctypes.sizeof(record):
        wrong.append(f"struct {name}: {size} bytes in C, {ctypes.sizeof(record)} in Python")
    ours = python_fields(record)
    wrong += [f"struct {name}: {theirs} in C, {own} in Python" for theirs, own in zip(fields, ours) if theirs != own]  # noqa: B905
    if len(fields) != len(ours):
        wrong.append(f"struct {name}: {len(fields)} fields in C, {len(ours)} in Python")
    ends = [0, *(offset + length for _, offset, length, _ in fields)]
    starts = [*(offset for _, offset, _, _ in fields), size]
    if ends != starts:
        wrong.append(f"struct {name}: has a hole, or layout.c leaves out a field of it")
    return wrong


def shared(name: str) -> Callable[[Record], Record]:
    """A class decorator: this record is C's struct ``name``.

    Raises:
        MissingCapability: in development mode, the library's struct is another one.
    """

    def note(record: Record) -> Record:
        SHARED[name] = record
        if sys.flags.dev_mode or os.environ.get("PYDAMON_DEBUG") == "1":
            wrong = mismatches(name, record)
            if wrong:
                raise MissingCapability(
                    f"C helper: {wrong[0]}: it is of another version; build it with `pip install .`"
                )
        return record

    return note
