# SPDX-License-Identifier: GPL-2.0-only
"""Results of runs in guests, kept in a file as they come, so that what was interrupted goes on: a line of JSON each."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any, Final

import msgspec

from damon import format_version
from damon.errors import InvalidInput
from damon.guests.job import Job
from damon.guests.result import MOST, parse
from damon.quoting import cut
from damon.version import __version__

#: The version of the file format.
FORMAT: Final = 1
_WHAT: Final = "damon guest results"
_MOST_LINES: Final = 100_000


class _Line(msgspec.Struct):
    key: str
    result: msgspec.Raw


def key(job: Job) -> str:
    """A hash of all that decides what comes of a job, but time."""
    kernel = getattr(job.engine, "kernel", "")
    parts = [
        __version__, str(job.engine), kernel, hashlib.sha256(job.workload.read_bytes()).hexdigest(), list(job.words),
        job.seconds, job.seed, job.reserved,
    ]  # fmt: skip
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:32]


class Kept:
    """Reads what ``path`` has, and appends to it.

    Raises:
        InvalidInput: it is not such a file, or cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self.known: dict[str, dict[str, Any]] = {}  #: by ``key()``
        try:
            with path.open("a+b") as file:
                file.seek(0)
                end = self._read(file)
                file.truncate(end)
        except InvalidInput:
            raise
        except OSError as error:
            raise InvalidInput(
                f"file of guests' results: {str(path)!r}: {error.strerror}; give another place"
            ) from None

    def _read(self, file: Any) -> int:
        """The offset behind the last whole line."""
        end, line = 0, b""
        for nr in range(1, _MOST_LINES):
            line = file.readline(MOST)
            if not line.endswith(b"\n"):
                if len(line) == MOST:
                    raise self._refused(nr, "is too long")
                break
            try:
                self._take(nr, line)
            except (ValueError, RecursionError) as error:  # msgspec's are ValueErrors
                raise self._refused(nr, f"is not a result: {cut(str(error), 100)}") from None
            end += len(line)
        if not end:
            head = json.dumps({format_version.FIELD: FORMAT, "what": _WHAT}).encode() + b"\n"
            if not head.startswith(line):
                raise self._refused(1, "is that of another file")
            file.truncate(0)
            file.write(head)
            end = len(head)
        return end

    def _take(self, nr: int, line: bytes) -> None:
        if nr == 1:
            head = msgspec.json.decode(line)
            later = format_version.refusal(head, FORMAT)
            if later is not None or not isinstance(head, dict) or head.get("what") != _WHAT:
                raise ValueError(later or "the first line is that of another file")
            return
        found = msgspec.json.decode(line, type=_Line)
        self.known[found.key] = parse(bytes(found.result))

    def _refused(self, nr: int, why: str) -> InvalidInput:
        return InvalidInput(f"file of guests' results: {str(self._path)!r}: line {nr} {why}; give another file")

    def get(self, job: Job) -> dict[str, Any] | None:
        """What came of it; None: it is not there."""
        return self.known.get(key(job))

    def add(self, job: Job, result: dict[str, Any]) -> None:
        """Append it."""
        self.known[key(job)] = result
        with self._path.open("ab") as file:
            file.write(json.dumps({"key": key(job), "result": result}).encode() + b"\n")
