# SPDX-License-Identifier: GPL-2.0-only
"""Watches a guest's serial console from its first byte to QEMU's end, and reports at once when the guest is lost."""

from __future__ import annotations

import contextlib
import signal
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Collection
from pathlib import Path
from typing import BinaryIO

import pexpect
import psutil
from pexpect import fdpexpect

from ..errors import GuestLost, Verdict
from ..patterns import BEGINNINGS, EMULATION, FIRST_PROGRAM, POWER_DOWN, READY, TSC_DETECTED, classify, noteworthy
from ..terminal import visible
from .supervisor import EXIT_FILE, LOG_FILE, PID_FILE

CRASHES = {str(-number) for number in (signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE)}
KEPT_LINES = 5000
TICK_SECONDS = 0.25
# After the fatal line, more of the report is waited for this long; QEMU usually ends at once.
REPORT_SECONDS = 1.5
EXCERPT_BEFORE = 3
EXCERPT_LINES = 40
# A report's telling line may come at its end: an OOM killer first lists the tasks.
BEGINNING_WITHIN = 120
# A guest that is emulated on a busy host may measure its clock while it stands still: 91 MHz where 2300 are right, and
# the seconds it counts run away. The host's own figure follows its power saving, so only what is far off is wrong.
CLOCK_FACTOR = 4
# QEMU that was stopped for this long will get no SIGCONT any more.
STOPPED_SECONDS = 2.0


class _Log:
    """A file for every byte that is read. A full disk loses the log, not the guest."""

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("wb", buffering=0)
        self.flush = self._stream.flush
        self.close = self._stream.close

    def write(self, data: bytes) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(data)


class Console(threading.Thread):
    """Reads the console all the time, keeps its last lines and the first reason to give the guest up.

    Attributes:
        ready: set when the guest has printed that its SSH server listens.
        ended: set when the guest is lost; ``lost`` has the reason.
        on_end: called once the guest is lost, so that threads that wait for it wake up.
        warnings: lines that do not end a guest but matter (what is tolerated, what setup could not do).
        last_byte: when the last byte came, on the monotonic clock.
    """

    def __init__(
        self, sock: socket.socket, directory: Path, *, log: Path | None = None, tolerate: Collection[Verdict] = ()
    ) -> None:
        """Args:
        sock: the console's end here.
        directory: the run directory, where the supervisor writes of QEMU.
        log: a file that gets every byte; None keeps the last lines only.
        tolerate: verdicts that are noted and end nothing.
        """
        super().__init__(name="vmtest-console", daemon=True)
        self._sock = sock
        self._directory = directory
        self._log = _Log(log) if log else None
        self._tolerate = frozenset(tolerate)
        self._stopped: float | None = None
        self._lines: deque[str] = deque(maxlen=KEPT_LINES)
        self._fatal: tuple[Verdict, str, float, int] | None = None
        self._count = 0
        self._expected: dict[str, threading.Event] = {}
        self._powered_down = False
        self._clock_wrong = False
        self._kernel_only = True
        self._guard = threading.Lock()
        self.ready = threading.Event()
        self.ended = threading.Event()
        self.lost: GuestLost | None = None
        self.warnings: list[str] = []
        self.last_byte = time.monotonic()
        self.on_end: Callable[[], object] = lambda: None

    def recall(self, earlier: bytes) -> None:
        """What the console had shown before, of a guest that goes on from a snapshot; call it before ``start()``."""
        lines = [visible(line.rstrip("\r")) for line in earlier.decode(errors="replace").split("\n")]
        self._lines.extend(line for line in lines if line)
        self._count = len(self._lines)
        self._kernel_only = False
        if self._log:
            self._log.write(earlier)

    def run(self) -> None:
        """The thread."""
        stream = fdpexpect.fdspawn(self._sock.fileno(), timeout=TICK_SECONDS, maxread=1 << 16)
        stream.logfile_read = self._log
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
                    self._look_whether_stopped()
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
        finally:
            if self._log:
                self._log.close()

    def _line(self, raw: bytes | str | None) -> None:
        assert isinstance(raw, bytes)
        # Excerpts and warnings are shown to people; the log has every byte as it came.
        line = visible(raw.decode(errors="replace").rstrip("\r"))
        if not line:
            return
        with self._guard:
            self._lines.append(line)
            self._count += 1
            for text in [text for text in self._expected if text in line]:
                self._expected.pop(text).set()
        if READY.search(line):
            self.ready.set()
        if FIRST_PROGRAM.search(line):
            self._kernel_only = False
        if POWER_DOWN.search(line):
            self._powered_down = True
        if self._fatal is None and (match := TSC_DETECTED.search(line)):
            self._look_at_clock(float(match[1]))
        verdict = classify(line)
        if verdict is not None and verdict not in self._tolerate:
            # The first line that matches decides: an oops turned into a panic stays an oops.
            if self._fatal is None:
                self._fatal = (verdict, line, time.monotonic(), self._count)
        elif verdict is not None or noteworthy(line):
            self.warnings.append(line)

    def _look_at_clock(self, measured: float) -> None:
        frequency = psutil.cpu_freq()
        if frequency is not None and measured * CLOCK_FACTOR < frequency.current:
            what = f"the guest measured its clock at {measured:g} MHz, the host's has {frequency.current:.0f}"
            self._clock_wrong = True
            self._fatal = (Verdict.EMULATION_FAILURE, what, time.monotonic() - REPORT_SECONDS, self._count)

    def _look_whether_stopped(self) -> None:
        # A stopped process looks healthy from every other side.
        if self._fatal:
            return
        try:
            pid = int((self._directory / PID_FILE).read_text())
            state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        except (OSError, ValueError, IndexError):
            state = ""
        if state != "T":
            self._stopped = None
        elif self._stopped is None:
            self._stopped = time.monotonic()
        elif time.monotonic() - self._stopped > STOPPED_SECONDS:
            what = f"QEMU (process {pid}) was stopped with a signal"
            # Nothing more can come: no need to wait for the rest of a report.
            self._fatal = (Verdict.QEMU_STOPPED, what, time.monotonic() - REPORT_SECONDS, self._count)

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
        """QEMU's own messages."""
        try:
            return (self._directory / LOG_FILE).read_text("utf-8", errors="replace")
        except OSError:
            return ""

    @property
    def qemu_crashed(self) -> bool:
        """Whether QEMU itself crashed, by a signal that only a defect of its own sends."""
        return self.ended.is_set() and self._exit_code() in CRASHES

    @property
    def clock_wrong(self) -> bool:
        """Whether the guest was given up because emulation let it measure its clock wrongly."""
        return self._clock_wrong

    @property
    def kernel_only(self) -> bool:
        """Whether the guest's kernel has not started a program yet."""
        return self._kernel_only

    def _exit_code(self) -> str:
        # The supervisor writes it a moment after the console closes; the file is empty for an instant.
        for _ in range(20):
            with contextlib.suppress(OSError):
                if code := (self._directory / EXIT_FILE).read_text():
                    return code
            time.sleep(0.05)
        return "unknown"

    def _around(self, at: int) -> str:
        with self._guard:
            lines = list(self._lines)
        found = max(0, len(lines) - (self._count - at) - 1)
        first = max(0, found - EXCERPT_BEFORE)
        for index in range(found - 1, max(-1, found - BEGINNING_WITHIN - 1), -1):
            if BEGINNINGS.search(lines[index]):
                if found - index > EXCERPT_LINES:
                    return "\n".join([*lines[index : index + 5], "...", *lines[found - 5 : found + EXCERPT_LINES - 10]])
                first = index
                break
        return "\n".join(lines[first : max(found + EXCERPT_LINES - EXCERPT_BEFORE, first)])

    def expect(self, text: str) -> threading.Event:
        """An event that is set once a line has the text; ask before it can come."""
        with self._guard:
            return self._expected.setdefault(text, threading.Event())

    @property
    def doomed(self) -> bool:
        """Whether a line has come that ends the guest; ``ended`` follows with the rest of its report."""
        return self._fatal is not None

    @property
    def powered_down(self) -> bool:
        """Whether the kernel has printed that it switches off or restarts."""
        return self._powered_down

    def type(self, data: bytes) -> None:
        """Sends bytes to the guest's serial line."""
        self._sock.sendall(data)

    def tail(self, lines: int) -> str:
        """The last lines."""
        with self._guard:
            return "\n".join(list(self._lines)[-lines:])
