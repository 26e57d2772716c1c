# SPDX-License-Identifier: GPL-2.0-only
"""Command lines: errors of one line, which name what was probably meant."""

from __future__ import annotations

import argparse
import difflib
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NoReturn

from ..quoting import bounded, cut, quoted

_LONGEST = 60


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """``did you mean record?``, or nothing when no name is near."""
    close = difflib.get_close_matches(name[:_LONGEST], sorted(known), n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else ""


class Parser(argparse.ArgumentParser):
    """As argparse's, but a wrong argument costs one line on stderr, not the whole usage, and ends with 2."""

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {bounded(message)}; see {self.prog} --help\n")

    def parse_args(self, args: Sequence[str] | None = None, namespace: Any = None) -> Any:  # type: ignore[override]
        found, extra = self.parse_known_args(args, namespace)
        if extra:
            known = {option for parser in self._chosen(found) for option in parser._option_string_actions}
            hint = did_you_mean(extra[0].partition("=")[0], known) if extra[0].startswith("-") else ""
            self.error(f"unrecognized arguments: {cut(' '.join(extra), _LONGEST)}" + (f"; {hint}" if hint else ""))
        return found

    def _chosen(self, found: argparse.Namespace) -> Iterator[argparse.ArgumentParser]:
        """This parser, and those of the commands that were given."""
        parser: argparse.ArgumentParser | None = self
        while parser is not None:
            yield parser
            below = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]
            parser = below[0].choices.get(str(getattr(found, below[0].dest, None))) if below else None

    def _check_value(self, action: argparse.Action, value: Any) -> None:
        if action.choices is None or value in action.choices:
            return
        names = [str(choice) for choice in action.choices]
        hint = did_you_mean(str(value), names) or f"choose from {', '.join(names)}"
        raise argparse.ArgumentError(action, f"invalid choice: {quoted(str(value))}; {hint}")
