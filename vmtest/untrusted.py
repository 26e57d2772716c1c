# SPDX-License-Identifier: GPL-2.0-only
"""What a guest or a worker sends as a tar stream, put in its place: all of what was asked for, or nothing at all.

The sender is not trusted. Every entry is the requested name or lies below it, its directory came before it as such, and
its own name came once; so nothing is ever written through a link. Anything but a file, directory or link that stays in
is refused, and so is more than the limits allow. All of it is unpacked in a new directory beside the destination first.
"""

from __future__ import annotations

import gzip
import os
import shutil
import tarfile
import tempfile
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from .errors import ForeignContent

#: Names inside each other; the file system's own limit on paths is not far behind.
MOST_DEPTH = 64
MOST_PATH, MOST_NAME = 2048, 255
#: Of an entry's own description: long names, extended headers, maps of sparse files.
HEADER_BYTES = 1 << 20
_CONTENT = "content"
#: What the libraries raise at streams that are damaged, or made to damage.
UNSOUND = (tarfile.TarError, ValueError, OverflowError, EOFError, zlib.error, gzip.BadGzipFile)


@dataclass(frozen=True)
class Limits:
    """How much is taken: bytes of all files as they would be read (holes count), and entries."""

    bytes: int = 8 << 30
    entries: int = 200_000


class _Headers:
    """A stream that gives up when it is made to read too much for the description of one entry."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._stream = stream
        self._left: int | None = HEADER_BYTES
        self.seek = stream.seek
        self.tell = stream.tell

    def describing(self, yes: bool) -> None:
        self._left = HEADER_BYTES if yes else None

    def read(self, size: int = -1) -> bytes:
        if self._left is not None:
            self._left -= size
            if size < 0 or self._left < 0:
                raise tarfile.ReadError(f"an entry's description takes more than {HEADER_BYTES >> 10} KiB")
        return self._stream.read(size)


class _Unpacking:
    """One stream on its way into a new directory."""

    def __init__(self, scratch: Path, name: str, limits: Limits, links_anywhere: bool) -> None:
        self._scratch = scratch
        self._name = name
        self._limits = limits
        self._links_anywhere = links_anywhere
        self._bytes = 0
        self._seen: set[tuple[str, ...]] = set()
        self._directories: set[tuple[str, ...]] = set()
        self._files: set[tuple[str, ...]] = set()

    def run(self, stream: IO[bytes]) -> None:
        reader = _Headers(stream)
        # ignore_zeros is off: what comes behind the end of an archive is not read.
        with tarfile.open(fileobj=reader, mode="r:") as archive:  # type: ignore[call-overload]
            while True:
                reader.describing(True)
                entry = archive.next()
                if entry is None:
                    return
                reader.describing(False)
                self._take(archive, entry)
                archive.members.clear()

    def _take(self, archive: tarfile.TarFile, entry: tarfile.TarInfo) -> None:
        parts = self._parts(entry.name)
        if parts in self._seen:
            raise ForeignContent(f"{entry.name!r} comes twice")
        if parts and parts[:-1] not in self._directories:
            raise ForeignContent(f"{entry.name!r} lies in no directory that was sent")
        self._seen.add(parts)
        if len(self._seen) > self._limits.entries:
            raise ForeignContent(f"more than {self._limits.entries} entries")
        if entry.islnk():
            self._copy(entry, parts)
            return
        if entry.isdir():
            self._directories.add(parts)
        elif entry.issym():
            self._check_link(entry, parts)
        elif entry.isreg():
            self._count(entry.size, entry.name)
            self._files.add(parts)
        else:
            raise ForeignContent(f"{entry.name!r} is neither a file nor a directory nor a link")
        entry.name = "/".join((_CONTENT, *parts))
        archive.extract(entry, self._scratch, filter=_filter)

    def _parts(self, name: str) -> tuple[str, ...]:
        """Where an entry lies below what was asked for; empty: it is that itself."""
        words = name.rstrip("/").split("/")
        if words[:1] != [self._name]:
            raise ForeignContent(f"{name!r} is neither {self._name!r} nor below it")
        if any(word in {"", ".", ".."} or "\0" in word for word in words[1:]):
            raise ForeignContent(f"{name!r} is not a plain path")
        sizes = [len(os.fsencode(word)) for word in words]
        if len(words) > MOST_DEPTH or sum(sizes) > MOST_PATH or max(sizes) > MOST_NAME:
            raise ForeignContent(f"{name[:60]!r}... is too long or too deep")
        return tuple(words[1:])

    def _count(self, size: int, name: str) -> None:
        self._bytes += size
        if size < 0 or self._bytes > self._limits.bytes:
            raise ForeignContent(f"more than {self._limits.bytes >> 20} MiB, with {name!r}")

    def _check_link(self, entry: tarfile.TarInfo, parts: tuple[str, ...]) -> None:
        if self._links_anywhere:
            return
        words = entry.linkname.split("/")
        up = 0
        while words[up : up + 1] == [".."]:
            up += 1
        # ".." behind another word would go up from wherever that word, a link perhaps, leads.
        if entry.linkname[:1] in {"", "/"} or ".." in words[up:] or up > len(parts) - 1:
            raise ForeignContent(f"the link {entry.name!r} leads out of it, to {entry.linkname!r}")

    def _copy(self, entry: tarfile.TarInfo, parts: tuple[str, ...]) -> None:
        """A further name of a file that came before is a file of its own here."""
        source = self._parts(entry.linkname)
        if source not in self._files:
            raise ForeignContent(f"the link {entry.name!r} is of no file that was sent: {entry.linkname!r}")
        place = self._scratch / _CONTENT
        self._count(place.joinpath(*source).stat().st_size, entry.name)
        shutil.copy2(place.joinpath(*source), place.joinpath(*parts), follow_symlinks=False)
        self._files.add(parts)


def _filter(entry: tarfile.TarInfo, path: str) -> tarfile.TarInfo:
    """Takes owners, and set-user-id, set-group-id and sticky bits away. Where links lead was looked at before."""
    if not entry.issym():
        return tarfile.data_filter(entry, path)
    return entry.replace(uid=None, gid=None, uname=None, gname=None, deep=False)  # type: ignore[arg-type]


def place(
    stream: IO[bytes], name: str, where: Path, what: str, limits: Limits | None = None, *, links_anywhere: bool = False
) -> None:
    """Puts a tar stream in its place; a directory that is there keeps what the stream does not have.

    Args:
        stream: seekable, at its beginning.
        name: of the one thing in it; "." for an archive of a directory's content.
        where: becomes that thing.
        what: of the error's message: who sent it.
        limits: default :class:`Limits`.
        links_anywhere: symbolic links may lead where they like; they are not followed here.

    Raises:
        ForeignContent: it is not that, or too much; ``where`` is as it was, and nothing else was written.
        OSError: no room, or no permission.
    """
    where = Path(os.path.realpath(where))
    where.parent.mkdir(parents=True, exist_ok=True)
    scratch = Path(tempfile.mkdtemp(dir=where.parent, prefix=f".{where.name[:100]}."))
    try:
        try:
            _Unpacking(scratch, name, limits or Limits(), links_anywhere).run(stream)
            content = scratch / _CONTENT
            if not os.path.lexists(content):
                raise ForeignContent("it is empty")
            _check_fit(content, where)
        except ForeignContent as error:
            raise ForeignContent(f"{what}: refused: {error}; nothing of it was kept") from None
        except UNSOUND as error:
            raise ForeignContent(f"{what}: refused: no sound tar stream ({error}); nothing of it was kept") from error
        _merge(content, where)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def _check_fit(content: Path, where: Path) -> None:
    """Whether files meet files only, and directories directories: a link in the way is none."""
    if not os.path.lexists(where):
        return
    if _is_directory(content) != _is_directory(where):
        kinds = ("a directory", "no directory") if _is_directory(content) else ("no directory", "a directory")
        raise ForeignContent(f"{content.name!r} is {kinds[0]}, and {str(where)!r} is {kinds[1]}")
    if _is_directory(content):
        for path in content.iterdir():
            _check_fit(path, where / path.name)


def _merge(content: Path, where: Path) -> None:
    if not _is_directory(content) or not os.path.lexists(where):
        os.replace(content, where)
        return
    for path in list(content.iterdir()):
        _merge(path, where / path.name)


def _is_directory(path: Path) -> bool:
    return path.is_dir() and not path.is_symlink()
