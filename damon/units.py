# SPDX-License-Identifier: GPL-2.0-only
"""Durations and sizes with a unit, as they are written on a command line.

``vmtest/units.py`` is a link to this file, as neither package imports the other.
"""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_NUMBER: Final = r"(\d{1,18}(?:\.\d{1,9})?(?:[eE][+-]?\d{1,2})?) ?([A-Za-z]*)"
_SECONDS: Final = {
    "ns": Fraction(1, 10**9), "us": Fraction(1, 10**6), "ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60),
    "min": Fraction(60), "h": Fraction(3600), "d": Fraction(86400),
}  # fmt: skip
SECOND_US: Final = 1_000_000
_BYTES: Final = {"": 1} | {
    f"{letter}{end}": 1 << 10 * power for power, letter in enumerate("KMGT", 1) for end in ("", "B", "iB")
}
#: How many of a parameter's unit make a second or a byte.
_IN_A_SECOND: Final = {"ns": 10**9, "us": 10**6, "ms": 1000, "s": 1}
DURATIONS: Final = "90, 500ms, 30s, 5min, 1h or 2d"


def seconds(text: str) -> Fraction | None:
    """Seconds of ``90``, ``500ms``, ``5min``, ``1h``; None of anything else."""
    match = re.fullmatch(_NUMBER, text.strip(), re.ASCII)
    unit = _SECONDS.get(match[2] or "s") if match is not None else None
    return None if match is None or unit is None else Fraction(match[1]) * unit


def size(text: str) -> Fraction | None:
    """Bytes of ``4096``, ``64K``, ``1 GiB``; None of anything else."""
    match = re.fullmatch(_NUMBER, text.strip(), re.ASCII)
    unit = _BYTES.get(match[2][:1].upper() + match[2][1:]) if match is not None else None
    return None if match is None or unit is None else Fraction(match[1]) * unit


def as_plain(text: str, unit: str) -> int | None:
    """``text``, which has a unit of its own, as a plain number of ``unit`` (``us``, ``ms``, ``bytes``); None when it is
    no such quantity, or no whole number."""
    if unit == "bytes":
        value = size(text)
    else:
        duration, factor = seconds(text), _IN_A_SECOND.get(unit)
        value = duration * factor if duration is not None and factor is not None else None
    return int(value) if value is not None and value.denominator == 1 else None
