# SPDX-License-Identifier: GPL-2.0-only
"""The errors that are printed: one line, ``<what>: <value>: <why>; <remedy>``."""

from __future__ import annotations

import errno as _errno
import os

from damon.quoting import bounded


class DamonError(OSError):
    """A request refused with the kernel's errno; nothing was started or changed.

    Args:
        errno: the kernel's errno for this refusal (``errno.EINVAL``, ``EBUSY``, ...).
        message: field, value, remedy; made one line of bounded length. Without it, the errno's own text.
    """

    def __init__(self, errno: int, message: str = "") -> None:
        super().__init__(errno, bounded(message or os.strerror(errno)))

    def __str__(self) -> str:
        name = _errno.errorcode.get(self.errno or 0, str(self.errno))
        return f"{self.strerror} ({name})"


class InvalidInput(DamonError):
    """Input that is wrong whatever the machine: always EINVAL unless the kernel has another errno (ERANGE)."""

    def __init__(self, message: str, errno: int = _errno.EINVAL) -> None:
        super().__init__(errno, message)


class MissingCapability(Exception):
    """This machine lacks something that the run needs; the message names it, and the remedy."""

    exit_code = 3  #: of a command whose modules cannot be imported for want of it


class BuildFailed(MissingCapability):
    """A step that makes something from sources or fetches them failed; the log's last lines follow the first line."""
