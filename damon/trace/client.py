# SPDX-License-Identifier: GPL-2.0-only
"""Reading the stream of trace events. Loads nothing of DAMON."""

from __future__ import annotations

import errno
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final

from damon.errors import DamonError, InvalidInput

#: Environment variable with the path of the stream's socket.
SOCKET_VARIABLE: Final = "DAMON_TRACE_SOCKET"
_CONNECT_S: Final = 10.0
_FAREWELL_S: Final = 5.0
_ANSWER_BYTES: Final = 1 << 16


def socket_path() -> str:
    """The path of the stream in ``$DAMON_TRACE_SOCKET``; EINVAL when it is empty."""
    path = os.environ.get(SOCKET_VARIABLE, "")
    if not path:
        raise InvalidInput(f"${SOCKET_VARIABLE}: is not set; run this below `damon exec`, or set it to damond's socket")
    return path


def connect(unconnected: socket.socket, path: str, seconds: float) -> None:
    """Connect to the Unix socket ``path``; every later use of ``unconnected`` waits for ``seconds`` at most as well.

    Raises:
        OSError: no process listens there; EAGAIN when its backlog was full all the time.
    """
    unconnected.settimeout(seconds)
    end = time.monotonic() + seconds
    while True:
        try:
            unconnected.connect(path)
            return
        except BlockingIOError:  # many connect at this moment
            if time.monotonic() > end:
                raise
            time.sleep(0.01)


class TraceClient:
    """A connection to the stream at ``path``; iterate over it for the lines, without their ends.

    Args:
        events: names with or without ``damon:``; none means all.
        form: ``script`` or ``json``.

    Raises:
        DamonError: no server listens there.
        InvalidInput: the request was refused, e.g. there is no such event.
    """

    def __init__(self, path: str, events: Iterable[str] = (), form: str = "script") -> None:
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            connect(self._socket, path, _CONNECT_S)
            self._file = self._socket.makefile("rb")
            self._socket.sendall(f"damon-trace 1 {form} {','.join(events) or 'all'}\n".encode())
            answer = self._file.readline(_ANSWER_BYTES).decode(errors="replace").rstrip("\n")
            self._socket.settimeout(None)
        except OSError as error:
            self._socket.close()
            raise DamonError(
                error.errno or errno.ETIMEDOUT,  # a time-out of the socket has none
                f"trace events: {path!r}: {error.strerror or error}; start damond",
            ) from None
        if answer != "ok":
            self.close()
            raise InvalidInput(
                answer.removeprefix("error ")
                or f"trace events: {path!r}: the connection ended at once; read the log of damond"
            )

    def finish(self) -> None:
        """Ask for no more; what was on its way still comes, then the lines end. May be called in a signal handler."""
        try:
            self._socket.shutdown(socket.SHUT_WR)
            self._socket.settimeout(_FAREWELL_S)
        except OSError:
            pass  # the other side was faster

    def bunches(self) -> Iterator[list[str]]:
        """The lines as they come, some at a time. A line that was cut off at the end is left out."""
        rest = b""
        try:
            while data := self._file.read1(1 << 16):
                *lines, rest = (rest + data).split(b"\n")
                if lines:
                    yield [line.decode(errors="replace") for line in lines]
        except (TimeoutError, ConnectionError):
            return

    def __iter__(self) -> Iterator[str]:
        for lines in self.bunches():
            yield from lines

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@contextmanager
def until_signal(path: str, events: Iterable[str] = (), form: str = "script") -> Iterator[TraceClient]:
    """A client that SIGINT, SIGTERM and SIGHUP finish in order, from before it connects until it is closed.

    For main threads. Raises what ``TraceClient`` does.
    """
    asked = False
    client: TraceClient | None = None

    def finish(number: int, frame: object) -> None:
        nonlocal asked
        asked = True
        if client is not None:
            client.finish()

    old = {number: signal.signal(number, finish) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    try:
        client = TraceClient(path, events, form)
        if asked:
            client.finish()
        yield client
    finally:
        if client is not None:
            client.close()
        for number, handler in old.items():
            signal.signal(number, handler)
