# SPDX-License-Identifier: GPL-2.0-only
"""Files by the hash of their content: kernels, images and directories that have travelled, each once, each verified."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import shutil
import tarfile
import tempfile
from pathlib import Path

from .. import cache, untrusted
from ..directories import NOT_COPIED
from ..errors import InvalidInput
from ..ssh.seed import add_tree

#: A piece on the wire.
CHUNK_BYTES = 8 << 20
#: A directory that was sent to be copied into guests.
TREE = untrusted.Limits(bytes=64 << 30, entries=5_000_000)


def directory() -> Path:
    """Where a worker keeps what has travelled."""
    path = cache.cache_root() / "content"
    path.mkdir(parents=True, exist_ok=True)
    return path


def path_of(sha256: str) -> Path:
    """Where content with this hash is, or would be."""
    if len(sha256) != 64 or not all(letter in "0123456789abcdef" for letter in sha256):
        raise InvalidInput(f"content: {sha256!r}: is not a SHA-256; send one")
    return directory() / sha256


def missing(hashes: list[str]) -> list[str]:
    """Those that are not here."""
    return [sha256 for sha256 in hashes if not path_of(sha256).exists()]


def part_of(sha256: str, transfer: str) -> Path:
    """Where a transfer collects its pieces; two transfers of one content do not meet."""
    if not transfer.isalnum():
        raise InvalidInput(f"transfer: {transfer!r}: is not the name of one; send one")
    return path_of(sha256).with_name(f".{sha256}.{transfer}.part")


def append(sha256: str, transfer: str, offset: int, data: bytes) -> None:
    """Takes a piece; pieces may come again, never out of order."""
    with part_of(sha256, transfer).open("r+b" if offset else "wb") as stream:
        stream.seek(offset)
        stream.write(data)
        stream.truncate()


def finish(sha256: str, transfer: str) -> None:
    """Puts collected pieces in place, if they are what they should be.

    Raises:
        InvalidInput: they are not; nothing is kept.
    """
    part = part_of(sha256, transfer)
    with part.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    if found != sha256:
        part.unlink()
        raise InvalidInput(f"content: {sha256[:12]}...: arrived as {found[:12]}...; send it again")
    os.replace(part, path_of(sha256))


def pack_tree(host: Path, archive: Path) -> None:
    """Writes a directory as an archive that is the same for the same content."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w") as loose:
        add_tree(loose, host, "tree", NOT_COPIED)
    plain.seek(0)
    with tarfile.open(archive, mode="w") as made, tarfile.open(fileobj=plain) as loose:
        for entry in sorted(loose.getmembers(), key=lambda member: member.name):
            entry.mtime, entry.uid, entry.gid, entry.uname, entry.gname = 0, 0, 0, "", ""
            made.addfile(entry, loose.extractfile(entry) if entry.isreg() else None)


def unpacked_tree(sha256: str) -> Path:
    """The directory of an archive that is here.

    Raises:
        ForeignContent: it is not an archive of one directory.
    """
    where = path_of(sha256).with_name(f"{sha256}.tree")
    if not where.is_dir():
        scratch = Path(tempfile.mkdtemp(dir=directory(), prefix=".tree."))
        try:
            with path_of(sha256).open("rb") as stream:
                # A guest gets the links as they are.
                untrusted.place(stream, "tree", scratch / "tree", f"tree {sha256[:12]}...", TREE, links_anywhere=True)
            with contextlib.suppress(OSError):  # another job was faster
                os.rename(scratch, where)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return where / "tree"
