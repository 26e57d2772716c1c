# SPDX-License-Identifier: GPL-2.0-only
"""Files of sysfs: one value each; what the kernel refuses is an error with path and value."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import Final

from damon.errors import DamonError
from damon.quoting import cut, quoted

#: Another process may be at work in the tree: the kernel then refuses a write at once.
BUSY_S: Final = 2.0
_RETRY_S: Final = 0.01
_LONGEST: Final = 1 << 16


def read(path: Path) -> str:
    """The value without its newline.

    Raises:
        DamonError: the kernel's errno.
    """
    try:
        with path.open("rb") as file:
            return file.read(_LONGEST).decode(errors="surrogateescape").removesuffix("\n")
    except OSError as error:
        raise _refused(path, None, error) from None


def number(path: Path) -> int:
    """The value as an integer.

    Raises:
        DamonError: the kernel's errno; EPROTO when it is not an integer.
    """
    text = read(path)
    try:
        return int(text)
    except ValueError:
        raise DamonError(errno.EPROTO, f"{path}: {quoted(text)}: is not an integer; this is not DAMON's tree") from None


def put(path: Path, value: object, *, patient: bool = True) -> None:
    """Writes a value with one write(2).

    Args:
        path: the file.
        value: what is written, without a newline: a path would have it as a part.
        patient: try EBUSY again for a while: the kernel does not wait for another write into DAMON's tree.

    Raises:
        DamonError: the kernel's errno.
    """
    data = str(value).encode(errors="surrogateescape")
    deadline, pause = time.monotonic() + BUSY_S, _RETRY_S
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(descriptor, data)
            finally:
                os.close(descriptor)
            return
        except OSError as error:
            if error.errno != errno.EBUSY or not patient or time.monotonic() >= deadline:
                raise _refused(path, value, error) from None
        time.sleep(pause)
        pause *= 2


def writable(path: Path) -> bool:
    """Whether it is a file that takes values."""
    try:
        mode = path.lstat().st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & stat.S_IWUSR)


_REMEDIES: Final = {
    errno.EACCES: "run as root",
    errno.EPERM: "run as root",
    errno.EBUSY: "stop what uses the kernel's DAMON",
    errno.ENOENT: "this kernel has no such file, or it has just been removed",
}


def _refused(path: Path, value: object, error: OSError) -> DamonError:
    what = cut(str(path)) if value is None else f"{cut(str(path))}: {quoted(str(value))}"
    remedy = _REMEDIES.get(error.errno or 0, "correct the value")
    return DamonError(error.errno or errno.EIO, f"{what}: the kernel refuses it: {error.strerror}; {remedy}")
