# SPDX-License-Identifier: GPL-2.0-only
"""Commands of a guest that share one process: an emulated processor takes seconds for what each would start with."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass

from tests.vm.job import PROJECT, PYTHON, Helper
from vmtest import Guest

#: In front of what is to see damond's files.
INSIDE = (PYTHON, "-m", "damon.cli.main", "exec", "--")


@dataclass(frozen=True)
class Answer:
    """What a command wrote and ended with."""

    code: int
    text: str
    errors: str


class Calls(Helper):
    """Calls of commands in a guest, one after the other."""

    def __init__(self, guest: Guest, within: Sequence[str] = (), damo: str = "") -> None:
        """Args:
        guest: where.
        within: words in front of the process's own, such as ``INSIDE``.
        damo: the directory with damo's package; its modules are imported once.
        """
        words = [*within, PYTHON, f"{PROJECT}/tests/vm/guest/calls.py", *([damo] if damo else [])]
        super().__init__(guest, words)

    def __call__(self, *words: str | int) -> Answer:
        """Runs a command to its end."""
        return Answer(**json.loads(self.ask(json.dumps([str(word) for word in words]))))
