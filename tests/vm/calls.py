# SPDX-License-Identifier: GPL-2.0-only
"""Commands of a guest that share one process: an emulated processor takes seconds for what each would start with."""

from __future__ import annotations

import json
import queue
from collections.abc import Sequence
from dataclasses import dataclass

from tests.vm.job import PROJECT, PYTHON
from tests.waiting import until
from vmtest import Guest

#: In front of what is to see damond's files.
INSIDE = (PYTHON, "-m", "damon.cli.main", "exec", "--")


@dataclass(frozen=True)
class Answer:
    """What a command wrote and ended with."""

    code: int
    text: str
    errors: str


class Calls:
    """Calls of commands in a guest, one after the other."""

    def __init__(self, guest: Guest, within: Sequence[str] = (), damo: str = "") -> None:
        """Args:
        guest: where.
        within: words in front of the process's own, such as ``INSIDE``.
        damo: the folder with damo's package; its modules are imported once.
        """
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        words = [*within, PYTHON, f"{PROJECT}/tests/vm/guest/calls.py", *([damo] if damo else [])]
        self._process = guest.popen(words, input=iter(self._said.get, b""))
        self._calls = 0

    def __call__(self, *words: str | int) -> Answer:
        """Runs a command to its end."""
        self._said.put(json.dumps([str(word) for word in words]).encode() + b"\n")
        self._calls += 1
        until(lambda: self._process.stdout.count(b"\n") >= self._calls or self._process.poll() is not None)
        assert self._process.poll() is None, self._process.stderr.decode()
        return Answer(**json.loads(self._process.stdout.splitlines()[-1]))

    def close(self) -> None:
        """Ends the process."""
        self._said.put(b"")
        self._process.wait()
