# SPDX-License-Identifier: GPL-2.0-only
"""Reads what a run has written, or what somebody sent who says that it did."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import msgspec

from ..errors import InvalidInput

#: A run of ten thousand jobs with all that they said has less.
MOST_BYTES = 512 << 20
_Kind = TypeVar("_Kind")


def read(file: Path, kind: type[_Kind], what: str, of: str, remedy: str) -> _Kind:
    """A JSON file as a typed value.

    Args:
        file: to be read.
        kind: what it must be.
        what: the file's role, for the error's message.
        of: what it would be one of.
        remedy: ends the message.

    Raises:
        InvalidInput: it is not there, or not that.
    """
    try:
        with file.open("rb") as stream:
            data = stream.read(MOST_BYTES + 1)
    except OSError as error:
        raise InvalidInput(f"{what} {str(file)!r} cannot be read ({error.strerror}); {remedy}") from error
    try:
        if len(data) > MOST_BYTES:
            raise ValueError(f"more than {MOST_BYTES >> 20} MiB")
        return msgspec.json.decode(data, type=kind)
    except RecursionError as error:
        raise InvalidInput(f"{what} {str(file)!r}: none of {of} (nested too deep); {remedy}") from error
    except ValueError as error:  # the library's own errors, and text that is no UTF-8
        raise InvalidInput(f"{what} {str(file)!r}: none of {of} ({error}); {remedy}") from error
