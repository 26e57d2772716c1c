# SPDX-License-Identifier: GPL-2.0-only
"""Clients of the service: one JSON object a line over a Unix socket, answered in the same way.

A request is ``{"call": NAME, "args": {...}}``; an answer ``{"result": ...}``, or ``{"errno": N, "error": TEXT}``.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import socket
import threading
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from damon.errors import DamonError, InvalidInput, MissingCapability

log = logging.getLogger("damon.damond")

#: A request that is longer is nobody's.
MAX_REQUEST: Final = 1 << 20
Calls = Mapping[str, Callable[..., Any]]


class ControlServer:
    """Serves ``calls`` at ``path`` until ``close()``; only the own user can connect."""

    def __init__(self, path: Path, calls: Calls) -> None:
        self._calls = calls
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        old = os.umask(0o177)
        try:
            self._socket.bind(str(path))
        finally:
            os.umask(old)
        self._socket.listen(64)
        self._thread = threading.Thread(target=self._accept, name="damond-control", daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._socket.accept()
            except OSError:
                return
            threading.Thread(target=self._talk, args=(client,), name="damond-client", daemon=True).start()

    def _talk(self, client: socket.socket) -> None:
        with client, client.makefile("rwb") as stream, suppress(OSError):
            while line := stream.readline(MAX_REQUEST):
                stream.write(json.dumps(self._answer(line)).encode() + b"\n")
                stream.flush()

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            call, arguments = self._calls[request["call"]], dict(request.get("args", {}))
        except (ValueError, KeyError, TypeError):
            return {"errno": errno.EINVAL, "error": f"no request: {line[:80]!r}"}
        try:
            return {"result": call(**arguments)}
        except OSError as error:
            return {"errno": error.errno or errno.EIO, "error": error.strerror or str(error)}
        except MissingCapability as error:
            return {"errno": errno.EOPNOTSUPP, "error": str(error)}
        except TypeError as error:
            return {"errno": errno.EINVAL, "error": f"{request['call']}: {error}"}
        except Exception as error:
            log.exception("request %s", request["call"])
            return {"errno": errno.EIO, "error": repr(error)}

    def close(self) -> None:
        with suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._path.unlink(missing_ok=True)


class Client:
    """A connection to the service whose socket is ``path``.

    Raises:
        DamonError: ENOENT, none runs there.
    """

    def __init__(self, path: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            self._socket.connect(str(path))
        except OSError as error:
            self._socket.close()
            if error.errno in (errno.EACCES, errno.EPERM):
                raise DamonError(error.errno, f"{path} is another user's: run as that user") from None
            raise DamonError(
                errno.ENOENT, "no damond runs there: start one with damond --mount DIR, or give its --mount"
            ) from None
        self._stream = self._socket.makefile("rwb")

    def call(self, name: str, **arguments: Any) -> Any:
        """What the service answers; raises ``DamonError`` with its errno when it refuses."""
        self._stream.write(json.dumps({"call": name, "args": arguments}).encode() + b"\n")
        self._stream.flush()
        line = self._stream.readline()
        if not line:
            raise DamonError(errno.ECONNRESET, "damond has ended")
        answer = json.loads(line)
        if "errno" in answer:
            raise InvalidInput(answer["error"], answer["errno"])
        return answer["result"]

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
