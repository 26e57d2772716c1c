# SPDX-License-Identifier: GPL-2.0-only
"""Runs on the workers of a Dask scheduler. A run whose worker dies begins again on another one."""

from __future__ import annotations

import contextlib
import hashlib
import ipaddress
import logging
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from damon.errors import InvalidInput, MissingCapability
from damon.quoting import cut, quoted
from damon.tune.pool import WorkerDied, perform_encoded
from damon.tune.request import Result, Task
from damon.version import __version__

CONNECT_S: Final = 15.0
#: Runs that are under way or wait at the scheduler.
AHEAD: Final = 200
Tls = tuple[Path | None, Path | None, Path | None]


def check_address(address: str, tls: Tls) -> None:
    """Refuse what is no scheduler's address, before anything starts."""
    scheme, _, rest = address.partition("://")
    if scheme not in ("tcp", "tls") or not rest.rpartition(":")[2].isdigit():
        raise InvalidInput(f"--cluster: {quoted(address)}: is no address; give one like tcp://HOST:8786")
    for path in tls:
        if path is not None and not path.is_file():
            raise InvalidInput(f"TLS file: {quoted(str(path))}: does not exist; correct the path")
    if scheme == "tls" and None in tls:
        raise InvalidInput(f"--cluster: {quoted(address)}: needs certificates; give --tls-ca, --tls-cert and --tls-key")


def is_open(address: str) -> bool:
    """Can other machines reach it, without encryption?"""
    scheme, _, rest = address.partition("://")
    host = rest.rpartition(":")[0].strip("[]")
    try:
        return scheme == "tcp" and not ipaddress.ip_address(host).is_loopback
    except ValueError:
        return scheme == "tcp" and host != "localhost"


def about() -> str:
    """The version of a worker."""
    return __version__


def perform_there(data: bytes, name: str, content: bytes) -> bytes:
    """A task and its result as bytes, with the workload's file by name and content; runs on a worker."""
    digest = hashlib.sha256(content).hexdigest()
    directory = Path(tempfile.gettempdir()) / f"pydamon-study-{os.getuid()}"
    directory.mkdir(mode=0o700, exist_ok=True)
    if directory.is_symlink() or directory.stat().st_uid != os.getuid():
        raise PermissionError(f"{directory} belongs to another user")
    path = directory / digest / name
    if not path.is_file() or path.read_bytes() != content:
        path.parent.mkdir(exist_ok=True)
        fd, part = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(fd, "wb") as file:
            file.write(content)
        os.replace(part, path)
    return perform_encoded(data, str(path))


class Cluster:
    """A runner for searches.

    Args:
        address: of the scheduler.
        paths: of the workloads' files, by the hashes of their content; they travel with each run.
        tls: files of authority, certificate and key.

    Raises:
        InvalidInput: address or files are wrong, or a worker has another version.
        MissingCapability: the library is not installed, or there is no scheduler or worker.
    """

    def __init__(self, address: str, paths: Mapping[str, Path], tls: Tls = (None, None, None)) -> None:
        check_address(address, tls)
        self._contents = {sha256: (path.name, path.read_bytes()) for sha256, path in paths.items()}
        self._client = _connected(address, tls)
        try:
            _check_workers(self._client, address)
        except BaseException:
            self._client.close()
            raise

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        from distributed import as_completed

        waiting = list(range(len(tasks)))[::-1]
        under_way: dict[Any, int] = {}
        completed: Any = as_completed(loop=self._client.loop)
        try:
            while waiting or under_way:
                while waiting and len(under_way) < AHEAD:
                    index = waiting.pop()
                    future = self._submit(index, tasks[index])
                    under_way[future] = index
                    completed.add(future)
                future = next(completed)
                index = under_way.pop(future)
                try:
                    data = future.result()
                except Exception as error:
                    raise WorkerDied(5, f"cluster: a run cannot be performed: {cut(repr(error))}") from error
                future.release()
                yield index, msgspec.msgpack.decode(data, type=Result)
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(under_way))

    def _submit(self, index: int, task: Task) -> Any:
        name, content = self._contents[task.request.workload]
        data = msgspec.msgpack.encode(task)
        return self._client.submit(perform_there, data, name, content, pure=False, priority=-index)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close()


def _connected(address: str, tls: Tls) -> Any:
    try:
        from distributed import Client
        from distributed.security import Security
    except ModuleNotFoundError as error:
        raise MissingCapability(
            "package: distributed: is not installed; install it with: pip install 'pydamon[cluster]'"
        ) from error
    for name in ("distributed", "distributed.client", "distributed.scheduler", "tornado.application"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # errors are reported here
    security = None
    if any(tls):
        ca, cert, key = (str(path) if path else None for path in tls)
        security = Security(tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, require_encryption=True)
    try:
        return Client(address, security=security, timeout=CONNECT_S, set_as_default=False)
    except (OSError, TimeoutError) as error:
        raise MissingCapability(
            f"cluster: {quoted(address)}: does not answer within {CONNECT_S:g} s ({cut(str(error), 80)}); start "
            "'dask scheduler', and 'dask worker ADDRESS' on each machine"
        ) from error


def _check_workers(client: Any, address: str) -> None:
    try:
        client.wait_for_workers(1, timeout=CONNECT_S)
        found: Mapping[str, str] = client.run(about)
    except TimeoutError as error:
        raise MissingCapability(
            f"cluster: {quoted(address)}: has no workers; start some: dask worker {address}"
        ) from error
    except Exception as error:
        raise MissingCapability(
            f"cluster: {quoted(address)}: its workers cannot run studies ({cut(str(error), 80)}); install pydamon there"
        ) from error
    for place, version in found.items():
        if version != __version__:
            raise InvalidInput(
                f"worker: {cut(place)}: has pydamon {cut(version)}, here is {__version__}; install the same everywhere"
            )
