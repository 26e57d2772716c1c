# SPDX-License-Identifier: GPL-2.0-only
"""Performs many jobs on this host, in order, as many at once as are admitted. Ctrl-C ends all guests."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol

from ..results import outcome
from ..results.job import Job
from ..results.outcome import Outcome
from .admission import Admission
from .perform import Watch, perform

#: A guest that does not fit beside other programs waits this long for them.
PATIENCE_SECONDS = 120.0
TICK_SECONDS = 0.1

Performer = Callable[[Job, Path, Watch], Outcome]


class Listener(Protocol):
    """Receives a run's progress; called from several threads."""

    def begins(self, job: Job, where: str) -> None:
        """A job starts; ``where`` is the host's name in a cluster, else empty."""

    def phase(self, job: Job, phase: str) -> None:
        """A job enters a phase."""

    def ends(self, job: Job, result: Outcome) -> None:
        """A job has ended."""


class _Run:
    """Jobs that are under way, each in a thread, and what became of those that ended."""

    def __init__(
        self, directory: Path, listener: Listener, admission: Admission, performer: Performer, patience: float
    ) -> None:
        self._directory, self._listener, self._admission = directory, listener, admission
        self._performer, self._patience = performer, patience
        self._watches: dict[int, Watch] = {}
        self._threads: list[threading.Thread] = []
        self._done = threading.Event()
        self.results: dict[int, Outcome] = {}

    def start(self, index: int, job: Job) -> None:
        """Starts a job once it is admitted; one that cannot be has its outcome at once."""
        if why := self._refusal(job):
            self.results[index] = job.outcome(outcome.MACHINE_LACKS, why)
            self._listener.ends(job, self.results[index])
            return
        watch = self._watches[index] = Watch(lambda phase: self._listener.phase(job, phase))
        self._listener.begins(job, "")
        thread = threading.Thread(target=self._work, args=(index, job, watch), name=f"vmtest-{job.name}", daemon=True)
        self._threads.append(thread)
        thread.start()

    def _refusal(self, job: Job) -> str:
        """Waits until the job is admitted (""), or has been hopeless for so long that it never will be (why)."""
        hopeless_since: float | None = None
        while not self._admission.admit(job.config):
            why = self._admission.hopeless(job.config)
            if not why:
                hopeless_since = None
            elif hopeless_since is None:
                hopeless_since = time.monotonic()
            elif time.monotonic() - hopeless_since > self._patience:
                return why
            self._done.wait(TICK_SECONDS)
            self._done.clear()
        return ""

    def _work(self, index: int, job: Job, watch: Watch) -> None:
        try:
            self.results[index] = self._performer(job, self._directory / job.directory, watch)
        except BaseException as error:
            self.results[index] = job.outcome(outcome.HARNESS_ERROR, f"{type(error).__name__}: {error}")
        finally:
            self._admission.release(job.config)
            self._watches.pop(index, None)
            self._listener.ends(job, self.results[index])
            self._done.set()

    def wait(self) -> None:
        """Waits for all that were started."""
        for thread in self._threads:
            while thread.is_alive():
                thread.join(TICK_SECONDS)

    def end(self) -> None:
        """Ends what is under way."""
        for watch in list(self._watches.values()):
            watch.stop()
        for thread in self._threads:
            thread.join(30)


def run(
    jobs: Sequence[Job],
    directory: Path,
    listener: Listener,
    *,
    admission: Admission,
    performer: Performer = perform,
    patience: float = PATIENCE_SECONDS,
) -> tuple[list[Outcome], bool]:
    """Performs jobs.

    Args:
        jobs: in the order in which they start.
        directory: of the run; each job's artifacts are in ``job.directory`` below it.
        listener: gets all that happens.
        admission: decides what fits.
        performer: performs one.
        patience: seconds that a job which does not fit although none of ours runs waits for other programs.

    Returns:
        outcomes in the order of the jobs, and whether the run was interrupted.
    """
    under_way = _Run(directory, listener, admission, performer, patience)
    interrupted = False
    try:
        for index, job in enumerate(jobs):
            under_way.start(index, job)
        under_way.wait()
    except KeyboardInterrupt:
        interrupted = True
        under_way.end()
    missing = "the run was ended before"
    results = under_way.results
    return [results.get(i) or job.outcome(outcome.NOT_RUN, missing) for i, job in enumerate(jobs)], interrupted
