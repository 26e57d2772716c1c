# SPDX-License-Identifier: GPL-2.0-only
"""A man page from a command's parser.

argparse-manpage leaves out the epilogs of commands and fills examples like prose; this keeps both.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from damon.version import __version__
from share.parsers import arguments, commands, paragraphs, usage


def _escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def _synopsis(parser: argparse.ArgumentParser) -> list[str]:
    # One line: roff breaks lines where the terminal ends.
    return [f".B {_escape(parser.prog)}", _escape(usage(parser).removeprefix(parser.prog).strip()), ".br"]


def _prose(text: str | None) -> Iterator[str]:
    """Paragraphs filled, indented or aligned ones as they are."""
    for lines, kept in paragraphs(text):
        yield from (".PP", ".nf", *map(_escape, lines), ".fi") if kept else (".PP", _escape(" ".join(lines)))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every argument; commands have sections of their own."""
    for head, text in arguments(parser):
        yield from (".TP", f".B {_escape(head)}", _escape(text))


def _sections(parser: argparse.ArgumentParser) -> Iterator[str]:
    for name, (line, command) in commands(parser).items():
        yield from (f".SS {_escape(name)}", *_synopsis(command), *_prose(command.description or line))
        yield from _arguments(command)
        yield from _prose(command.epilog)


def man_page(parser: argparse.ArgumentParser, summary: str, see_also: list[str]) -> str:
    """Section 1, in roff. The date is left out: the same parser gives the same bytes on any day."""
    name = parser.prog
    lines = [f'.TH {name.upper()} 1 "" "pydamon {__version__}" "pydamon"']
    lines += [".SH NAME", f"{_escape(name)} \\- {_escape(summary)}"]
    lines += [".SH SYNOPSIS", *_synopsis(parser)]
    lines += [".SH DESCRIPTION", *_prose(parser.description)]
    lines += [".SH OPTIONS", *_arguments(parser)]
    if commands(parser):
        lines += [".SH COMMANDS", *_sections(parser)]
    if parser.epilog:
        lines += [".SH NOTES", *_prose(parser.epilog)]
    lines += [".SH SEE ALSO", ", ".join(f"{_escape(other)}(1)" for other in see_also)]
    return "\n".join(lines) + "\n"
