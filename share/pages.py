# SPDX-License-Identifier: GPL-2.0-only
"""A page of the documentation from a command's parser, in Markdown; the same content as its man page."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from share.parsers import arguments, commands, paragraphs, usage


def _escape(text: str) -> str:
    """Markdown's and HTML's own characters are text; a URL is not made a link."""
    return re.sub(r"([\\`*{}\[\]<>#|$~])", r"\\\1", text)


def _prose(text: str | None) -> Iterator[str]:
    """Paragraphs as text, indented or aligned ones as they are."""
    for lines, kept in paragraphs(text):
        yield from ("", "```text", *lines, "```") if kept else ("", _escape(" ".join(lines)))


def _usage(parser: argparse.ArgumentParser) -> Iterator[str]:
    yield from ("", "```text", usage(parser), "```")


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    for head, text in arguments(parser):
        yield from ("", f"`{head}`", f": {_escape(text)}")


def page(parser: argparse.ArgumentParser, summary: str) -> str:
    """``summary`` is part of the title, and each command of the parser has a section."""
    lines = [
        f"# {parser.prog}: {summary}",
        "",
        f"From the parser of the command, as the man page `{parser.prog}(1)` is.",
    ]
    lines += [*_usage(parser), *_prose(parser.description), *_arguments(parser)]
    for name, (line, command) in commands(parser).items():
        lines += ["", f"## {parser.prog} {name}", *_usage(command), *_prose(command.description or line)]
        lines += [*_arguments(command), *_prose(command.epilog)]
    if parser.epilog:
        lines += ["", "## Notes", *_prose(parser.epilog)]
    return re.sub(r"\n{3,}", "\n\n", "\n".join(lines)) + "\n"
