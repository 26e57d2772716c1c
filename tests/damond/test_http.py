# SPDX-License-Identifier: GPL-2.0-only
"""HTTP for clients that may be hostile: what they send is bounded in bytes, time and number."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from damon.damond import http
from damon.damond.http import MAX_CLIENTS, MAX_HEAD, HttpServer, respond
from damon.trace.listener import bound_at
from tests.waiting import HANG_S, until

GET = b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"


def _app(environ: dict[str, Any], start_response: Callable[..., Any]) -> list[bytes]:
    if environ["PATH_INFO"] == "/broken":
        raise ValueError("broken")
    start_response("200 OK", [("Content-Type", "text/plain")])
    size = int(environ["QUERY_STRING"] or 0)
    return [f"{environ['REQUEST_METHOD']} {environ['PATH_INFO']}\n".encode() + b"x" * size]


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    server = HttpServer(bound_at(str(tmp_path / "socket")), _app, "http")
    yield tmp_path / "socket"
    server.close()
    assert not (tmp_path / "socket").exists()
    until(lambda: not any(thread.name == "http-client" for thread in threading.enumerate()))


def _connect(path: Path) -> socket.socket:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(HANG_S)
    made.connect(str(path))
    return made


def _received(client: socket.socket) -> bytes:
    """All that comes until the end; a server that closes with unread bytes resets the connection."""
    found = b""
    try:
        while data := client.recv(1 << 16):
            found += data
    except ConnectionResetError:
        pass
    return found


def _answer(path: Path, data: bytes) -> bytes:
    with _connect(path) as client:
        with suppress(BrokenPipeError, ConnectionResetError):
            client.sendall(data)
        return _received(client)


def test_a_request_is_answered_and_the_connection_ends(path: Path) -> None:
    head, _, body = _answer(path, GET + GET).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.0 200 OK\r\n")
    assert body == b"GET /metrics\n", "one request a connection"
    assert _answer(path, b"GET / HTTP/1.0\n\n").endswith(b"GET /\n"), "bare line feeds as well"


def test_a_request_may_come_in_pieces(path: Path) -> None:
    with _connect(path) as client:
        for index in range(len(GET)):
            client.sendall(GET[index : index + 1])
        assert _received(client).endswith(b"GET /metrics\n")


@pytest.mark.parametrize("head", [b"GET /" + b"x" * MAX_HEAD, b"GET / HTTP/1.0\r\n" + b"A: b\r\n" * MAX_HEAD])
def test_a_request_has_an_end(path: Path, head: bytes) -> None:
    answer = _answer(path, head)  # lost when the connection is reset
    assert answer == b"" or answer.startswith(b"HTTP/1.0 431 ")
    assert _answer(path, GET).endswith(b"GET /metrics\n")


def test_a_request_that_is_too_long_by_a_byte(path: Path) -> None:
    assert _answer(path, (b"GET / HTTP/1.0\r\nA: " + b"x" * MAX_HEAD)[:MAX_HEAD]).startswith(b"HTTP/1.0 431 ")


@pytest.mark.parametrize("sent", [b"", b"GET / HTTP/1.0\r\nA: b\r\n"])
def test_a_slow_request_is_ended(path: Path, sent: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "HEAD_S", 0.05)
    assert _answer(path, sent).startswith(b"HTTP/1.0 408 ")


def test_the_time_is_for_the_whole_request_not_for_each_byte(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each byte takes a second of a clock that the test moves."""
    now = [0.0]
    waits: list[float] = []

    class Dripping:
        def settimeout(self, seconds: float) -> None:
            waits.append(seconds)

        def recv(self, size: int) -> bytes:
            now[0] += 1.0
            return b"x"

    monkeypatch.setattr(http.time, "monotonic", lambda: now[0])  # type: ignore[attr-defined]
    with pytest.raises(TimeoutError):
        http.read_head(Dripping())  # type: ignore[arg-type]
    assert now[0] == http.HEAD_S
    assert waits == [5.0, 4.0, 3.0, 2.0, 1.0]


def test_a_client_that_takes_no_answer_is_let_go(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "ANSWER_S", 0.05)
    with _connect(path) as client:
        client.sendall(GET.replace(b"/metrics", b"/?50000000"))
        until(lambda: not any(thread.name == "http-client" for thread in threading.enumerate()))


def test_there_is_an_end_to_clients(path: Path) -> None:
    clients = [_connect(path) for _ in range(MAX_CLIENTS)]
    until(lambda: sum(thread.name == "http-client" for thread in threading.enumerate()) == MAX_CLIENTS)
    assert _answer(path, b"").startswith(b"HTTP/1.0 503 ")
    for client in clients:
        client.sendall(GET)
        assert _received(client).endswith(b"GET /metrics\n"), "those that were there first are served"
        client.close()
    until(lambda: b" 200 " in _answer(path, GET))


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"\r\n\r\n", b"400"), (b"\xff\xfe\r\n\r\n", b"400"), (b"GET\r\n\r\n", b"400"),
        (b"GET / HTTP/9\r\n\r\n", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"), (b"GET / HTTP/1.0\r\n" + b"A: b\r\n" * 200 + b"\r\n", b"431"),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999\r\n\r\n", b"200"), (b"GET /%00%ff?0 HTTP/1.1\r\n\r\n", b"200"),
        (b"GET /broken HTTP/1.1\r\n\r\n", b"500"),
    ],
)  # fmt: skip
def test_what_is_no_request(head: bytes, status: bytes) -> None:
    answer = respond(_app, head)
    assert (b" " + status) in answer.split(b"\r\n")[0], answer[:200]


def test_an_error_does_not_repeat_what_was_sent() -> None:
    assert b"secret" not in respond(_app, b"GET secret secret secret\r\n\r\n")


def test_clients_end_with_the_server(tmp_path: Path) -> None:
    server = HttpServer(bound_at(str(tmp_path / "socket")), _app, "http")
    with _connect(tmp_path / "socket") as client:
        until(lambda: any(thread.name == "http-client" for thread in threading.enumerate()))
        server.close()
        assert _received(client) == b""
