# SPDX-License-Identifier: GPL-2.0-only
"""Mounting: ``mount(2)`` where that is permitted, else through libfuse's set-uid program. And the way back.

A mount names the process that serves it as its source, so that a later start sees when that process is gone,
without touching the mount: to touch one whose server is neither there nor gone would mean to wait for ever.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import socket
import stat
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon.damond.owner import Owner
from damon.errors import MissingCapability

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
MNT_FORCE: Final = 1
MNT_DETACH: Final = 2
UMOUNT_NOFOLLOW: Final = 8
DEVICE: Final = "/dev/fuse"
CONNECTIONS: Final = Path("/sys/fs/fuse/connections")
NAME: Final = "damond-"
SUBTYPE: Final = "damon"
#: A read shows a page at most: the kernel must not get hold of all pages of a reader's buffer for it.
MAX_READ: Final = 4096
PROGRAMS: Final = ("fusermount3", "fusermount")
#: What a set-uid program may take.
PROGRAM_S: Final = 10.0
_LIBC: Final = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True)
class Mounted:
    """A damond's mount: the number of its connection, and the process that serves it (None: not a damond's)."""

    connection: int
    owner: Owner | None


def mounts(directory: Path) -> list[Mounted]:
    """Those of damonds that lie at ``directory``, the topmost last. None of them is touched."""
    place = os.path.join(os.path.realpath(directory.parent), directory.name)
    found = []
    for line in os.fsdecode(Path("/proc/self/mountinfo").read_bytes()).splitlines():
        before, _, after = line.partition(" - ")
        _, _, device, _, path, *_ = before.split(" ")
        kind, source, *_ = after.split(" ")
        if kind == f"fuse.{SUBTYPE}" and _unescaped(path) == place:
            found.append(Mounted(int(device.partition(":")[2]), Owner.parse(source.removeprefix(NAME))))
    return found


def _unescaped(path: str) -> str:
    raw = re.sub(rb"\\([0-7]{3})", lambda code: bytes([int(code[1], 8)]), os.fsencode(path))
    return os.fsdecode(raw)


def unmount(directory: Path) -> None:
    """Take the mount away, also from processes with open files in it. Nothing mounted: nothing done."""
    if os.geteuid() == 0:
        _LIBC.umount2(os.fsencode(directory), MNT_DETACH | UMOUNT_NOFOLLOW)
        return
    for program in PROGRAMS:
        try:
            subprocess.run(
                [program, "-u", "-z", "-q", "--", directory], check=False, capture_output=True, timeout=PROGRAM_S
            )
        except (OSError, subprocess.TimeoutExpired):
            continue
        return


def detach(directory: Path) -> None:
    """Take the topmost mount away from a server that is dead, and end every request that still waits for it.

    Threads that wait in the kernel, the server's own and those of its clients, go on. Root can always do that; another
    user needs the control file system of FUSE, which init systems mount.
    """
    if os.geteuid() == 0:
        _LIBC.umount2(os.fsencode(directory), MNT_FORCE | MNT_DETACH | UMOUNT_NOFOLLOW)
        return
    for mounted in mounts(directory)[-1:]:
        with suppress(OSError):
            (CONNECTIONS / str(mounted.connection) / "abort").write_text("1")
    unmount(directory)


def mount(directory: Path) -> int:
    """Mount at ``directory``; the descriptor from which requests are read.

    Raises:
        MissingCapability: neither way is open here.
        OSError: the kernel refused the mount.
    """
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise MissingCapability(
            f"device: {DEVICE}: {error.strerror}; load the module fuse, or give access to the device"
        ) from None
    source = f"{NAME}{Owner.ourselves()}"
    words = f"fd={fd},rootmode={stat.S_IFDIR:o},user_id={os.getuid()},group_id={os.getgid()},max_read={MAX_READ}"
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    if not _LIBC.mount(source.encode(), os.fsencode(directory), f"fuse.{SUBTYPE}".encode(), flags, words.encode()):
        return fd
    number = ctypes.get_errno()
    os.close(fd)
    if number != errno.EPERM:
        raise OSError(
            number, f"--mount: {str(directory)!r}: mounting failed: {os.strerror(number)}; give another directory"
        )
    return _mount_by_program(directory, source)


def _mount_by_program(directory: Path, source: str) -> int:
    """It mounts, and sends the descriptor through the socket that it inherits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        environment = dict(os.environ, _FUSE_COMMFD=str(theirs.fileno()))
        options = f"fsname={source},subtype={SUBTYPE},max_read={MAX_READ}"
        for program in PROGRAMS:
            try:
                done = subprocess.run(
                    [program, "-o", options, "--", directory],
                    env=environment,
                    pass_fds=[theirs.fileno()],
                    stderr=subprocess.PIPE,
                    text=True,
                    check=False,
                )
            except FileNotFoundError:
                continue
            theirs.close()
            _, fds, _, _ = socket.recv_fds(ours, 1, 1)
            if not fds:
                raise OSError(
                    errno.EPERM, f"--mount: {str(directory)!r}: mounting failed: {done.stderr.strip() or program}"
                )
            os.set_inheritable(fds[0], False)
            return fds[0]
    raise MissingCapability(
        f"--mount: {str(directory)!r}: needs root or {PROGRAMS[0]}; install it (Debian: apt-get install fuse3)"
    )
