# SPDX-License-Identifier: GPL-2.0-only
"""The address space of one process of the running kernel (DAMON spec, ops 1)."""

from __future__ import annotations

import ctypes
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Final, TypeVar

from damon.errors import DamonError, MissingCapability
from damon.mm.linux import inject, native, rwp
from damon.mm.linux.access import Access, has_rwp, uses_userfaultfd
from damon.mm.linux.native import Files, Mappings, Result, Sampler
from damon.mm.linux.physical import SampledBatch, sampled
from damon.model.arrays import U8, U64, Batch, Buffer, FolioArray
from damon.model.machine import PAGE_SHIFT, PAGE_SIZE, Advice

log = logging.getLogger("damon.linux")

#: Folios of a batch at most.
BATCH: Final = 4096
T = TypeVar("T")


class TrackedBatch(SampledBatch):
    """With how each address is seen, and the rows that are left to page_idle, which are the sampler's."""

    __slots__ = ("how", "rest")

    def __init__(self, addrs: Buffer, nr: int, space: object, how: Buffer) -> None:
        super().__init__(addrs, nr, space)
        self.how = how
        self.rest: list[int] = []


class LinuxProcessSpace:
    """A process, held by a pidfd and by its open directory in /proc: neither passes to another process with the number.

    Args:
        files: of the machine.
        pid: of the process.
        pidfd_open: how to hold it.
        access: how accesses are seen.
        now_ns: the clock.

    Raises:
        DamonError: ``EINVAL`` if there is no process ``pid``.
    """

    def __init__(
        self,
        files: Files,
        pid: int,
        pidfd_open: Callable[[int], int] = os.pidfd_open,
        access: Access = Access.PAGE_IDLE,
        now_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        self.pid = pid
        self.access = access
        self._rwp: rwp.Rwp | None = None
        self._files = files
        self._pidfd = self._directory = self._pagemap = -1
        self._mappings = Mappings.empty()
        #: What became of the pages of the last migration.
        self.last_result = Result()
        try:
            if pid <= 0:
                raise ProcessLookupError
            self._directory = os.open(str(pid), os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=files.proc)
            self._pidfd = pidfd_open(pid)
            # Fails if the directory's process is gone: the number may have been another's when the pidfd was opened.
            os.stat("stat", dir_fd=self._directory)
        except (OSError, OverflowError):
            self.close()
            raise DamonError(errno.EINVAL, f"pid: {pid}: no process has it; give the pid of a running one") from None
        self._now_ns = now_ns

    def alive(self) -> bool:
        return self._pidfd >= 0 and native.pidfd_alive(self._pidfd) == 0

    def mappings(self) -> Sequence[tuple[int, int]]:
        if self._rwp is not None:
            self._rwp.forget()
        return self._mappings.read(self._files, self._directory) if self._directory >= 0 else []

    def _reopen(self) -> bool:
        """Open pagemap (again): an open one stays with the memory that the process had before it executed a program."""
        self._close_pagemap()
        if self._directory < 0:
            return False
        try:
            self._pagemap = os.open("pagemap", os.O_RDONLY | os.O_CLOEXEC, dir_fd=self._directory)
        except OSError:
            return False
        return True

    def tracker(self) -> rwp.Rwp | None:
        """Read-write protection of its memory, set up at the first use; None: page_idle is used.

        Raises:
            DamonError: ``access`` is ``RWP``, and the process cannot be tracked.
        """
        if self._rwp is not None or self.access is Access.PAGE_IDLE:
            return self._rwp
        if self.access is Access.AUTO and (not has_rwp() or uses_userfaultfd(self._directory)):
            self.access = Access.PAGE_IDLE
            return None
        made = rwp.Rwp(self._files, self._directory, self.pid, self._pidfd, self._now_ns)
        try:
            made.open()
        except DamonError as error:
            if self.access is Access.RWP or self._files.bitmap < 0:
                raise
            log.info("%s: page_idle is used", error)
            self.access = Access.PAGE_IDLE
            return None
        self._rwp = made
        return made

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        tracker = self.tracker()
        if tracker is None:
            batch = SampledBatch(addrs, nr, self)
            batch.sampler = self._idle(addrs, nr)
            return batch
        how = self._protected(lambda: tracker.mkold(self._pagemap, addrs, nr))
        tracked = TrackedBatch(addrs, nr, self, how or Buffer(U8, nr))
        if how is not None and self._files.bitmap >= 0:
            tracked.rest = [row for row, by in enumerate(how.rows[:nr]) if by == rwp.OTHERWISE]
        if tracked.rest:
            left = Buffer(U64, len(tracked.rest))
            for index, row in enumerate(tracked.rest):
                left[index] = addrs[row]
            tracked.sampler = self._idle(left, len(tracked.rest))
        return tracked

    def _idle(self, addrs: Buffer, nr: int) -> Sampler | None:
        """Make old by page_idle; None: its memory is gone."""
        sampler = Sampler(self._files)
        for fresh in (False, True):
            if (fresh or self._pagemap < 0) and not self._reopen():
                break
            try:
                sampler.mkold_virt(self._pagemap, addrs, nr)
            except ProcessLookupError:
                continue
            return sampler
        return None

    def _protected(self, protect: Callable[[], T]) -> T | None:
        """What ``protect`` returns; once more when the process executes another program. None: its memory is gone."""
        assert self._rwp is not None
        for fresh in (False, True):
            if (fresh or self._pagemap < 0) and not self._reopen():
                break
            try:
                if fresh:
                    self._rwp.open()
                return protect()
            except ProcessLookupError:
                continue
            except DamonError as error:
                if error.errno == errno.ESRCH:
                    return None
                if self.access is Access.RWP:
                    raise
                log.info("%s: page_idle is used", error)
                self.access, self._rwp = Access.PAGE_IDLE, None
                return None
        return None

    def young(self, batch: Batch, out: Buffer) -> None:
        sampler = sampled(batch, self)
        if not isinstance(batch, TrackedBatch):
            self._young_idle(sampler, batch.nr, out)
            return
        tracker = self._rwp
        if tracker is None or self._pagemap < 0:
            ctypes.memset(out.pointer_to(batch.nr), 0, batch.nr)
            return
        tracker.young(self._pagemap, batch.addrs, batch.nr, batch.how, out)
        if batch.rest:
            answers = Buffer(U8, len(batch.rest))
            self._young_idle(sampler, len(batch.rest), answers)
            for index, row in enumerate(batch.rest):
                out[row] = answers[index]

    def _young_idle(self, sampler: Sampler | None, nr: int, out: Buffer) -> None:
        if sampler is not None and self._pagemap >= 0:
            sampler.young_virt(self._pagemap, nr, out)
        else:
            ctypes.memset(out.pointer_to(nr), 0, nr)

    def protect(self, ranges: Sequence[tuple[int, int]]) -> None:
        """From now on accesses to the present pages of ``ranges`` (bytes, ascending) are noticed (``vaddr-exact``).

        Raises:
            MissingCapability: this process cannot be tracked by read-write protection.
        """
        tracker = self.tracker()
        if tracker is None:
            raise MissingCapability(
                f"vaddr-exact: pid {self.pid}: needs read-write protection (Linux 7.3), which does not track it; "
                "take vaddr"
            )

        self._protected(lambda: tracker.protect(ranges))

    def accessed(self, start: int, end: int) -> Iterator[tuple[int, int]]:
        """The parts of ``[start, end)`` with pages that were accessed since, or came since, in ascending order."""
        if self._rwp is not None and self._pagemap >= 0:
            for low, high in rwp.common([(start, end)], self._rwp.armed):
                yield from self._rwp.accessed(self._pagemap, low, high)

    def madvise(self, start: int, length: int, advice: Advice) -> int:
        """As the interface has it. The kernel takes ``HUGEPAGE`` and ``NOHUGEPAGE`` from the process itself only, so
        one of its threads is stopped and makes the call: ``-EPERM`` when it is traced already or under seccomp."""
        if self._pidfd < 0:
            return -errno.ESRCH
        if advice in inject.ADVICE:
            return inject.madvise(self._directory, self.pid, start, length, advice)
        result = int(native.madvise(self._files.pointer, self._pidfd, start, length, int(advice)))
        if result == -errno.EPERM and advice in inject.ALSO:  # without CAP_SYS_NICE
            result = inject.madvise(self._directory, self.pid, start, length, advice)
        return result

    def folios(self, start: int, end: int) -> Iterator[FolioArray]:
        first, last = start >> PAGE_SHIFT, (end + PAGE_SIZE - 1) >> PAGE_SHIFT
        if first >= last or not self._reopen():
            return
        batch = FolioArray(min(BATCH, last - first))
        walk = native.vwalk_new(self._files.pointer, self._directory, self._pagemap, first, last)
        if not walk:
            raise MemoryError
        try:
            while nr := native.vwalk_next(self._files.pointer, walk, batch.pointer, batch.capacity):
                batch.nr = nr
                yield batch
        finally:
            native.vwalk_free(walk)

    def folios_young(self, folios: FolioArray) -> None:
        native.checked(native.folios_young(self._files.pointer, folios.pointer, folios.nr))

    def folios_mkold(self, folios: FolioArray) -> None:
        native.checked(native.folios_mkold(self._files.pointer, folios.pointer, folios.nr))

    def migrate(self, folios: FolioArray) -> int:
        """As the interface has it; pages that several processes map go as well."""
        self.last_result = Result()
        if self._pidfd < 0 or self._pagemap < 0:
            return 0
        native.checked(
            native.migrate_virt(
                self._files.pointer, self.pid, self._pidfd, self._pagemap, folios.pointer, folios.nr,
                ctypes.addressof(self.last_result),
            )
        )  # fmt: skip
        return self.last_result.moved

    def _close_pagemap(self) -> None:
        if self._pagemap >= 0:
            os.close(self._pagemap)
        self._pagemap = -1

    def close(self) -> None:
        if self._rwp is not None:
            self._rwp.close()
            self._rwp = None
        self._close_pagemap()
        for fd in (self._pidfd, self._directory):
            if fd >= 0:
                os.close(fd)
        self._pidfd = self._directory = -1

    def __del__(self) -> None:
        if getattr(self, "_directory", -1) >= 0:
            self.close()
