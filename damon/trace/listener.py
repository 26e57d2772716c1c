# SPDX-License-Identifier: GPL-2.0-only
"""Sockets that a service listens at: one thread accepts, and nothing but ``close()`` ends it. Lines that a peer sends
are bounded in length and time.
"""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger("damon.listener")

#: Waiting times after a connection that could not be accepted: the first, and the longest.
BACK_OFF_S: Final = (0.01, 1.0)


def bound_at(path: str) -> socket.socket:
    """A Unix socket at ``path``, where nothing is, that only the own user can connect to.

    Raises:
        OSError: it cannot be made there.
    """
    made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        os.fchmod(made.fileno(), 0o600)  # what bind() makes has this mode, without a look at the umask
        made.bind(path)
    except BaseException:
        made.close()
        raise
    return made


class Listener:
    """Accepts connections at a socket until ``close()``.

    Running out of descriptors or memory (EMFILE, ENFILE, ENOBUFS, ENOMEM), or of threads, costs the connection that
    cannot be served and a pause. Connections wait in the backlog meanwhile.

    Args:
        where: a bound socket, or the path of one that is made (``bound_at``). A path is removed in the end.
        accepted: takes over a connection, in the accepting thread: must not wait for its peer.
        name: of the thread, and of the service in the log.
        backlog: connections that wait to be accepted at most.

    Raises:
        OSError: the socket cannot be made there.
    """

    def __init__(
        self, where: str | Path | socket.socket, accepted: Callable[[socket.socket], None], name: str,
        backlog: int = 128,
    ) -> None:  # fmt: skip
        self._accepted, self._name = accepted, name
        self._closed = threading.Event()
        self._pause_s = 0.0
        self._socket = where if isinstance(where, socket.socket) else bound_at(os.fspath(where))
        self._path = self._socket.getsockname() if self._socket.family is socket.AF_UNIX else None
        try:
            self._socket.listen(backlog)
            threading.Thread(target=self._run, name=name, daemon=True).start()
        except BaseException:
            self._socket.close()
            raise

    @property
    def closed(self) -> bool:
        return self._closed.is_set()

    def close(self) -> None:
        """Accept no more, and remove the socket. Safe to call twice."""
        if self._closed.is_set():
            return
        self._closed.set()
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)  # wakes accept()
        self._socket.close()
        if self._path is not None:
            with suppress(FileNotFoundError):
                os.unlink(self._path)

    def _run(self) -> None:
        while not self._closed.is_set():
            try:
                connection, _ = self._socket.accept()
            except OSError as error:
                self._failed(error)
                continue
            try:
                self._accepted(connection)
            except (OSError, RuntimeError, MemoryError) as error:  # RuntimeError: no thread can be started
                connection.close()
                self._failed(error)
            else:
                self._pause_s = 0.0

    def _failed(self, error: Exception) -> None:
        if self._closed.is_set():
            return
        if not self._pause_s:  # once for each such time
            log.warning("%s: a connection was not accepted: %s; trying again", self._name, error)
        first, longest = BACK_OFF_S
        self._pause_s = min(max(2 * self._pause_s, first), longest)
        self._closed.wait(self._pause_s)


class LineTooLong(ValueError):
    """A peer has sent more than a line may have."""


class Lines:
    """Reads lines from ``connection``. Every wait is bounded.

    Args:
        limit: bytes of a line, its end included.
        whole_s: time from a line's first byte to its last.
    """

    def __init__(self, connection: socket.socket, limit: int, whole_s: float) -> None:
        self._connection, self._limit, self._whole_s = connection, limit, whole_s
        self._waiting = bytearray()

    def next(self, idle_s: float) -> bytes | None:
        """The next line with its end; None when the peer has ended. A line that it left unfinished is dropped.

        Args:
            idle_s: how long to wait for a line to begin.

        Raises:
            TimeoutError: it did not begin, or did not end, in time.
            LineTooLong: it has more than ``limit`` bytes.
        """
        seen, deadline = 0, time.monotonic() + (self._whole_s if self._waiting else idle_s)
        while True:
            end = self._waiting.find(b"\n", seen) + 1
            if (end or len(self._waiting)) > self._limit:
                raise LineTooLong(f"a line has more than {self._limit} bytes")
            if end:
                line = bytes(self._waiting[:end])
                del self._waiting[:end]
                return line
            seen = len(self._waiting)
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError("no whole line came in time")
            self._connection.settimeout(left)
            data = self._connection.recv(1 << 16)
            if not data:
                return None
            if not self._waiting:
                deadline = time.monotonic() + self._whole_s
            self._waiting += data
