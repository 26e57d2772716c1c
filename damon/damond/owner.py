# SPDX-License-Identifier: GPL-2.0-only
"""Which process something belongs to, and whether that one has ended, although its number may be another's by now."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: Of the ninth field of ``/proc/PID/stat``: it is ending.
PF_EXITING: Final = 0x4


def _stat(pid: int) -> list[str]:
    """The fields of ``/proc/PID/stat`` from the third on; none when there is no such process."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _pid_namespace() -> str:
    try:
        return str(os.stat("/proc/self/ns/pid").st_ino)
    except OSError:
        return "0"


@dataclass(frozen=True)
class Owner:
    """A process: its id, when it began (clock ticks since boot), and in which namespace the id holds."""

    pid: int
    start: str
    namespace: str

    @classmethod
    def ourselves(cls) -> Owner:
        return cls(os.getpid(), _stat(os.getpid())[19], _pid_namespace())

    @classmethod
    def parse(cls, text: str) -> Owner | None:
        """From ``str()`` of one; None when it is something else."""
        words = text.strip().split("-")
        if len(words) != 3 or not all(word.isascii() and word.isdigit() for word in words):
            return None
        return cls(int(words[0]), words[1], words[2])

    def __str__(self) -> str:
        return f"{self.pid}-{self.start}-{self.namespace}"

    def dead(self) -> bool:
        """Has it ended, or can do no more than that?

        A process that was killed while one of its threads waits in the kernel stays a zombie, with all that the
        thread has open. Of another namespace nothing is known: what is there counts as living.
        """
        if self.namespace != _pid_namespace():
            return False
        fields = _stat(self.pid)
        return not fields or fields[19] != self.start or fields[0] in "ZX" or bool(int(fields[6]) & PF_EXITING)
