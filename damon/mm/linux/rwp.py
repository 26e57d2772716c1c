# SPDX-License-Identifier: GPL-2.0-only
"""Accesses to one process's memory by read-write protection, of Linux 7.3 (``linux_rwp.c``).

A page that is protected causes one fault at its next access, which the kernel resolves by itself. Anonymous memory,
shmem and hugetlbfs can be tracked, other files cannot. Nothing stays protected when the descriptor is closed, also by a
kill of this process.
"""

from __future__ import annotations

import ctypes
import errno
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from ctypes import c_int, c_uint32, c_uint64, c_void_p
from typing import Final

from damon.errors import DamonError
from damon.mm.linux import inject
from damon.mm.linux.native import Files, Mappings, checked
from damon.model.arrays import U8, Buffer
from damon.native import bind
from damon.native.layout import shared

log = logging.getLogger("damon.linux")

#: ``enum`` of ``linux_rwp.c``: how the accesses to a page are seen.
UNSEEN: Final = 0
BY_RWP: Final = 1
OTHERWISE: Final = 2
#: Mappings are looked at again after that time: one that is new is not seen before.
SYNC_NS: Final = 1_000_000_000
#: userfaultfd(2): faults of the kernel are not delivered. Those are resolved before the flag is looked at.
_USER_MODE_ONLY: Final = 1
_CAPACITY: Final = 128

_there = bind("linux_rwp_there", c_int)
_enable = bind("linux_rwp_enable", c_int, c_int)
_register = bind("linux_rwp_register", c_int, c_int, c_uint64, c_uint64)
_mkold = bind("linux_rwp_mkold", c_int, c_void_p, c_int, c_int, c_void_p, c_uint64, c_void_p, c_uint32, c_void_p)
_young = bind("linux_rwp_young", c_int, c_void_p, c_int, c_void_p, c_uint32, c_void_p, c_void_p)
_protect = bind("linux_rwp_protect", c_int, c_void_p, c_int, c_uint64, c_uint64)
_accessed = bind("linux_rwp_accessed", c_int, c_void_p, c_int, c_void_p, c_uint64, c_void_p, c_uint32)


@shared("lx_tracked")
class Tracked(ctypes.Structure):
    """``struct lx_tracked``: a part of a process's memory, in bytes, and how accesses to it are seen."""

    start: int
    end: int
    how: int

    _fields_ = (("start", c_uint64), ("end", c_uint64), ("how", c_uint64))


def lack() -> int:
    """0 if this kernel can do it, else an errno: ``EOPNOTSUPP`` where it has userfaultfd(2) without it."""
    return -int(_there())


def common(ranges: Iterable[tuple[int, int]], others: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """What is in a range of both; each ascending and apart."""
    found: list[tuple[int, int]] = []
    waiting = iter(others)
    other = next(waiting, None)
    for start, end in ranges:
        while other is not None and other[0] < end:
            if other[1] > start:
                found.append((max(start, other[0]), min(end, other[1])))
            if other[1] > end:
                break
            other = next(waiting, None)
    return found


class Rwp:
    """One process's memory.

    Args:
        files: of the machine.
        directory: the process's open directory in /proc.
        pid: of the process.
        pidfd: of the process.
        now_ns: the clock.
    """

    def __init__(self, files: Files, directory: int, pid: int, pidfd: int, now_ns: Callable[[], int]) -> None:
        self._files, self._directory, self.pid, self._pidfd = files, directory, pid, pidfd
        self._now_ns = now_ns
        self._fd = -1
        self._mappings = Mappings.empty()
        self._rows = (Tracked * 1)()
        self._nr = 0
        self._synced_ns: int | None = None
        self._known: dict[tuple[int, int], int] = {}  # mappings, and the errno of their registration
        #: Ranges that the last :meth:`protect` protected (bytes, ascending).
        self.armed: list[tuple[int, int]] = []
        #: Mappings that cannot be tracked: start and end (bytes), and the errno of their registration.
        self.unseen: dict[tuple[int, int], int] = {}

    def open(self) -> None:
        """Have the process make its descriptor; it stops for a moment.

        Raises:
            DamonError: it cannot be made to: it is traced, under seccomp, another user's, or gone.
        """
        self.close()
        fd = inject.userfaultfd(self._directory, self.pid, self._pidfd, os.O_CLOEXEC | os.O_NONBLOCK | _USER_MODE_ONLY)
        result = _enable(fd) if fd >= 0 else fd
        if result < 0:
            if fd >= 0:
                os.close(fd)
            raise DamonError(
                -result,
                f"rwp: pid {self.pid}: {os.strerror(-result)}: userfaultfd(2) cannot be called inside of it (another "
                "user's, traced, or under seccomp); run as its user or as root, or take --access page_idle",
            )
        self._fd = fd

    def forget(self) -> None:
        """Look at the mappings before the next use."""
        self._synced_ns = None

    def sync(self) -> None:
        """Register what can be tracked of the process's mappings. Those that are gone were dropped by the kernel.

        Raises:
            ProcessLookupError: the memory is gone: the process has ended, or executes another program.
        """
        now = self._now_ns()
        if self._synced_ns is not None and now - self._synced_ns < SYNC_NS:
            return
        full = self._synced_ns is None
        rows: list[Tracked] = []
        unseen: dict[tuple[int, int], int] = {}
        known = {} if full else self._known  # what has the same bounds was not replaced, or turns out to be gone
        self._known = {}
        for bounds in self._mappings.read(self._files, self._directory):
            error = known[bounds] if bounds in known else -_register(self._fd, *bounds)
            if error == errno.ESRCH:
                self.forget()
                raise ProcessLookupError(error, os.strerror(error))
            if error != errno.EBUSY:  # the other one may go
                self._known[bounds] = error
            if error:
                unseen[bounds] = error
            how = OTHERWISE if error else BY_RWP
            if rows and (rows[-1].end, rows[-1].how) == (bounds[0], how):
                rows[-1].end = bounds[1]
            else:
                rows.append(Tracked(*bounds, how))
        self._report(unseen)
        self._rows, self._nr = (Tracked * max(len(rows), 1))(*rows), len(rows)
        self._synced_ns = now

    def _report(self, unseen: dict[tuple[int, int], int]) -> None:
        busy = [bounds for bounds, error in unseen.items() if error == errno.EBUSY and bounds not in self.unseen]
        self.unseen = unseen
        if busy:
            size = sum(end - start for start, end in busy) >> 10
            log.warning(
                "warning: rwp: pid %d: %d KiB: another userfaultfd tracks them (its own, or another monitor's); "
                "page_idle observes them where that is permitted",
                self.pid, size,
            )  # fmt: skip

    def tracked(self) -> Iterator[tuple[int, int]]:
        """The ranges that are registered, in bytes."""
        return ((row.start, row.end) for row in self._rows[: self._nr] if row.how == BY_RWP)

    def mkold(self, pagemap: int, addrs: Buffer, nr: int) -> Buffer:
        """Protect the pages of addresses; how each is seen (u8).

        Raises:
            ProcessLookupError: as of :meth:`sync`.
        """
        self.sync()
        how = Buffer(U8, nr)
        stale = checked(
            _mkold(
                self._files.pointer, self._fd, pagemap, ctypes.addressof(self._rows), self._nr, addrs.pointer_to(nr),
                nr, how.pointer_to(nr),
            )
        )  # fmt: skip
        if stale:
            self.forget()
        return how

    def young(self, pagemap: int, addrs: Buffer, nr: int, how: Buffer, out: Buffer) -> None:
        """``out[i]`` := 1 for what was accessed since :meth:`mkold`, which returned ``how``; all others 0."""
        result = _young(self._files.pointer, pagemap, addrs.pointer_to(nr), nr, how.pointer_to(nr), out.pointer_to(nr))
        if result != -errno.ESRCH:
            checked(result)

    def protect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """Protect all present pages of ranges (ascending) where they are tracked; ``armed`` is what was protected.

        A range in which a mapping was replaced is refused as a whole: then the mappings are read, and
        it is tried again.

        Raises:
            ProcessLookupError: as of :meth:`sync`.
        """
        self.armed = []
        for fresh in (False, True):
            if fresh:
                self.forget()
            self.sync()
            left: list[tuple[int, int]] = []
            for start, end in common(ranges, self.tracked()):
                result = _protect(self._files.pointer, self._fd, start, end)
                if result == -errno.ESRCH:
                    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
                (left if result else self.armed).append((start, end))
            if not left:
                break
            ranges = left
        self.armed.sort()

    def accessed(self, pagemap: int, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of an armed range that were accessed since they were protected, in order."""
        at, rows = c_uint64(start), (c_uint64 * (2 * _CAPACITY))()
        while at.value < end:
            found = _accessed(
                self._files.pointer, pagemap, ctypes.addressof(at), end, ctypes.addressof(rows), _CAPACITY
            )
            if found == -errno.ESRCH:
                return
            checked(found)
            yield from zip(rows[0 : 2 * found : 2], rows[1 : 2 * found : 2], strict=True)

    def close(self) -> None:
        """All is accessible again."""
        if self._fd >= 0:
            os.close(self._fd)
        self._fd = -1
        self._nr = 0
        self.armed = []
        self.unseen = {}
        self.forget()
