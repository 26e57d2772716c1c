# SPDX-License-Identifier: GPL-2.0-only
"""HTTP for one WSGI application, for clients that may be hostile: one request a connection, everything bounded.

wsgiref parses the request and writes the answer, both in memory. What comes from the network before that is read
here, up to ``MAX_HEAD`` bytes and ``HEAD_S`` seconds. A body is not read.
"""

from __future__ import annotations

import logging
import socket
import time
from io import BytesIO, StringIO
from typing import TYPE_CHECKING, Any, Final
from wsgiref.simple_server import WSGIRequestHandler

from damon.damond.clients import ClientThreads

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

log = logging.getLogger("damon.damond")

#: Bytes of a request up to the empty line that ends its headers.
MAX_HEAD: Final = 8192
#: From the connection to the last of these bytes.
HEAD_S: Final = 5.0
#: For a client to take the answer.
ANSWER_S: Final = 10.0
#: Connections at the same time.
MAX_CLIENTS: Final = 8
_PLAIN: Final = "Content-Type: text/plain; charset=utf-8\r\nConnection: close\r\n"


class _Place:
    """What wsgiref needs of a server."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app
        self.base_environ = {"SERVER_NAME": "damond", "SERVER_PORT": "", "SCRIPT_NAME": "", "CONTENT_LENGTH": ""}

    def get_app(self) -> WSGIApplication:
        return self._app


class _Request(WSGIRequestHandler):
    """One request, from memory to memory."""

    server_version, sys_version = "damond", ""

    def __init__(self, head: bytes, app: WSGIApplication) -> None:
        self._head, self.answer = head, BytesIO()
        nowhere: Any = None
        place: Any = _Place(app)
        super().__init__(nowhere, ("", 0), place)

    def setup(self) -> None:
        self.rfile, self.wfile = BytesIO(self._head), self.answer

    def finish(self) -> None:
        """There is nothing to flush."""

    def get_stderr(self) -> Any:
        return StringIO()  # wsgiref's tracebacks; the application has logged its own

    def address_string(self) -> str:
        return ""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        super().send_error(code)  # without what the client sent

    def log_message(self, format: str, *args: Any) -> None:
        """What clients send is not logged."""


def respond(app: WSGIApplication, head: bytes) -> bytes:
    """The whole answer to the request ``head``, whatever it is."""
    return _Request(head, app).answer.getvalue() or refusal("400 Bad Request", "not a request of HTTP")


def refusal(status: str, text: str) -> bytes:
    """An answer without the application."""
    body = f"{text}\n".encode()
    return f"HTTP/1.0 {status}\r\n{_PLAIN}Content-Length: {len(body)}\r\n\r\n".encode() + body


class HeadTooLong(ValueError):
    """The headers of a request have more than ``MAX_HEAD`` bytes."""


def read_head(client: socket.socket) -> bytes:
    """The request line and headers; empty when the client ends before.

    Raises:
        TimeoutError: they did not come in ``HEAD_S``.
        HeadTooLong: they have more than ``MAX_HEAD`` bytes.
    """
    head, end = b"", time.monotonic() + HEAD_S
    while b"\r\n\r\n" not in head and b"\n\n" not in head:
        if len(head) >= MAX_HEAD:
            raise HeadTooLong
        left = end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        client.settimeout(left)
        data = client.recv(MAX_HEAD - len(head))
        if not data:
            return b""
        head += data
    return head


class HttpServer:
    """Serves ``app`` at ``bound`` until ``close()``.

    Args:
        bound: a bound socket, which is closed in the end.
        app: called in a thread of each connection, of which there are at most ``MAX_CLIENTS``.
        name: of the threads, and in the log.
    """

    def __init__(self, bound: socket.socket, app: WSGIApplication, name: str) -> None:
        self._app = app
        full = refusal("503 Service Unavailable", f"{MAX_CLIENTS} clients are connected; try again")
        self._clients = ClientThreads(bound, self._talk, MAX_CLIENTS, full, name, f"{name}-client")

    def _talk(self, client: socket.socket) -> None:
        answer = self._answer(client)
        client.settimeout(ANSWER_S)
        client.sendall(answer)

    def _answer(self, client: socket.socket) -> bytes:
        try:
            head = read_head(client)
            return respond(self._app, head) if head else b""
        except TimeoutError:
            return refusal("408 Request Timeout", f"no whole request came within {HEAD_S:g} s")
        except HeadTooLong:
            return refusal("431 Request Header Fields Too Large", f"a request has {MAX_HEAD} bytes at most")
        except Exception:
            log.exception("request of HTTP")
            return refusal("500 Internal Server Error", "an unexpected error; read the log of damond")

    def close(self) -> None:
        """Accept no more, and end all connections."""
        self._clients.close()
