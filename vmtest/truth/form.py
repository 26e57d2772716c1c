# SPDX-License-Identifier: GPL-2.0-only
"""The raw file (``docs/reference/truth-files.md``): chunks, each with a tag, a length and a content.

Two programs append to it, each of them whole chunks: QEMU's plugin, and this one what the agent in the guest writes.
What a kill leaves can be read: its last chunk may be cut off. A file can be foreign or damaged, so that everything is
checked before it is used.
"""

from __future__ import annotations

import json
import os
import struct
import sys
import zlib
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Final

from ..errors import InvalidInput
from ..quoting import quoted

FORMAT: Final = 1
MAGIC: Final = b"VMTRUTH\n"
LEAD: Final = struct.Struct("<4sI")
WINDOW: Final = struct.Struct("<QQIIII")
MARK: Final = struct.Struct("<QII")
MARK_START: Final = 0xFFFF0001
MARK_STOP: Final = 0xFFFF0002
#: Columns of a window's rows: the first has u32, the next two u16, the others u16 or u32 by the window's width.
COLUMNS: Final = ("frame", "touched", "written", "user_read", "user_written", "kernel_read", "kernel_written")
MAX_CHUNK: Final = 1 << 30
MAX_FRAMES: Final = 1 << 24
MAX_JSON: Final = 1 << 20
#: Text of the agent in one chunk.
MAX_TEXT: Final = 1 << 24


class Damaged(InvalidInput):
    """A file of truth is none, or is not whole where it has to be."""


@dataclass(frozen=True)
class Header:
    """What a file begins with.

    Args:
        interval_ns: how long an interval is.
        window_ns: how long a window is.
        exact: the last four columns count accesses, not intervals.
        frames: page frames of the guest.
        hole_from: the first frame behind which numbers of frames in the guest are higher by ``hole_by``.
        hole_by: see there.
        about: what was run where, for a reader: command, kernel, options.
    """

    interval_ns: int
    window_ns: int
    exact: bool
    frames: int
    hole_from: int
    hole_by: int
    about: dict[str, Any]

    def bytes(self) -> bytes:
        """The file's beginning."""
        fields = {"format": FORMAT, "columns": COLUMNS, **self.__dict__}
        return MAGIC + chunk(b"HEAD", json.dumps(fields).encode())


@dataclass(frozen=True)
class Window:
    """The accesses of a window, by frame. Times are ns of the machine's clock; columns are equally long.

    ``touched`` and ``written`` count intervals. The columns of ``by`` are ``COLUMNS[3:]``.
    """

    begin_ns: int
    end_ns: int
    intervals: int
    frames: array[int]
    touched: array[int]
    written: array[int]
    by: tuple[array[int], ...]


@dataclass(frozen=True)
class Mark:
    """The guest has executed mark number ``mark`` at this time of the machine."""

    at_ns: int
    mark: int


@dataclass(frozen=True)
class Text:
    """Lines of the agent, or a part of them."""

    data: bytes


@dataclass(frozen=True)
class Done:
    """The recording ended in order."""

    at_ns: int


Chunk = Window | Mark | Text | Done


def chunk(tag: bytes, content: bytes) -> bytes:
    """A chunk as it is in the file."""
    return LEAD.pack(tag, len(content)) + content


def text_chunk(data: bytes) -> bytes:
    """A chunk with lines of the agent."""
    return chunk(b"MAPS", zlib.compress(data, 1))


class Raw:
    """A raw file, open. ``chunks()`` reads it from the beginning, as often as it is called.

    Raises:
        Damaged: it is none.
        OSError: it cannot be read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._open() as file:
            self.header = _header(_content(file, b"HEAD", MAX_JSON))
            self._begin = file.tell()

    def _open(self) -> IO[bytes]:
        file = open(os.open(self.path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb")  # noqa: SIM115
        if file.read(len(MAGIC)) != MAGIC:
            file.close()
            raise Damaged(f"truth: {quoted(str(self.path))}: is not a raw file; give one of vmtest truth")
        return file

    def chunks(self, windows: bool = True) -> Iterator[Chunk]:
        """Its chunks up to the end, or to where it is cut off; without ``windows`` these are left out.

        Raises:
            Damaged: a chunk's content is wrong.
        """
        with self._open() as file:
            file.seek(self._begin)
            while (found := _next(file)) is not None:
                tag, content = found
                parse = _PARSERS.get(tag)
                if parse is None:
                    raise Damaged(f"truth: chunk {quoted(repr(tag))}: is unknown; read it with a newer version")
                if windows or parse is not _window:
                    yield parse(content, self.header)


def is_raw(path: Path) -> bool:
    """Does a file begin like one?"""
    try:
        with open(os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK), "rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _next(file: IO[bytes]) -> tuple[bytes, bytes] | None:
    lead = file.read(LEAD.size)
    if len(lead) < LEAD.size:
        return None
    tag, length = LEAD.unpack(lead)
    if length > MAX_CHUNK:
        raise Damaged(f"truth: chunk of {length} bytes: is too long; the file is damaged")
    content = file.read(length)
    return (tag, content) if len(content) == length else None


def _content(file: IO[bytes], tag: bytes, most: int) -> bytes:
    found = _next(file)
    if found is None or found[0] != tag or len(found[1]) > most:
        raise Damaged("truth: its header is damaged; record it again")
    return found[1]


def _header(content: bytes) -> Header:
    try:
        fields = json.loads(content)
        number = fields["format"]
    except (ValueError, KeyError, TypeError, RecursionError):
        raise Damaged("truth: header: is not JSON with a format; record it again") from None
    if number != FORMAT:
        raise Damaged(f"truth: format: {quoted(str(number))}: is not {FORMAT}; read it with the version that wrote it")
    limits = {
        "interval_ns": (1, 10**12), "window_ns": (1, 10**15), "frames": (1, MAX_FRAMES), "hole_from": (0, 1 << 52),
        "hole_by": (0, 1 << 52),
    }  # fmt: skip
    for name, (least, most) in limits.items():
        value = fields.get(name)
        if type(value) is not int or not least <= value <= most:
            raise Damaged(f"truth: header.{name}: {quoted(str(value))}: is not a whole number from {least} to {most}")
    if type(fields.get("exact")) is not bool or not isinstance(fields.get("about"), dict):
        raise Damaged("truth: header: lacks exact or about; record it again")
    return Header(exact=fields["exact"], about=fields["about"], **{name: fields[name] for name in limits})


def _column(code: str, data: memoryview) -> array[int]:
    found = array(code)
    found.frombytes(data)
    if sys.byteorder == "big":
        found.byteswap()
    return found


def _inflated(data: bytes, most: int) -> bytes:
    inflate = zlib.decompressobj()
    try:
        found = inflate.decompress(data, most)
    except zlib.error as error:
        raise Damaged(f"truth: a chunk is damaged: {error}; record it again") from None
    if not inflate.eof or inflate.unused_data:
        raise Damaged("truth: a chunk is longer than it may be, or is cut off; record it again")
    return found


def _window(content: bytes, header: Header) -> Window:
    if len(content) < WINDOW.size:
        raise Damaged("truth: a window is too short; record it again")
    begin, end, intervals, rows, width, packed = WINDOW.unpack_from(content)
    if width not in (2, 4) or packed > 1 or rows > header.frames or not begin <= end < 1 << 62 or intervals > 65535:
        raise Damaged("truth: a window's head is wrong; record it again")
    size = rows * (8 + 4 * width)
    data = memoryview(_inflated(content[WINDOW.size :], max(size, 1)) if packed else content[WINDOW.size :])
    if len(data) != size:
        raise Damaged(f"truth: a window of {rows} rows has {len(data)} bytes, not {size}; record it again")
    frames = _column("I", data[: 4 * rows])
    if rows and (any(a >= b for a, b in pairwise(frames)) or frames[-1] >= header.frames):
        raise Damaged("truth: a window's frames are not in order; record it again")
    counts = [_column("H", data[rows * at : rows * (at + 2)]) for at in (4, 6)]
    code = "H" if width == 2 else "I"
    by = [_column(code, data[rows * at : rows * (at + width)]) for at in range(8, 8 + 4 * width, width)]
    return Window(begin, end, intervals, frames, counts[0], counts[1], tuple(by))


def _mark(content: bytes, _header: Header) -> Mark:
    if len(content) != MARK.size:
        raise Damaged("truth: a mark is damaged; record it again")
    at, number, _ = MARK.unpack(content)
    return Mark(at, number)


def _text(content: bytes, _header: Header) -> Text:
    return Text(_inflated(content, MAX_TEXT))


def _done(content: bytes, _header: Header) -> Done:
    if len(content) != 8:
        raise Damaged("truth: its end is damaged; record it again")
    return Done(int.from_bytes(content, "little"))


_PARSERS: Final[dict[bytes, Callable[[bytes, Header], Chunk]]] = {
    b"WIND": _window,
    b"MARK": _mark,
    b"MAPS": _text,
    b"DONE": _done,
}
