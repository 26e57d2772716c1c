# SPDX-License-Identifier: GPL-2.0-only
"""Clients of the service: one JSON object a line over a Unix socket, answered in the same way.

A request is ``{"format": 1, "call": NAME, "args": {...}}``; an answer ``{"result": ...}``, or
``{"errno": N, "error": TEXT}``. A connection carries any number of requests. It ends when a request is too long or too
slow, or when none comes for long.
"""

from __future__ import annotations

import errno
import inspect
import json
import logging
import socket
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, get_origin, get_type_hints

from damon import format_version
from damon.damond.clients import ClientThreads
from damon.errors import InvalidInput, MissingCapability
from damon.quoting import quoted
from damon.trace.listener import Lines, LineTooLong

log = logging.getLogger("damon.damond")


#: Bytes of one request.
MAX_REQUEST: Final = 1 << 20
#: Clients that are connected at the same time.
MAX_CLIENTS: Final = 64
#: From a request's first byte to its last.
REQUEST_S: Final = 10.0
#: A client that asks for nothing so long is let go.
IDLE_S: Final = 600.0
#: For a client to take what it has asked for.
ANSWER_S: Final = 30.0
Calls = Mapping[str, Callable[..., Any]]


def _fits(value: object, hint: object) -> bool:
    """Has ``value``, parsed from JSON, the type that a call's parameter is annotated with?"""
    if get_origin(hint) is None:
        return isinstance(hint, type) and isinstance(value, hint) and not isinstance(value, bool)
    (inner,) = getattr(hint, "__args__", (object,))  # Sequence[str], Sequence[int]
    return isinstance(value, list) and all(_fits(one, inner) for one in value)


def _checked(name: str, call: Callable[..., Any], arguments: object) -> dict[str, Any]:
    """``arguments`` as ``call`` takes them; ``InvalidInput`` when it does not."""
    if not isinstance(arguments, dict):
        raise InvalidInput(f"request {name}: args: is not an object; send one")
    try:
        inspect.signature(call).bind(**arguments)
    except TypeError as error:
        raise InvalidInput(f"request {name}: args: {error}; send what it takes") from None
    hints = get_type_hints(call)
    for argument, value in arguments.items():
        if not _fits(value, hints[argument]):
            raise InvalidInput(f"request {name}: {argument}: {quoted(value)}: is of the wrong type; send another")
    return arguments


class ControlServer:
    """Serves ``calls`` at ``path`` until ``close()``; only the own user can connect.

    The parameters of calls are ``str``, ``int`` or sequences of these, and what a client sends is held against that.
    """

    def __init__(self, path: Path, calls: Calls) -> None:
        self._calls = calls
        full = _line({"errno": errno.EUSERS, "error": f"clients: {MAX_CLIENTS}: no more can connect; end one"})
        self._clients = ClientThreads(path, self._talk, MAX_CLIENTS, full, "damond-control", "damond-client")

    def _talk(self, client: socket.socket) -> None:
        lines = Lines(client, MAX_REQUEST, REQUEST_S)
        while (line := self._next(client, lines)) is not None:
            self._send(client, self._answer(line))

    def _next(self, client: socket.socket, lines: Lines) -> bytes | None:
        try:
            return lines.next(IDLE_S)
        except TimeoutError:
            refusal = errno.ETIMEDOUT, f"no whole request came within {REQUEST_S:g} s: connect again"
        except LineTooLong:
            refusal = errno.EMSGSIZE, f"a request has {MAX_REQUEST} bytes at most"
        self._send(client, {"errno": refusal[0], "error": refusal[1]})
        return None

    @staticmethod
    def _send(client: socket.socket, answer: dict[str, Any]) -> None:
        client.settimeout(ANSWER_S)
        client.sendall(_line(answer))

    def _answer(self, line: bytes) -> dict[str, Any]:
        try:
            request = json.loads(line)
            later = format_version.refusal(request, format_version.CONTROL)
            if later is not None:
                return {"errno": errno.EPROTONOSUPPORT, "error": f"request: {later}"}
            name, arguments = request["call"], request.get("args", {})
            call = self._calls[name]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            return {"errno": errno.EINVAL, "error": f"no request: {line[:80]!r}"}
        try:
            return {"result": call(**_checked(name, call, arguments))}
        except OSError as error:
            said = error.strerror or str(error)
            log.info("request %s refused: %s", _shown(name, arguments), said)
            return {"errno": error.errno or errno.EIO, "error": said}
        except MissingCapability as error:
            log.info("request %s refused: %s", _shown(name, arguments), error)
            return {"errno": errno.EOPNOTSUPP, "error": str(error)}
        except Exception as error:
            log.exception("request %s", name)
            return {"errno": errno.EIO, "error": repr(error)}

    def close(self) -> None:
        """Let all clients go; one that waits for an answer finds its connection ended."""
        self._clients.close()


def _line(answer: dict[str, Any]) -> bytes:
    return json.dumps(answer).encode() + b"\n"


def _shown(name: str, arguments: object) -> str:
    """A request for the log: one line of bounded length."""
    return f"{name} {json.dumps(arguments)[:200]}"
