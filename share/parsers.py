# SPDX-License-Identifier: GPL-2.0-only
"""The parts of a command's parser that its man page and its page of the documentation show."""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator


def commands(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """The commands of ``parser``: name -> (one line of help, parser)."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            return {name: (helps.get(name, ""), command) for name, command in action.choices.items()}
    return {}


def usage(parser: argparse.ArgumentParser) -> str:
    """argparse's usage, without its heading, on one line."""
    return " ".join(parser.format_usage().removeprefix("usage: ").split())


def arguments(parser: argparse.ArgumentParser) -> Iterator[tuple[str, str]]:
    """Every argument that is not a command, as it is written, and its help."""
    formatter = parser.formatter_class(prog=parser.prog)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        text = formatter._expand_help(action) if action.help else ""
        yield formatter._format_action_invocation(action), " ".join(text.split())


def paragraphs(text: str | None) -> Iterator[tuple[list[str], bool]]:
    """The lines of each paragraph, and whether they are indented or aligned, so that they stay as they are."""
    for paragraph in re.split(r"\n\s*\n", (text or "").strip("\n")):
        lines = paragraph.splitlines()
        if lines:
            yield lines, any(line.startswith(" ") or "   " in line for line in lines)
