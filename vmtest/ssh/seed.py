# SPDX-License-Identifier: GPL-2.0-only
"""What a guest reads while it boots: keys, settings and whole directories, as a tar archive on a disk of its own.

A disk is faster than SSH under software emulation, and needs no file system that a kernel may lack.
"""

from __future__ import annotations

import io
import os
import shlex
import tarfile
import time
from collections.abc import Iterable, Mapping
from fnmatch import fnmatch
from pathlib import Path

from ..config import GuestConfig
from ..directories import Tree
from ..errors import InvalidInput
from ..host import root as hostroot

DIRECTORY = "run/vmtest"
# A disk is a whole number of sectors.
SECTOR = 512


def settings(config: GuestConfig) -> str:
    """The guest's ``/run/vmtest/settings``: shell assignments that ``images/rootfs/setup`` reads."""
    values: dict[str, str] = {}
    swap = config.swap_device
    if swap:
        values = {"SWAP_KIND": swap.kind, "SWAP_BYTES": str(swap.size), "SWAP_ALGORITHM": swap.algorithm}
    values["SHARES"] = " ".join(f"share{number}:{share.guest}" for number, share in enumerate(config.share_list))
    values |= hostroot.settings(config.root)
    return "".join(f"{name}={shlex.quote(value)}\n" for name, value in values.items())


def write(path: Path, files: Mapping[str, tuple[str, int]], trees: Iterable[Tree]) -> None:
    """Writes the seed disk.

    Args:
        path: the disk image to make, readable by its owner only.
        files: guest path under ``/run/vmtest`` to text and mode.
        trees: directories to take along.

    Raises:
        InvalidInput: a directory cannot be read.
    """
    path.touch(mode=0o600)
    with path.open("r+b") as stream, tarfile.open(fileobj=stream, mode="w") as archive:
        for name, (text, mode) in files.items():
            entry = tarfile.TarInfo(f"{DIRECTORY}/{name}")
            data = text.encode()
            entry.size, entry.mode, entry.mtime = len(data), mode, int(time.time())
            archive.addfile(entry, io.BytesIO(data))
        for tree in trees:
            add_tree(archive, tree.host, tree.guest.strip("/"), tree.exclude)
    size = path.stat().st_size
    with path.open("r+b") as stream:
        stream.truncate(-(-size // SECTOR) * SECTOR)


def _of_root(entry: tarfile.TarInfo) -> tarfile.TarInfo:
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = "root"
    # Rounded down, as Python's byte code has the time of its source; tarfile would round to the nearest second.
    entry.mtime = int(entry.mtime)
    return entry


def add_tree(archive: tarfile.TarFile, host: Path, name: str, exclude: tuple[str, ...]) -> None:
    """Adds a directory with everything in it, owned by root in the guest.

    Args:
        archive: open for writing.
        host: the directory (or a single file).
        name: what it is called in the archive.
        exclude: patterns of what is left out: of names, at any depth; with a slash in front of paths, from ``host``.

    Raises:
        InvalidInput: something in it cannot be read.
    """

    def keep(base: str, inside: str) -> bool:
        return not any(fnmatch(base, pattern) or fnmatch(f"/{inside}{base}", pattern) for pattern in exclude)

    def add(path: Path, where: str) -> None:
        try:
            archive.add(path, arcname=where, recursive=False, filter=_of_root)
        except FileNotFoundError:
            if path == host:
                raise
            # Gone since the directory was read: a tree in use is copied as it is found.

    try:
        add(host, name)
        for directory, directories, files in os.walk(host):
            relative = os.path.relpath(directory, host)
            inside = "" if relative == "." else f"{relative}/"
            directories[:] = sorted(base for base in directories if keep(base, inside))
            for base in sorted([*directories, *(base for base in files if keep(base, inside))]):
                add(Path(directory) / base, f"{name}/{inside}{base}")
    except OSError as error:
        raise InvalidInput(f"tree: {str(host)!r}: cannot be read ({error}); correct its permissions") from error
