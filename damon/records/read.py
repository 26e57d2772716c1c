# SPDX-License-Identifier: GPL-2.0-only
"""Reading records in any of damo's forms, ours or its own, snapshot by snapshot. A file can be foreign or damaged."""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Final

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.records.checked import (
    MAX_ADDRESS,
    MAX_COUNT,
    MAX_INDEX,
    MAX_TIME_NS,
    Record,
    Refused,
    Row,
    Snapshot,
    check_order,
    parse_head,
    parse_records,
    parse_snapshot,
)
from damon.records.form import HEAD_END, Key
from damon.records.store import read_file, read_zlib, split_lines

__all__ = ["Damaged", "Item", "Record", "Row", "Snapshot", "read"]

#: Of files in a layout that can only be read as a whole.
MAX_WHOLE: Final = 256 << 20
MAX_TARGETS: Final = 1000
MAX_SNAPSHOTS: Final = 1 << 24
_D: Final = r"\d{1,20}"
_SCRIPT: Final = re.compile(
    rf"\s{{0,40}}\S+\s+\S+\s+\S+\s+(?P<time>{_D}\.\d{{1,9}}): (?:damon:)?damon_aggregated: "
    rf"target_id=(?P<target>{_D}) nr_regions=(?P<nr>{_D}) (?P<start>{_D})-(?P<end>{_D}): (?P<rate>{_D})"
    rf"(?: (?P<age>{_D}))?\s*",
    re.ASCII,
)
_SCRIPT_LINE: Final = 1000
_ENDS: Final = ("]", "]}", "]},", "")

Item = tuple[Record, Snapshot]


class Damaged(Exception):
    """The file ends too early or is damaged; what was read before is good. One line with file, place and reason."""


def read(path: Path) -> Iterator[Item]:
    """Each snapshot with its record, in the file's order.

    Raises:
        InvalidInput: nothing of it can be read: it is not a file of records.
        Damaged: after what can be read of it.
        OSError: it cannot be read.
    """
    name = str(path) if str(path).isprintable() else repr(str(path))
    targets: set[Key] = set()
    count = 0
    try:
        for item in _items(path):
            targets.add(item[0].key)
            if len(targets) > MAX_TARGETS or count >= MAX_SNAPSHOTS:
                raise Refused(f"more than {MAX_TARGETS} targets or {MAX_SNAPSHOTS} snapshots: are not read")
            count += 1
            yield item
    except (zlib.error, EOFError, UnicodeDecodeError):
        why = "the file is damaged or ends too early"
    except ValueError as error:
        why = str(error)
    else:
        return
    if count:
        raise Damaged(f"{name}: snapshot {count + 1}: {why}")
    raise InvalidInput(f"{name}: {why}; give a file of `damon record` or `damo record`")


def _items(path: Path) -> Iterator[Item]:
    with path.open("rb") as file:
        start = file.read(4096)
    if _is_zlib(start):
        return _from_lines(path, read_zlib)
    if start.lstrip()[:1] == b"[":
        return _from_lines(path, read_file)
    if _SCRIPT.match(start.partition(b"\n")[0].decode(errors="replace")):
        return _from_script(split_lines(read_file(path), "replace"))
    raise Refused("holds no records" if start else "is empty: nothing was recorded")


def _is_zlib(start: bytes) -> bool:
    return len(start) > 2 and start[0] == 0x78 and int.from_bytes(start[:2], "big") % 31 == 0


def _from_lines(path: Path, pieces: Callable[[Path], Iterator[bytes]]) -> Iterator[Item]:
    """Our own layout in pieces; any other as a whole."""
    lines = split_lines(pieces(path))
    first, second = next(lines, ""), next(lines, "")
    if first != "[" or not (second.endswith(HEAD_END) or second == "]"):
        yield from parse_records(_whole(pieces(path)))
        return
    record: Record | None = None
    line = second
    for line in chain((second,), lines):
        if line.endswith(HEAD_END):
            record = parse_head(line)
        elif record is not None and line.startswith("{"):
            yield record, parse_snapshot(line.removesuffix(","))
        elif line not in _ENDS:
            raise Refused(f"{quoted(line)}: is not a line of a record")
    if line != "]":
        raise Refused("the file ends too early")


def _whole(pieces: Iterable[bytes]) -> bytes:
    text = bytearray()
    for piece in pieces:
        text += piece
        if len(text) > MAX_WHOLE:
            raise Refused(f"has more than {MAX_WHOLE >> 20} MiB of text that is not a recording of `damon record`")
    return bytes(text)


def _from_script(lines: Iterable[str]) -> Iterator[Item]:
    """As ``perf script`` prints them: N lines make a snapshot of N regions. Of one that lacks lines nothing is used."""
    rows: dict[int, list[Row]] = {}
    last: dict[int, int] = {}
    lacking = 0
    for line in lines:
        match = _SCRIPT.fullmatch(line[:_SCRIPT_LINE])
        if match is None:
            lacking += "damon_aggregated: " in line
            continue
        target = _bounded("target_id", match["target"], MAX_INDEX)
        waiting = rows.setdefault(target, [])
        row = _script_row(match)
        if waiting and row[0] < waiting[-1][1]:  # the next snapshot has begun
            waiting.clear()
            lacking += 1
        waiting.append(row)
        if len(waiting) >= int(match["nr"]):
            end = _time_ns(match["time"])
            yield Record(Key(0, target), None, None), Snapshot(last.get(target), end, tuple(waiting))
            last[target] = end
            rows[target] = []
    lacking += sum(bool(waiting) for waiting in rows.values())
    if lacking:
        raise Refused(f"{lacking} snapshots lack lines and are left out")


def _script_row(match: re.Match[str]) -> Row:
    start, end = (_bounded(name, match[name], MAX_ADDRESS) for name in ("start", "end"))
    rate, age = (_bounded(name, match[name] or "0", MAX_COUNT) for name in ("rate", "age"))
    row: Row = start, end, rate, age, ()
    check_order((row,))
    return row


def _time_ns(text: str) -> int:
    seconds, _, fraction = text.partition(".")
    return _bounded("time", seconds + fraction.ljust(9, "0"), MAX_TIME_NS)


def _bounded(what: str, text: str, most: int) -> int:
    number = int(text)
    if number > most:
        raise Refused(f"{what}: {quoted(text)}: is above {most}")
    return number
