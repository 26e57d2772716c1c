# SPDX-License-Identifier: GPL-2.0-only
"""Mounting: ``mount(2)`` where that is permitted, else through libfuse's set-uid program."""

from __future__ import annotations

import ctypes
import errno
import os
import socket
import stat
import subprocess
from pathlib import Path
from typing import Final

from damon.errors import MissingCapability

MS_NOSUID: Final = 2
MS_NODEV: Final = 4
DEVICE: Final = "/dev/fuse"
NAME: Final = "damond"
SUBTYPE: Final = "damon"
#: A read shows a page at most: the kernel must not get hold of all pages of a reader's buffer for it.
MAX_READ: Final = 4096
PROGRAMS: Final = ("fusermount3", "fusermount")


def mount(folder: Path) -> int:
    """Mount at ``folder``; the descriptor from which requests are read.

    Raises:
        MissingCapability: neither way is open here.
        OSError: the kernel refused the mount.
    """
    try:
        fd = os.open(DEVICE, os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise MissingCapability(
            f"{DEVICE} can't be opened ({error.strerror}): load the module fuse, or give access to the device"
        ) from None
    mode = stat.S_IFMT(os.stat(folder).st_mode)
    words = f"fd={fd},rootmode={mode:o},user_id={os.getuid()},group_id={os.getgid()},max_read={MAX_READ}"
    libc = ctypes.CDLL(None, use_errno=True)
    flags = ctypes.c_ulong(MS_NOSUID | MS_NODEV)
    if not libc.mount(NAME.encode(), os.fsencode(folder), f"fuse.{SUBTYPE}".encode(), flags, words.encode()):
        return fd
    number = ctypes.get_errno()
    os.close(fd)
    if number != errno.EPERM:
        raise OSError(number, f"mounting {folder} failed: {os.strerror(number)}")
    return _mount_by_program(folder)


def _mount_by_program(folder: Path) -> int:
    """It mounts, and sends the descriptor through the socket that it inherits."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with ours, theirs:
        environment = dict(os.environ, _FUSE_COMMFD=str(theirs.fileno()))
        options = f"fsname={NAME},subtype={SUBTYPE},max_read={MAX_READ}"
        for program in PROGRAMS:
            try:
                done = subprocess.run(
                    [program, "-o", options, "--", folder],
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
                raise OSError(errno.EPERM, f"mounting {folder} failed: {done.stderr.strip() or program}")
            os.set_inheritable(fds[0], False)
            return fds[0]
    raise MissingCapability(
        f"mounting {folder} needs root or {PROGRAMS[0]}; run as root, or install it (Debian: apt-get install fuse3)"
    )
