# SPDX-License-Identifier: GPL-2.0-only
"""A thread for each client of a socket, up to a number of them."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from damon.trace.listener import Listener


class ClientThreads:
    """Serves each connection in a thread of its own until ``close()``.

    Args:
        where: a bound socket, or the path of one that only the own user can connect to.
        talk: serves a connection, which is closed when it returns or raises ``OSError``; has to bound every wait.
        most: connections at the same time.
        full: sent to one too many, which is closed at once.
        name: of the accepting thread, and in the log.
        thread: name of the threads of clients.

    Raises:
        OSError: the socket cannot be made, or not be listened at.
    """

    def __init__(
        self,
        where: Path | socket.socket,
        talk: Callable[[socket.socket], None],
        most: int,
        full: bytes,
        name: str,
        thread: str,
    ) -> None:
        self._talk, self._most, self._full, self._thread = talk, most, full, thread
        self._lock = threading.Lock()
        self._clients: set[socket.socket] = set()
        self._closing = False
        self._listener = Listener(where, self._accepted, name)

    def _accepted(self, client: socket.socket) -> None:
        with self._lock:
            taken = len(self._clients) < self._most and not self._closing
            if taken:
                self._clients.add(client)
        if not taken:
            with client, suppress(OSError):
                client.setblocking(False)
                client.send(self._full)
            return
        try:
            threading.Thread(target=self._serve, args=(client,), name=self._thread, daemon=True).start()
        except BaseException:
            self._forget(client)
            raise

    def _forget(self, client: socket.socket) -> None:
        with self._lock:
            self._clients.discard(client)

    def _serve(self, client: socket.socket) -> None:
        try:
            with client, suppress(OSError):
                self._talk(client)
        finally:
            self._forget(client)

    def close(self) -> None:
        """Accept no more, and let all clients go; one that waits finds its connection ended."""
        with self._lock:
            self._closing = True
            clients = list(self._clients)
        self._listener.close()
        for client in clients:
            with suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)
