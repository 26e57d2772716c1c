# SPDX-License-Identifier: GPL-2.0-only
"""Text on the user's terminal: one line, tables, and what a guest has put into them."""

from __future__ import annotations

import re
import sys
from typing import TYPE_CHECKING

from .command.process import discard

if TYPE_CHECKING:
    from rich.console import Console

LOG_COLUMNS = 200
# C0 but tab and line feed, DEL, C1; what turns the direction of text; halves of characters, which no stream takes.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with ``\\x1b`` and the like for its control characters; tabs and line ends stay."""
    return _CONTROL.sub(_name, text)


def _name(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"


def say(text: str) -> None:
    """One line on standard error; what a guest has put into it does nothing to the terminal."""
    print(f"vmtest: {visible(text)}", file=sys.stderr, flush=True)


def tell(text: object, end: str = "\n") -> None:
    """Text on standard output. A reader that has left (``| head -3``) takes no more of it: that is not an error."""
    try:
        print(text, end=end, flush=True)
    except BrokenPipeError:
        discard(sys.stdout)


def output(*, stderr: bool = False) -> Console:
    """Standard output (or error) for tables and colours, with a reader that may leave as for :func:`tell`.

    In a file or a pipeline's log no table is squeezed into a terminal's 80 columns.
    """
    from rich.console import Console

    class Output(Console):
        def on_broken_pipe(self) -> None:
            discard(sys.stderr if stderr else sys.stdout)

    width = None if stderr or sys.stdout.isatty() else LOG_COLUMNS
    return Output(stderr=stderr, highlight=False, soft_wrap=True, width=width)
