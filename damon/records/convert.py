# SPDX-License-Identifier: GPL-2.0-only
"""From the form in which a recording grows to the forms that it can end in. Files are read and written in pieces."""

from __future__ import annotations

import os
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Final

from damon.core.events import AGGREGATED, FORMATS
from damon.errors import InvalidInput
from damon.quoting import cut
from damon.records.checked import Refused, parse_head, parse_snapshot
from damon.records.form import HEAD_END, Key, Writer
from damon.records.store import GrowingZlib, read_lines

_BUNCH: Final = 1 << 20


def replace(path: Path, pieces: Iterable[str]) -> None:
    """Write ``pieces`` to a temporary name, then rename; mode 0600.

    Raises:
        OSError: the file is as before.
    """
    fd, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(fd, "w") as file:
            file.writelines(pieces)
        os.replace(name, path)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(name)
        raise


def _lines(path: Path) -> Iterator[str]:
    """The lines of a recording.

    Raises:
        InvalidInput: another program has changed it.
    """
    try:
        yield from read_lines(path)
    except (zlib.error, EOFError, ValueError) as error:
        raise _changed(path, error) from None


def _changed(path: Path, error: Exception) -> InvalidInput:
    return InvalidInput(f"{path}: {cut(str(error)) or 'it ends too early'}: the recording was changed; record again")


def _parts(path: Path) -> Iterator[tuple[str, Key, str]]:
    """Each snapshot's line with the line and the key of its record."""
    head, key = "", Key(0, 0)
    for line in _lines(path):
        if line.endswith(HEAD_END):
            try:
                head, key = line, parse_head(line).key
            except Refused as error:
                raise _changed(path, error) from None
        elif line.startswith('{"start_time"'):
            yield head, key, line.removesuffix(",")


def regroup(path: Path) -> None:
    """One record for each target, where a recording of several targets has one for each write."""
    keys = dict.fromkeys(key for _, key, _ in _parts(path))
    part = path.with_name(f".{path.name}.grouped")
    writer = Writer()
    store = GrowingZlib(part, writer.BEGIN, writer.tail)
    try:
        for wanted in keys:
            bunch: list[str] = []
            first = size = 0
            for head, key, line in _parts(path):
                if key != wanted:
                    continue
                if not first:
                    first, first_head = 1, head
                bunch.append(line)
                size += len(line)
                if size >= _BUNCH:
                    text, writer = writer.add(wanted, first_head, bunch)
                    store.append(text, writer.tail)
                    bunch, size = [], 0
            if bunch:
                text, writer = writer.add(wanted, first_head, bunch)
                store.append(text, writer.tail)
        store.close()
        os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            store.close()
        with suppress(FileNotFoundError):
            os.unlink(part)
        raise


def to_json(path: Path) -> None:
    """The same text, not compressed."""
    replace(path, (f"{line}\n" for line in _lines(path)))


def to_perf_script(path: Path) -> None:
    """The lines that ``perf script`` would print; what they cannot hold (intervals, tuning) is lost."""
    replace(path, _script(path))


def _script(path: Path) -> Iterator[str]:
    text = FORMATS[AGGREGATED].format
    for _, key, line in _parts(path):
        try:
            snapshot = parse_snapshot(line)
        except Refused as error:
            raise _changed(path, error) from None
        seconds, usec = divmod(snapshot.end_ns // 1000, 1_000_000)
        for start, end, samples, age, _ in snapshot.rows:
            fields = text(key.target, len(snapshot.rows), start, end, samples, age)
            yield f"kdamond.{key.kdamond} 0 [000] {seconds}.{usec:06}: damon:{AGGREGATED}: {fields}\n"


CONVERTERS: Final[dict[str, Callable[[Path], None]]] = {"json": to_json, "perf_script": to_perf_script}
