# SPDX-License-Identifier: GPL-2.0-only
"""The result file of a study: JSON lines, appended one by one, each with the hash of its request as the key.

A killed search leaves at most its last line torn. ``finish()`` puts the lines in the study's own order, so that the
same study ends with the same bytes, however often it was interrupted and whatever worker did its runs.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Final

import msgspec

from damon import format_version
from damon.errors import InvalidInput
from damon.quoting import cut
from damon.tune.request import Request, Result

#: The version of the file format.
FORMAT: Final = 1
#: A longer line is none of ours.
MOST_LINE: Final = 1 << 20
MOST_BYTES: Final = 8 << 30


class Line(msgspec.Struct, frozen=True):
    """One run."""

    key: str
    request: Request
    result: Result


class _Head(msgspec.Struct, frozen=True):
    format: int
    what: str = "damon study results"


def encode(request: Request, result: Result) -> bytes:
    """The line of a run, with its end."""
    return msgspec.json.encode(Line(request.key(), request, result), order="deterministic") + b"\n"


def read(path: Path) -> Iterator[tuple[int, Line]]:
    """The runs in a file, and the offset behind each; a torn last line is left out.

    Raises:
        InvalidInput: it is no such file; with the line that is not.
        OSError: it cannot be read.
    """
    offset = 0
    with path.open("rb") as file:
        for nr in range(1, MOST_BYTES):
            line = file.readline(MOST_LINE)
            if not line.endswith(b"\n"):
                if len(line) == MOST_LINE:
                    raise _refused(path, nr, f"is longer than {MOST_LINE} bytes")
                return
            offset += len(line)
            if nr == 1:
                _check_head(path, line)
                continue
            try:
                found = msgspec.json.decode(line, type=Line)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise _refused(path, nr, f"is not a run: {cut(str(error), 100)}") from None
            if found.key != found.request.key():
                raise _refused(path, nr, "has a key that is not its request's")
            yield offset, found


def _check_head(path: Path, line: bytes) -> None:
    try:
        head: Any = msgspec.json.decode(line)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        head = None
    later = format_version.refusal(head, FORMAT)
    if later is not None:
        raise InvalidInput(f"result file: {str(path)!r}: {later}")
    if not isinstance(head, dict) or head.get("what") != _Head.__struct_defaults__[-1]:
        raise _refused(path, 1, "is not that of a study's results")


def _refused(path: Path, nr: int, why: str) -> InvalidInput:
    return InvalidInput(f"result file: {str(path)!r}: line {nr} {why}; give another file")


class Results:
    """Reads what ``path`` has, and appends to it. One process at a time.

    Raises:
        InvalidInput: it is no result file, another process appends to it, or it cannot be written.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Line] = {}
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InvalidInput(f"result file: {str(path)!r}: {error.strerror}; give another place") from None
        try:
            self._take()
        except BaseException:
            os.close(self._fd)
            raise

    def _take(self) -> None:
        try:
            fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise InvalidInput(
                f"result file: {str(self.path)!r}: another search appends to it; let it end, or give another file"
            ) from None
        end = 0
        for end, line in read(self.path):  # noqa: B007 - the last offset
            self._known[line.key] = line
        if not end:  # empty, or the head alone, whole or torn
            end = os.pwrite(self._fd, self._head(), 0)
        os.ftruncate(self._fd, end)
        os.lseek(self._fd, end, os.SEEK_SET)

    @staticmethod
    def _head() -> bytes:
        return msgspec.json.encode(_Head(FORMAT)) + b"\n"

    def __enter__(self) -> Results:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        os.close(self._fd)

    def get(self, request: Request) -> Result | None:
        """What came of it; None: it is not there."""
        line = self._known.get(request.key())
        return None if line is None else line.result

    def add(self, request: Request, result: Result) -> None:
        """Append a run."""
        line = Line(request.key(), request, result)
        data = msgspec.json.encode(line, order="deterministic") + b"\n"
        while data:
            data = data[os.write(self._fd, data) :]
        self._known[line.key] = line

    def finish(self, order: Iterable[Request]) -> None:
        """Replace the file: the runs in ``order``, then those of others by their keys."""
        keys = list(dict.fromkeys(request.key() for request in order))
        first = set(keys)
        keys += sorted(key for key in self._known if key not in first)
        fd, name = tempfile.mkstemp(dir=self.path.parent, prefix=f".{self.path.name}.")
        try:
            with os.fdopen(fd, "wb") as file:
                file.write(self._head())
                for key in keys:
                    if key in self._known:
                        file.write(encode(self._known[key].request, self._known[key].result))
            os.chmod(name, os.fstat(self._fd).st_mode & 0o777)
            os.replace(name, self.path)
        except BaseException:
            os.unlink(name)
            raise
