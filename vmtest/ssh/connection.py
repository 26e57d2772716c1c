# SPDX-License-Identifier: GPL-2.0-only
"""The SSH connection to a guest. A lost connection is a lost guest, never a result."""

from __future__ import annotations

import itertools
import logging
import shlex
import socket
import time
from collections.abc import Mapping, Sequence

import paramiko

from ..errors import GuestLost, Verdict
from ..patience import START_SECONDS, WHY_SECONDS, patient
from ..qemu.clock import Clock
from ..qemu.console import Console
from .keys import KeyPair

LOG = "vmtest.ssh"
# What goes wrong is raised; the library's own traces are for who asks for them.
logging.getLogger(LOG).addHandler(logging.NullHandler())
# Least work for an emulated processor; measured.
CIPHERS = ("aes128-gcm@openssh.com", "chacha20-poly1305@openssh.com", "aes128-ctr")
KEY_EXCHANGE = ("curve25519-sha256@libssh.org", "curve25519-sha256")


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
            Verdict.HUNG, "the SSH connection was lost and the console shows no reason"
        )

    def token(self) -> str:
        """A name for a command, unique in its guest."""
        return f"{next(self._tokens)}"

    def execute(self, text: str, patience: float | None = None) -> paramiko.Channel:
        """Starts shell text, within ``patience`` seconds (default: a minute).

        Raises:
            GuestLost: there is no guest any more.
            RuntimeError: the guest is paused.
        """
        self.clock.need_running()
        try:
            if self._transport is None:
                raise EOFError
            channel = self._transport.open_session(timeout=patience or patient(START_SECONDS))
            channel.exec_command(text)
            return channel
        except (OSError, EOFError, paramiko.SSHException) as error:
            self.clock.need_running()
            if self._console.lost is None and self.alive:
                raise self._console.give_up(Verdict.HUNG, f"no new command could be started: {error}") from error
            raise self.lost() from error

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
            channel = self._transport.open_session(timeout=patient(START_SECONDS))
            channel.get_pty(kind, columns, lines)
            # Not exec: this shell turns death by a signal into 128+n, for which SSH would report no code.
            channel.exec_command("\n".join([*lead, "trap : INT QUIT", shlex.join(command), "exit $?"]))
            return channel
        except (OSError, EOFError, paramiko.SSHException) as error:
            raise self.lost() from error
