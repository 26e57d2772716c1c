# SPDX-License-Identifier: GPL-2.0-only
"""Runs on the workers of a Dask scheduler. A run whose worker dies begins again on another one."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from damon import scheduler
from damon.quoting import cut
from damon.scheduler import Tls
from damon.tune.pool import WorkerDied, perform_encoded
from damon.tune.request import Result, Task
from damon.version import __version__

#: Runs that are under way or wait at the scheduler.
AHEAD: Final = 200


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
        scheduler.check_address(address, tls)
        self._contents = {sha256: (path.name, path.read_bytes()) for sha256, path in paths.items()}
        self._client = scheduler.connected(address, tls)
        try:
            scheduler.check_workers(self._client, address, about, "pydamon[cluster]")
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
