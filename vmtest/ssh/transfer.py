# SPDX-License-Identifier: GPL-2.0-only
"""Files and directories into and out of a guest, as tar streams through a command: few round trips, modes kept."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from .. import untrusted
from ..errors import ForeignContent, InvalidInput
from .process import CHUNK, Enough
from .seed import add_tree

# Larger transfers go through a file.
IN_MEMORY = 32 << 20


def pack(host: Path, guest: str, exclude: tuple[str, ...]) -> tuple[str, IO[bytes]]:
    """What to run in the guest, and what to feed it, so that ``host`` becomes ``guest``.

    Raises:
        InvalidInput: the file does not exist or cannot be read.
    """
    if not host.exists():
        raise InvalidInput(f"put: {str(host)!r} does not exist; correct the path")
    name = PurePosixPath(guest).name
    directory = str(PurePosixPath(guest).parent)
    if not PurePosixPath(guest).is_absolute() or not name:
        raise InvalidInput(f"put: guest path {guest!r}: is not valid; give an absolute one, not '/'")
    stream = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=stream, mode="w") as archive:
        add_tree(archive, host, name, exclude)
    stream.seek(0)
    return f"mkdir -p {shlex.quote(directory)} && exec tar -x -C {shlex.quote(directory)} -f -", stream


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """The stream in pieces; closes it at the end."""
    with stream:
        while data := stream.read(CHUNK):
            yield data


def fetch_command(guest: str) -> str:
    """What to run in the guest to read ``guest`` (a file or directory) as a tar stream.

    Raises:
        InvalidInput: the path names nothing that could be called by its name.
    """
    path = PurePosixPath(guest)
    if not path.is_absolute() or not path.name or ".." in path.parts:
        raise InvalidInput(f"get: guest path {guest!r}: is not valid; give an absolute one, not '/' and without '..'")
    return f"exec tar -c -C {shlex.quote(str(path.parent))} -f - -- {shlex.quote(path.name)}"


class Received:
    """A tar stream on its way from a guest, up to a size: a guest under test does not fill the host's disk.

    Args:
        limits: of what is in it.
    """

    def __init__(self, limits: untrusted.Limits) -> None:
        self._limits = limits
        self._stream = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - close() does
        # Headers and the padding of small files come on top of what is in them.
        self._left = limits.bytes + limits.entries * 2048
        self.over = False

    def write(self, data: bytes) -> None:
        """Takes a piece.

        Raises:
            Enough: it is more than the limits allow.
        """
        self._left -= len(data)
        if self._left < 0:
            self.over = True
            raise Enough
        self._stream.write(data)

    def unpack(self, guest: str, host: Path) -> None:
        """Puts it at ``host``: a file becomes that file, a directory's content goes into that directory.

        Raises:
            ForeignContent: it is something else, or too much; ``host`` is as it was.
        """
        name, what = PurePosixPath(guest).name, f"get: {guest!r} of the guest"
        if self.over:
            raise ForeignContent(f"{what}: refused: more than {self._limits.bytes >> 20} MiB; nothing of it was kept")
        self._stream.seek(0)
        untrusted.place(self._stream, name, host, what, self._limits)

    def close(self) -> None:
        """Forgets it."""
        self._stream.close()
