# SPDX-License-Identifier: GPL-2.0-only
"""damo, as it is published, in a guest: as a program, and as a process that has its modules imported once."""

from __future__ import annotations

import json
import queue
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

from tests.vm.job import PROJECT, PYTHON
from tests.waiting import until
from vmtest import Guest, Tree

PLACE = "/opt/damo"
_PROGRAM = (
    f"#!/usr/bin/python3\nimport sys\nsys.path.insert(0, '{PLACE}')\nfrom damo.damo import main\nsys.exit(main())\n"
)


def tree() -> Tree:
    """damo's package, with its byte code."""
    spec = find_spec("damo")
    assert spec is not None
    assert spec.origin is not None
    return Tree(Path(spec.origin).parent, f"{PLACE}/damo", exclude=())


def install(guest: Guest) -> None:
    """Makes ``damo`` a command."""
    guest.run(["sh", "-c", "cat > /usr/local/bin/damo; chmod 755 /usr/local/bin/damo"], input=_PROGRAM.encode()).check()


class Damo:
    """Calls of damo, each in a child of one process: an emulated processor takes seconds for its modules alone."""

    def __init__(self, guest: Guest, within: Sequence[str] = ()) -> None:
        """Args:
        guest: where.
        within: words in front of the process's own, such as those of ``damon exec``.
        """
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        words = [*within, PYTHON, f"{PROJECT}/tests/vm/guest/damo_calls.py", PLACE]
        self._process = guest.popen(words, input=iter(self._said.get, b""))
        self._calls = 0

    def __call__(self, *words: str | int) -> str:
        """What ``damo WORDS`` wrote; it ended with 0 and without a traceback."""
        self._said.put(json.dumps([str(word) for word in words]).encode() + b"\n")
        self._calls += 1
        until(lambda: self._process.stdout.count(b"\n") >= self._calls or self._process.poll() is not None)
        assert self._process.poll() is None, self._process.stderr.decode()
        answer = json.loads(self._process.stdout.splitlines()[-1])
        assert answer["code"] == 0, (words, answer)
        assert "Traceback" not in answer["errors"], (words, answer)
        return str(answer["text"])

    def close(self) -> None:
        """Ends the process."""
        self._said.put(b"")
        self._process.wait()
