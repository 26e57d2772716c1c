# SPDX-License-Identifier: GPL-2.0-only
"""The right to use the kernel's DAMON: a lock, a journal of what is to be restored, and a guardian.

The guardian restores when its process is killed; when both are killed, the next one that takes the lock does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Final

from damon.errors import DamonError, MissingCapability
from damon.host import guardian, journal
from damon.host.found import Found
from damon.quoting import cut, quoted

#: A guardian at work is waited for so long.
_PATIENCE_S: Final = 30.0
_LOOK_S: Final = 0.02


class Guard:
    """The right to use the kernel's DAMON, and what will be restored. Made with the lock taken and a guardian at work.

    Args:
        state: directory of lock and journal, for this user only.

    Raises:
        DamonError: EBUSY, another process uses it.
        MissingCapability: the directory cannot be made, or others can write there.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        _own(state)
        self._lock = _locked(state / "lock")
        self._guardian: subprocess.Popen[bytes] | None = None
        try:
            #: Of an earlier process that was killed together with its guardian.
            self.problems = journal.repair(state)
            self._guardian = guardian.spawn(state, self._lock)
        except BaseException:
            os.close(self._lock)
            raise

    def record(self, found: Found) -> None:
        """Write down what is to be restored from now on."""
        journal.write(self._state, found)

    def release(self) -> list[str]:
        """Restore, and give the right back; what could not be done."""
        if self._guardian is None:
            return []
        problems = journal.repair(self._state)
        guardian.dismiss(self._guardian)
        self._guardian = None
        os.close(self._lock)
        return problems


def _own(state: Path) -> None:
    try:
        with contextlib.suppress(FileExistsError):
            state.mkdir(mode=0o700, parents=True)
        found = state.lstat()
    except OSError as error:
        raise MissingCapability(f"{state}: it cannot be made ({error.strerror}); run as root") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise MissingCapability(f"{state}: is not a directory that only this user can write to; remove it")


def _locked(path: Path) -> int:
    """The lock, with the id of this process in it. A guardian that restores is waited for."""
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    deadline = time.monotonic() + _PATIENCE_S
    try:
        while True:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                holder = os.pread(descriptor, 32, 0).decode(errors="replace").strip()
                if _lives(holder) or time.monotonic() >= deadline:
                    raise DamonError(
                        errno.EBUSY, f"the kernel's DAMON: process {quoted(cut(holder))} uses it; end that one first"
                    ) from None
            time.sleep(_LOOK_S)
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode(), 0)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor


def _lives(holder: str) -> bool:
    """Does the process that took the lock still run? If not, its guardian is at work."""
    try:
        text = Path(f"/proc/{int(holder)}/stat").read_text()
    except ValueError:
        return False  # it has the lock, and is about to write its id
    except OSError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"
