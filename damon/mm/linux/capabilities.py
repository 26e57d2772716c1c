# SPDX-License-Identifier: GPL-2.0-only
"""What monitoring and acting from user space ask of a system: each lack is one line with its remedy."""

from __future__ import annotations

import ctypes
import errno
import mmap
import os
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from damon.errors import MissingCapability
from damon.mm.linux import inject, native, parse
from damon.mm.linux.access import require_rwp
from damon.model.machine import PAGE_SIZE

BITMAP: Final = "kernel/mm/page_idle/bitmap"
#: The page frame number in an entry of /proc/PID/pagemap.
PM_PFN_MASK: Final = (1 << 55) - 1

#: Actions by what they need, under the names of the kernel's schemes.
BY_PROCESS_MADVISE: Final = {"pageout", "pageout:file", "lru_deprio", "willneed", "cold", "collapse"}
BY_PROCESS_VM_READV: Final = {"lru_prio"}
BY_MOVE_PAGES: Final = {"migrate_hot", "migrate_cold"}
BY_THE_PROCESS_ITSELF: Final = {"hugepage", "nohugepage"}

_CAPABILITIES: Final = {
    parse.CAP_SYS_ADMIN: ("CAP_SYS_ADMIN", "/proc/PID/pagemap shows page frame numbers only with it"),
    parse.CAP_SYS_PTRACE: ("CAP_SYS_PTRACE", "other processes' memory is out of reach without it"),
    parse.CAP_SYS_NICE: ("CAP_SYS_NICE", "process_madvise(2) and move_pages(2) refuse other processes without it"),
}


def _readable(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def _process_vm_readv_there() -> bool:
    ctypes.CDLL(None, use_errno=True).process_vm_readv(os.getpid(), None, 0, None, 0, 0)
    return ctypes.get_errno() != errno.ENOSYS


def _process_madvise_there() -> bool:
    files = native.Files()
    return int(native.madvise(files.pointer, -1, 0, PAGE_SIZE, 0)) != -errno.ENOSYS


def _move_pages_there() -> bool:
    return bool(native.move_pages_there(native.Files().pointer))


class Capabilities:
    """The checks, on the system whose ``proc`` and ``sys`` are given.

    Args:
        process_madvise: whether the system call exists; asked of the running kernel unless given.
        process_vm_readv: likewise.
        move_pages: likewise.
        rwp: raises ``MissingCapability`` unless the kernel has read-write protection.
    """

    def __init__(
        self,
        proc: Path,
        sys: Path,
        process_madvise: Callable[[], bool] = _process_madvise_there,
        process_vm_readv: Callable[[], bool] = _process_vm_readv_there,
        move_pages: Callable[[], bool] = _move_pages_there,
        rwp: Callable[[], None] = require_rwp,
    ) -> None:
        self._proc = proc
        self._sys = sys
        self._process_madvise = process_madvise
        self._process_vm_readv = process_vm_readv
        self._move_pages = move_pages
        self._rwp = rwp

    def require(self, ops: str, actions: Sequence[str]) -> None:
        """Raise ``MissingCapability`` for the first thing that is missing."""
        self._privileges(actions)
        self._page_idle()
        for name, config in (("kpageflags", "CONFIG_PROC_PAGE_MONITOR"), ("self/pagemap", "CONFIG_PROC_PAGE_MONITOR")):
            self._readable_file(self._proc / name, config)
        self._frames_shown()
        if ops == "paddr":
            self._readable_file(self._proc / "iomem", "CONFIG_PROC_FS")
        self._actions(actions)

    def require_unprivileged(self, actions: Sequence[str]) -> None:
        """The same for processes that read-write protection tracks: no page frame numbers, and calls from within."""
        self._readable_file(self._proc / "self/pagemap", "CONFIG_PROC_PAGE_MONITOR")
        if BY_MOVE_PAGES & set(actions):
            self._capable(parse.CAP_SYS_ADMIN, parse.CAP_SYS_NICE)
            self._frames_shown()
        self._actions(actions)

    def checks(self) -> dict[str, Callable[[], None]]:
        """By name, what can be asked for by itself. Each raises ``MissingCapability``; nothing is changed."""
        return {
            "page_idle": self._page_idle,
            "rwp": self._rwp,
            "pagemap": self._pagemap,
            "system_ram": lambda: self._readable_file(self._proc / "iomem", "CONFIG_PROC_FS"),
            "process_madvise": lambda: self._allowed("lru_deprio", parse.CAP_SYS_NICE),
            "process_vm_readv": lambda: self._allowed("lru_prio", parse.CAP_SYS_PTRACE),
            "move_pages": lambda: self._allowed("migrate_hot", parse.CAP_SYS_NICE),
            "ptrace": lambda: self._allowed("hugepage", parse.CAP_SYS_PTRACE),
            "swap": self._swap,
        }

    def _pagemap(self) -> None:
        self._capable(parse.CAP_SYS_ADMIN)
        for name in ("kpageflags", "self/pagemap"):
            self._readable_file(self._proc / name, "CONFIG_PROC_PAGE_MONITOR")
        self._frames_shown()

    def _allowed(self, action: str, capability: int) -> None:
        self._actions([action])
        self._capable(capability)

    def _capable(self, *wanted: int) -> None:
        mask = parse.effective_capabilities(_readable(self._proc / "self/status"))
        for number in wanted:
            if not mask >> number & 1:
                name, why = _CAPABILITIES[number]
                raise MissingCapability(f"capability: {name}: this process lacks it: {why}; run as root (sudo)")

    def _privileges(self, actions: Sequence[str]) -> None:
        wanted = [parse.CAP_SYS_ADMIN, parse.CAP_SYS_PTRACE]
        if (BY_PROCESS_MADVISE | BY_MOVE_PAGES) & set(actions):
            wanted.append(parse.CAP_SYS_NICE)
        self._capable(*wanted)

    def _page_idle(self) -> None:
        path = self._sys / BITMAP
        try:
            os.close(os.open(path, os.O_RDWR | os.O_CLOEXEC))
        except FileNotFoundError:
            raise MissingCapability(
                f"page_idle: {path}: does not exist: no CONFIG_IDLE_PAGE_TRACKING, or sysfs is not mounted;"
                " boot a kernel that has it, for example in a guest with `make demo-vm`"
            ) from None
        except OSError as error:
            raise MissingCapability(f"page_idle: {path}: {error.strerror}; run as root, outside a container") from None

    def _readable_file(self, path: Path, config: str) -> None:
        try:
            os.close(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise MissingCapability(
                f"file: {path}: {error.strerror}; run as root on a kernel with {config}, /proc mounted"
            ) from None

    def _frames_shown(self) -> None:
        """Inside a user namespace the capability bits are set, and the frame numbers hidden all the same."""
        with mmap.mmap(-1, PAGE_SIZE) as page:
            page[0] = 1
            address = ctypes.addressof(ctypes.c_char.from_buffer(page))  # its export ends with the call
            fd = os.open(self._proc / "self/pagemap", os.O_RDONLY | os.O_CLOEXEC)
            try:
                raw = os.pread(fd, 8, address // PAGE_SIZE * 8)
            except OSError:
                raw = b""
            finally:
                os.close(fd)
        if len(raw) < 8 or not struct.unpack("=Q", raw)[0] & PM_PFN_MASK:
            raise MissingCapability(
                f"pagemap: {self._proc}/PID/pagemap: hides page frame numbers from this process;"
                " run as root of the initial user namespace (not in an unprivileged container)"
            )

    def _actions(self, actions: Sequence[str]) -> None:
        for action in actions:
            if action in BY_THE_PROCESS_ITSELF and not inject.available():
                raise MissingCapability(
                    f"action: {action}: needs ptrace(2), here for {', '.join(inject.MACHINES)} only; use collapse"
                )
            if action in BY_PROCESS_MADVISE and not self._process_madvise():
                raise MissingCapability(
                    f"action: {action}: needs process_madvise(2), which this kernel lacks;"
                    " boot Linux 5.10 or later with CONFIG_ADVISE_SYSCALLS"
                )
            if action in BY_PROCESS_VM_READV and not self._process_vm_readv():
                raise MissingCapability(
                    f"action: {action}: needs process_vm_readv(2), which this kernel lacks;"
                    " boot one with CONFIG_CROSS_MEMORY_ATTACH"
                )
            if action in BY_MOVE_PAGES and not self._move_pages():
                raise MissingCapability(
                    f"action: {action}: needs move_pages(2), which this kernel lacks;"
                    " boot one with CONFIG_NUMA and CONFIG_MIGRATION"
                )
            if action == "pageout":
                self._swap()

    def _swap(self) -> None:
        if not parse.swaps(_readable(self._proc / "swaps")):
            raise MissingCapability(
                "swap: none is active, which pageout of anonymous memory needs; turn some on with swapon(8),"
                " for example on zram, or let the scheme take file-backed memory only (filter anon)"
            )
