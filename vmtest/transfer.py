# SPDX-License-Identifier: GPL-2.0-only
"""Files and folders into and out of a guest, as tar streams through a command: few round trips, modes kept."""

from __future__ import annotations

import shlex
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path, PurePosixPath
from typing import IO

from .errors import InvalidInput
from .process import CHUNK
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
    folder = str(PurePosixPath(guest).parent)
    if not PurePosixPath(guest).is_absolute() or not name:
        raise InvalidInput(f"put: guest path {guest!r} must be absolute and not '/'")
    stream = tempfile.SpooledTemporaryFile(max_size=IN_MEMORY)  # noqa: SIM115 - the caller closes it
    with tarfile.open(fileobj=stream, mode="w") as archive:
        add_tree(archive, host, name, exclude)
    stream.seek(0)
    return f"mkdir -p {shlex.quote(folder)} && exec tar -x -C {shlex.quote(folder)} -f -", stream


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """The stream in pieces; closes it at the end."""
    with stream:
        while data := stream.read(CHUNK):
            yield data


def fetch_command(guest: str) -> str:
    """What to run in the guest to read ``guest`` (a file or folder) as a tar stream."""
    path = PurePosixPath(guest)
    return f"exec tar -c -C {shlex.quote(str(path.parent))} -f - -- {shlex.quote(path.name)}"


def unpack(stream: IO[bytes], guest: str, host: Path) -> None:
    """Puts a fetched tar stream at ``host``: a file becomes that file, a folder's content goes into that folder."""
    name = PurePosixPath(guest).name
    stream.seek(0)
    with tarfile.open(fileobj=stream) as archive:
        for entry in archive:
            if entry.name == name:
                entry.name = host.name
            elif entry.name.startswith(f"{name}/"):
                entry.name = f"{host.name}/{entry.name[len(name) + 1 :]}"
            if entry.islnk() and entry.linkname.startswith(f"{name}/"):
                entry.linkname = f"{host.name}/{entry.linkname[len(name) + 1 :]}"
            # The filter refuses what points outside: a guest under test is not trusted with the host's files.
            archive.extract(entry, host.parent, filter="data")
