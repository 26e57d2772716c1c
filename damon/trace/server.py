# SPDX-License-Identifier: GPL-2.0-only
"""The stream of trace events on a Unix socket (docs/reference/tracing.md has the protocol).

The worker only puts events into a client's queue; turning them into text and sending is done by the client's threads.
A client that reads too slowly loses events, learns how many, and delays no other client.
"""

from __future__ import annotations

import contextlib
import errno
import os
import socket
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from damon.core.events import EVENTS
from damon.core.trace import Trace, TraceEvent, TraceQueue
from damon.errors import DamonError, InvalidInput
from damon.quoting import quoted
from damon.trace.listener import Lines, LineTooLong, Listener
from damon.trace.text import FORMS, lost_line

MAX_CLIENTS: Final = 64
_REQUEST_BYTES: Final = 4096
_REQUEST_S: Final = 10.0  # a client sends its request within this time
_GATHER_S: Final = 0.02  # events go out in bunches
_CHUNK: Final = 1 << 16
_FAREWELL_S: Final = 2.0


class TraceServer:
    """Hands ``trace`` to clients that connect to ``path``, from ``start()`` to ``close()``.

    Args:
        trace: ``Damon.trace``.
        path: of the socket, which is for its owner only. One left behind by a server that was killed is replaced.
        capacity: events that wait for one client at most.
    """

    def __init__(self, trace: Trace, path: str | Path, capacity: int = 1 << 18) -> None:
        self._trace, self._path, self._capacity = trace, os.fspath(path), capacity
        self._listener: Listener | None = None
        self._clients: dict[_Client, None] = {}
        self._refused: set[_Client] = set()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Listen.

        Raises:
            DamonError: EADDRINUSE when another server listens there.
            InvalidInput: the path is too long for a socket, or something else is there.
            OSError: the socket cannot be made.
        """
        _make_room(self._path)
        with self._lock:  # a client that comes at once finds the listener known
            self._listener = Listener(self._path, self._accepted, "damon-trace", 2 * MAX_CLIENTS)

    def close(self) -> None:
        """Send what waits, to clients that read it, and end every connection. Safe to call twice."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        listener.close()
        with self._lock:
            clients = list(self._clients)
        deadline = time.monotonic() + _FAREWELL_S
        for client in clients:
            client.end(max(deadline - time.monotonic(), 0))

    def __enter__(self) -> TraceServer:
        self.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def nr_clients(self) -> int:
        with self._lock:  # one that was answered already may just be entered
            return len(self._clients)

    def _accepted(self, connection: socket.socket) -> None:
        with self._lock:
            if self._listener is None:
                connection.close()
                return
            fits = len(self._clients) < MAX_CLIENTS
            if not fits and len(self._refused) == MAX_CLIENTS:  # so many are being refused already
                connection.close()
                return
            client = _Client(self._trace if fits else None, connection, self._capacity, self._forget)
            client.start()  # before close() can see it, which waits for its end
            if fits:
                self._clients[client] = None
            else:
                self._refused.add(client)

    def _forget(self, client: _Client) -> None:
        with self._lock:
            self._clients.pop(client, None)
            self._refused.discard(client)


class _Client:
    """One connection: a thread that listens for its end, and one that sends. Without ``trace`` it is refused."""

    def __init__(
        self, trace: Trace | None, connection: socket.socket, capacity: int, ended: Callable[[_Client], None]
    ) -> None:
        self._trace, self._connection, self._capacity, self._ended = trace, connection, capacity, ended
        self._queue: TraceQueue | None = None
        self._thread = threading.Thread(target=self._run, name="damon-trace", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self, patience_s: float) -> None:
        """From another thread."""
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RD)  # as if the client had done so
        self._thread.join(patience_s)
        with contextlib.suppress(OSError):
            self._connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(_FAREWELL_S)

    def _run(self) -> None:
        try:
            with self._connection:
                self._serve()
        except (OSError, RuntimeError):
            pass  # the client is gone, or there can be no more threads
        finally:
            self._ended(self)

    def _serve(self) -> None:
        try:
            form, self._queue = self._subscribe(self._request())
        except InvalidInput as error:
            self._connection.sendall(f"error {error.strerror}\n".encode())
            return
        sender = threading.Thread(target=self._send, args=(form, self._queue), name="damon-trace", daemon=True)
        try:
            self._connection.sendall(b"ok\n")
            sender.start()
            while self._connection.recv(_REQUEST_BYTES):
                pass  # what a client sends now means nothing
        finally:
            self._queue.close()
            if sender.ident is not None:
                sender.join()

    def _request(self) -> str:
        try:
            request = Lines(self._connection, _REQUEST_BYTES, _REQUEST_S).next(_REQUEST_S)
        except LineTooLong:
            request = None
        if request is None:
            raise InvalidInput("request: is not a line; send 'damon-trace 1 FORM EVENT,EVENT...'")
        self._connection.settimeout(None)
        return request.decode(errors="replace")

    def _subscribe(self, request: str) -> tuple[str, TraceQueue]:
        words = request.split()
        if len(words) != 4 or words[0] != "damon-trace":
            raise InvalidInput(f"request: {quoted(request)}: is unknown; send 'damon-trace 1 FORM EVENT,EVENT...'")
        _, version, form, events = words
        if version != "1":
            raise InvalidInput(f"version: {quoted(version)}: is unknown; use 1")
        if form not in FORMS:
            raise InvalidInput(f"form: {quoted(form)}: is unknown; give one of {', '.join(FORMS)}")
        if self._trace is None:
            raise InvalidInput(f"clients: {MAX_CLIENTS}: no more can connect; end one")
        return form, self._trace.queue(EVENTS if events == "all" else events.split(","), self._capacity)

    def _send(self, form: str, queue: TraceQueue) -> None:
        reported = 0
        try:
            while True:
                last = queue.closed
                for chunk in _chunks(form, queue.drain(timeout=None)):
                    self._connection.sendall(chunk)
                lost = queue.lost  # looked at once: more may be lost while this is sent
                if lost > reported:
                    self._connection.sendall(f"{lost_line(form, lost - reported)}\n".encode())
                    reported = lost
                if last:
                    return
                time.sleep(_GATHER_S)
        except OSError:
            queue.close()
            with contextlib.suppress(OSError):
                self._connection.shutdown(socket.SHUT_RDWR)


def _chunks(form: str, events: list[TraceEvent]) -> Iterator[bytes]:
    """The lines of ``events``, in pieces of some size."""
    lines, size = [], 0
    for event in events:
        for line in FORMS[form](event):
            lines.append(line)
            size += len(line)
            if size >= _CHUNK:
                yield "".join(f"{line}\n" for line in lines).encode()
                lines, size = [], 0
    if lines:
        yield "".join(f"{line}\n" for line in lines).encode()


def _make_room(path: str) -> None:
    """Remove the socket of a server that is gone."""
    if len(os.fsencode(path)) > 107:
        raise InvalidInput(f"socket: {path!r}: is too long; give a path of at most 107 bytes")
    try:
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise InvalidInput(f"socket: {path!r}: exists and is not a socket; give another path")
    except FileNotFoundError:
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            os.unlink(path)
            return
    raise DamonError(errno.EADDRINUSE, f"socket: {path!r}: another process listens there; end it or give another path")
