# SPDX-License-Identifier: GPL-2.0-only
"""Where a service can be asked over HTTP: by this machine only, or by its own user only."""

from __future__ import annotations

import errno
import ipaddress
import os
import re
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

from damon.damond.runtime import open_directory, runtime_directory
from damon.errors import DamonError, InvalidInput
from damon.quoting import quoted
from damon.trace.listener import bound_at

_REMEDY: Final = "give 127.0.0.1:PORT, [::1]:PORT, or the absolute path of a socket"


@contextmanager
def bound(text: str) -> Iterator[socket.socket]:
    """``bind(text)`` for the time of a block; a path is removed in the end."""
    made = bind(text)
    try:
        yield made
    finally:
        made.close()
        if text.startswith("/"):
            with suppress(FileNotFoundError):
                os.unlink(text)


def url(made: socket.socket, path: str) -> str:
    """``path`` at a bound socket; of a Unix socket, ``unix:`` and where it is."""
    name = made.getsockname()
    if made.family is socket.AF_UNIX:
        return f"unix:{name}"
    host = f"[{name[0]}]" if made.family is socket.AF_INET6 else name[0]
    return f"http://{host}:{name[1]}{path}"


def bind(text: str) -> socket.socket:
    """A socket at ``text``: ``127.0.0.1:PORT``, ``[::1]:PORT`` (port 0: any), or a path that only the own user can
    connect to.

    Raises:
        InvalidInput: it is none of these; it is not this machine's own.
        DamonError: EADDRINUSE, EACCES, ...: it cannot be had.
    """
    what = f"--metrics: {quoted(text)}"
    try:
        return _bound_path(what, Path(text)) if text.startswith("/") else _bound_port(what, text)
    except DamonError:
        raise
    except OSError as error:
        number = error.errno or errno.EINVAL
        raise DamonError(number, f"{what}: {os.strerror(number)}; give another") from None


def _bound_port(what: str, text: str) -> socket.socket:
    host, _, port = text.rpartition(":")
    bracketed = host.startswith("[") and host.endswith("]")
    try:
        address = ipaddress.ip_address(host[1:-1] if bracketed else host)
    except ValueError:
        raise InvalidInput(f"{what}: is not an address with a port; {_REMEDY}") from None
    if bracketed != (address.version == 6) or not (re.fullmatch(r"[0-9]{1,5}", port) and int(port) <= 0xFFFF):
        raise InvalidInput(f"{what}: is not an address with a port; {_REMEDY}")
    if not address.is_loopback or getattr(address, "ipv4_mapped", None) or getattr(address, "scope_id", None):
        raise InvalidInput(
            f"{what}: others than this machine could connect, and there is neither a password nor encryption; {_REMEDY}"
        )
    made = socket.socket(socket.AF_INET6 if bracketed else socket.AF_INET, socket.SOCK_STREAM)
    try:
        made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # after a restart
        made.bind((str(address), int(port)))
    except BaseException:
        made.close()
        raise
    return made


def _bound_path(what: str, path: Path) -> socket.socket:
    """In a directory that no other user can write; a socket that a killed service has left is replaced."""
    remedy = "give a path in a directory of your own"
    if len(os.fsencode(path)) > 107:
        raise InvalidInput(f"{what}: is longer than 107 bytes; give a shorter path")
    runtime = runtime_directory()
    if path.parent == runtime.path:  # which damond makes itself
        runtime.check(make=True)
    os.close(open_directory("--metrics", path.parent, None, remedy))
    if os.path.lexists(path):
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(0)
            number = client.connect_ex(str(path)) if path.is_socket() and not path.is_symlink() else errno.EEXIST
        if number != errno.ECONNREFUSED:
            raise DamonError(errno.EADDRINUSE, f"{what}: is there already, and in use or no socket; give another")
        path.unlink()
    return bound_at(str(path))
