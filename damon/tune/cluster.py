# SPDX-License-Identifier: GPL-2.0-only
"""Runs on the workers of a Dask scheduler. A run whose worker dies begins again on another one."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import msgspec

from damon import scheduler
from damon.quoting import cut
from damon.scheduler import Tls
from damon.tune.pool import TRIES, WorkerDied, perform_encoded
from damon.tune.request import Result, Task
from damon.tune.sent import Sent, packed, unpacked
from damon.tune.study import WorkloadFile
from damon.version import __version__

#: Runs that are under way or wait at the scheduler.
AHEAD: Final = 200
#: Files up to this size travel with each run, larger ones once to each worker.
SMALL: Final = 1 << 18


def about() -> str:
    """The version of a worker."""
    return __version__


def perform_there(data: bytes, files: Sequence[tuple[str, str]], *contents: bytes) -> bytes:
    """A task and its result as bytes, with the workload's files by name, hash and content; runs on a worker."""
    directory = _scratch() / f"pydamon-study-{os.getuid()}"
    return perform_encoded(data, str(unpacked(directory, files, contents)))


def _scratch() -> Path:
    """The worker's own directory, which goes with it."""
    from distributed import get_worker

    try:
        return Path(get_worker().local_directory)
    except ValueError:  # no worker
        return Path(tempfile.gettempdir())


class Cluster:
    """A runner for searches.

    Args:
        address: of the scheduler.
        workloads: of the runs; their files are sent to the workers.
        tls: files of authority, certificate and key.

    Raises:
        InvalidInput: address or files are wrong, workloads are too large, or a worker has another version.
        MissingCapability: the library is not installed, or there is no scheduler or worker.
    """

    def __init__(self, address: str, workloads: Sequence[WorkloadFile], tls: Tls = (None, None, None)) -> None:
        scheduler.check_address(address, tls)
        self._files = {workload.sha256: packed(workload) for workload in workloads}
        self._there: dict[str, Any] = {}
        self._client = scheduler.connected(address, tls)
        try:
            scheduler.check_workers(self._client, address, about, "pydamon[cluster]")
        except BaseException:
            self._client.close()
            raise

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        from distributed import as_completed

        waiting = list(range(len(tasks)))[::-1]
        tries = [0] * len(tasks)
        under_way: dict[Any, int] = {}
        completed: Any = as_completed(loop=self._client.loop)
        try:
            while waiting or under_way:
                while waiting and len(under_way) < AHEAD:
                    index = waiting.pop()
                    tries[index] += 1
                    future = self._submit(index, tasks[index])
                    under_way[future] = index
                    completed.add(future)
                future = next(completed)
                index = under_way.pop(future)
                try:
                    data = future.result()
                except Exception as error:
                    if future.cancelled() and tries[index] < TRIES:  # a file was lost with the workers that had it
                        waiting.append(index)
                        continue
                    raise WorkerDied(5, f"cluster: a run cannot be performed: {cut(repr(error))}") from error
                future.release()
                yield index, msgspec.msgpack.decode(data, type=Result)
        finally:
            with contextlib.suppress(Exception):
                self._client.cancel(list(under_way))

    def _submit(self, index: int, task: Task) -> Any:
        files = self._files[task.request.workload]
        contents = [one.content if len(one.content) <= SMALL else self._sent(one) for one in files]
        names = [(one.name, one.sha256) for one in files]
        data = msgspec.msgpack.encode(task)
        return self._client.submit(perform_there, data, names, *contents, pure=False, priority=-index)

    def _sent(self, file: Sent) -> Any:
        """The content, which one worker has; the others get it from there.

        Dask sends it to all of them by itself, but never ends where one dies meanwhile.
        """
        future = self._there.get(file.sha256)
        for attempt in range(TRIES):
            if future is not None and future.status == "finished":
                break
            try:
                future = self._there[file.sha256] = self._client.scatter(file.content, hash=False)
            except (OSError, TimeoutError) as error:  # the worker that was to get it has died
                if attempt + 1 == TRIES:
                    said = f"cluster: {file.name}: cannot be sent to a worker: {cut(repr(error))}"
                    raise WorkerDied(5, f"{said}; look at the workers and start again") from error
        return future

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self._client.close()
