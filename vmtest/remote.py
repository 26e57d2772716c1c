# SPDX-License-Identifier: GPL-2.0-only
"""Commands in a guest over SSH: separate binary-safe streams, true exit codes, and never a result from a lost guest."""

from __future__ import annotations

import itertools
import logging
import shlex
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import paramiko

from .arrange import entering
from .clock import Clock
from .console import Console
from .errors import CommandTimeout, GuestLost, Verdict
from .keys import KeyPair

Sink = Callable[[bytes], object]
JOBS = "/run/vmtest/jobs"
CHUNK = 1 << 16
LOG = "vmtest.ssh"
# What goes wrong is raised; the library's own traces are for who asks for them.
logging.getLogger(LOG).addHandler(logging.NullHandler())
# Least work for an emulated processor; measured.
CIPHERS = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr")
KEY_EXCHANGE = ("curve25519-sha256@libssh.org", "curve25519-sha256")
# How long a lost connection may wait for the console to say why.
WHY_SECONDS = 4.0
# A guest that swaps for its life still gets to start a command in this time, or to answer a question.
START_SECONDS = 60.0
PROBE_SECONDS = 20.0
# A command of a paused guest is looked at this often.
PAUSED_SECONDS = 0.2


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


class Link:
    """The SSH connection to one guest."""

    def __init__(self, console: Console, clock: Clock | None = None) -> None:
        self.clock = clock or Clock()
        self._console = console
        self._transport: paramiko.Transport | None = None
        self._tokens = itertools.count(1)

    def connect(self, port: int, host: bytes, client: KeyPair, timeout: float) -> None:
        """Logs in; the guest must show the host key that it was given.

        Raises:
            GuestLost: no login within ``timeout`` seconds, or another host key.
        """
        deadline = time.monotonic() + timeout
        while True:
            try:
                self._transport = self._login(port, host, client, max(1.0, deadline - time.monotonic()))
                return
            except (OSError, EOFError, paramiko.SSHException) as error:
                refused = isinstance(error, paramiko.AuthenticationException)
                if self._console.lost or refused or time.monotonic() > deadline:
                    raise self._console.lost or self._console.give_up(
                        Verdict.LOGIN_FAILED, f"SSH login on 127.0.0.1:{port} failed: {error or type(error).__name__}"
                    ) from error
                time.sleep(0.1)

    @staticmethod
    def _login(port: int, host: bytes, client: KeyPair, timeout: float) -> paramiko.Transport:
        sock = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        transport = paramiko.Transport(sock)
        transport.set_log_channel(LOG)
        transport.banner_timeout = transport.auth_timeout = transport.handshake_timeout = timeout
        try:
            options = transport.get_security_options()
            options.ciphers = [name for name in CIPHERS if name in options.ciphers]
            options.kex = [name for name in KEY_EXCHANGE if name in options.kex]
            transport.start_client(timeout=timeout)
            if transport.get_remote_server_key().asbytes() != host:
                raise paramiko.AuthenticationException("another machine answered: its host key is not this guest's")
            transport.auth_publickey("root", client.key)
        except BaseException:
            transport.close()
            raise
        return transport

    @property
    def alive(self) -> bool:
        """Whether the connection stands."""
        return self._transport is not None and self._transport.is_active()

    def close(self) -> None:
        """Ends the connection; what still waits on it wakes up."""
        if self._transport:
            self._transport.close()

    def lost(self) -> GuestLost:
        """Why the connection is gone: the console's verdict, which may take a moment."""
        self._console.ended.wait(WHY_SECONDS)
        return self._console.lost or self._console.give_up(
            Verdict.HUNG, "the SSH connection was lost and the console says nothing"
        )

    def need_running(self) -> None:
        """Raises RuntimeError while the guest is paused: nothing would come of what is asked of it."""
        if self.clock.stopped:
            raise RuntimeError("the guest is paused; call resume() first")

    def answers(self, patience: float | None = None) -> bool:
        """Whether the guest still runs a command, and ends it within so many seconds."""
        limit = PROBE_SECONDS if patience is None else patience
        try:
            return self.start("true", {}, patience=limit).wait(limit).returncode == 0
        except (CommandTimeout, GuestLost):
            return False

    def start(
        self,
        command: str | Sequence[str],
        env: Mapping[str, str],
        cwd: str | None = None,
        stdin: Iterable[bytes] | None = None,
        stdout: Sink | None = None,
        stderr: Sink | None = None,
        patience: float | None = None,
        cgroup: str = "",
    ) -> Process:
        """Starts a command, within ``patience`` seconds (default: a minute).

        Raises:
            GuestLost: there is no guest any more.
            RuntimeError: the guest is paused.
        """
        self.need_running()
        token = f"{next(self._tokens)}"
        try:
            if self._transport is None:
                raise EOFError
            channel = self._transport.open_session(timeout=patience or START_SECONDS)
            channel.exec_command(script(command, token, env, cwd, cgroup))
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.need_running()
            if self._console.lost is None and self.alive:
                raise self._console.give_up(Verdict.HUNG, f"no new command could be started: {error}") from error
            raise self.lost() from error
        return Process(self, channel, command, token, stdin, stdout, stderr)

    def terminal(
        self, command: Sequence[str], env: Mapping[str, str], kind: str, columns: int, lines: int, cwd: str | None
    ) -> paramiko.Channel:
        """Starts a command on a terminal of its own in the guest.

        Raises:
            GuestLost: there is no guest any more.
        """
        lead = [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
        lead += [f"cd {shlex.quote(cwd)} || exit 126"] if cwd else []
        try:
            if self._transport is None:
                raise EOFError
            channel = self._transport.open_session(timeout=START_SECONDS)
            channel.get_pty(kind, columns, lines)
            # Not exec: this shell turns death by a signal into 128+n, for which SSH would report no code.
            channel.exec_command("\n".join([*lead, "trap : INT QUIT", shlex.join(command), "exit $?"]))
            return channel
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self.lost() from error


def script(command: str | Sequence[str], token: str, env: Mapping[str, str], cwd: str | None, cgroup: str = "") -> str:
    """The shell text that runs a command in the guest.

    The shell stays beside the command, as leader of its process group: it turns death by a signal into 128+n (SSH would
    report no code), and its number is the way to signal the group. It says nothing about that death on standard error:
    the command is in a subshell because redirections of anything else are the shell's own while it waits.
    """
    words = f"sh -c {shlex.quote(command)}" if isinstance(command, str) else shlex.join(command)
    lines = [f"echo $$ >{JOBS}/{token}", "trap : HUP INT QUIT TERM USR1 USR2"]
    lines += [f"export {name}={shlex.quote(value)}" for name, value in env.items()]
    if cwd:
        lines.append(f"cd {shlex.quote(cwd)} || exit 126")
    # Only the command: its shell is to tell how it ended, also when the group's limit kills.
    enter = entering(cgroup)
    lines += ["exec 3>&2 2>/dev/null", f"({enter}exec {words}) 2>&3 3>&-", f"code=$?; rm -f {JOBS}/{token}; exit $code"]
    return "\n".join(lines)


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

    @staticmethod
    def _read(receive: Callable[[int], bytes], sink: Sink) -> None:
        while True:
            try:
                data = receive(CHUNK)
            except OSError:
                return
            if not data:
                return
            sink(data)

    def _feed(self, stdin: Iterable[bytes] | None) -> None:
        try:
            for data in stdin or ():
                self._channel.sendall(data)
            self._channel.shutdown_write()
        except OSError:
            pass  # the command ended without reading all of it, as commands may

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
        self._link.start(kill, {}).wait(START_SECONDS)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)
