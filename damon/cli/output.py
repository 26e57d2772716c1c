# SPDX-License-Identifier: GPL-2.0-only
"""Printing for users: tables, sizes, the live view of a run; and writing JSON whole or not at all."""

from __future__ import annotations

import json
import os
import stat
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.command.process import discard
from damon.errors import InvalidInput

if TYPE_CHECKING:
    from rich.console import Console

LOG_COLUMNS: Final = 120  #: of what is not a terminal


def size(count: float) -> str:
    """Bytes in a readable unit: ``12.3 MiB``."""
    for unit in ("B", "KiB", "MiB", "GiB", "TiB"):
        if abs(count) < 1024 or unit == "TiB":
            return f"{count:.0f} B" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1024
    raise AssertionError


def short_size(count: float) -> str:
    """The same in at most five characters: ``9.8M``, ``244M``, ``1.0G``; units are powers of 1024."""
    for unit in ("", "K", "M", "G", "T", "P", "E"):
        if abs(count) < 999.5 or unit == "E":
            return f"{count:.1f}{unit}" if unit and abs(count) < 9.95 else f"{count:.0f}{unit}"
        count /= 1024
    raise AssertionError


def make_table(columns: Sequence[str], rows: Sequence[Sequence[str]], width: int = LOG_COLUMNS) -> Any:
    """A rich table; columns of numbers to the right. Where ``width`` is too narrow for columns that can be read, each
    row is a list of names and values instead."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    cells = (" ".join(column).split() for column in zip(columns, *rows, strict=True))
    least = [max(map(len, words), default=1) for words in cells]
    if sum(least) + 3 * len(columns) > width and len(columns) > 2:
        pairs = [pair for row in rows for pair in (*zip(columns, row, strict=True), ("", ""))]
        result = Table(box=None, show_header=False, pad_edge=False)
        for pair in pairs:
            result.add_row(*map(Text, pair))
        return result
    result = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for index, column in enumerate(columns):
        values = [row[index] for row in rows]
        numeric = bool(values) and all(value[:1].isdigit() or value in ("", "-") for value in values)
        result.add_column(column, justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        result.add_row(*map(Text, row))  # as they are: no markup
    return result


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    view = console()
    write(view, make_table(columns, rows, view.width))


def console() -> Console:
    """For standard output: as wide as the terminal, with colours where it has them or ``CLICOLOR_FORCE`` is set."""
    from rich.console import Console

    forced = os.environ.get("CLICOLOR_FORCE", "0") not in ("", "0") and not os.environ.get("NO_COLOR")
    width = None if sys.stdout.isatty() else LOG_COLUMNS
    return Console(width=width, force_terminal=True if forced else None, highlight=False)


def write(console: Console, what: Any) -> None:
    """Print a table or text of rich's."""
    with console.capture() as text:  # rich would end the process with 1 when the reader has left
        console.print(what, soft_wrap=not hasattr(what, "columns"))
    sys.stdout.write(text.get())


def killed(kills: Sequence[dict[str, Any]]) -> None:
    """The processes that a simulated machine has killed, as results have them."""
    for kill in kills:
        print(f"{kill['process']} ({kill['pid']}) was killed at {kill['when_s']:g} s: {kill['why']}")


@contextmanager
def reader_may_leave() -> Iterator[None]:
    """Around the last words of work that is done: what it has come to stands, whether they are read or not."""
    try:
        yield
        sys.stdout.flush()
    except BrokenPipeError:
        discard(sys.stdout)


def _is_special(path: str) -> bool:
    """Is ``path`` there and neither file nor directory (a pipe, ``/dev/null``)? Then it is written to, not replaced."""
    try:
        mode = os.stat(path).st_mode
    except OSError:
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def check_writable(path: str, option: str = "--json") -> None:
    """Refuse a place where what ``option`` names could not be written, before anything starts."""
    if path == "-" or _is_special(path):
        return
    target = Path(path)
    if not path or target.is_dir():
        raise InvalidInput(f"{option}: {path!r}: is a directory; give the name of a file")
    if not os.access(target.resolve().parent, os.W_OK | os.X_OK):
        raise InvalidInput(f"{option}: {path!r}: its directory does not exist or is read only; give another place")


def write_json(path: str, value: Any) -> None:
    """One object; ``-`` is standard output."""
    write_text(path, json.dumps(value, indent=2) + "\n")


def write_text(path: str, text: str, option: str = "--json") -> None:
    """Write to a temporary name, then rename; ``-`` is standard output."""
    if path == "-":
        with reader_may_leave():
            sys.stdout.write(text)
        return
    write_bytes(path, text.encode(errors="replace"), option)


def write_bytes(path: str, content: bytes, option: str) -> None:
    """As ``write_text()``, to a file."""
    if _is_special(path):
        with suppress(BrokenPipeError):  # as much of it as the reader wanted
            Path(path).write_bytes(content)
        return
    try:
        _replace(Path(path).resolve(), content)
    except OSError as error:
        raise OSError(error.errno, f"{option}: {path!r}: could not be written: {error.strerror}") from error


def _replace(target: Path, content: bytes) -> None:
    fd, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        umask = os.umask(0)
        os.umask(umask)
        os.chmod(name, 0o666 & ~umask)
        os.replace(name, target)
    except BaseException:
        os.unlink(name)
        raise
