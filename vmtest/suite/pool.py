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
    """Who wants to know how a run goes; called from several threads."""

    def begins(self, job: Job, where: str) -> None:
        """A job starts; ``where`` is the host's name in a cluster, else empty."""

    def phase(self, job: Job, phase: str) -> None:
        """A job enters a phase."""

    def ends(self, job: Job, result: Outcome) -> None:
        """A job has ended."""


def blank(job: Job, verdict: str, message: str) -> Outcome:
    """The outcome of a job that had no guest."""
    return Outcome(
        name=job.name,
        kernel=job.kernel_name,
        machine=job.machine_name,
        workload=job.workload_name,
        test=job.test_name,
        verdict=verdict,
        message=message,
        expected=job.expected,
    )


def run(
    jobs: Sequence[Job],
    folder: Path,
    listener: Listener,
    *,
    admission: Admission,
    performer: Performer = perform,
    patience: float = PATIENCE_SECONDS,
) -> tuple[list[Outcome], bool]:
    """Performs jobs.

    Args:
        jobs: in the order in which they start.
        folder: of the run; each job's artifacts are in ``job.folder`` below it.
        listener: told of all that happens.
        admission: says what fits.
        performer: performs one.
        patience: seconds that a job which does not fit although none of ours runs waits for other programs.

    Returns:
        outcomes in the order of the jobs, and whether somebody ended the run before its end.
    """
    results: dict[int, Outcome] = {}
    watches: dict[int, Watch] = {}
    threads: list[threading.Thread] = []
    done = threading.Event()

    def work(index: int, job: Job, watch: Watch) -> None:
        try:
            results[index] = performer(job, folder / job.folder, watch)
        except BaseException as error:
            results[index] = blank(job, outcome.HARNESS_ERROR, f"{type(error).__name__}: {error}")
        finally:
            admission.release(job.config())
            watches.pop(index, None)
            listener.ends(job, results[index])
            done.set()

    interrupted = False
    try:
        for index, job in enumerate(jobs):
            hopeless_since: float | None = None
            config = job.config()
            while not admission.admit(config):
                why = admission.hopeless(config)
                if not why:
                    hopeless_since = None
                elif hopeless_since is None:
                    hopeless_since = time.monotonic()
                elif time.monotonic() - hopeless_since > patience:
                    results[index] = blank(job, outcome.MACHINE_LACKS, why)
                    listener.ends(job, results[index])
                    break
                done.wait(TICK_SECONDS)
                done.clear()
            else:
                watch = Watch(lambda phase, job=job: listener.phase(job, phase))  # type: ignore[misc]
                watches[index] = watch
                listener.begins(job, "")
                thread = threading.Thread(target=work, args=(index, job, watch), name=f"vmtest-{job.name}", daemon=True)
                threads.append(thread)
                thread.start()
        for thread in threads:
            while thread.is_alive():
                thread.join(TICK_SECONDS)
    except KeyboardInterrupt:
        interrupted = True
        for watch in list(watches.values()):
            watch.stop()
        for thread in threads:
            thread.join(30)
    missing = "the run was ended before"
    return [results.get(i) or blank(job, outcome.NOT_RUN, missing) for i, job in enumerate(jobs)], interrupted
