# SPDX-License-Identifier: GPL-2.0-only
"""What a record must be to be used: types, bounds and order of a file's values. Files can come from any source."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, TypeVar

import msgspec

from damon.quoting import cut, quoted
from damon.records.form import Key

#: start, end, nr_accesses, age in aggregations, hits of probes
Row = tuple[int, int, int, int, tuple[int, ...]]

MAX_ADDRESS: Final = 1 << 64
MAX_COUNT: Final = (1 << 64) - 1
MAX_INDEX: Final = (1 << 31) - 1
MAX_TIME_NS: Final = (1 << 63) - 1
_MAX_US: Final = MAX_TIME_NS // 1000
_NUMBER: Final = re.compile(r"(-?\d{1,20})(?:\.\d{0,20})?", re.ASCII)
_WORD: Final = re.compile(r"\d{1,20}(?:\.\d{0,20})?", re.ASCII)
_UNITS: Final = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}

Number = int | float | str
T = TypeVar("T")


class Refused(ValueError):
    """``<what>: <value>: <why>`` of a record that cannot be used."""


@dataclass(frozen=True)
class Record:
    """Whose results they are, and the intervals in microseconds, None when the file lacks them."""

    key: Key
    sample_us: int | None
    aggr_us: int | None

    @property
    def max_nr_accesses(self) -> int | None:
        return max(self.aggr_us // max(self.sample_us, 1), 1) if self.aggr_us and self.sample_us else None


@dataclass(frozen=True)
class Snapshot:
    """What was found out until ``end_ns``. ``start_ns`` is None in forms that do not have it; ``sample_us`` is the
    sampling interval of this snapshot where tuning has changed it."""

    start_ns: int | None
    end_ns: int
    rows: tuple[Row, ...]
    sample_us: int | None = None


class _Rate(msgspec.Struct):
    samples: Number


class _Age(msgspec.Struct):
    aggr_intervals: Number | None = None


class _Region(msgspec.Struct):
    start: Number
    end: Number
    nr_accesses: _Rate
    age: _Age
    probe_hits: list[Number] | None = None


class _Snapshot(msgspec.Struct):
    start_time: Number
    end_time: Number
    regions: list[_Region]
    sample_interval_us: Any = None


class _Intervals(msgspec.Struct):
    sample_us: Number | None = None
    aggr_us: Number | None = None


class _Record(msgspec.Struct):
    target_id: Number
    snapshots: list[_Snapshot]
    kdamond_idx: Number | None = None
    intervals: _Intervals | None = None


_RECORD: Final = msgspec.json.Decoder(_Record)
_RECORDS: Final = msgspec.json.Decoder(list[_Record])
_SNAPSHOT: Final = msgspec.json.Decoder(_Snapshot)


def parse_head(line: str) -> Record:
    """The record that a line of ``form.head`` begins.

    Raises:
        Refused: it is none.
    """
    return _record(_decoded(_RECORD, f"{line}]}}"))


def parse_snapshot(line: str) -> Snapshot:
    """The snapshot on a line of ``form.snapshot``.

    Raises:
        Refused: it is none.
    """
    return _snapshot(_decoded(_SNAPSHOT, line))


def parse_records(text: bytes) -> Iterator[tuple[Record, Snapshot]]:
    """Each snapshot of a whole list of records, with its record.

    Raises:
        Refused: it is none; after the snapshots before the wrong one.
    """
    for one in _decoded(_RECORDS, text):
        record = _record(one)
        for snapshot in one.snapshots:
            yield record, _snapshot(snapshot)


def _decoded(decoder: msgspec.json.Decoder[T], text: str | bytes) -> T:
    try:
        return decoder.decode(text)
    except RecursionError:
        raise Refused("JSON is nested too deeply") from None
    except (msgspec.DecodeError, UnicodeError) as error:
        raise Refused(cut(str(error))) from None


def _record(one: _Record) -> Record:
    key = Key(
        _number("kdamond_idx", one.kdamond_idx or 0, MAX_INDEX),
        _number("target_id", one.target_id, MAX_INDEX),
    )
    given = one.intervals or _Intervals()
    return Record(key, _us("sample_us", given.sample_us), _us("aggr_us", given.aggr_us))


def _snapshot(one: _Snapshot) -> Snapshot:
    start = _number("start_time", one.start_time, MAX_TIME_NS, -MAX_TIME_NS)  # an interval may begin before the clock
    end = _number("end_time", one.end_time, MAX_TIME_NS)
    if start > end:
        raise Refused(f"end_time: {end}: lies before start_time, {start}")
    rows = tuple(_row(index, region) for index, region in enumerate(one.regions))
    check_order(rows)
    return Snapshot(start, end, rows, _tuned(one.sample_interval_us, start, end))


def _tuned(value: Any, start: int, end: int) -> int | None:
    """The microseconds of a tuned sampling interval; None for what is none. damo writes nanoseconds there."""
    try:
        us = _us("sample_us", value) if isinstance(value, (int, float, str)) else None
    except Refused:
        return None
    if us and us * 1000 > end - start:  # more than the snapshot
        us //= 1000
    return us or None


def _row(index: int, region: _Region) -> Row:
    start = _number(f"regions[{index}].start", region.start, MAX_ADDRESS)
    end = _number(f"regions[{index}].end", region.end, MAX_ADDRESS)
    count = _number(f"regions[{index}].nr_accesses.samples", region.nr_accesses.samples, MAX_COUNT)
    age = _number(f"regions[{index}].age.aggr_intervals", region.age.aggr_intervals or 0, MAX_COUNT)
    hits = tuple(_number(f"regions[{index}].probe_hits", hit, MAX_COUNT) for hit in region.probe_hits or ())
    return start, end, count, age, hits


def check_order(rows: tuple[Row, ...]) -> None:
    """Refuse regions that are empty or overlap; DAMON's never do."""
    before = 0
    for index, (start, end, *_) in enumerate(rows):
        if start < before:
            raise Refused(f"regions[{index}].start: {start}: lies before the end of the region before it, {before}")
        if end <= start:
            raise Refused(f"regions[{index}].end: {end}: is not above its start, {start}")
        before = end


def _number(what: str, value: Number, most: int, least: int = 0) -> int:
    """A whole number from ``least`` to ``most``; damo writes ``"4,096"``."""
    number = least - 1
    if isinstance(value, str):
        match = _NUMBER.fullmatch(value.replace(",", ""))
        number = int(match[1]) if match else number
    elif isinstance(value, int) or math.isfinite(value):
        number = int(value)
    if not least <= number <= most:
        raise Refused(f"{what}: {quoted(value)}: is not a number from {least} to {most}")
    return number


def _us(what: str, value: Number | None) -> int | None:
    """Microseconds, from a number or from words like ``100 ms``."""
    if value is None:
        return None
    words = str(value).replace(",", "").split(maxsplit=20) if isinstance(value, str) else []
    if len(words) < 2:
        return _number(f"intervals.{what}", value, _MAX_US)
    numbers, units = words[::2], words[1::2]
    if len(words) % 2 or not all(map(_WORD.fullmatch, numbers)) or not _UNITS.keys() >= set(units):
        raise Refused(f"intervals.{what}: {quoted(value)}: is not a time, e.g. 100 ms")
    total = sum(float(number) * _UNITS[unit] for number, unit in zip(numbers, units, strict=True))
    return _number(f"intervals.{what}", total, _MAX_US)
