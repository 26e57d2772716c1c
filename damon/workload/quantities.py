# SPDX-License-Identifier: GPL-2.0-only
"""Sizes, durations and rates as they are written in a file, each refused in one line when it is none."""

from __future__ import annotations

import re
from typing import Any

from damon.errors import InvalidInput
from damon.quoting import quoted

PAGE = 4096
MAX_SIZE = 1 << 46  #: bytes of one area: half of an x86-64 process's address space
MAX_DURATION = 10**15  #: microseconds, some 31 years
MAX_RATE = 1e10  #: touches a second; no machine does more
_SIZE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?([KMGT]?)(?:i?B)?", re.IGNORECASE | re.ASCII)
_DURATION = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?(us|ms|s|min|m|h|d)", re.ASCII)
_RATE = re.compile(r"(\d{1,18}(?:\.\d{1,18})?) ?([kKMG]?)(?:/s)?", re.ASCII)
_SIZES = {"": 1, "K": 1 << 10, "M": 1 << 20, "G": 1 << 30, "T": 1 << 40}
_TIMES = {"us": 1, "ms": 1000, "s": 10**6, "m": 60 * 10**6, "min": 60 * 10**6, "h": 3600 * 10**6}
_TIMES["d"] = 24 * _TIMES["h"]
_RATES = {"": 1, "k": 10**3, "K": 10**3, "M": 10**6, "G": 10**9}


def refusal(field: str, value: Any, why: str) -> InvalidInput:
    """``<field>: <value>: <why>; <remedy>``; ``why`` has both."""
    return InvalidInput(f"{field}: {quoted(value)}: {why}")


def _number(value: Any, form: re.Pattern[str], units: dict[str, int]) -> float | None:
    """``value`` in the base unit; None when it is not such a quantity."""
    if isinstance(value, str):
        match = form.fullmatch(value.strip())
        return None if match is None else float(match[1]) * units.get(match[2], units.get(match[2].upper(), 1))
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not abs(value) < 1e18:
        return None
    return value


def parse_bytes(value: Any, field: str) -> int:
    """Bytes of ``33554432``, ``32M``, ``32 MiB`` (powers of 1024): a whole number from 1 to ``MAX_SIZE``."""
    size = _number(value, _SIZE, _SIZES)
    if size is None or size != int(size) or not 0 < size <= MAX_SIZE:
        raise refusal(field, value, "is not a size; give bytes above 0, up to 64T, e.g. 33554432 or 32M")
    return int(size)


def parse_size(value: Any, field: str) -> int:
    """As ``parse_bytes``, but whole pages."""
    size = parse_bytes(value, field)
    if size % PAGE:
        raise refusal(field, value, f"is not a multiple of {PAGE}; give whole pages")
    return size


def parse_limit(value: Any, field: str) -> int | None:
    """Bytes as in a file of a cgroup: as ``parse_bytes``, or 0, in whole pages; None for ``max``."""
    if value == "max":
        return None
    size = _number(value, _SIZE, _SIZES)
    if size is None or not 0 <= size <= MAX_SIZE:
        raise refusal(field, value, "is not a limit; give max, or bytes from 0 to 64T, e.g. 64M")
    return int(size) // PAGE * PAGE


def parse_duration(value: Any, field: str) -> int:
    """Microseconds of ``250000``, ``250ms``, ``60s``, ``5m``; above 0."""
    us = _number(value, _DURATION, _TIMES)
    if us is None or not 1 <= us <= MAX_DURATION:
        raise refusal(field, value, "is not a duration; give 1us or more, e.g. 60s, 250ms or 250000 (microseconds)")
    return int(us)


def parse_time(value: Any, field: str) -> int:
    """Microseconds from a beginning: as ``parse_duration``, or 0."""
    us = _number(value, _DURATION, _TIMES)
    return 0 if us == 0 or value == "0" else parse_duration(value, field)


def parse_offset(value: Any, field: str) -> int:
    """Bytes from a beginning: as ``parse_size``, or 0."""
    return 0 if _number(value, _SIZE, _SIZES) == 0 else parse_size(value, field)


def parse_rate(value: Any, field: str) -> float:
    """Touches a second of ``2000000``, ``200k``, ``2M/s``; above 0, up to ``MAX_RATE``."""
    rate = _number(value, _RATE, _RATES)
    if rate is None or not 0 < rate <= MAX_RATE:
        raise refusal(field, value, "is not a rate; give touches a second above 0, up to 10G, e.g. 200k")
    return float(rate)
