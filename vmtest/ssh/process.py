# SPDX-License-Identifier: GPL-2.0-only
"""One command in a guest: its streams apart and binary-safe, its true exit code, its signals."""

from __future__ import annotations

import contextlib
import shlex
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..errors import CommandTimeout
from ..patience import START_SECONDS, WHY_SECONDS
from .arrange import entering

if TYPE_CHECKING:
    import paramiko

    from .connection import Link

Sink = Callable[[bytes], object]
JOBS = "/run/vmtest/jobs"
CHUNK = 1 << 16
#: How a connection fails whose other end is gone.
GONE = (OSError, EOFError)
# A command of a paused guest is checked this often.
PAUSED_SECONDS = 0.2


class Enough(Exception):
    """Raised by a sink that takes no more: the command's connection is closed, and it counts as killed."""


@dataclass(frozen=True)
class Result:
    """What a command left: exit code (128+n when signal n ended it) and its two streams."""

    args: str | Sequence[str]
    returncode: int
    stdout: bytes
    stderr: bytes
    seconds: float

    @property
    def text(self) -> str:
        """Standard output as text."""
        return self.stdout.decode(errors="replace")

    @property
    def errors(self) -> str:
        """Standard error as text."""
        return self.stderr.decode(errors="replace")

    def check(self) -> Result:
        """Itself.

        Raises:
            subprocess.CalledProcessError: the exit code is not 0.
        """
        if self.returncode:
            raise subprocess.CalledProcessError(self.returncode, self.args, self.stdout, self.stderr)
        return self


def script(command: str | Sequence[str], token: str, env: Mapping[str, str], cwd: str | None, cgroup: str = "") -> str:
    """The shell text that runs a command in the guest.

    The shell stays beside the command, as leader of its process group: it turns death by a signal into 128+n (SSH would
    report no code), and its number is the way to signal the group. It prints nothing about that death: the command
    is in a subshell because redirections of anything else are the shell's own while it waits.
    """
    words = f"sh -c {shlex.quote(command)}" if isinstance(command, str) else shlex.join(command)
    lines = [f"echo $$ >{JOBS}/{token}", "trap : HUP INT QUIT TERM USR1 USR2"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
    if cwd:
        lines.append(f"cd {shlex.quote(cwd)} || exit 126")
    # Only the command: its shell reports how it ended, also when the group's limit kills.
    enter = entering(cgroup)
    lines += ["exec 3>&2 2>/dev/null", f"({enter}exec {words}) 2>&3 3>&-", f"code=$?; rm -f {JOBS}/{token}; exit $code"]
    return "\n".join(lines)


def start(
    link: Link,
    command: str | Sequence[str],
    env: Mapping[str, str],
    cwd: str | None = None,
    stdin: Iterable[bytes] | None = None,
    stdout: Sink | None = None,
    stderr: Sink | None = None,
    patience: float | None = None,
    cgroup: str = "",
) -> Process:
    """Starts a command; errors and ``patience`` as for :meth:`.Link.execute`."""
    token = link.token()
    channel = link.execute(script(command, token, env, cwd, cgroup), patience)
    return Process(link, channel, command, token, stdin, stdout, stderr)


class Process:
    """A command that runs in the guest."""

    def __init__(
        self,
        link: Link,
        channel: paramiko.Channel,
        args: str | Sequence[str],
        token: str,
        stdin: Iterable[bytes] | None,
        stdout: Sink | None,
        stderr: Sink | None,
    ) -> None:
        self.args = args
        self._link = link
        self._channel = channel
        self._token = token
        self._started = time.monotonic()
        self._ended = self._started
        self._killed_by = 0
        self._stdout = bytearray()
        self._stderr = bytearray()
        self._threads = [
            threading.Thread(target=self._read, args=(channel.recv, stdout or self._stdout.extend), daemon=True),
            threading.Thread(target=self._read, args=(channel.recv_stderr, stderr or self._stderr.extend), daemon=True),
        ]
        for thread in self._threads:
            thread.start()
        threading.Thread(target=self._feed, args=(stdin,), daemon=True).start()

    def _read(self, receive: Callable[[int], bytes], sink: Sink) -> None:
        while True:
            try:
                data = receive(CHUNK)
            except GONE:
                return
            if not data:
                return
            try:
                sink(data)
            except Enough:
                with contextlib.suppress(*GONE):
                    self._channel.close()
                return

    def _feed(self, stdin: Iterable[bytes] | None) -> None:
        try:
            for data in stdin or ():
                self._channel.sendall(data)
            self._channel.shutdown_write()
        except GONE:
            pass  # the command ended without reading all of it, as commands may, or the guest did

    @property
    def stdout(self) -> bytes:
        """What it has written so far (nothing when the caller gave a sink)."""
        return bytes(self._stdout)

    @property
    def stderr(self) -> bytes:
        """What it has written so far (nothing when the caller gave a sink)."""
        return bytes(self._stderr)

    def poll(self) -> int | None:
        """The exit code, or None while it runs.

        Raises:
            GuestLost: the guest is gone.
        """
        if any(thread.is_alive() for thread in self._threads) and self._link.alive:
            return None
        return self._code(0.0 if self._link.alive else WHY_SECONDS)

    def wait(self, timeout: float | None = None) -> Result:
        """Waits for its end and that of its output.

        Args:
            timeout: seconds; None waits as long as the guest lives.

        Raises:
            CommandTimeout: not in time; it still runs (see :meth:`kill`).
            GuestLost: the guest is gone.
        """
        clock = self._link.clock
        deadline = None if timeout is None else clock.now() + timeout
        for thread in self._threads:
            thread.join(None if deadline is None else max(0.0, deadline - clock.now()))
            while thread.is_alive() and deadline is not None and (left := deadline - clock.now()) > 0:
                thread.join(max(left, PAUSED_SECONDS))
        if any(thread.is_alive() for thread in self._threads):
            what = f"command {self._name()} did not end within {timeout or 0:g} s"
            if self._channel.exit_status_ready():
                what += f" (it did, with code {self._channel.exit_status}, but what it started holds its output open)"
            raise CommandTimeout(what, self.stdout, self.stderr)
        self._ended = time.monotonic()
        code = self._code(WHY_SECONDS if deadline is None else max(1.0, deadline - clock.now()))
        if code is None:
            what = f"command {self._name()} closed its output but did not end within {timeout or 0:g} s"
            raise CommandTimeout(what, self.stdout, self.stderr)
        return Result(self.args, code, self.stdout, self.stderr, self._ended - self._started)

    def _code(self, patience: float) -> int | None:
        if not self._channel.status_event.wait(patience) and self._link.alive and not self._channel.closed:
            return None
        if self._channel.exit_status >= 0:
            return self._channel.exit_status
        if not self._link.alive:
            raise self._link.lost()
        # The shell itself was killed. It survives every signal but KILL, so that is what it was.
        return 128 + (self._killed_by or signal.SIGKILL)

    def _name(self) -> str:
        text = self.args if isinstance(self.args, str) else shlex.join(self.args)
        return repr(text if len(text) <= 80 else text[:77] + "...")

    def send_signal(self, number: int) -> None:
        """Sends a signal to the command and all that it started in its process group.

        Raises:
            GuestLost: the guest is gone.
        """
        self._killed_by = number
        kill = f"read pid <{JOBS}/{self._token} && kill -{int(number)} -$pid"
        start(self._link, kill, {}).wait(START_SECONDS)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)
