# SPDX-License-Identifier: GPL-2.0-only
"""All that this package makes in the directory for temporary files: private, named after its owner, and removed.

The owner removes it; when that was killed, its supervisor where there is one, else the process that makes the next one
here. The owner is a process and the time it started: its number alone is another process's later.
"""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

PREFIX = "vmtest."


def make(kind: str = "run") -> Path:
    """A new directory, for its owner only; removes what dead owners left on the way.

    Args:
        kind: a word that is part of its name.
    """
    sweep()
    pid = os.getpid()
    return Path(tempfile.mkdtemp(prefix=f"{PREFIX}{pid}.{started(pid)}.{kind}."))


@contextmanager
def temporary(kind: str) -> Iterator[Path]:
    """The same for the time of a ``with`` block."""
    directory = make(kind)
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)


def of(pid: int) -> list[Path]:
    """What a process has there."""
    return list(Path(tempfile.gettempdir()).glob(f"{PREFIX}{pid}.*"))


def started(pid: int) -> int:
    """When a process started, in ticks since the host booted; 0 when there is none, or a dead one not waited for."""
    try:
        # The name of a program may be any bytes.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        return 0 if fields[0] in {b"Z", b"X"} else int(fields[19])
    except (OSError, ValueError, IndexError):
        return 0


def sweep() -> None:
    """Removes what owners left that are gone."""
    for path in Path(tempfile.gettempdir()).glob(f"{PREFIX}[0-9]*.[0-9]*.*"):
        owner, start = path.name.split(".")[1:3]
        if not owner.isdecimal() or not start.isdecimal() or started(int(owner)) == int(start):
            continue
        try:
            found = path.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid():
            shutil.rmtree(path, ignore_errors=True)
