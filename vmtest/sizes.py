# SPDX-License-Identifier: GPL-2.0-only
"""Sizes as people write them."""

from __future__ import annotations

import re

from .errors import InvalidInput
from .quoting import quoted

MIB = 1 << 20
_SIZE = re.compile(r"(\d{1,19})([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_SHIFT = {"": 0, "K": 10, "M": 20, "G": 30, "T": 40}


def parse_size(value: str | int, name: str) -> int:
    """Bytes of "512M", "1G", "1GiB" (powers of 1024) or a plain number of bytes.

    Raises:
        InvalidInput: anything else; the message names ``name``.
    """
    if isinstance(value, int):
        return value
    match = _SIZE.fullmatch(value.strip())
    if match is None:
        raise InvalidInput(f"{name}: {quoted(value)}: is not a size; give for example 512M or 1G")
    return int(match[1]) << _SHIFT[match[2].upper()]


def shown(size: int) -> str:
    """Bytes as the shortest of "1G", "512M", "64K" that is exact."""
    for letter in "GMK":
        if size and size % (1 << _SHIFT[letter]) == 0:
            return f"{size >> _SHIFT[letter]}{letter}"
    return str(size)
