# SPDX-License-Identifier: GPL-2.0-only
"""A Dask scheduler, on whose workers runs are performed: its address, the connection, and the workers' versions.

``vmtest/scheduler.py`` is a link to this file, as neither package imports the other.
"""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from .errors import InvalidInput, MissingCapability
from .quoting import cut, quoted

#: To wait for the scheduler, and for a first worker.
CONNECT_S = 15.0
#: Files of authority, certificate and key.
Tls = tuple[Path | None, Path | None, Path | None]
#: What a command prints of an address for which ``is_open()`` holds.
OPEN: Final = (
    "is neither encrypted nor authenticated: anyone who reaches it can run code on its workers and send results here; "
    "use tls://, or a private network"
)


def check_address(address: str, tls: Tls) -> None:
    """Refuse what is not a scheduler's address, before anything starts.

    Raises:
        InvalidInput: it is not ``tcp://HOST:PORT`` or ``tls://HOST:PORT``, or a file is missing.
    """
    scheme, _, rest = address.partition("://")
    if scheme not in ("tcp", "tls") or not rest.rpartition(":")[2].isdigit():
        raise InvalidInput(f"cluster: {quoted(address)}: is not an address; give one like tcp://HOST:8786")
    for path in tls:
        if path is not None and not path.is_file():
            raise InvalidInput(f"TLS file: {quoted(str(path))}: does not exist; correct the path")
    if scheme == "tls" and None in tls:
        raise InvalidInput(f"cluster: {quoted(address)}: needs certificates; give --tls-ca, --tls-cert and --tls-key")


def is_open(address: str) -> bool:
    """Can other machines reach it, without encryption?"""
    scheme, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    try:
        return scheme == "tcp" and not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return scheme == "tcp" and host != "localhost"


def check_installed() -> None:
    """Refuse a machine without the library.

    Raises:
        MissingCapability: it is not installed.
    """
    try:
        import distributed  # noqa: F401
    except ModuleNotFoundError as error:
        raise MissingCapability(
            "package: distributed: is not installed; install it with: pip install 'pydamon[cluster]'"
        ) from error


def connected(address: str, tls: Tls) -> Any:
    """A client (``distributed.Client``), which the caller closes.

    Raises:
        MissingCapability: the library is not installed, or nothing answers within ``CONNECT_S``.
    """
    check_installed()
    from distributed import Client
    from distributed.security import Security

    for name in ("distributed", "distributed.client", "distributed.scheduler", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are reported here
    security = None
    if any(tls):
        ca, cert, key = (str(path) if path else None for path in tls)
        security = Security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
    try:
        return Client(address, security=security, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        said = cut(str(error).partition("\n")[0] or type(error).__name__)
        raise MissingCapability(
            f"cluster: {quoted(address)}: does not answer within {CONNECT_S:g} s ({said}); start one with "
            "'dask scheduler' here and 'dask worker ADDRESS' on each machine"
        ) from error


def check_workers(client: Any, address: str, version: Callable[[], str], extras: str) -> None:
    """Refuse workers that would do something else than this machine.

    Args:
        client: from ``connected()``.
        address: of its scheduler, for messages.
        version: a function of a module; its value here is compared with that on each worker.
        extras: what workers have to be installed with, ``pydamon[cluster]``.

    Raises:
        MissingCapability: there is none, one cannot run ``version``, or has another one.
    """
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
        found: Mapping[str, str] = client.run(version)
    except TimeoutError as error:
        raise MissingCapability(
            f"cluster: {quoted(address)}: has no workers; start some with: dask worker {address}"
        ) from error
    except Exception as error:
        raise MissingCapability(
            f"cluster: {quoted(address)}: its workers cannot perform runs ({cut(str(error), 80)}); install '{extras}' "
            "on them"
        ) from error
    here = version()
    for place, there in found.items():
        if there != here:
            raise MissingCapability(
                f"worker: {cut(place)}: has pydamon {cut(str(there))}, here is {here}; install the same everywhere"
            )
