# SPDX-License-Identifier: GPL-2.0-only
"""How accesses to the memory of processes are seen on the running kernel, and the choice of it."""

from __future__ import annotations

import enum
import errno
import logging
import os
from pathlib import Path

from damon.errors import MissingCapability
from damon.mm.linux import inject, rwp

log = logging.getLogger("damon.linux")


class Access(enum.StrEnum):
    """``auto``: ``rwp`` where kernel and process allow, else ``page_idle``.

    ``page_idle``: the accessed bits and idle flags of pages, for root on a kernel with idle page tracking. ``rwp``:
    read-write protection by userfaultfd(2), of Linux 7.3, also without root for one's own processes. Memory that rwp
    cannot track, that of files, is left to page_idle where that is permitted.
    """

    AUTO = "auto"
    PAGE_IDLE = "page_idle"
    RWP = "rwp"


def require_rwp() -> None:
    """Raise ``MissingCapability`` unless this kernel and this processor have all that ``rwp`` needs."""
    if not inject.available():
        raise MissingCapability(
            f"rwp: {os.uname().machine}: ptrace(2) is used on {', '.join(inject.MACHINES)} only; take page_idle"
        )
    error = rwp.lack()
    if error == errno.EOPNOTSUPP:
        raise MissingCapability(
            f"rwp: Linux {os.uname().release}: userfaultfd(2) has no read-write protection; boot 7.3 or later, or take "
            "page_idle"
        )
    if error:
        raise MissingCapability(
            f"rwp: userfaultfd(2): {os.strerror(error)}; boot a kernel with CONFIG_USERFAULTFD, or take page_idle"
        )


def has_rwp() -> bool:
    """Does this kernel have it?"""
    try:
        require_rwp()
    except MissingCapability:
        return False
    return True


def uses_userfaultfd(directory: int) -> bool:
    """Has the process whose directory in /proc is open one of its own? Two cannot track the same mapping."""
    try:
        fds = os.open("fd", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=directory)
    except OSError:
        return False
    try:
        return any(_link(fds, name) == "anon_inode:[userfaultfd]" for name in os.listdir(fds))
    finally:
        os.close(fds)


def _link(fds: int, name: str) -> str:
    try:
        return os.readlink(name, dir_fd=fds)
    except OSError:
        return ""


def may_be_traced(proc: Path, pid: int) -> bool:
    """Would the kernel let us stop the process: the same user, or root, and Yama permits it?"""
    try:
        os.close(os.open(proc / str(pid) / "mem", os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
