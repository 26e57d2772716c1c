# SPDX-License-Identifier: GPL-2.0-only
"""Who uses the kernel's DAMON, and what is to be restored: a lock, a file, and a guardian.

The file is written before anything is touched. The guardian restores when its process is killed; when both are killed,
the next one that takes the lock does.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import stat
import subprocess
import time
from pathlib import Path
from typing import Final

from damon import format_version
from damon.errors import DamonError, MissingCapability
from damon.host import guardian
from damon.host.found import Found, restore
from damon.quoting import cut, quoted

STATE: Final = Path("/run/damon-host")
#: A guardian at work is waited for so long.
_PATIENCE_S: Final = 30.0
_LOOK_S: Final = 0.02
_JOURNAL: Final = "journal.json"
_FORMAT: Final = 1
_BOOT: Final = Path("/proc/sys/kernel/random/boot_id")


def repair(state: Path) -> list[str]:
    """Restores what the journal says, if there is one; call it with the lock held. What could not be done."""
    path = state / _JOURNAL
    try:
        data = json.loads(path.read_text())
    except FileNotFoundError:
        return []
    except ValueError:
        # Written aside and renamed: a damaged one is not from here.
        path.unlink()
        return [f"{path}: it is damaged; look at the kernel's DAMON yourself"]
    problems = []
    later = format_version.refusal(data, _FORMAT)
    if later is not None:
        problems = [f"{path}: {later}, and restore the kernel's DAMON yourself"]
    elif data.get("boot") == _boot():
        fields = {name: value for name, value in data.items() if name not in ("boot", format_version.FIELD)}
        try:
            problems = restore(Found(**fields))
        except TypeError:
            problems = [f"{path}: it is of another version; look at the kernel's DAMON yourself"]
    path.unlink()
    return problems


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
            self.problems = repair(state)
            self._guardian = guardian.spawn(state, self._lock)
        except BaseException:
            os.close(self._lock)
            raise

    def record(self, found: Found) -> None:
        """Write down what is to be restored from now on."""
        text = json.dumps({format_version.FIELD: _FORMAT, "boot": _boot(), **found.as_object()})
        scratch = self._state / f"{_JOURNAL}.new"
        scratch.write_text(text)
        scratch.rename(self._state / _JOURNAL)

    def release(self) -> list[str]:
        """Restore, and give the right back; what could not be done."""
        if self._guardian is None:
            return []
        problems = repair(self._state)
        guardian.dismiss(self._guardian)
        self._guardian = None
        os.close(self._lock)
        return problems


def _boot() -> str:
    return _BOOT.read_text().strip()


def _own(state: Path) -> None:
    try:
        with contextlib.suppress(FileExistsError):
            state.mkdir(mode=0o700, parents=True)
        found = state.lstat()
    except OSError as error:
        raise MissingCapability(f"{state}: it cannot be made ({error.strerror}); run as root") from None
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o022:
        raise MissingCapability(f"{state}: it is no directory that only this user can write to; remove it")


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
