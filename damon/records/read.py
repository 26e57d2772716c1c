# SPDX-License-Identifier: GPL-2.0-only
"""Reading records in any of damo's forms, ours or its own, snapshot by snapshot."""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

from damon.errors import InvalidInput
from damon.records.convert import key_of, parse_head
from damon.records.form import HEAD_END, Key
from damon.records.store import read_lines, read_zlib

_SCRIPT: Final = re.compile(
    r"\s*\S+\s+\S+\s+\S+\s+(?P<time>\d+\.\d+): (?:damon:)?damon_aggregated: "
    r"target_id=(?P<target>\d+) nr_regions=(?P<nr>\d+) (?P<start>\d+)-(?P<end>\d+): (?P<rate>\d+)(?: (?P<age>\d+))?\s*"
)

#: start, end, nr_accesses, age in aggregations, hits of probes
Row = tuple[int, int, int, int, tuple[int, ...]]


@dataclass(frozen=True)
class Record:
    """Whose results they are, and the intervals in microseconds, None when the file does not say."""

    key: Key
    sample_us: int | None
    aggr_us: int | None

    @property
    def max_nr_accesses(self) -> int | None:
        return max(self.aggr_us // max(self.sample_us, 1), 1) if self.aggr_us and self.sample_us else None


@dataclass(frozen=True)
class Snapshot:
    """What was found out until ``end_ns``. ``start_ns`` is None in forms that do not have it."""

    start_ns: int | None
    end_ns: int
    rows: tuple[Row, ...]


Item = tuple[Record, Snapshot]


class Damaged(Exception):
    """The file ends too early or is damaged; what was read before is good."""


def read(path: Path) -> Iterator[Item]:
    """Each snapshot with its record, in the file's order.

    Raises:
        InvalidInput: it is no file of records.
        Damaged: after what can be read of it.
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        start = file.read(4096)
    if _is_zlib(start):
        yield from _from_zlib(path)
    elif start.lstrip()[:1] == b"[":
        with path.open(errors="replace") as lines:
            yield from _from_lines(path, lines)
    elif _SCRIPT.match(start.partition(b"\n")[0].decode(errors="replace")):
        yield from _from_script(path)
    elif not start:
        raise InvalidInput(f"{str(path)!r} is empty: nothing was recorded")
    else:
        raise InvalidInput(f"{str(path)!r} holds no records: give a file of `damon record` or `damo record`")


def _is_zlib(start: bytes) -> bool:
    return len(start) > 2 and start[0] == 0x78 and int.from_bytes(start[:2], "big") % 31 == 0


def _from_zlib(path: Path) -> Iterator[Item]:
    try:
        yield from _from_lines(path, read_lines(path))
    except (zlib.error, EOFError, UnicodeDecodeError):
        raise Damaged(f"{str(path)!r} is damaged or ends too early") from None


def _from_lines(path: Path, lines: Iterator[str]) -> Iterator[Item]:
    """Our own layout in pieces; any other as a whole."""
    record: Record | None = None
    first = next(lines, "").rstrip("\n")
    second = next(lines, "").rstrip("\n")
    if first != "[" or not (second.endswith(HEAD_END) or second == "]"):
        yield from _from_whole(path)
        return
    for line in chain((second,), lines):
        text = line.rstrip("\n")
        if text.endswith(HEAD_END):
            record = _record(parse_head(text))
        elif record is not None and text.startswith("{"):
            try:
                snapshot = json.loads(text.removesuffix(","))
            except ValueError:
                raise Damaged(f"{str(path)!r} is damaged or ends too early") from None
            yield record, _snapshot(snapshot)


def _from_whole(path: Path) -> Iterator[Item]:
    data = path.read_bytes()
    if _is_zlib(data):
        data = b"".join(read_zlib(path))
    try:
        for kv in json.loads(data):
            record = _record(kv)
            for snapshot in kv["snapshots"]:
                yield record, _snapshot(snapshot)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise InvalidInput(f"{str(path)!r} is JSON but holds no records: {type(error).__name__} {error}") from None


def _number(value: Any) -> int:
    return int(float(value)) if isinstance(value, float) else int(str(value).replace(",", "").split(".")[0])


def _record(kv: dict[str, Any]) -> Record:
    intervals = kv.get("intervals") or {}
    sample, aggr = (_us(intervals.get(name)) for name in ("sample_us", "aggr_us"))
    return Record(key_of(kv), sample, aggr)


_UNITS: Final = {"ns": 1e-3, "us": 1.0, "ms": 1e3, "s": 1e6, "m": 60e6, "h": 3600e6}


def _us(value: Any) -> int | None:
    """Microseconds, from a number or from words like ``100 ms``."""
    if value is None:
        return None
    words = str(value).replace(",", "").split()
    if len(words) == 1:
        return round(float(words[0]))
    return round(sum(float(number) * _UNITS[unit] for number, unit in zip(words[::2], words[1::2], strict=True)))


def _snapshot(kv: dict[str, Any]) -> Snapshot:
    return Snapshot(_number(kv["start_time"]), _number(kv["end_time"]), tuple(_row(region) for region in kv["regions"]))


def _row(kv: dict[str, Any]) -> Row:
    rate, age = kv["nr_accesses"], kv["age"]
    hits = tuple(int(hit) for hit in kv.get("probe_hits") or ())
    aggrs = age["aggr_intervals"]
    return _number(kv["start"]), _number(kv["end"]), _number(rate["samples"]), _number(aggrs if aggrs else 0), hits


def _from_script(path: Path) -> Iterator[Item]:
    """As ``perf script`` prints them: N lines make a snapshot of N regions."""
    rows: dict[int, list[Row]] = {}
    last: dict[int, int] = {}
    with path.open(errors="replace") as file:
        for line in file:
            match = _SCRIPT.fullmatch(line)
            if match is None:
                continue
            target = int(match["target"])
            waiting = rows.setdefault(target, [])
            waiting.append((int(match["start"]), int(match["end"]), int(match["rate"]), int(match["age"] or 0), ()))
            if len(waiting) >= int(match["nr"]):
                end = round(float(match["time"]) * 1e6) * 1000
                yield Record(Key(0, target), None, None), Snapshot(last.get(target), end, tuple(waiting))
                last[target] = end
                rows[target] = []
