# SPDX-License-Identifier: GPL-2.0-only
"""damo, as it is published, in a guest: as a program, and as calls in one process."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path

from tests.vm.calls import INSIDE, Calls
from vmtest import Guest, Tree

PLACE = "/opt/damo"
_PROGRAM = f"""#!/usr/bin/python3
import sys
sys.path.insert(0, {PLACE!r})
from damo.damo import main
sys.exit(main())
"""


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
    """Calls of damo where damond's files lie over the kernel's."""

    def __init__(self, guest: Guest) -> None:
        self._calls = Calls(guest, INSIDE, PLACE)

    def __call__(self, *words: str | int) -> str:
        """What ``damo WORDS`` wrote; it ended with 0 and without a traceback."""
        answer = self._calls("damo", *words)
        assert answer.code == 0, (words, answer)
        assert "Traceback" not in answer.errors, (words, answer)
        return answer.text

    def close(self) -> None:
        """Ends the process."""
        self._calls.close()
