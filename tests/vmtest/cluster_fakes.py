# SPDX-License-Identifier: GPL-2.0-only
"""In place of a guest on a worker: reads the files that came, waits, ends as the command names."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.vmtest.suite_fakes import outcome
from vmtest.results import manifest
from vmtest.results.job import Job
from vmtest.results.outcome import Outcome
from vmtest.suite.perform import Watch

LOOK_S = 0.02


def perform(job: Job, directory: Path, watch: Watch) -> Outcome:
    """``command``: "VERDICT N" (or "raise"): it goes on until it was begun so many times.

    The file that ``env`` names gets a line of who began it.
    """
    watch.phase("boot")
    with open(job.env["LOG"], "a") as log:
        log.write(f"{job.test_name} {os.getpid()} {Path(job.kernel.path).read_text()}\n")
    if job.command == "raise":
        raise ZeroDivisionError("a defect")
    verdict, times = job.command.split()
    watch.phase("command")
    while sum(line.startswith(f"{job.test_name} ") for line in Path(job.env["LOG"]).read_text().splitlines()) < int(
        times
    ):
        watch.phase("command")
        time.sleep(LOOK_S)
    directory.mkdir(parents=True)
    trees = [sorted(str(path.relative_to(host)) for path in Path(host).rglob("*")) for host, _ in job.trees]
    (directory / "stdout").write_text(f"{trees}")
    result = outcome(job.test_name, verdict, directory=job.directory, timings={})
    manifest.write(manifest.Manifest(job=job, outcome=result), directory)
    return result
