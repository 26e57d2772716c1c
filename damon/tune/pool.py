# SPDX-License-Identifier: GPL-2.0-only
"""Runs on all processors of this machine: worker processes that are used again, and end when this one does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from pathlib import Path
from typing import Final, Protocol

import msgspec

from damon.errors import DamonError
from damon.tune.perform import perform
from damon.tune.request import Result, Task
from damon.workload.load import load_workload
from damon.workload.model import Workload

#: A run whose worker is killed begins again so often.
TRIES: Final = 3
#: Runs of one worker, then another one takes its place: what the C of a kernel leaves behind goes with it.
MOST_RUNS: Final = 500
#: Workloads that a worker keeps parsed.
_KEPT: Final = 16


class WorkerDied(DamonError):
    """A run took its workers with it; nothing is known of it."""


class Runner(Protocol):
    """What performs runs."""

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        """Index and result of each, in the order in which they end.

        Raises:
            WorkerDied: one of them cannot be performed.
        """

    def close(self) -> None:
        """Release what it has. Safe to call twice."""


@lru_cache(_KEPT)
def _workload(path: str) -> Workload:
    return load_workload(path)


def perform_encoded(data: bytes, path: str) -> bytes:
    """A task and its result as bytes; ``path`` is the workload's file."""
    task = msgspec.msgpack.decode(data, type=Task)
    return msgspec.msgpack.encode(perform(task.request, _workload(path), task.base, task.out))


def _work(connection: Connection) -> None:
    """The whole life of a worker."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends it
    parent = multiprocessing.parent_process()
    assert parent is not None
    threading.Thread(target=_end_with, args=(parent.sentinel,), daemon=True).start()
    try:
        while True:
            data, path = connection.recv()
            connection.send(perform_encoded(data, path))
    except (EOFError, BrokenPipeError):
        return


def _end_with(sentinel: int) -> None:
    wait([sentinel])
    os._exit(1)


class _Worker:
    def __init__(self) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process: SpawnProcess = context.Process(target=_work, args=(theirs,), daemon=True)
        self.process.start()
        theirs.close()
        self.index = -1  #: of the task that it performs; -1: none
        self.runs = 0

    def give(self, index: int, task: Task, path: Path) -> None:
        self.index, self.runs = index, self.runs + 1
        self.connection.send((msgspec.msgpack.encode(task), str(path)))

    def close(self) -> None:
        self.connection.close()
        self.process.kill()
        self.process.join()


class Pool:
    """``nr`` worker processes, started when they are needed.

    Args:
        paths: of the workloads' files, by the hashes of their content.
        nr: of workers; 0: one for each processor that this process may use.
    """

    def __init__(self, paths: Mapping[str, Path], nr: int = 0) -> None:
        self._paths = paths
        self._nr = nr or len(os.sched_getaffinity(0))
        self._workers: list[_Worker] = []

    def run(self, tasks: Sequence[Task]) -> Iterator[tuple[int, Result]]:
        waiting = list(range(len(tasks)))[::-1]
        tries = [0] * len(tasks)
        while waiting or any(worker.index >= 0 for worker in self._workers):
            self._give(waiting, tasks, tries)
            busy = {worker.connection: worker for worker in self._workers if worker.index >= 0}
            for connection in wait(list(busy)):
                worker = busy[connection]  # type: ignore[index]
                index, worker.index = worker.index, -1
                try:
                    result = msgspec.msgpack.decode(worker.connection.recv(), type=Result)
                except (EOFError, ConnectionError):
                    self._lose(worker)
                    if tries[index] >= TRIES:
                        raise _died(tasks[index], worker.process.exitcode) from None
                    waiting.append(index)
                    continue
                if worker.runs >= MOST_RUNS:
                    self._lose(worker)
                yield index, result

    def _give(self, waiting: list[int], tasks: Sequence[Task], tries: list[int]) -> None:
        while waiting:
            worker = next((one for one in self._workers if one.index < 0), None)
            if worker is None:
                if len(self._workers) >= self._nr:
                    return
                worker = _Worker()
                self._workers.append(worker)
            index = waiting.pop()
            try:
                worker.give(index, tasks[index], self._paths[tasks[index].request.workload])
            except (BrokenPipeError, ConnectionError):  # killed while it had nothing to do
                self._lose(worker)
                waiting.append(index)
                continue
            tries[index] += 1

    def _lose(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.close()

    def close(self) -> None:
        for worker in list(self._workers):
            self._lose(worker)

    def pids(self) -> list[int]:
        """Process ids of the workers."""
        return [worker.process.pid or 0 for worker in self._workers]


def _died(task: Task, code: int | None) -> WorkerDied:
    how = f"signal {-code}" if code is not None and code < 0 else f"code {code}"
    words = " ".join(word for given in task.request.modules.values() for word in given)
    return WorkerDied(5, f"worker: {TRIES} ended by {how} in the run of {words}; leave these values out")
