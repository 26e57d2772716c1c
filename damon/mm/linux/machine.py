# SPDX-License-Identifier: GPL-2.0-only
"""The running system as a machine to monitor."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

from damon.errors import DamonError, MissingCapability
from damon.mm.clock import RealClock
from damon.mm.linux import access as accesses
from damon.mm.linux import interference, native, parse
from damon.mm.linux.access import Access
from damon.mm.linux.capabilities import BITMAP, Capabilities
from damon.mm.linux.native import Files
from damon.mm.linux.nodes import LinuxNodes
from damon.mm.linux.physical import LinuxPhysicalSpace
from damon.mm.linux.process import LinuxProcessSpace
from damon.model.clock import Clock
from damon.model.context import DamonCtx
from damon.model.machine import Closing, PhysicalSpace, SwapStat
from damon.model.scheme import DamosAction


class LinuxMachine(Closing):
    """The running kernel's memory, from user space. Nothing is opened before ``require()`` or the first use.

    Args:
        proc: where proc is mounted.
        sys: where sysfs is mounted.
        pidfd_open: how to hold a process.
        access: how accesses to processes' memory are seen.
    """

    name = "linux"

    def __init__(
        self,
        proc: str | os.PathLike[str] = "/proc",
        sys: str | os.PathLike[str] = "/sys",
        pidfd_open: Callable[[int], int] = os.pidfd_open,
        access: Access | str = Access.AUTO,
    ) -> None:
        self.access = Access(access)
        self.clock: Clock = RealClock()
        self._proc = Path(proc)
        self._sys = Path(sys)
        self._pidfd_open = pidfd_open
        self._nodes = LinuxNodes(self._proc, self._sys)
        self._files: Files | None = None
        self._few: Files | None = None
        self._psi = -1
        self._psi_tried = False
        self.physical = LinuxPhysicalSpace(self.files)
        self.phys: PhysicalSpace = self.physical

    def files(self) -> Files:
        """The open kernel files; ``MissingCapability`` if one that monitoring needs can't be opened.

        The first time, others who use accessed bits are named in the log.
        """
        if self._files is None:
            files = Files()
            try:
                files.proc = self._open_needed(self._proc, os.O_RDONLY | os.O_DIRECTORY)
                files.kpageflags = self._open_needed(self._proc / "kpageflags", os.O_RDONLY)
                files.bitmap = self._open_needed(self._sys / BITMAP, os.O_RDWR)
                with suppress(OSError):  # no memory control groups
                    files.kpagecgroup = os.open(self._proc / "kpagecgroup", os.O_RDONLY | os.O_CLOEXEC)
            except MissingCapability:
                _close(files)
                raise
            interference.warn(self._proc, self._sys, os.getpid())
            self._files = files
        return self._files

    def process_files(self) -> Files:
        """What processes' memory needs: without root, and with read-write protection, /proc alone.

        Raises:
            MissingCapability: page_idle is needed, and one of its files cannot be opened.
        """
        try:
            return self.files()
        except MissingCapability:
            if self.access is Access.PAGE_IDLE or not accesses.has_rwp():
                raise
        if self._few is None:
            self._few = Files()
            self._few.proc = self._open_needed(self._proc, os.O_RDONLY | os.O_DIRECTORY)
        return self._few

    def check_ctx(self, ctx: DamonCtx) -> None:
        """Refuse what needs page frame numbers, where those are hidden; called before a context starts.

        Raises:
            DamonError: ``EPERM``.
        """
        if ctx.ops is None or not ctx.ops.has_pid or self._files is not None:
            return
        for index, scheme in enumerate(ctx.schemes):
            what = ""
            if scheme.action in (DamosAction.MIGRATE_HOT, DamosAction.MIGRATE_COLD):
                what = f"action {scheme.action.value}"
            elif scheme.ops_filters:
                kind = getattr(scheme.ops_filters[0], "type", None)
                what = f"filter {getattr(kind, 'value', 'of its own')}"
            if what:
                raise DamonError(
                    errno.EPERM,
                    f"schemes[{index}]: {what}: needs page frame numbers, which only root sees; leave it out, or run "
                    "as root on a kernel with idle page tracking",
                )

    @staticmethod
    def _open_needed(path: Path, flags: int) -> int:
        try:
            return os.open(path, flags | os.O_CLOEXEC)
        except OSError as error:
            raise MissingCapability(
                f"file: {path}: {error.strerror}; run as root on a kernel with idle page tracking"
            ) from None

    def counters(self) -> dict[str, int]:
        """System calls made so far, by kind."""
        files = self._files or self._few
        return files.counters() if files else dict.fromkeys(native.CALLS, 0)

    def require(self, ops: str, actions: Sequence[str]) -> None:
        capabilities = Capabilities(self._proc, self._sys)
        if ops == "vaddr-exact" and self.access is Access.PAGE_IDLE:
            raise MissingCapability("vaddr-exact: access page_idle: cannot tell for each page; take --access rwp")
        if ops == "vaddr-exact":
            accesses.require_rwp()
        if ops == "paddr" or self.access is Access.PAGE_IDLE:
            capabilities.require(ops, actions)
            self.files()
        elif self.access is Access.RWP:
            accesses.require_rwp()
            capabilities.require_unprivileged(actions)
        else:
            try:
                capabilities.require(ops, actions)
            except MissingCapability:
                if not accesses.has_rwp():
                    raise
                capabilities.require_unprivileged(actions)
        if ops == "paddr":
            self.system_ram()

    def open_process(self, pid: int) -> LinuxProcessSpace:
        """As the interface has it; ``DamonError(EPERM)`` when it cannot be traced, which ``access`` RWP needs."""
        if self.access is Access.RWP:
            accesses.require_rwp()
        space = LinuxProcessSpace(self.process_files(), pid, self._pidfd_open, self.access, self.clock.now_ns)
        if self.access is Access.RWP and not accesses.may_be_traced(self._proc, pid):
            space.close()
            raise DamonError(
                errno.EPERM,
                f"pid: {pid}: ptrace(2) is refused (another user's, or kernel.yama.ptrace_scope); take a process of "
                "this user, run as root, or take --access page_idle",
            )
        return space

    def system_ram(self) -> Sequence[tuple[int, int]]:
        path = self._proc / "iomem"
        try:
            found = parse.system_ram(path.read_text())
        except OSError as error:
            raise MissingCapability(f"System RAM: {path}: {error.strerror}; run as root") from None
        if not any(end > 1 for _, end in found):
            raise MissingCapability(
                f"System RAM: {path}: hides its addresses (no CAP_SYS_ADMIN), or has none;"
                " run as root of the initial user namespace"
            )
        return found

    def free_mem(self) -> tuple[int, int]:
        return native.free_mem()

    def swaps(self) -> Sequence[SwapStat]:
        try:
            return parse.swaps((self._proc / "swaps").read_text())
        except OSError:  # a kernel without swap
            return []

    def node_spans(self) -> Sequence[tuple[int, int, int]]:
        return self._nodes.spans()

    def node_mem(self, nid: int) -> tuple[int, int] | None:
        return self._nodes.mem(nid)

    def node_memcg_pages(self, nid: int, memcg_id: int) -> int | None:
        return self._nodes.memcg_pages(nid, memcg_id)

    def memcg_id(self, path: str) -> int:
        return self._nodes.memcg_id(path)

    def psi_some_us(self) -> int:
        if not self._psi_tried:
            self._psi_tried = True
            with suppress(OSError):
                self._psi = os.open(self._proc / "pressure/memory", os.O_RDONLY | os.O_CLOEXEC)
        if self._psi < 0:
            return 0
        try:
            return parse.psi_some_us(os.pread(self._psi, 512, 0).decode())
        except OSError:  # booted with psi=0: the file is there, and reads as EOPNOTSUPP
            return 0

    def lru_pages(self) -> tuple[int, int]:
        return parse.lru_pages((self._proc / "vmstat").read_text())

    def close(self) -> None:
        self.physical.close()
        if self._files is not None:
            _close(self._files)
            self._files = None
        if self._few is not None:
            _close(self._few)
            self._few = None
        if self._psi >= 0:
            os.close(self._psi)
        self._psi, self._psi_tried = -1, False


def _close(files: Files) -> None:
    for name in ("bitmap", "kpageflags", "kpagecgroup", "proc"):
        if getattr(files, name) >= 0:
            os.close(getattr(files, name))
            setattr(files, name, -1)
