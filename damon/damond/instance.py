# SPDX-License-Identifier: GPL-2.0-only
"""One service for each mount: its lock, its socket, and what a killed one has left behind."""

from __future__ import annotations

import ctypes
import errno
import fcntl
import hashlib
import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import Final

from damon.errors import DamonError, InvalidInput, MissingCapability

MNT_DETACH: Final = 2
DEFAULT_NAME: Final = "damond"


def runtime_folder() -> Path:
    """Where locks and sockets are: ``$RUNTIME_DIRECTORY`` as service managers set it, ``/run/damond`` of root, else the
    user's own."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        return Path(given)
    if os.geteuid() == 0:
        return Path("/run/damond")
    own = os.environ.get("XDG_RUNTIME_DIR")
    return (Path(own) if own else Path(f"/tmp/damond-{os.geteuid()}")) / "damond"


def default_mount() -> Path:
    """Where ``damond`` mounts its tree, and where clients look for it."""
    given = os.environ.get("DAMOND_MOUNT")
    return Path(given) if given else runtime_folder() / "sys"


def _key(folder: Path) -> str:
    """Short: a socket's path has 107 bytes at most."""
    return hashlib.sha256(os.fsencode(folder.absolute())).hexdigest()[:16]


def socket_path(folder: Path) -> Path:
    """The control socket of the service that is mounted at ``folder``."""
    return runtime_folder() / f"{_key(folder)}.socket"


def trace_socket_path(folder: Path) -> Path:
    """The socket of the stream of trace events."""
    return socket_path(folder).with_suffix(".trace")


def exec_folder(folder: Path) -> Path:
    """What ``damon exec`` keeps for the service that is mounted at ``folder``: ``bin`` and ``home``."""
    return socket_path(folder).with_suffix(".exec")


def unmount(folder: Path) -> None:
    """Take the mount away, from those as well who still have something of it open. Nothing mounted: nothing done."""
    if os.geteuid() == 0:
        ctypes.CDLL(None, use_errno=True).umount2(os.fsencode(folder), MNT_DETACH)
        return
    for program in ("fusermount3", "fusermount"):
        with suppress(OSError):
            subprocess.run([program, "-u", "-z", "-q", folder], check=False, capture_output=True)
            return


class Instance:
    """The right to serve ``folder``. ``close()`` gives it back and removes everything that was made for it.

    Raises:
        DamonError: EBUSY, another service has it; ENOTEMPTY, EINVAL: no folder to mount on.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder.absolute()
        self.socket = socket_path(folder)
        self.folder_of_processes = self.socket.with_suffix(".d")
        self._made_folder = False
        self._lock = -1
        runtime = runtime_folder()
        try:
            runtime.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise MissingCapability(f"{runtime} can't be made ({error.strerror}); set XDG_RUNTIME_DIR") from None
        self._lock_path = runtime / f"{_key(folder)}.lock"
        self._take_lock()
        try:
            self._clean()
            self._prepare()
        except BaseException:
            self.close()
            raise

    def _take_lock(self) -> None:
        while True:
            fd = os.open(self._lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                owner = os.pread(fd, 32, 0).decode().strip() or "?"
                os.close(fd)
                raise DamonError(
                    errno.EBUSY,
                    f"{self.folder} is served by process {owner} already: stop that, or give another --mount",
                ) from None
            with suppress(FileNotFoundError):
                if os.fstat(fd).st_ino == os.stat(self._lock_path).st_ino:
                    break
            os.close(fd)  # its owner has just removed it: again
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)
        self._lock = fd

    def _clean(self) -> None:
        """What a killed service has left: its socket, and a mount that answers nobody any more."""
        self.socket.unlink(missing_ok=True)
        for _ in range(8):  # mounts can lie on top of each other
            try:
                os.stat(self.folder)
            except OSError as error:
                if error.errno not in (errno.ENOTCONN, errno.ECONNABORTED, errno.EIO):
                    return
                unmount(self.folder)
            else:
                return

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(mode=0o700, parents=True)
            self._made_folder = True
        except FileExistsError:
            if not self.folder.is_dir():
                raise InvalidInput(f"--mount {self.folder} is no folder: give an empty one, or a new name") from None
            if os.path.ismount(self.folder) or any(self.folder.iterdir()):
                raise DamonError(
                    errno.ENOTEMPTY, f"--mount {self.folder} is not empty: give an empty folder, or a new name"
                ) from None
        except OSError as error:
            raise DamonError(error.errno or 0, f"--mount {self.folder} can't be made: {error.strerror}") from None

    def close(self) -> None:
        """Safe to call twice."""
        if self._lock < 0:
            return
        self.socket.unlink(missing_ok=True)
        if self._made_folder:
            with suppress(OSError):
                self.folder.rmdir()
        self._forget_commands()
        self._lock_path.unlink(missing_ok=True)
        os.close(self._lock)
        self._lock = -1

    def _forget_commands(self) -> None:
        """What ``damon exec`` has made, and damo has remembered; files that somebody else has put there stay."""
        made = exec_folder(self.folder)
        shutil.rmtree(made / "bin", ignore_errors=True)
        with suppress(OSError):
            (made / "home/.damo.sysinfo").unlink(missing_ok=True)
            (made / "home").rmdir()
            made.rmdir()
