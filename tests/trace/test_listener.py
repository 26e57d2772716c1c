# SPDX-License-Identifier: GPL-2.0-only
"""Accepting connections: whatever goes wrong, it goes on until it is closed."""

from __future__ import annotations

import errno
import os
import socket
import stat
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from damon.trace import listener
from damon.trace.listener import Lines, LineTooLong, Listener
from tests.waiting import until

HANG_S = 600


def _greet(connection: socket.socket) -> None:
    with connection:
        connection.sendall(b"hello")


def _said(path: Path) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(60)
        client.connect(str(path))
        return client.recv(10)


def _failing(number: int, failures: list[int]) -> Callable[[socket.socket], tuple[socket.socket, object]]:
    accept = socket.socket.accept

    def fail(self: socket.socket) -> tuple[socket.socket, object]:
        if failures:
            failures.pop()
            raise OSError(number, os.strerror(number))
        return accept(self)

    return fail


@pytest.mark.parametrize("name", ["EMFILE", "ENFILE", "ENOMEM", "ENOBUFS", "ECONNABORTED", "EPROTO", "EPERM"])
def test_an_accept_that_fails(tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    failures = [1, 2, 3]
    monkeypatch.setattr(socket.socket, "accept", _failing(getattr(errno, name), failures))
    serving = Listener(tmp_path / "socket", _greet, "test-accept")
    assert _said(tmp_path / "socket") == b"hello"
    assert failures == []
    serving.close()


def test_no_thread_for_a_connection(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    came: list[socket.socket] = []

    def accepted(connection: socket.socket) -> None:
        came.append(connection)
        if len(came) < 3:
            raise RuntimeError("can't start new thread")
        _greet(connection)

    serving = Listener(tmp_path / "socket", accepted, "test-thread")
    assert [_said(tmp_path / "socket") for _ in range(3)] == [b"", b"", b"hello"]
    serving.close()
    assert caplog.text.count("test-thread: a connection was not accepted") == 1


def test_closing_waits_for_no_pause(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listener, "BACK_OFF_S", (3600.0, 3600.0))
    failures = [1] * 1000
    monkeypatch.setattr(socket.socket, "accept", _failing(errno.EMFILE, failures))
    serving = Listener(tmp_path / "socket", _greet, "test-closing")
    until(lambda: len(failures) == 999)
    serving.close()
    until(lambda: not any(thread.name == "test-closing" for thread in threading.enumerate()))
    assert len(failures) == 999


def test_the_socket_is_its_owners_whatever_the_umask(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        serving = Listener(tmp_path / "socket", _greet, "test-mode")
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "socket").stat().st_mode) == 0o600
    serving.close()
    serving.close()
    assert not (tmp_path / "socket").exists()
    assert serving.closed


def test_lines_are_bounded() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines = Lines(ours, 8, 0.05)
        theirs.sendall(b"one\ntwo\n1234567\n12345678\n")
        assert [lines.next(60) for _ in range(3)] == [b"one\n", b"two\n", b"1234567\n"]
        with pytest.raises(LineTooLong):
            lines.next(60)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        lines = Lines(ours, 8, 0.05)
        with pytest.raises(TimeoutError):
            lines.next(0.01)
        theirs.sendall(b"123")
        with pytest.raises(TimeoutError):
            lines.next(60)
        theirs.sendall(b"4\n")
        assert lines.next(60) == b"1234\n"
        theirs.sendall(b"half")
        theirs.shutdown(socket.SHUT_WR)
        assert lines.next(60) is None
