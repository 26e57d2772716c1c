# SPDX-License-Identifier: GPL-2.0-only
"""Opening trace files. A file can be foreign or damaged: nothing of it is used before it is checked.

Of a file up to ``MAX_COPIED`` bytes everything is checked, and a copy is used, which no program can change any more. A
bigger one is mapped: its description and tables are checked, and of its rows C uses whatever they are without leaving
the file. So opening and replaying cost what is used of it, not what it has.
"""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import stat
from collections.abc import Iterator
from ctypes import c_int, c_uint64, c_void_p
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from damon.errors import InvalidInput
from damon.native import bind
from damon.quoting import cut, quoted
from damon.workload.tracefile.form import (
    CHUNK,
    FANOUT,
    FORMAT,
    HEADER,
    MAGIC,
    MAX_AREAS,
    MAX_DESCRIPTION,
    MAX_LEVELS,
    MAX_MAPPED,
    MAX_PAGES,
    MAX_SPACES,
    MAX_TIME_NS,
    ROW_BYTES,
    Description,
    Level,
    Space,
    TracedArea,
    TraceWindow,
)

MAX_COPIED: Final = 64 << 20
_NAME: Final = 64
_check = bind(
    "trace_check", c_uint64, c_void_p, c_uint64, c_uint64, c_uint64, c_uint64, c_uint64, c_uint64, c_int
)  # fmt: skip
_WINDOW: Final = ctypes.sizeof(TraceWindow)


class _Wrong(ValueError):
    """What is wrong with a file: ``<what>: <value>: <why>``."""


def is_trace(path: Path) -> bool:
    """Does the file begin as a trace file does? False for whatever cannot be read."""
    try:
        with open(_open(path), "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _open(path: Path) -> int:
    """A descriptor of a regular file; it never waits.

    Raises:
        OSError: it is none, or cannot be read.
    """
    fd = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    if not stat.S_ISREG(os.fstat(fd).st_mode):
        os.close(fd)
        raise OSError(22, "not a regular file")
    return fd


class Trace:
    """An open trace file; ``description`` and the windows of its spaces. Its memory goes with the last reference.

    Raises:
        InvalidInput: it cannot be read, or is no trace; one line with the file and the place.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        name = str(path) if str(path).isprintable() else repr(str(path))
        try:
            self._map, self.copied = _contents(path)
            self.size = len(self._map)
            self.data = _address(self._map)
            self.description = self._described()
            self._check_windows()
        except OSError as error:
            raise InvalidInput(f"trace: {cut(name)}: {error.strerror}; give a file of `damon import`") from None
        except _Wrong as error:
            raise InvalidInput(f"trace: {cut(name)}: {error}; import the recording again") from None

    def _described(self) -> Description:
        if self.size < HEADER.size:
            raise _Wrong(f"{self.size} bytes: are not a trace file")
        magic, form, header, begin, length, size = HEADER.unpack_from(self._map)
        if magic != MAGIC:
            raise _Wrong(f"{quoted(bytes(magic).decode('latin-1'))}: is not how a trace file begins")
        if form != FORMAT:
            raise _Wrong(f"format: {form}: is not known here; {FORMAT} is")
        if size != self.size or header != HEADER.size:
            raise _Wrong(f"size: {self.size} bytes: are not the {size} that it was made with")
        if not (header <= begin <= size and length <= MAX_DESCRIPTION and begin + length == size):
            raise _Wrong(f"description: {length} bytes at {begin}: are not at the file's end")
        try:
            found = json.loads(self._map[begin:size])
        except (ValueError, RecursionError):
            raise _Wrong("description: is not JSON") from None
        return _description(found, begin)

    def _check_windows(self) -> None:
        for number, space in enumerate(self.description.spaces):
            below = Level(0, 0)
            for index, level in enumerate(space.levels):
                if index and level.nr != -(-below.nr // FANOUT):
                    raise _Wrong(f"spaces[{number}].levels[{index}].nr: {level.nr}: does not fit the level below")
                wrong = _check(
                    self.data, self.size, level.offset, level.nr, below.offset, below.nr, space.nr_pages, self.copied
                )
                if wrong != level.nr:
                    raise _Wrong(f"spaces[{number}].levels[{index}]: window {wrong}: is damaged")
                below = level
            if below.nr > 1:
                raise _Wrong(f"spaces[{number}].levels: {len(space.levels)}: end before a single window")
            if space.levels and self._window(space.levels[-1], 0).t1 > self.description.duration_ns:
                raise _Wrong(f"spaces[{number}]: has windows behind the trace's end")

    def _window(self, level: Level, number: int) -> TraceWindow:
        return TraceWindow.from_buffer_copy(self._map, level.offset + number * _WINDOW)

    def nr_windows(self, space: int) -> int:
        levels = self.description.spaces[space].levels
        return levels[0].nr if levels else 0

    def window(self, space: int, number: int) -> TraceWindow:
        """A window of level 0, a copy; the first is 0."""
        return self._window(self.description.spaces[space].levels[0], number)

    def rows(self, window: TraceWindow) -> bytes:
        """The rows of a window, packed."""
        start = window.offset + -(-window.nr // CHUNK) * 8
        return bytes(self._map[start : start + window.nr * ROW_BYTES])

    def windows(self, space: int) -> Iterator[tuple[int, int, bytes]]:
        """Begin, end and rows of each window of a space, in order."""
        for number in range(self.nr_windows(space)):
            window = self.window(space, number)
            yield window.t0, window.t1, self.rows(window)

    def level_windows(self, space: int, level: int, begin: int, end: int) -> Iterator[tuple[int, int, bytes]]:
        """Begin, end and rows of the windows of one level that overlap ``[begin, end)``; none of a level that is not
        there."""
        levels = self.description.spaces[space].levels
        for number in range(levels[level].nr) if level < len(levels) else ():
            window = self._window(levels[level], number)
            if window.t1 > begin and window.t0 < end:
                yield window.t0, window.t1, self.rows(window)

    def window_after(self, space: int, t: int) -> int:
        """The number of the first window that ends after the time ``t`` of the trace; of windows, if there is none."""
        low, high = 0, self.nr_windows(space)
        while low < high:
            middle = (low + high) // 2
            if self.window(space, middle).t1 <= t:
                low = middle + 1
            else:
                high = middle
        return low

    def window_at(self, space: int, t: int) -> TraceWindow | None:
        """The window that has the time ``t`` of the trace; None: nothing was touched then."""
        number = self.window_after(space, t)
        if number < self.nr_windows(space) and (found := self.window(space, number)).t0 <= t:
            return found
        return None


def _contents(path: Path) -> tuple[mmap.mmap, bool]:
    """The file's bytes, and whether they are a copy."""
    with open(_open(path), "rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size < HEADER.size:
            raise _Wrong(f"{size} bytes: are not a trace file")
        if size > MAX_COPIED:
            # Private and writable, as ctypes takes the address of nothing else; nothing is ever written.
            return mmap.mmap(file.fileno(), size, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_WRITE), False
        copy = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
        if file.readinto(copy) != size:
            raise _Wrong("size: it became shorter as it was read")
        return copy, True


def _address(content: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(content))


def _description(found: Any, limit: int) -> Description:
    """The file's description from JSON; the tables that it names lie before ``limit``."""
    top = _Fields(found, "description", {"format", "duration_ns", "spaces", "areas", "loop", "origin"})
    spaces = tuple(_space(one, f"spaces[{n}]", limit) for n, one in enumerate(top.list("spaces", MAX_SPACES)))
    areas = tuple(_area(one, f"areas[{n}]", spaces) for n, one in enumerate(top.list("areas", MAX_AREAS)))
    if sum(len(area.mapped) for area in areas) > MAX_MAPPED:
        raise _Wrong(f"areas: have more than {MAX_MAPPED} periods")
    if len({area.name for area in areas}) < len(areas):
        raise _Wrong("areas: two have the same name")
    whole = top.whole("duration_ns", 1, MAX_TIME_NS)
    for number, area in enumerate(areas):
        if area.mapped and area.mapped[-1][1] > whole:
            raise _Wrong(f"areas[{number}].mapped: is not over before the trace is")
    return Description(whole, spaces, areas, top.truth("loop"), top.text("origin", 200, empty=True))


class _Fields:
    """An object of JSON with known fields, each of which is read as what it has to be."""

    def __init__(self, found: Any, place: str, known: set[str]) -> None:
        if not isinstance(found, dict) or found.keys() != known:
            raise _Wrong(f"{place}: does not have the fields {', '.join(sorted(known))}")
        self._found, self._place = found, place

    def _wrong(self, name: str, why: str) -> _Wrong:
        return _Wrong(f"{self._place}.{name}: {quoted(self._found[name])}: {why}")

    def whole(self, name: str, least: int, most: int) -> int:
        value = self._found[name]
        if type(value) is not int or not least <= value <= most:
            raise self._wrong(name, f"is not a whole number from {least} to {most}")
        return value

    def text(self, name: str, most: int, *, empty: bool = False) -> str:
        value = self._found[name]
        if not isinstance(value, str) or not value.isprintable() or not (empty or value) or len(value) > most:
            raise self._wrong(name, f"is not text of up to {most} characters")
        return value

    def truth(self, name: str) -> bool:
        if not isinstance(self._found[name], bool):
            raise self._wrong(name, "is neither true nor false")
        return bool(self._found[name])

    def list(self, name: str, most: int) -> list[Any]:
        value = self._found[name]
        if not isinstance(value, list) or len(value) > most:
            raise self._wrong(name, f"is not a list of up to {most}")
        return value


def _space(found: Any, place: str, limit: int) -> Space:
    fields = _Fields(found, place, {"process", "nr_pages", "levels"})
    levels = tuple(
        _level(one, f"{place}.levels[{n}]", limit) for n, one in enumerate(fields.list("levels", MAX_LEVELS))
    )
    return Space(fields.text("process", _NAME), fields.whole("nr_pages", 1, MAX_PAGES), levels)


def _level(found: Any, place: str, limit: int) -> Level:
    fields = _Fields(found, place, {"offset", "nr"})
    offset = fields.whole("offset", HEADER.size, limit)
    nr = fields.whole("nr", 1, (limit - offset) // _WINDOW)
    if offset % 8:
        raise _Wrong(f"{place}.offset: {offset}: is not a multiple of 8")
    return Level(offset, nr)


def _area(found: Any, place: str, spaces: tuple[Space, ...]) -> TracedArea:
    fields = _Fields(found, place, {"name", "space", "first", "nr_pages", "kind", "address", "mapped"})
    space = fields.whole("space", 0, len(spaces) - 1)
    first = fields.whole("first", 0, spaces[space].nr_pages - 1)
    nr_pages = fields.whole("nr_pages", 1, spaces[space].nr_pages - first)
    kind = fields.text("kind", 4)
    if kind not in ("anon", "file"):
        raise _Wrong(f"{place}.kind: {quoted(kind)}: is neither anon nor file")
    mapped = tuple(_period(one, f"{place}.mapped[{n}]") for n, one in enumerate(fields.list("mapped", MAX_MAPPED)))
    if any(before[1] >= after[0] for before, after in pairwise(mapped)):
        raise _Wrong(f"{place}.mapped: is not in order")
    address = fields.whole("address", 0, (1 << 64) - 1)
    return TracedArea(fields.text("name", _NAME), space, first, nr_pages, kind, address, mapped)


def _period(found: Any, place: str) -> tuple[int, int]:
    if not isinstance(found, list) or len(found) != 2 or not all(type(t) is int for t in found):
        raise _Wrong(f"{place}: is not a pair of times")
    if not 0 <= found[0] < found[1] <= MAX_TIME_NS:
        raise _Wrong(f"{place}: {found[0]}: is not before {found[1]}")
    return found[0], found[1]


__all__ = ["MAX_COPIED", "Trace", "is_trace"]
