# SPDX-License-Identifier: GPL-2.0-only
"""The stage of each check: another process, and its memory as read-write protection shows it."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from damon.mm.linux import LinuxMachine
from damon.mm.linux.process import LinuxProcessSpace
from tests.buffers import addresses, young
from tests.vm.guest.checks import Checks
from tests.vm.guest.linux_mm.stage import PAGE, Victim, victim
from tests.vm.guest.pages import pagemap

CHECKS = check = Checks()
#: In an entry of pagemap: the page table's entry has userfaultfd's mark.
UFFD_BIT = 1 << 57
__all__ = ["CHECKS", "PAGE", "Victim", "check", "minor_faults", "observed", "protected", "victim", "watched"]


@contextmanager
def observed(other: Victim, access: str = "rwp") -> Iterator[LinuxProcessSpace]:
    """The process's address space."""
    with LinuxMachine(access=access) as machine:
        space = machine.open_process(other.pid)
        try:
            yield space
        finally:
            space.close()


def watched(space: LinuxProcessSpace, other: Victim, pages: Sequence[int], line: str = "", base: int = 0) -> list[int]:
    """Which of those pages (of the area, or from ``base`` on) were accessed while the other process obeyed ``line``."""
    batch = space.mkold(addresses([(base or other.base) + page * PAGE for page in pages]), len(pages))
    if line:
        other.tell(line)
    else:
        time.sleep(0.05)
    return [page for page, was in zip(pages, young(space, batch), strict=True) if was]


def protected(other: Victim) -> int:
    """Pages of the area that are protected."""
    return sum(1 for entry in pagemap(other.pid, other.base, other.base + other.pages * PAGE) if entry & UFFD_BIT)


def registered(pid: int) -> int:
    """Mappings of a process that are registered."""
    text = Path(f"/proc/{pid}/smaps").read_text()
    return len(re.findall(r"^VmFlags:.*\bur\b", text, re.MULTILINE))


def minor_faults(pid: int) -> int:
    """Those that the process had."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])
