# SPDX-License-Identifier: GPL-2.0-only
"""Watches a guest's serial console from its first byte to QEMU's end, and says at once when the guest is lost."""

from __future__ import annotations

import re
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

import pexpect
from pexpect import fdpexpect

from .errors import GuestLost, Verdict
from .supervisor import EXIT_FILE, LOG_FILE

READY = re.compile(r"vmtest: ready\b")
POWER_DOWN = re.compile(r"reboot: (Power down|System halted|Restarting system|machine restart)")
# The first line that matches decides: an oops turned into a panic stays an oops.
FATAL: tuple[tuple[Verdict, re.Pattern[str]], ...] = (
    (Verdict.LOCKUP, re.compile(r"BUG: soft lockup|hard LOCKUP")),
    (Verdict.OOPS, re.compile(r"\bBUG: |\bOops: |kernel BUG at |general protection fault,|Unable to handle kernel")),
    (Verdict.PANIC, re.compile(r"Kernel panic - not syncing")),
    (Verdict.SETUP_FAILED, re.compile(r"vmtest: setup failed")),
)
WARNING = re.compile(
    r"WARNING: |rcu: INFO: |INFO: task .* blocked for more than|Out of memory: Killed process|vmtest: setup: "
)
EMULATION = re.compile(r"emulation failure|KVM internal error")
CRASHES = {str(-number) for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)}
KEPT_LINES = 5000
TICK_SECONDS = 0.25
# After the fatal line, more of the report is waited for this long; QEMU usually ends at once.
REPORT_SECONDS = 1.5
EXCERPT_BEFORE = 3
EXCERPT_LINES = 40


class Console(threading.Thread):
    """Reads the console all the time, keeps its last lines and the first reason to give the guest up.

    Attributes:
        ready: set when the guest says that its SSH server listens.
        ended: set when the guest is lost; ``lost`` has the reason.
        on_end: called once the guest is lost, so that whoever waits for it wakes up.
        warnings: lines that do not end a guest but matter (WARNING, stalls, OOM kills, what setup could not do).
    """

    def __init__(self, sock: socket.socket, folder: Path) -> None:
        super().__init__(name="vmtest-console", daemon=True)
        self._sock = sock
        self._folder = folder
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._fatal: tuple[Verdict, str, float, int] | None = None
        self._count = 0
        self._powered_down = False
        self._guard = threading.Lock()
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.lost: GuestLost | None = None
        self.warnings: list[str] = []
        self.last_byte = time.monotonic()
        self.on_end: Callable[[], object] = lambda: None

    def run(self) -> None:
        """The thread."""
        stream = fdpexpect.fdspawn(self._sock.fileno(), timeout=TICK_SECONDS, maxread=1 << 16)
        try:
            while True:
                before = len(stream.buffer)
                found = stream.expect_exact([b"\n", pexpect.TIMEOUT, pexpect.EOF])
                if found == 0:
                    self.last_byte = time.monotonic()
                    self._line(stream.before)
                elif found == 2:
                    self._line(stream.before)
                    break
                else:
                    if len(stream.buffer) != before:
                        self.last_byte = time.monotonic()
                    self._look_at_qemu()
                if self._fatal and time.monotonic() - self._fatal[2] > REPORT_SECONDS:
                    break
        except OSError:
            pass  # reset by a QEMU that was killed: an end like any other
        self._conclude()
        # Read on, so that a guest that still writes is not blocked, until QEMU ends or the socket is closed.
        try:
            while stream.read_nonblocking(1 << 16, timeout=None):
                pass
        except (OSError, ValueError, pexpect.EOF, pexpect.ExceptionPexpect):
            pass

    def _line(self, raw: bytes | str | None) -> None:
        assert isinstance(raw, bytes)
        line = raw.decode(errors="replace").rstrip("\r")
        if not line:
            return
        with self._guard:
            self._lines.append(line)
            self._count += 1
        if READY.search(line):
            self.ready.set()
        if POWER_DOWN.search(line):
            self._powered_down = True
        if self._fatal is None:
            for verdict, pattern in FATAL:
                if pattern.search(line):
                    self._fatal = (verdict, line, time.monotonic(), self._count)
                    return
        if WARNING.search(line):
            self.warnings.append(line)

    def _look_at_qemu(self) -> None:
        if self._fatal is None and EMULATION.search(self.qemu_log()):
            what = "the accelerator cannot run this guest"
            self._fatal = (Verdict.EMULATION_FAILURE, what, time.monotonic(), self._count)

    def _conclude(self) -> None:
        if self.lost is None:
            self._look_at_qemu()
            if self._fatal:
                verdict, line, _, at = self._fatal
                self.give_up(verdict, line, self._around(at))
            elif self._powered_down:
                self.give_up(Verdict.POWERED_OFF, "it was powered off or rebooted", self.tail(5))
            else:
                code, log = self._exit_code(), self.qemu_log().strip()
                said = f": {log[-500:]}" if log else ""
                self.give_up(Verdict.QEMU_DIED, f"QEMU ended with code {code}{said}", self.tail(10))

    def give_up(self, verdict: Verdict, message: str, excerpt: str | None = None) -> GuestLost:
        """Records that the guest is lost, unless it is already; returns the reason on record."""
        with self._guard:
            if self.lost is None:
                text = excerpt if excerpt is not None else "\n".join(list(self._lines)[-20:])
                self.lost = GuestLost(verdict, message, text)
        self.ended.set()
        self.on_end()
        return self.lost

    def qemu_log(self) -> str:
        """What QEMU itself had to say."""
        try:
            return (self._folder / LOG_FILE).read_text(errors="replace")
        except OSError:
            return ""

    @property
    def qemu_crashed(self) -> bool:
        """Whether QEMU itself crashed, by a signal that only a defect of its own sends."""
        return self.ended.is_set() and self._exit_code() in CRASHES

    def _exit_code(self) -> str:
        # The supervisor writes it a moment after the console closes.
        for _ in range(20):
            try:
                return (self._folder / EXIT_FILE).read_text()
            except OSError:
                time.sleep(0.05)
        return "unknown"

    def _around(self, at: int) -> str:
        with self._guard:
            first = max(0, len(self._lines) - (self._count - at) - 1 - EXCERPT_BEFORE)
            return "\n".join(list(self._lines)[first : first + EXCERPT_LINES])

    def tail(self, lines: int) -> str:
        """The last lines."""
        with self._guard:
            return "\n".join(list(self._lines)[-lines:])
