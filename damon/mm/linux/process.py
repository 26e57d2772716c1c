# SPDX-License-Identifier: GPL-2.0-only
"""The address space of one process of the running kernel (DAMON spec, ops 1)."""

from __future__ import annotations

import ctypes
import errno
import os
from collections.abc import Callable, Iterator, Sequence
from typing import Final

from damon.errors import DamonError
from damon.mm.linux import inject, native
from damon.mm.linux.native import Files, Mappings, Result, Sampler
from damon.mm.linux.physical import SampledBatch, sampled
from damon.model.arrays import Batch, Buffer, FolioArray
from damon.model.machine import PAGE_SHIFT, PAGE_SIZE, Advice

#: Folios of a batch at most.
BATCH: Final = 4096


class LinuxProcessSpace:
    """A process, held by a pidfd and by its open directory in /proc: neither passes to another process with the number.

    Raises:
        DamonError: ``EINVAL`` if there is no process ``pid``.
    """

    def __init__(
        self,
        files: Files,
        pid: int,
        pidfd_open: Callable[[int], int] = os.pidfd_open,
    ) -> None:
        self.pid = pid
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

    def alive(self) -> bool:
        return self._pidfd >= 0 and native.pidfd_alive(self._pidfd) == 0

    def mappings(self) -> Sequence[tuple[int, int]]:
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

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        batch, sampler = SampledBatch(addrs, nr, self), Sampler(self._files)
        for fresh in (False, True):
            if (fresh or self._pagemap < 0) and not self._reopen():
                break
            try:
                sampler.mkold_virt(self._pagemap, addrs, nr)
            except ProcessLookupError:
                continue
            batch.sampler = sampler
            break
        return batch

    def young(self, batch: Batch, out: Buffer) -> None:
        sampler = sampled(batch, self)
        if sampler is not None and self._pagemap >= 0:
            sampler.young_virt(self._pagemap, batch.nr, out)
        else:
            ctypes.memset(out.pointer_to(batch.nr), 0, batch.nr)

    def madvise(self, start: int, length: int, advice: Advice) -> int:
        """As the interface has it. The kernel takes ``HUGEPAGE`` and ``NOHUGEPAGE`` from the process itself only, so
        one of its threads is stopped and makes the call: ``-EPERM`` when it is traced already or under seccomp."""
        if self._pidfd < 0:
            return -errno.ESRCH
        if advice in inject.ADVICE:
            return inject.madvise(self._directory, self.pid, start, length, advice)
        return int(native.madvise(self._files.pointer, self._pidfd, start, length, int(advice)))

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
        self._close_pagemap()
        for fd in (self._pidfd, self._directory):
            if fd >= 0:
                os.close(fd)
        self._pidfd = self._directory = -1

    def __del__(self) -> None:
        if getattr(self, "_directory", -1) >= 0:
            self.close()
