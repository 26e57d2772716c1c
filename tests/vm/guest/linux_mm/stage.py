# SPDX-License-Identifier: GPL-2.0-only
"""The stage of each check: another process with an area, what the kernel says of it, and our machine."""

from __future__ import annotations

import os
import subprocess
import sys
from array import array
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from damon.mm.linux import LinuxMachine, native
from damon.model.arrays import FOLIO_PASS, FolioArray
from tests.vm.guest.checks import Checks
from tests.vm.guest.pages import ACTIVE, LRU, PFN_MASK, PRESENT, count, page_flags, pagemap

PAGE = 4096
CGROUP = Path("/sys/fs/cgroup/test")
CHECKS = check = Checks()


class Victim:
    """The other process, and what the kernel says of its area."""

    def __init__(self, mib: int, path: str = "") -> None:
        words = [sys.executable, "-m", "tests.vm.guest.victim", str(mib), path]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.pages = mib * 256
        self.base = int(self.answer())

    def answer(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def tell(self, line: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        return self.answer()

    def entries(self) -> array[int]:
        return pagemap(self.pid, self.base, self.base + self.pages * PAGE)

    def present(self) -> int:
        return count(self.entries(), PRESENT, PRESENT)

    def frames(self) -> list[int]:
        return [entry & PFN_MASK for entry in self.entries() if entry & PRESENT]

    def flags(self) -> array[int]:
        fd = os.open("/proc/kpageflags", os.O_RDONLY)
        try:
            return page_flags(fd, self.frames())
        finally:
            os.close(fd)

    def active(self) -> int:
        return count(self.flags(), LRU | ACTIVE, LRU | ACTIVE)


@contextmanager
def victim(mib: int, path: str = "") -> Iterator[Victim]:
    other = Victim(mib, path)
    try:
        yield other
    finally:
        with suppress(ProcessLookupError):
            other.process.kill()
        other.process.wait()
        if path:
            os.unlink(path)


@contextmanager
def machine() -> Iterator[LinuxMachine]:
    ours = LinuxMachine(access="page_idle")
    ours.require("paddr", ["pageout", "lru_prio", "lru_deprio"])
    try:
        yield ours
    finally:
        ours.close()


def settle(other: Victim) -> None:
    """Pages wait in per-CPU batches before they are on a list; drain those of both processors."""
    cpus = os.sched_getaffinity(0)
    with machine() as ours:
        for cpu in cpus:
            os.sched_setaffinity(0, {cpu})
            native.checked(native.drain(ours.files().pointer))
    os.sched_setaffinity(0, cpus)
    lru = count(other.flags(), LRU, LRU)
    assert lru >= other.present() - 2, f"{lru} of {other.present()} pages are on a list"


def filled(*others: Victim) -> None:
    """All pages written, and on LRU lists."""
    for other in others:
        other.tell(f"write 0 {other.pages} 1")
        settle(other)


@contextmanager
def in_cgroup(*others: Victim) -> Iterator[int]:
    """The id of a cgroup that these are in; pages that they get from now on are charged to it."""
    (CGROUP.parent / "cgroup.subtree_control").write_text("+memory")
    CGROUP.mkdir(exist_ok=True)
    try:
        for other in others:
            (CGROUP / "cgroup.procs").write_text(str(other.pid))
        yield os.stat(CGROUP).st_ino
    finally:
        for pid in (CGROUP / "cgroup.procs").read_text().split():
            (CGROUP.parent / "cgroup.procs").write_text(pid)
        CGROUP.rmdir()


def passing(ours: LinuxMachine, frames: list[int]) -> FolioArray:
    """The folios of these page frames, as a walk over them finds them, all passing."""
    wanted, rows = set(frames), []
    for batch in ours.phys.folios(min(frames) * PAGE, (max(frames) + 1) * PAGE):
        rows += [(f.pfn, f.nr_pages, f.flags) for f in batch if f.pfn in wanted]
    folios = FolioArray(max(1, len(rows)))
    folios.nr = len(rows)
    for i, (pfn, pages, flags) in enumerate(rows):
        folios.rows[i].pfn, folios.rows[i].nr_pages, folios.rows[i].flags = pfn, pages, flags | FOLIO_PASS
    return folios
