# SPDX-License-Identifier: GPL-2.0-only
"""What a guest is told while it boots: keys, settings and whole folders, as a tar archive on a disk of its own.

A disk is faster than SSH under software emulation, and needs no file system that a kernel may lack.
"""

from __future__ import annotations

import io
import shlex
import tarfile
import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from .config import GuestConfig, Tree
from .errors import InvalidInput

FOLDER = "run/vmtest"
# A disk is a whole number of sectors.
SECTOR = 512


def settings(config: GuestConfig) -> str:
    """The guest's ``/run/vmtest/settings``: shell assignments that ``images/rootfs/setup`` reads."""
    values: dict[str, str] = {}
    swap = config.swap_device
    if swap:
        values = {"SWAP_KIND": swap.kind, "SWAP_BYTES": str(swap.size), "SWAP_ALGORITHM": swap.algorithm}
    values["SHARES"] = " ".join(f"share{number}:{share.guest}" for number, share in enumerate(config.share_list))
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def write(path: Path, files: Mapping[str, tuple[str, int]], trees: Iterable[Tree]) -> None:
    """Writes the seed disk.

    Args:
        path: the disk image to make, readable by its owner only.
        files: guest path under ``/run/vmtest`` to text and mode.
        trees: folders to take along.

    Raises:
        InvalidInput: a folder cannot be read.
    """
    path.touch(mode=0o600)
    with path.open("r+b") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for name, (text, mode) in files.items():
            entry = tarfile.TarInfo(f"{FOLDER}/{name}")
            data = text.encode()
            entry.size, entry.mode, entry.mtime = len(data), mode, int(time.time())
            archive.addfile(entry, io.BytesIO(data))
        for tree in trees:
            add_tree(archive, tree.host, tree.guest.strip("/"), tree.exclude)
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.truncate(-(-size // SECTOR) * SECTOR)


def add_tree(archive: tarfile.TarFile, host: Path, name: str, exclude: tuple[str, ...]) -> None:
    """Adds a folder with everything in it, owned by root in the guest.

    Args:
        archive: open for writing.
        host: the folder.
        name: what it is called in the archive.
        exclude: file name patterns left out, at any depth.
    """

    def keep(entry: tarfile.TarInfo) -> tarfile.TarInfo | None:
        base = Path(entry.name).name
        if entry.name != name and any(fnmatch(base, pattern) for pattern in exclude):
            return None
        entry.uid = entry.gid = 0
        entry.uname = entry.gname = "root"
        return entry

    try:
        archive.add(host, arcname=name, filter=keep)
    except OSError as error:
        raise InvalidInput(f"tree {str(host)!r} cannot be read ({error}); correct its permissions") from error
