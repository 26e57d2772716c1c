# SPDX-License-Identifier: GPL-2.0-only
"""A man page from a command's parser.

argparse-manpage leaves out the epilogs of commands and fills examples like prose; this keeps both.
"""

from __future__ import annotations

import argparse
import re
from collections.abc import Iterator

from damon.version import __version__


def _escape(text: str) -> str:
    text = text.replace("\\", "\\e").replace("-", "\\-")
    return re.sub(r"^([.'])", r"\\&\1", text, flags=re.MULTILINE)


def commands_of(parser: argparse.ArgumentParser) -> dict[str, tuple[str, argparse.ArgumentParser]]:
    """The commands of ``parser``: name -> (one line of help, parser)."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            helps = {choice.dest: choice.help or "" for choice in action._choices_actions}
            return {name: (helps.get(name, ""), command) for name, command in action.choices.items()}
    return {}


def _synopsis(parser: argparse.ArgumentParser) -> list[str]:
    # argparse's own, on one line: roff breaks lines where the terminal ends.
    usage = " ".join(parser.format_usage().removeprefix("usage: ").split())
    words = usage.removeprefix(parser.prog).strip()
    return [f".B {_escape(parser.prog)}", _escape(words), ".br"]


def _prose(text: str | None) -> Iterator[str]:
    """Paragraphs filled, indented or aligned ones as they are."""
    for paragraph in re.split(r"\n\s*\n", (text or "").strip("\n")):
        lines = paragraph.splitlines()
        if any(line.startswith(" ") or "   " in line for line in lines):
            yield from (".PP", ".nf", *map(_escape, lines), ".fi")
        elif lines:
            yield from (".PP", _escape(" ".join(lines)))


def _arguments(parser: argparse.ArgumentParser) -> Iterator[str]:
    """Every argument; commands have sections of their own."""
    formatter = parser.formatter_class(prog=parser.prog)
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction) or action.help == argparse.SUPPRESS:
            continue
        head = formatter._format_action_invocation(action)
        said = formatter._expand_help(action) if action.help else ""
        yield from (".TP", f".B {_escape(head)}", _escape(" ".join(said.split())))


def _sections(parser: argparse.ArgumentParser) -> Iterator[str]:
    for name, (said, command) in commands_of(parser).items():
        yield from (f".SS {_escape(name)}", *_synopsis(command), *_prose(command.description or said))
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
    if commands_of(parser):
        lines += [".SH COMMANDS", *_sections(parser)]
    if parser.epilog:
        lines += [".SH NOTES", *_prose(parser.epilog)]
    lines += [".SH SEE ALSO", ", ".join(f"{_escape(other)}(1)" for other in see_also)]
    return "\n".join(lines) + "\n"
