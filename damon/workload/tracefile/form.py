# SPDX-License-Identifier: GPL-2.0-only
"""The format of trace files (``docs/reference/trace-files.md``): a header, windows of rows, tables, a description."""

from __future__ import annotations

import ctypes
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from damon.native.layout import shared

MAGIC: Final = b"DAMTRACE"
FORMAT: Final = 1
#: magic, format, bytes of the header, offset and length of the description, length of the file
HEADER: Final = struct.Struct("<8sIIQQQ24x")
PAGE: Final = 4096
FANOUT: Final = 16
MAX_LEVELS: Final = 8
CHUNK: Final = 16
#: Pages of one space: 16 TiB.
MAX_PAGES: Final = (1 << 32) - 1
MAX_RUN: Final = (1 << 24) - 1
MAX_SPACES: Final = 1000
MAX_AREAS: Final = 10_000
MAX_MAPPED: Final = 100_000  # periods of all areas
MAX_TIME_NS: Final = 10**18
MAX_DESCRIPTION: Final = 64 << 20
#: Touches of a page in a window of level 0.
LEAST_TOUCHES: Final = 1e-30
MOST_TOUCHES: Final = 1e9

#: Origin of a trace that has every access of its processes since it began: what was not accessed is not there yet.
TRUTH: Final = "truth"

#: First page and end in the space, touches of each page in the window, share of writes.
Row = tuple[int, int, float, float]
_ROW: Final = struct.Struct("<2If")
ROW_BYTES: Final = _ROW.size


@shared("trace_window")
class TraceWindow(ctypes.Structure):
    """``struct trace_window``: a window of a level, in its table."""

    _fields_ = (
        *((name, ctypes.c_int64) for name in ("t0", "t1")),
        ("offset", ctypes.c_uint64),
        ("total", ctypes.c_double),
        *((name, ctypes.c_uint32) for name in ("nr", "pad")),
    )


@dataclass(frozen=True)
class TracedArea:
    """A mapping of a traced process."""

    name: str
    space: int  #: whose pages they are
    first: int  #: the first one's number in the space
    nr_pages: int
    kind: str = "anon"  #: or ``file``
    address: int = 0  #: where it was; 0 after anonymising
    mapped: tuple[tuple[int, int], ...] = ()  #: when it was there, ns from the trace's begin, ascending


@dataclass(frozen=True)
class Level:
    """The table of a level's windows in the file."""

    offset: int
    nr: int


@dataclass(frozen=True)
class Space:
    """The pages of one traced process."""

    process: str
    nr_pages: int
    levels: tuple[Level, ...] = ()  #: empty: nothing was accessed


@dataclass(frozen=True)
class Description:
    """What a file has beside its windows."""

    duration_ns: int
    spaces: tuple[Space, ...]
    areas: tuple[TracedArea, ...]
    loop: bool = False  #: repeat it, if the replay does not say otherwise
    origin: str = ""  #: what it was made from: ``records``, ``TRUTH``, or text of the maker's


def _share_of_255(share: float) -> int:
    """Neither nothing of what is written at all, nor everything of what is read at all."""
    return min(max(round(share * 255), int(share > 0.0)), 255 - int(share < 1.0))


def pack_rows(rows: Iterable[Row]) -> bytes:
    """Rows as they are in the file; those without touches are left out, neighbours that are alike are joined.

    Args:
        rows: ascending, without overlaps.
    """
    packed: list[bytes] = []
    pack = _ROW.pack
    begin = end = 0
    touches, write = 0.0, 0
    for first, last, each, share in (*rows, (1 << 40, 1 << 40, 0.0, 0.0)):
        of255 = _share_of_255(share)
        if first == end and each == touches and of255 == write:
            end = last
            continue
        if touches > LEAST_TOUCHES:
            value = min(touches, MOST_TOUCHES)
            packed += [
                pack(at, min(end - at, MAX_RUN) | write << 24, value) for at in range(begin, end, MAX_RUN)
            ]  # fmt: skip
        begin, end, touches, write = first, last, each, of255
    return b"".join(packed)


def unpack_rows(data: bytes | memoryview) -> list[Row]:
    """The inverse of ``pack_rows``."""
    return [(start, start + (nr & MAX_RUN), touches, (nr >> 24) / 255) for start, nr, touches in _ROW.iter_unpack(data)]
