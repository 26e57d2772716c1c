# SPDX-License-Identifier: GPL-2.0-only
"""A QEMU of which only the monitor is there: it answers what a test tells it to."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from typing import Any

GREETING = {"QMP": {"version": {"qemu": {"micro": 0, "minor": 2, "major": 7}, "package": ""}, "capabilities": []}}
Answer = Callable[[str, dict[str, Any]], Any]


class Refused(Exception):
    """An answer that is an error."""


class Silent(Exception):
    """No answer at all."""


class Peer(threading.Thread):
    """Serves one session; ``asked`` has the commands in their order."""

    def __init__(self, answer: Answer, greeting: object = GREETING) -> None:
        super().__init__(daemon=True)
        self.here, self._there = socket.socketpair()
        self._answer = answer
        self._greeting = greeting
        self._guard = threading.Lock()
        self.asked: list[tuple[str, dict[str, Any]]] = []

    def __enter__(self) -> Peer:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.hang_up()
        self.here.close()
        self.join(10)

    def hang_up(self) -> None:
        with contextlib.suppress(OSError):
            self._there.shutdown(socket.SHUT_RDWR)

    def send(self, message: object) -> None:
        with self._guard:
            self._there.sendall(json.dumps(message).encode() + b"\r\n")

    def event(self, name: str, **data: object) -> None:
        self.send({"event": name, "data": data, "timestamp": {"seconds": 1, "microseconds": 0}})

    def run(self) -> None:
        try:
            self.send(self._greeting)
            # Commands come without an end of line, as QEMU takes them.
            left = ""
            while data := self._there.recv(1 << 16):
                left += data.decode()
                while left := left.lstrip():
                    try:
                        message, end = json.JSONDecoder().raw_decode(left)
                    except json.JSONDecodeError:
                        break
                    left = left[end:]
                    self._serve(message)
        except OSError:
            pass
        finally:
            self._there.close()

    def _serve(self, message: dict[str, Any]) -> None:
        name, own = message["execute"], ({"id": message["id"]} if "id" in message else {})
        arguments = message.get("arguments", {})
        try:
            if name == "qmp_capabilities":
                result: Any = {}
            else:
                self.asked.append((name, arguments))
                result = self._answer(name, arguments)
            self.send({"return": result, **own})
        except Refused as error:
            self.send({"error": {"class": "GenericError", "desc": str(error)}, **own})
        except Silent:
            pass
