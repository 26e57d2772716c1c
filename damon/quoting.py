# SPDX-License-Identifier: GPL-2.0-only
"""How a value or a list of names stands in a message: one line of bounded length, whatever the value is.

``vmtest/quoting.py`` is a link to this file, as neither package imports the other.
"""

from __future__ import annotations

import reprlib
from collections.abc import Collection
from typing import Final

_LONGEST: Final = 60
_NAMES: Final = 20
_MESSAGE: Final = 800


class _Short(reprlib.Repr):
    """Looks at no more of a value than it shows. An int of 5000 digits cannot be written in decimal at all."""

    def __init__(self) -> None:
        super().__init__()
        self.maxlevel = 3
        self.maxstring = self.maxother = self.maxlong = 2 * _LONGEST
        self.maxlist = self.maxtuple = self.maxset = self.maxfrozenset = self.maxdict = 8

    def repr_str(self, x: str, level: int) -> str:
        return repr(x[: self.maxstring])

    def repr_bytes(self, x: bytes, level: int) -> str:
        return repr(x[: self.maxstring])

    def repr_int(self, x: int, level: int) -> str:
        return repr(x) if x.bit_length() < 8192 else f"an integer of {x.bit_length()} bits"


_SHORT: Final = _Short()


def quoted(value: object) -> str:
    """``value`` as Python writes it, cut after 60 characters."""
    text = _SHORT.repr(value)
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."


def cut(text: str, longest: int = 200) -> str:
    """``text`` of another program or library as one line, cut. What cannot be printed becomes a space."""
    line = "".join(char if char.isprintable() else " " for char in text[: 2 * longest]).strip()
    return line if len(line) <= longest else f"{line[: longest - 3]}..."


def bounded(message: str) -> str:
    """``message`` as one line of at most 800 characters: what cannot be printed is escaped, the middle cut."""
    if len(message) <= _MESSAGE and message.isprintable():
        return message
    if len(message) > 2 * _MESSAGE:
        message = f"{message[:_MESSAGE]} {message[-_MESSAGE:]}"
    text = "".join(char if char.isprintable() else repr(char)[1:-1] for char in message)
    return text if len(text) <= _MESSAGE else f"{text[: _MESSAGE - 305]} ... {text[-300:]}"


def listed(names: Collection[str]) -> str:
    """The first 20 of ``names``, and how many more there are."""
    first = [name for name, _ in zip(names, range(_NAMES), strict=False)]
    more = len(names) - len(first)
    return ", ".join(cut(name, 80) for name in first) + (f" and {more} more" if more else "")
