# SPDX-License-Identifier: GPL-2.0-only
"""The few words the harness says to QEMU's monitor (QMP) over a socket that both ends inherit."""

from __future__ import annotations

import json
import re
import socket
from typing import Any

_FORWARD = re.compile(r"TCP\[HOST_FORWARD\]\s+\d+\s+127\.0\.0\.1\s+(\d+)")


class MonitorError(Exception):
    """QEMU refused a command or is gone."""


class Monitor:
    """A QMP session."""

    def __init__(self, sock: socket.socket, timeout: float = 10.0) -> None:
        sock.settimeout(timeout)
        self._sock = sock
        self._stream = sock.makefile("rwb")
        self._read()  # the greeting
        self.command("qmp_capabilities")

    def _read(self) -> dict[str, Any]:
        try:
            line = self._stream.readline()
        except OSError as error:
            raise MonitorError(f"no answer: {error}") from error
        if not line:
            raise MonitorError("QEMU closed the monitor")
        message: dict[str, Any] = json.loads(line)
        return message

    def command(self, name: str, **arguments: Any) -> Any:
        """Runs a command and returns its result; events that come in between are skipped.

        Raises:
            MonitorError: QEMU refused it or is gone.
        """
        try:
            self._stream.write(json.dumps({"execute": name, "arguments": arguments}).encode() + b"\n")
            self._stream.flush()
        except OSError as error:
            raise MonitorError(f"{name}: {error}") from error
        while True:
            answer = self._read()
            if "error" in answer:
                raise MonitorError(f"{name}: {answer['error'].get('desc')}")
            if "return" in answer:
                return answer["return"]

    def ssh_port(self) -> int:
        """The port on 127.0.0.1 that the host's kernel picked for the way in."""
        text = self.command("human-monitor-command", **{"command-line": "info usernet"})
        match = _FORWARD.search(text)
        if match is None:
            raise MonitorError(f"no forwarded port in: {text!r}")
        return int(match[1])

    def close(self) -> None:
        """Ends the session; QEMU runs on."""
        self._stream.close()
        self._sock.close()
