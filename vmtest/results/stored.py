# SPDX-License-Identifier: GPL-2.0-only
"""Reads what a run has written. The file may have come from elsewhere, and is not trusted."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from .. import format_version
from ..errors import InvalidInput

#: A run of ten thousand jobs with all their messages has less.
MOST_BYTES = 512 << 20
_Kind = TypeVar("_Kind")


class _Format(msgspec.Struct):
    format: Any = 1


def read(file: Path, kind: type[_Kind], what: str, of: str, remedy: str, known: int) -> _Kind:
    """A JSON file as a typed value.

    Args:
        file: to be read.
        kind: what it must be.
        what: the file's role, for the error's message.
        of: what it would be one of.
        remedy: ends the message.
        known: the latest version of the format that is read.

    Raises:
        InvalidInput: it is not there, or not that.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{what}: {str(file)!r}: cannot be read ({error.strerror}); {remedy}") from error
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
        later = format_version.refusal({format_version.FIELD: msgspec.json.decode(data, type=_Format).format}, known)
        if later is None:
            return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise InvalidInput(f"{what} {str(file)!r}: none of {of} (nested too deep); {remedy}") from error
    except ValueError as error:  # the library's own errors, and text that is not UTF-8
        raise InvalidInput(f"{what} {str(file)!r}: none of {of} ({error}); {remedy}") from error
    raise InvalidInput(f"{what} {str(file)!r}: {later}")


def below(directory: Path, name: str) -> Path | None:
    """A directory of results by its name in them; None when that leads somewhere else, by itself or by a link."""
    try:
        place = (directory / name).resolve()
        inside = place.is_relative_to(directory.resolve()) and not Path(name).is_absolute()
    except (OSError, ValueError, RuntimeError):
        return None
    return directory / name if inside else None


def regular(path: Path) -> bool:
    """Whether it is a file, and no link to one."""
    try:
        return stat.S_ISREG(path.lstat().st_mode)
    except (OSError, ValueError):
        return False


def tail(path: Path, most: int) -> str:
    """The last characters of a file, at most so many; empty when there is none, or only a link to one."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except (OSError, ValueError):
        return ""
    with open(descriptor, "rb") as stream:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            return ""
        stream.seek(max(0, found.st_size - most * 4))
        return stream.read(most * 4).decode(errors="replace")[-most:]
