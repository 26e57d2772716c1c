# SPDX-License-Identifier: GPL-2.0-only
"""A command's streams, against a connection that fails in each of the ways in which paramiko does."""

from __future__ import annotations

import threading
from types import SimpleNamespace
from typing import Any

import pytest

from tests.waiting import HANG_S
from vmtest.ssh.process import Enough, Process


class Channel:
    """Gives its data, and then fails with ``error`` in each call that sends."""

    def __init__(self, error: BaseException, data: bytes = b"") -> None:
        self.error, self._data = error, [data] if data else []
        self.status_event, self.exit_status, self.closed = threading.Event(), 0, False
        self.status_event.set()

    def recv(self, size: int) -> bytes:
        if self._data:
            return self._data.pop()
        raise self.error  # where the window is to be enlarged, receiving sends

    def recv_stderr(self, size: int) -> bytes:
        return b""

    def sendall(self, data: bytes) -> None:
        raise self.error

    def shutdown_write(self) -> None:
        raise self.error

    def close(self) -> None:
        raise self.error


def _refuse(data: bytes) -> None:
    raise Enough


@pytest.mark.parametrize("stdin", [None, [b"x"]])
@pytest.mark.parametrize("sink", [None, _refuse])
@pytest.mark.parametrize("error", [EOFError(), OSError("Socket is closed")])
def test_a_connection_that_ends_ends_no_thread_with_an_error(
    error: BaseException, sink: Any, stdin: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[Any] = []
    monkeypatch.setattr(threading, "excepthook", failed.append)
    before = set(threading.enumerate())
    link: Any = SimpleNamespace(alive=True, clock=SimpleNamespace(running=True))
    channel: Any = Channel(error, b"some")
    process = Process(link, channel, "true", "1", stdin, sink, None)
    for thread in set(threading.enumerate()) - before:
        thread.join(HANG_S)
    assert failed == []
    assert process.poll() == 0
    assert process.stdout == (b"" if sink else b"some")
