# SPDX-License-Identifier: GPL-2.0-only
"""A run directory while it is written: ``run.json``, and a file for each table that has rows.

Rows are written in chunks, each complete: what is there when the program is killed can be read. A table is an Arrow
stream (``NAME.arrows``, with pyarrow) or lines of JSON (``NAME.jsonl``), each a chunk: an object of columns.
"""

from __future__ import annotations

import errno
import json
import os
from array import array
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final, Protocol

from damon import format_version
from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.results.arrow import ARRAYS, ArrowFile, Waiting
from damon.results.tables import TABLES, Columns, Kind

#: Of ``run.json`` and the tables.
FORMAT: Final = 1
NAME: Final = "run.json"
TIMING: Final = "timing.json"
FORMS: Final = ("arrow", "jsonl")
_CHUNK: Final = 1 << 13
#: Neither can be read without the other.
_TOGETHER: Final = ("regions", "snapshots")


class _File(Protocol):
    def write(self, columns: Mapping[str, Waiting]) -> None: ...

    def close(self) -> None: ...


class _JsonLines:
    def __init__(self, file: IO[bytes]) -> None:
        self._file = file

    def write(self, columns: Mapping[str, Waiting]) -> None:
        lists = {name: values if isinstance(values, list) else values.tolist() for name, values in columns.items()}
        line = memoryview(json.dumps(lists, separators=(",", ":")).encode() + b"\n")
        while line:  # at once, unless the disk is full: what is there is whole lines
            line = line[self._file.write(line) :]

    def close(self) -> None:
        self._file.close()


def _none_wait(kind: Kind) -> Waiting:
    code = ARRAYS.get(kind)
    return [] if code is None else array(code)


def _create(path: Path, buffering: int = -1) -> IO[bytes]:
    """A new file, which a link must not lead elsewhere."""
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o666)
    return os.fdopen(fd, "wb", buffering)


def has_arrow() -> bool:
    """Is pyarrow installed?"""
    from importlib.util import find_spec

    return find_spec("pyarrow") is not None


def check_form(form: str | None) -> str:
    """``form``, or the one that is used without.

    Raises:
        InvalidInput: there is no such form.
        MissingCapability: it needs pyarrow.
    """
    if form is None:
        return "arrow" if has_arrow() else "jsonl"
    if form not in FORMS:
        raise InvalidInput(f"form: {form!r}: is unknown; give one of {', '.join(FORMS)}")
    if form == "arrow" and not has_arrow():
        raise MissingCapability("pyarrow: is not installed; install pydamon[results], or give the form jsonl")
    return form


def check_place(path: Path, option: str = "--out") -> None:
    """Refuse a place that is not a new or empty directory, before anything starts."""
    if path.is_symlink() or (path.exists() and not path.is_dir()):
        raise InvalidInput(f"{option}: {str(path)!r}: is not a directory; give a new one")
    if path.is_dir():
        if any(path.iterdir()):
            raise DamonError(errno.ENOTEMPTY, f"{option}: {str(path)!r}: is not empty; give a new directory")
        place = path
    else:
        place = path.resolve().parent
    if not os.access(place, os.W_OK | os.X_OK):
        raise InvalidInput(
            f"{option}: {str(path)!r}: cannot be made in {place}, which is missing or read only; give another place"
        )


class DirectorySink:
    """Writes the tables of one run to the directory ``path``, which is made.

    Args:
        path: new, or empty.
        request: what the run was asked; see ``damon.results.request``.
        form: of the tables: ``arrow`` or ``jsonl``; None: ``arrow`` where pyarrow is installed.

    Raises:
        InvalidInput: ``path`` is something else.
        OSError: it cannot be made.
    """

    def __init__(self, path: Path, request: Mapping[str, Any], form: str | None = None) -> None:
        self.form = check_form(form)
        check_place(path)
        path.mkdir(exist_ok=True)
        self.path = path
        self._files: dict[str, _File] = {}
        self._waiting: dict[str, dict[str, Waiting]] = {}
        self.rows: dict[str, int] = {}
        self._head = {format_version.FIELD: FORMAT, "form": self.form, "request": dict(request)}
        self.describe()

    def describe(self, *, contexts: Sequence[Any] = (), result: Mapping[str, Any] | None = None, **more: Any) -> None:
        """Write ``run.json``: ``contexts`` as they were started, and the ``result`` once there is one.

        Raises:
            OSError: it is as before.
        """
        head = {**self._head, "state": "running" if result is None else "complete", **more}
        self._put(NAME, {**head, "contexts": list(contexts), "rows": self.rows, "result": result})

    def write_timing(self, timing: Mapping[str, Any]) -> None:
        """What depends on this machine's speed, in a file of its own: all else is the same for the same request.

        Raises:
            OSError: it cannot be written.
        """
        self._put(TIMING, timing)

    def _put(self, name: str, value: Mapping[str, Any]) -> None:
        from damon.records.convert import replace

        replace(self.path / name, [json.dumps(value, indent=1), "\n"])
        os.chmod(self.path / name, 0o644)

    def append(self, table: str, columns: Columns) -> None:
        if table not in self._waiting:
            self._waiting[table] = {column.name: _none_wait(column.kind) for column in TABLES[table]}
        waiting = self._waiting[table]
        for name, values in columns.items():
            kept: Any = waiting[name]
            if not isinstance(kept, list) and not isinstance(values, array) and None in values:
                kept = waiting[name] = kept.tolist()
            kept.extend(values)
        nr = len(next(iter(waiting.values())))
        if nr >= _CHUNK:
            for one in _TOGETHER if table in _TOGETHER else (table,):
                self._write(one)

    def _write(self, table: str) -> None:
        waiting = self._waiting.pop(table, None)
        if waiting is None:
            return
        nr = len(next(iter(waiting.values())))
        if table not in self._files:
            self._files[table] = self._open(table)
        self._files[table].write(waiting)
        self.rows[table] = self.rows.get(table, 0) + nr

    def _open(self, table: str) -> _File:
        if self.form == "arrow":
            return ArrowFile(_create(self.path / f"{table}.arrows"), table)
        return _JsonLines(_create(self.path / f"{table}.jsonl", buffering=0))

    def flush(self) -> None:
        """Write the rows that wait."""
        for table in list(self._waiting):
            self._write(table)

    def close(self) -> None:
        try:
            self.flush()
        finally:
            for file in self._files.values():
                file.close()
            self._files = {}
