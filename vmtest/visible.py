# SPDX-License-Identifier: GPL-2.0-only
"""Text of a guest's on a person's terminal: control characters as what they are, not as what they would do there."""

from __future__ import annotations

import re

# C0 but tab and line feed, DEL, C1; what turns the direction of text; halves of characters, which no stream takes.
_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069\ud800-\udfff]")


def visible(text: str) -> str:
    """The text with ``\\x1b`` and the like for its control characters; tabs and line ends stay."""
    return _CONTROL.sub(_name, text)


def _name(match: re.Match[str]) -> str:
    number = ord(match[0])
    return f"\\x{number:02x}" if number < 0x100 else f"\\u{number:04x}"
