# SPDX-License-Identifier: GPL-2.0-only
"""One service for each mount: its lock, its directories, and what a killed one has left behind.

A service that was killed may not be gone: one of its threads can wait in the kernel for a client that waits for the
service, and keeps the lock and the mount. The next start finds out from ``/proc`` that it can do nothing any more,
takes the mount away by force, which ends that wait, and then has the lock. Starts of one user come one after the
other: none meets another one half way.
"""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import shutil
import stat
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from damon.damond.fusemount import detach, mounts
from damon.damond.owner import Owner
from damon.damond.runtime import open_directory, runtime_directory, runtime_path
from damon.errors import DamonError, InvalidInput

log = logging.getLogger("damon.damond")

#: For a killed service to end once its mount is taken away, and for another start to be done.
PATIENCE_S: Final = 30.0
POLL_S: Final = 0.01
MOUNT_REMEDY: Final = "give a directory of your own, or a new name"


def programs_directory(mount: Path) -> Path:
    """Where the service that is mounted at ``mount`` keeps what is executed; it was made for this run of it.

    Raises:
        DamonError: ENOENT, none runs there; EPERM, ELOOP: another user could have put it there.
    """
    lock = runtime_path(mount, ".lock")
    try:
        fd = _open_lock(lock, os.O_RDONLY)
        name = os.pread(fd, 4096, 0).decode(errors="replace").partition("\n")[2].strip()
        os.close(fd)
        if not name.startswith(f"{lock.stem}.run-") or "/" in name:
            raise FileNotFoundError
        path = lock.with_name(name)
        os.close(open_directory("runtime directory", path, path, "start damond anew"))
    except FileNotFoundError:
        raise DamonError(
            errno.ENOENT,
            f"--mount: {str(mount)!r}: no damond is mounted there; start one with damond, or give its directory",
        ) from None
    return path


def home_directory(mount: Path) -> Path:
    """``HOME`` of commands that ``damon exec`` runs with the service that is mounted at ``mount``; made if need be."""
    path = runtime_path(mount, ".home")
    os.close(open_directory("home directory", path, path, "remove it", make=True))
    return path


def _open_lock(path: Path, flags: int) -> int:
    """Not through a link, and nothing that another user can write. Nothing in it is changed."""
    try:
        fd = os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK, 0o600)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise DamonError(errno.ELOOP, f"lock: {path}: is a symbolic link; remove it") from None
        raise
    found = os.fstat(fd)
    why = ""
    if not stat.S_ISREG(found.st_mode):
        why = "is not a regular file"
    elif found.st_uid != os.geteuid():
        why = f"belongs to user {found.st_uid}"
    elif found.st_nlink > 1:
        why = "has another name as well (a hard link)"
    if why:
        os.close(fd)
        raise DamonError(errno.EPERM, f"lock: {path}: {why}; remove it")
    return fd


class Instance:
    """The right to serve ``directory``. ``close()`` gives it back and removes everything that was made for it.

    Attributes:
        socket: of clients.
        trace_socket: of the stream of events.
        programs: a directory of this run alone, for what is executed.

    Raises:
        DamonError: EBUSY, another service has it; ENOTEMPTY, EINVAL: no directory to mount on; EPERM, ELOOP: another
            user can change what we rely on.
    """

    def __init__(self, directory: Path) -> None:
        self.directory = directory.absolute()
        self._made_directory = False
        self._lock = -1
        runtime = runtime_directory()
        runtime.check(make=True)
        self._lock_path = runtime_path(directory, ".lock")
        self._key = self._lock_path.stem
        self.socket = runtime_path(directory, ".socket")
        self.trace_socket = runtime_path(directory, ".trace")
        try:
            with _one_start(runtime.path):
                self._lock = self._take_lock()
                self._clean()
                self.programs = Path(tempfile.mkdtemp(prefix=f"{self._key}.run-", dir=runtime.path))
                os.ftruncate(self._lock, 0)
                os.pwrite(self._lock, f"{Owner.ourselves()}\n{self.programs.name}\n".encode(), 0)
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> int:
        deadline, forced = time.monotonic() + PATIENCE_S, False
        while True:
            fd = _open_lock(self._lock_path, os.O_RDWR | os.O_CREAT)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                with suppress(FileNotFoundError):
                    if os.fstat(fd).st_ino == os.stat(self._lock_path).st_ino:
                        return fd
                os.close(fd)  # its owner has just removed it: again
                continue
            except BlockingIOError:
                owner = Owner.parse(os.pread(fd, 4096, 0).decode(errors="replace").partition("\n")[0])
                os.close(fd)
            if owner is None or not owner.dead():
                raise DamonError(
                    errno.EBUSY,
                    f"--mount: {str(self.directory)!r}: is served by process {owner.pid if owner else '?'} already; "
                    "stop that, or give another",
                )
            if not forced:
                log.warning("process %d was killed and can't end by itself", owner.pid)
                self._detach()
                forced = True
            if time.monotonic() > deadline:
                raise DamonError(
                    errno.EBUSY,
                    f"{self.directory}: process {owner.pid} was killed and holds on to it; "
                    f"run as root: umount -f {self.directory}, or give another --mount",
                )
            time.sleep(POLL_S)

    def _detach(self) -> None:
        """Take away every mount whose service is dead, of any user; they can lie on top of each other."""
        while True:
            there = mounts(self.directory)
            if not there or not _dead(there[-1].owner, self.directory):
                return
            detach(self.directory)
            if len(mounts(self.directory)) >= len(there):
                raise DamonError(
                    errno.EBUSY,
                    f"{self.directory}: its service is dead and the mount can't be taken away; "
                    f"run as root: umount -f {self.directory}",
                )
            log.warning("%s: the mount of a service that was killed is taken away", self.directory)

    def _clean(self) -> None:
        """What a killed service has left."""
        self._detach()
        for socket in (self.socket, self.trace_socket):
            socket.unlink(missing_ok=True)
        self._remove_programs()

    def _remove_programs(self) -> None:
        for left in self._lock_path.parent.glob(f"{self._key}.run-*"):
            shutil.rmtree(left, ignore_errors=True)

    def _prepare(self) -> None:
        if mounts(self.directory):
            raise DamonError(errno.ENOTEMPTY, f"--mount: {self.directory}: is another damond's mount; give a new name")
        there = os.path.lexists(self.directory)
        try:
            os.close(open_directory("--mount", self.directory, None, MOUNT_REMEDY, make=True))
        except DamonError as error:
            if error.errno == errno.ENOTDIR:
                raise InvalidInput(
                    f"--mount: {self.directory}: is not a directory; give an empty one, or a new name"
                ) from None
            raise
        except OSError as error:
            raise DamonError(
                error.errno or 0, f"--mount: {self.directory}: cannot be made: {error.strerror}; give another place"
            ) from None
        self._made_directory = not there
        if there and (os.path.ismount(self.directory) or any(self.directory.iterdir())):
            raise DamonError(
                errno.ENOTEMPTY, f"--mount: {self.directory}: is not empty; give an empty directory, or a new name"
            )

    def close(self) -> None:
        """Safe to call twice."""
        if self._lock < 0:
            return
        for socket in (self.socket, self.trace_socket):
            socket.unlink(missing_ok=True)
        if self._made_directory:
            with suppress(OSError):
                self.directory.rmdir()
        self._remove_programs()
        with suppress(OSError):  # what damo keeps there; files of other programs stay
            home = self._lock_path.with_suffix(".home")
            (home / ".damo.sysinfo").unlink(missing_ok=True)
            home.rmdir()
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1


def _dead(owner: Owner | None, directory: Path) -> bool:
    if owner is not None:
        return owner.dead()
    try:  # a mount without the name of its owner
        os.stat(directory)
    except OSError as error:
        return error.errno in {errno.ENOTCONN, errno.ECONNABORTED, errno.EIO}
    return False


@contextmanager
def _one_start(runtime: Path) -> Iterator[None]:
    """No other damond of this user starts meanwhile."""
    fd = os.open(runtime, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        deadline = time.monotonic() + 2 * PATIENCE_S
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise DamonError(
                        errno.EBUSY, f"runtime directory: {runtime}: another damond is starting; try again"
                    ) from None
                time.sleep(POLL_S)
        yield
    finally:
        os.close(fd)
