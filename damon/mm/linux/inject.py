# SPDX-License-Identifier: GPL-2.0-only
"""Calls that a process can only make itself: ptrace(2) has one of its threads make them (``linux_inject.c``)."""

from __future__ import annotations

import os
from ctypes import c_int, c_int32, c_uint64
from typing import Final

from damon.model.machine import Advice
from damon.native import bind

#: What process_madvise(2) refuses for another process.
ADVICE: Final = (Advice.HUGEPAGE, Advice.NOHUGEPAGE)
#: What it refuses without CAP_SYS_NICE.
ALSO: Final = (Advice.WILLNEED, Advice.COLD, Advice.PAGEOUT, Advice.COLLAPSE)
#: Registers and system call instruction are known for these (``os.uname().machine``).
MACHINES: Final = ("x86_64", "aarch64")

_madvise_inside = bind("linux_madvise_inside", c_int, c_int, c_int32, c_uint64, c_uint64, c_int)
_userfaultfd_inside = bind("linux_userfaultfd_inside", c_int, c_int, c_int32, c_int, c_int)


def available() -> bool:
    """Can this processor's programs be made to call?"""
    return os.uname().machine in MACHINES


def madvise(directory: int, pid: int, start: int, length: int, advice: Advice) -> int:
    """``madvise(2)`` by the process whose directory in /proc is open as ``directory``; 0 or a negative errno.

    The thread goes on as it was, its signals wait meanwhile. ``-EPERM``: traced already, under seccomp, or a 32-bit
    program; ``-EAGAIN``: no thread of it can be stopped now; ``-EOPNOTSUPP``: not on this processor.
    """
    return int(_madvise_inside(directory, pid, start, length, int(advice)))


def userfaultfd(directory: int, pid: int, pidfd: int, flags: int) -> int:
    """``userfaultfd(2)`` by the process: the descriptor, which this process alone has then, or a negative errno.

    Errors as of :func:`madvise`, and those of the call and of ``pidfd_getfd(2)``.
    """
    return int(_userfaultfd_inside(directory, pid, pidfd, flags))
