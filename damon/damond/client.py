# SPDX-License-Identifier: GPL-2.0-only
"""The other end of ``damon.damond.control``: what commands ask a running service with."""

from __future__ import annotations

import errno
import json
import socket
import struct
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from damon import format_version
from damon.errors import DamonError, InvalidInput
from damon.trace.client import connect

#: A service answers at once, unless it waits for a worker: for its sampling interval, or a pass over its regions.
PATIENCE_S: Final = 60.0
_CREDENTIALS: Final = struct.Struct("3i")  # struct ucred


class ServiceLost(OSError):
    """The service has ended, or does not answer (ETIMEDOUT): what was asked for may have been done or not."""

    def __str__(self) -> str:
        return str(self.strerror)


class Client:
    """A connection to the service whose socket is ``path``.

    Args:
        path: the service's control socket.
        patience_s: for connecting, and for each answer.

    Raises:
        DamonError: ENOENT, none runs there; EACCES, EPERM: it is another user's.
        ServiceLost: it does not accept connections.
    """

    def __init__(self, path: Path, patience_s: float = PATIENCE_S) -> None:
        self._path, self._patience_s = path, patience_s
        self._pid = 0
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connect(self._socket, str(path), patience_s)
        except OSError as error:
            self._socket.close()
            if isinstance(error, (BlockingIOError, TimeoutError)):
                raise self._silent("accepted no connection") from None
            if error.errno in (errno.EACCES, errno.EPERM):
                raise DamonError(error.errno, f"socket: {str(path)!r}: is another user's; run as that user") from None
            raise DamonError(
                errno.ENOENT,
                f"--mount: {str(path)!r}: no damond runs there; start one, or give its directory",
            ) from None
        with suppress(OSError):
            self._pid = _CREDENTIALS.unpack(
                self._socket.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
            )[0]
        self._stream = self._socket.makefile("rb")

    def call(self, name: str, /, **arguments: Any) -> Any:
        """What the service answers.

        Raises:
            DamonError: refused, with the service's errno.
            ServiceLost: it ended before it answered, or did not answer in time.
        """
        request = (
            json.dumps({format_version.FIELD: format_version.CONTROL, "call": name, "args": arguments}).encode() + b"\n"
        )
        line = b""
        try:
            with suppress(BrokenPipeError):  # it may have answered before it ended the connection
                self._socket.sendall(request)
            line = self._stream.readline()
        except TimeoutError:
            raise self._silent(f"did not answer {name}") from None
        except OSError:
            pass  # ended, or not to be used since an answer did not come
        answer: dict[str, Any] = json.loads(line) if line.endswith(b"\n") else {"errno": errno.ESHUTDOWN}
        if answer.get("errno") == errno.ESHUTDOWN:
            raise ServiceLost(
                errno.ECONNRESET, f"{self._who}: ended before it answered {name}; read its log, and start it again"
            )
        if "errno" in answer:
            raise InvalidInput(answer["error"], answer["errno"])
        return answer["result"]

    @property
    def _who(self) -> str:
        return f"damond (process {self._pid})" if self._pid else f"the damond at {self._path}"

    def _silent(self, what: str) -> ServiceLost:
        return ServiceLost(
            errno.ETIMEDOUT,
            f"{self._who}: {what} within {self._patience_s:g} s; "
            "read its log, wait longer with --timeout, or end it with SIGTERM",
        )

    def close(self) -> None:
        self._stream.close()
        self._socket.close()

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()
