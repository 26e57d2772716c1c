# SPDX-License-Identifier: GPL-2.0-only
"""Making trace files, window by window: what is kept in memory are the tables, and the rows of a few windows."""

from __future__ import annotations

import ctypes
import json
import os
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from ctypes import c_double, c_uint32, c_void_p
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Final

from damon.errors import InvalidInput
from damon.native import bind
from damon.workload.tracefile.form import (
    CHUNK,
    FANOUT,
    FORMAT,
    HEADER,
    MAGIC,
    MAX_LEVELS,
    MAX_PAGES,
    MAX_RUN,
    MAX_TIME_NS,
    ROW_BYTES,
    Description,
    Level,
    Space,
    TracedArea,
    TraceWindow,
)

_sums = bind("trace_sums", c_double, c_void_p, c_uint32, c_void_p)
_merge = bind("trace_merge", c_uint32, c_void_p, c_void_p, c_uint32, c_void_p)
_BUFFER: Final = 1 << 20

_Pending = tuple[int, int, bytes]  # t0, t1, rows


def _address(data: bytes) -> int:
    return ctypes.cast(ctypes.c_char_p(data), c_void_p).value or 0


def merge(windows: Sequence[bytes], nr_pages: int) -> bytes:
    """The sum of some windows' rows."""
    count = len(windows)
    pointers = (c_void_p * count)(*map(_address, windows))
    numbers = (c_uint32 * count)(*(len(rows) // ROW_BYTES for rows in windows))
    room = 2 * sum(numbers) + nr_pages // MAX_RUN + 2
    out = ctypes.create_string_buffer(room * ROW_BYTES)
    made = _merge(ctypes.addressof(pointers), ctypes.addressof(numbers), count, ctypes.addressof(out))
    return out.raw[: made * ROW_BYTES]


class _Levels:
    """The windows of one space, and which of them are not part of the next level's yet."""

    def __init__(self, process: str, nr_pages: int) -> None:
        self.process, self.nr_pages = process, nr_pages
        self.tables: list[bytearray] = []
        self.pending: list[list[_Pending]] = []
        self.end = 0

    def nr(self, level: int) -> int:
        return len(self.tables[level]) // ctypes.sizeof(TraceWindow)


class TraceWriter:
    """Writes a trace to ``path``, which is there after ``close()`` and not before. Mode 0600.

    Use it as a context: after an error nothing is left.

    Raises:
        OSError: the file cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        fd, self._part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        self._file = os.fdopen(fd, "wb", buffering=_BUFFER)
        self._at = self._file.write(bytes(HEADER.size))
        self._spaces: list[_Levels] = []

    def __enter__(self) -> TraceWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()
        with suppress(FileNotFoundError):
            os.unlink(self._part)

    def space(self, process: str, nr_pages: int) -> int:
        """The number of a new space: a process of so many pages.

        Raises:
            InvalidInput: too many pages.
        """
        if not 0 < nr_pages <= MAX_PAGES:
            raise InvalidInput(
                f"trace: {nr_pages} pages of one process: are not 1 to {MAX_PAGES}; monitor a smaller range"
            )
        self._spaces.append(_Levels(process, nr_pages))
        return len(self._spaces) - 1

    def add(self, space: int, t0: int, t1: int, rows: bytes) -> None:
        """A window of a space: what was touched in ``[t0, t1)``, ns since the trace's begin, not before the end of the
        window before it.

        Args:
            rows: as ``form.pack_rows`` makes them; empty: the window is left out.
        """
        levels = self._spaces[space]
        if not 0 <= levels.end <= t0 < t1 <= MAX_TIME_NS:
            raise InvalidInput(
                f"trace: window of {t0} to {t1} ns: does not follow {levels.end} ns; give windows in order"
            )
        levels.end = t1
        if rows:
            self._put(levels, 0, t0, t1, rows)

    def _put(self, levels: _Levels, level: int, t0: int, t1: int, rows: bytes) -> None:
        if level == len(levels.tables):
            if level == MAX_LEVELS:
                raise InvalidInput(f"trace: {levels.nr(0)} windows: are too many; use longer intervals")
            levels.tables.append(bytearray())
            levels.pending.append([])
        nr = len(rows) // ROW_BYTES
        chunks = (c_double * -(-nr // CHUNK))()
        total = _sums(_address(rows), nr, ctypes.addressof(chunks))
        self._at += self._file.write(bytes(-self._at % 8))
        levels.tables[level] += bytes(TraceWindow(t0, t1, self._at, total, nr, 0))
        self._at += self._file.write(bytes(chunks)) + self._file.write(rows)
        levels.pending[level].append((t0, t1, rows))
        if len(levels.pending[level]) == FANOUT:
            self._sum_up(levels, level)

    def _sum_up(self, levels: _Levels, level: int) -> None:
        """The windows that wait at a level become one of the next."""
        waiting, levels.pending[level] = levels.pending[level], []
        rows = merge([rows for _, _, rows in waiting], levels.nr_pages)
        self._put(levels, level + 1, waiting[0][0], waiting[-1][1], rows)

    def close(self, duration_ns: int, areas: Sequence[TracedArea], *, loop: bool = False, origin: str = "") -> None:
        """Write the rest, and give the file its name.

        Raises:
            InvalidInput: the windows are longer than ``duration_ns``.
            OSError: it cannot be written.
        """
        end = max((levels.end for levels in self._spaces), default=0)
        if not max(end, 1) <= duration_ns <= MAX_TIME_NS:
            raise InvalidInput(
                f"trace: a duration of {duration_ns} ns: is below {max(end, 1)} or too long; give another one"
            )
        spaces = tuple(Space(one.process, one.nr_pages, self._tables(one)) for one in self._spaces)
        what = Description(duration_ns, spaces, tuple(areas), loop, origin)
        text = json.dumps({"format": FORMAT, **asdict(what)}).encode()
        begin = self._at
        self._file.write(text)
        self._file.seek(0)
        self._file.write(HEADER.pack(MAGIC, FORMAT, HEADER.size, begin, len(text), begin + len(text)))
        self._file.flush()
        os.fsync(self._file.fileno())
        os.replace(self._part, self._path)

    def _tables(self, levels: _Levels) -> tuple[Level, ...]:
        """All levels up to one of a single window, written."""
        level = 0
        while level < len(levels.tables):
            if levels.pending[level] and levels.nr(level) > 1:
                self._sum_up(levels, level)
            level += 1
        found = []
        for table in levels.tables:
            self._at += self._file.write(bytes(-self._at % 8))
            found.append(Level(self._at, len(table) // ctypes.sizeof(TraceWindow)))
            self._at += self._file.write(table)
        return tuple(found)
