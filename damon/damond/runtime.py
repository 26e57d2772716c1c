# SPDX-License-Identifier: GPL-2.0-only
"""Where a service keeps its lock and its sockets, and the checks that no other user can change it.

A path is walked from the root, one directory after the other, and no step follows what another user could exchange.
What lies in a directory of ours that no other user may enter needs no further check, whether or not it exists.
"""

from __future__ import annotations

import errno
import hashlib
import os
import stat
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon.errors import DamonError, MissingCapability

#: Symbolic links on one way, as in the kernel.
MAX_LINKS: Final = 40
_OPEN: Final = os.O_PATH | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True)
class RuntimeDirectory:
    """A place for locks and sockets.

    Attributes:
        path: the directory itself.
        private: it and all between it and ``path`` must be ours, mode 0700.
        remedy: what to do when it is not.
    """

    path: Path
    private: Path
    remedy: str

    def check(self, make: bool = False) -> bool:
        """Is it there? With ``make`` it is afterwards.

        Raises:
            DamonError: EPERM, ELOOP, ENOTDIR: another user could change what lies there.
            MissingCapability: it cannot be made.
        """
        try:
            os.close(open_directory("runtime directory", self.path, self.private, self.remedy, make))
        except FileNotFoundError:
            return False
        except DamonError:
            raise
        except OSError as error:
            raise MissingCapability(
                f"runtime directory: {self.path}: can't be made ({error.strerror}); set XDG_RUNTIME_DIR"
            ) from None
        return True


def runtime_directory() -> RuntimeDirectory:
    """``$RUNTIME_DIRECTORY`` as service managers set it, ``/run/damond`` of root, else the user's own."""
    given = os.environ.get("RUNTIME_DIRECTORY", "").partition(":")[0]
    if given:
        path = Path(given).absolute()
        return RuntimeDirectory(
            path, path, "make it yours (chmod 700), or set RUNTIME_DIRECTORY to a directory that is"
        )
    if os.geteuid() == 0:
        path = Path("/run/damond")
        return RuntimeDirectory(path, path, "make it root's (chown root, chmod 700)")
    own = os.environ.get("XDG_RUNTIME_DIR")
    base = Path(own).absolute() if own else Path(f"/tmp/damond-{os.geteuid()}")
    return RuntimeDirectory(base / "damond", base, "set XDG_RUNTIME_DIR to a directory of your own, mode 0700")


# Long by its docstring: one loop over the names of a path, each step from the descriptor of the step before.
def open_directory(what: str, path: Path, private: Path | None, remedy: str, make: bool = False) -> int:
    """A descriptor (``O_PATH``) of the directory ``path``, to which no other user can lead us, nor away from it.

    Args:
        what: names it in refusals.
        path: absolute. Each directory above it must be root's or ours, and not for others to write (but for sticky
            ones, as ``/tmp``); links above it must be root's or ours. It must be ours and no link itself.
        private: this directory, and those between it and ``path``, must be ours with mode 0700, and no links.
        remedy: what to do about a refusal.
        make: what is missing is made, mode 0700.

    Raises:
        DamonError: EPERM, ELOOP, ENOTDIR: a refusal, by the name of the directory in question.
        FileNotFoundError: it is not there.
    """
    here, left, links = "/", list(path.parts[1:]), 0
    strict = len(path.parts) - len(private.parts) if private is not None else -1
    fd = os.open("/", _OPEN)
    try:
        while left:
            name = left.pop(0)
            inside = len(left) <= strict
            there = os.path.join(here, name)
            entry = _entry(fd, name, make)
            os.close(fd)
            fd = entry
            found = os.fstat(fd)
            if stat.S_ISLNK(found.st_mode) and left and not inside and found.st_uid in {0, os.geteuid()}:
                links += 1
                target = Path(os.path.join(here, os.readlink("", dir_fd=fd)))
                if links > MAX_LINKS:
                    raise DamonError(errno.ELOOP, f"{what}: {there}: too many symbolic links; {remedy}")
                here, left = "/", [*target.parts[1:], *left]
                os.close(fd)
                fd = os.open("/", _OPEN)
                continue
            _check_entry(what, there, found, inside, not left, remedy)
            here = there
    except BaseException:
        os.close(fd)
        raise
    return fd


def _entry(fd: int, name: str, make: bool) -> int:
    try:
        return os.open(name, _OPEN, dir_fd=fd)
    except FileNotFoundError:
        if not make:
            raise
    with suppress(FileExistsError):  # made by another one at the same time: looked at like any other
        os.mkdir(name, 0o700, dir_fd=fd)
    return os.open(name, _OPEN, dir_fd=fd)


def _check_entry(what: str, path: str, found: os.stat_result, private: bool, last: bool, remedy: str) -> None:
    """Refuse a directory in which another user could create a file first."""
    own, mode = os.geteuid(), stat.S_IMODE(found.st_mode)
    why = ""
    number = errno.EPERM
    if stat.S_ISLNK(found.st_mode):
        number, why = errno.ELOOP, "is a symbolic link"
    elif not stat.S_ISDIR(found.st_mode):
        number, why = errno.ENOTDIR, "is not a directory"
    elif found.st_uid != own and (private or last or found.st_uid != 0):
        why = f"belongs to user {found.st_uid}, not to user {own}"
    elif private and mode & 0o077:
        why = f"has mode {mode:04o}, not 0700"
    elif mode & 0o022 and (last or not mode & stat.S_ISVTX):
        why = f"has mode {mode:04o}: others can write there"
    if why:
        raise DamonError(number, f"{what}: {path}: {why}; {remedy}")


def default_mount() -> Path:
    """Where ``damond`` mounts its tree, and where clients look for it."""
    given = os.environ.get("DAMOND_MOUNT")
    return Path(given) if given else runtime_directory().path / "sys"


def _key(mount: Path) -> str:
    """Short: a socket's path has 107 bytes at most."""
    return hashlib.sha256(os.fsencode(mount.absolute())).hexdigest()[:16]


def runtime_path(mount: Path, suffix: str) -> Path:
    """What the service that is mounted at ``mount`` has by ``suffix``.

    Raises:
        DamonError: EPERM, ELOOP, ENOTDIR: another user could have put it there.
    """
    directory = runtime_directory()
    directory.check()
    return directory.path / f"{_key(mount)}{suffix}"


def socket_path(mount: Path) -> Path:
    """The control socket of the service that is mounted at ``mount``; refusals as of ``runtime_path()``."""
    return runtime_path(mount, ".socket")


def trace_socket_path(mount: Path) -> Path:
    """The socket of the stream of trace events; refusals as of ``runtime_path()``."""
    return runtime_path(mount, ".trace")
