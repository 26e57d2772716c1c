# SPDX-License-Identifier: GPL-2.0-only
"""Files that grow and are whole after each growth, whatever ends the process that writes them."""

from __future__ import annotations

import ctypes
import errno
import os
import tempfile
import zlib
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

_PAGE: Final = 4096
_HEADER: Final = b"\x78\x9c"
_EMPTY_BLOCK: Final = b"\0\0\0\xff\xff"  # deflate: nothing, and the stream goes on
_READ: Final = 1 << 16
_AT_FDCWD: Final = -100
_RENAME_EXCHANGE: Final = 2
#: A snapshot is a line: that of 400000 regions.
MAX_LINE: Final = 64 << 20
#: A recording becomes 5 to 100 times smaller; deflate can do 1032.
_MAX_RATIO: Final = 500
_FREE_TEXT: Final = 64 << 20


class GrowingFile:
    """A file under its final name, whose end is replaced by each ``put``. What was there before becomes ``PATH.old``.

    Raises:
        OSError: it cannot be made; the file that was there is as before.
    """

    def __init__(self, path: Path, first: bytes) -> None:
        self.path = path
        self._fd, part = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mode 0600
        try:
            _write(self._fd, first, 0)
            if path.exists():
                os.replace(path, path.with_name(f"{path.name}.old"))
            os.replace(part, path)
        except BaseException:
            os.close(self._fd)
            with suppress(FileNotFoundError):
                os.unlink(part)
            raise

    def put(self, at: int, kept: int, data: bytes) -> None:
        """Replace the ``kept`` bytes from ``at`` to the end by ``data``, which is longer.

        What lies behind the old end comes first, so that until the last write, of ``kept`` bytes, the old end is what
        a reader finds.

        Raises:
            OSError: e.g. ENOSPC; the file is as before.
        """
        try:
            _write(self._fd, data[kept:], at + kept)
        except OSError:
            with suppress(OSError):
                os.ftruncate(self._fd, at + kept)
            raise
        _write(self._fd, data[:kept], at)

    def close(self) -> None:
        """Bring it to the disk."""
        try:
            os.fsync(self._fd)
        finally:
            os.close(self._fd)


def _write(fd: int, data: bytes, at: int) -> None:
    view = memoryview(data)
    while view:
        done = os.pwrite(fd, view, at)
        view, at = view[done:], at + done


def _until_one_page(at: int, length: int, step: int) -> int:
    """How many steps on ``length`` bytes (fewer than a page has) lie in one page."""
    steps = 0
    while (at + steps * step) % _PAGE > _PAGE - length:
        steps += 1
    return steps


class GrowingZlib:
    """A zlib stream of text that is complete after each ``append``, ending in ``tail``."""

    def __init__(self, path: Path, body: str, tail: str, level: int = 3) -> None:
        self._level = level
        self._compressor = zlib.compressobj(level, zlib.DEFLATED, -zlib.MAX_WBITS)
        self._adler = 1
        self._at, self._end = 0, b""
        packed = _HEADER + self._pack(body.encode())
        end = self._terminator(tail)
        packed += self._padding(len(packed), end)
        self._file = GrowingFile(path, packed + end)
        self._at, self._end = len(packed), end

    @property
    def path(self) -> Path:
        return self._file.path

    def append(self, body: str, tail: str) -> None:
        """Put ``body`` in the place of the last ``tail``, and the new one behind it.

        Raises:
            OSError: e.g. ENOSPC; all is as before the call.
        """
        before = self._compressor.copy(), self._adler
        packed = self._pack(body.encode())
        end = self._terminator(tail)
        packed += self._padding(self._at + len(packed), end)
        try:
            self._file.put(self._at, len(self._end), packed + end)
        except OSError:
            self._compressor, self._adler = before
            raise
        self._at, self._end = self._at + len(packed), end

    @staticmethod
    def _padding(at: int, end: bytes) -> bytes:
        """Empty blocks, so that an end behind them lies in one page: overwriting it is not interrupted half way."""
        return _EMPTY_BLOCK * _until_one_page(at, len(end), len(_EMPTY_BLOCK))

    def _pack(self, data: bytes) -> bytes:
        self._adler = zlib.adler32(data, self._adler)
        return self._compressor.compress(data) + self._compressor.flush(zlib.Z_SYNC_FLUSH)

    def _terminator(self, tail: str) -> bytes:
        data = tail.encode()
        last = zlib.compressobj(self._level, zlib.DEFLATED, -zlib.MAX_WBITS)
        return last.compress(data) + last.flush() + zlib.adler32(data, self._adler).to_bytes(4, "big")

    def close(self) -> None:
        self._file.close()


class _Lines:
    """One file of a ``GrowingList``, and what it lacks."""

    _END: Final = b"\n]\n"

    def __init__(self, path: Path) -> None:
        self._file = GrowingFile(path, b"[" + self._END)
        self._at = 1
        self.waiting: list[str] = []

    def write(self) -> None:
        """Add what waits.

        Raises:
            OSError: the file is as before.
        """
        data = "".join(f"{',' if number or self._at > 1 else ''}\n{item}" for number, item in enumerate(self.waiting))
        packed = data.encode()
        # The end lies in one page, so that overwriting it is not interrupted half way.
        packed += b" " * _until_one_page(self._at + len(packed), len(self._END), 1)
        self._file.put(self._at, len(self._END), packed + self._END)
        self._at += len(packed)
        self.waiting.clear()

    def close(self) -> None:
        self._file.close()


class GrowingList:
    """A JSON list, one item a line, for the small files beside the records.

    Only white space may follow the end of a list, so a file that is written in place is damaged for a moment. Two files
    take turns: items are added to the one named ``.NAME.next``, which then changes names with the other. A kill leaves
    a whole list, and the second file until the next recording of this name. A file system that cannot exchange names
    has the one file, written in place.
    """

    def __init__(self, path: Path) -> None:
        self._path, self._next = path, path.with_name(f".{path.name}.next")
        self._shown = _Lines(path)
        self._hidden: _Lines | None = None
        with suppress(OSError):
            self._next.unlink(missing_ok=True)
            hidden = _Lines(self._next)
            if exchange(self._next, path):
                self._shown, self._hidden = hidden, self._shown
            else:
                hidden.close()
                self._next.unlink()

    def append(self, item: str) -> None:
        """Add ``item``, a value of JSON.

        Raises:
            OSError: e.g. ENOSPC; the list is as before, and ``item`` comes with the next one.
        """
        self._shown.waiting.append(item)
        if self._hidden is None:
            self._shown.write()
            return
        self._hidden.waiting.append(item)
        self._hidden.write()
        if not exchange(self._next, self._path):
            raise OSError(errno.EIO, "has lost the file beside it", str(self._next))
        self._shown, self._hidden = self._hidden, self._shown

    def close(self) -> None:
        self._shown.close()
        if self._hidden is not None:
            self._hidden.close()
            self._next.unlink(missing_ok=True)


def exchange(one: Path, two: Path) -> bool:
    """Exchange the names of two files, ``renameat2(2)``; False: it is not possible, e.g. on this file system."""
    renameat2 = getattr(ctypes.CDLL(None), "renameat2", None)
    names = os.fsencode(one), os.fsencode(two)
    return renameat2 is not None and not renameat2(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE)


class TooMuch(ValueError):
    """More text than a file of records has."""


def read_zlib(path: Path) -> Iterator[bytes]:
    """The text in a zlib stream, in pieces; what follows its end is passed over.

    Raises:
        zlib.error: it is none, or damaged. EOFError: it ends too early. TooMuch: it is a bomb.
    """
    stream = zlib.decompressobj()
    taken = given = 0
    with path.open("rb") as file:
        while not stream.eof:
            packed = file.read(_READ)
            if not packed:
                raise EOFError
            taken += len(packed)
            data = stream.decompress(packed, _READ)
            while data:
                given += len(data)
                if given > max(_FREE_TEXT, _MAX_RATIO * taken):
                    raise TooMuch(f"has {given >> 20} MiB of text in {taken} bytes; it is made to fill memory")
                yield data
                data = b"" if stream.eof else stream.decompress(stream.unconsumed_tail, _READ)


def read_file(path: Path) -> Iterator[bytes]:
    """The bytes of a file, in pieces."""
    with path.open("rb") as file:
        while data := file.read(_READ):
            yield data


def split_lines(pieces: Iterable[bytes], errors: str = "strict") -> Iterator[str]:
    """The lines of a text that comes in pieces, without their ends; ``errors`` as for ``bytes.decode``.

    Raises:
        UnicodeDecodeError: it is not text. TooMuch: a line has more than ``MAX_LINE`` bytes.
    """
    begun: list[bytes] = []
    size = 0
    for piece in pieces:
        first, *others = piece.split(b"\n")
        begun.append(first)
        size += len(first)
        if others:
            yield b"".join(begun).decode(errors=errors)
            for line in others[:-1]:
                yield line.decode(errors=errors)
            begun, size = [others[-1]], len(others[-1])
        if size > MAX_LINE:
            raise TooMuch(f"has a line of more than {MAX_LINE} bytes")
    if size:
        yield b"".join(begun).decode(errors=errors)


def read_lines(path: Path) -> Iterator[str]:
    """The lines of the text in a zlib stream; raises as ``read_zlib`` and ``split_lines`` do."""
    return split_lines(read_zlib(path))
