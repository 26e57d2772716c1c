# SPDX-License-Identifier: GPL-2.0-only
"""What ``vmtest run`` and ``vmtest rerun`` do, from a file to an exit code."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path

from msgspec.structs import replace
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from ..errors import InvalidInput
from ..images import rootfs_build
from ..results import evidence, manifest, writers
from ..results import trust as trusted
from ..results.job import Job
from ..results.live import STYLES, Progress, matrix
from ..results.outcome import Outcome, Run
from ..terminal import output, visible
from .admission import Admission, host_cpus
from .expand import expand
from .kernels import complete
from .load import load
from .model import Suite
from .pool import Listener
from .pool import run as run_here

INTERRUPTED = 130
#: Performs jobs somewhere: outcomes in their order, and whether the run was interrupted.
Runner = Callable[[Sequence[Job], Path, Listener], tuple[list[Outcome], bool]]


def new_directory(wanted: Path | None, name: str) -> Path:
    """A run's directory: the one that is asked for, which must be empty or not there, or a new one named by the time.

    Raises:
        InvalidInput: it has something in it, or cannot be made.
    """
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    directory = wanted or Path("vmtest-results") / f"{name}-{stamp}"
    try:
        directory.mkdir(parents=True, exist_ok=True)
        if any(directory.iterdir()):
            raise InvalidInput(f"results directory: {str(directory)!r}: is not empty; give a new one, or empty it")
    except OSError as error:
        raise InvalidInput(
            f"results directory: {str(directory)!r}: {error.strerror}; give another --results"
        ) from error
    return directory.resolve()


def show_matrix(suite: Suite, jobs: Sequence[Job], console: Console) -> None:
    """What would run."""
    table = Table(title=f"{suite.name}: {len(jobs)} jobs", title_justify="left", header_style="")
    for title in ("kernel", "machine", "workload", "test", "command", "expected"):
        table.add_column(title)
    for job in jobs:
        expected = f"{job.expected.verdict}: {job.expected.reason}" if job.expected else ""
        first = job.command.strip().splitlines()[0]
        table.add_row(
            job.kernel_name,
            job.machine_name,
            job.workload_name,
            job.test_name,
            escape(first if len(first) <= 60 else first[:57] + "..."),
            escape(expected),
        )
    console.print(table)


def show_end(run: Run, directory: Path, console: Console) -> None:
    """Prints the table, then the jobs that did not pass, with their excerpts."""
    console.print(matrix(run))
    for outcome in run.outcomes:
        if outcome.status.good:
            continue
        console.print(f"[{STYLES[outcome.status]}]{escape(outcome.name)}[/]: {_shown(' '.join(outcome.line.split()))}")
        if outcome.excerpt:
            lines = outcome.excerpt.splitlines()
            more = [f"... {len(lines) - 12} lines more in excerpt.txt"] if len(lines) > 12 else []
            console.print("\n".join(f"    {_shown(line)}" for line in lines[:12] + more))
        if outcome.directory:
            console.print(f"    {escape(str(directory / outcome.directory))}")
    console.print(f"results: {escape(str(directory))}")


def _shown(text: str) -> str:
    """A guest's words for the console."""
    return escape(visible(text))


def run_suite(
    path: Path,
    *,
    most: int | None = None,
    filters: Sequence[str] = (),
    dry_run: bool = False,
    results: Path | None = None,
    runner: Runner | None = None,
) -> int:
    """``vmtest run``.

    Args:
        path: the suite file.
        most: guests at once; None: what the host has processors for.
        filters: as for :func:`vmtest.suite.expand.expand`.
        dry_run: show the matrix only.
        results: directory for the results.
        runner: where; None: on this host.

    Returns:
        the exit code: 0, 1, 3, 125 or 130.

    Raises:
        HarnessError: the suite is wrong, or a kernel or image cannot be had; nothing has run.
    """
    console = output()
    suite = load(path)
    jobs = expand(suite, filters)
    if dry_run:
        show_matrix(suite, jobs, console)
        return 0
    made = complete(suite, jobs, path.parent.resolve())
    directory = new_directory(results, suite.name)
    return perform_all(suite.name, made, directory, console, runner or _here(most))


def _here(most: int | None) -> Runner:
    def run(wanted: Sequence[Job], directory: Path, listener: Listener) -> tuple[list[Outcome], bool]:
        return run_here(wanted, directory, listener, admission=Admission(most))

    return run


def perform_all(name: str, made: Sequence[Job], directory: Path, console: Console, runner: Runner) -> int:
    """Performs jobs, shows progress, writes the results; returns the exit code."""
    started, began = datetime.now(UTC).isoformat(timespec="seconds"), time.monotonic()
    with Progress(len(made)) as progress:
        outcomes, interrupted = runner(made, directory, progress)
    run = Run(
        suite=name,
        started=started,
        seconds=round(time.monotonic() - began, 1),
        versions={**evidence.versions({job.arch for job in made}), "cpus": str(host_cpus())},
        outcomes=outcomes,
    )
    writers.write_all(run, directory)
    show_end(run, directory, console)
    return INTERRUPTED if interrupted else run.exit_code


def rerun(
    path: Path,
    *,
    kernel: Path | None = None,
    rootfs: Path | None = None,
    results: Path | None = None,
    trust: bool = False,
) -> int:
    """``vmtest rerun``: the guest and job of a manifest once more; see :func:`run_suite` for the exit code.

    Args:
        path: a manifest or its directory.
        kernel: another kernel than the manifest's.
        rootfs: another image.
        results: directory for the results.
        trust: the manifest may choose files and directories of this host, and QEMU's arguments.

    Raises:
        InvalidInput: no manifest, its files are not what they were, or it chooses what only one that is trusted may.
    """
    found = manifest.read(path)
    what = f"manifest {str(path)!r}"
    trusted.check_names(found.job, what)
    if not trust:
        trusted.check(found.job, what, kernel=kernel is None, rootfs=rootfs is None)
    job = _with_files(found.job, kernel, rootfs)
    manifest.check_files(job)
    rootfs_build.check_image(Path(job.rootfs.path), job.arch)
    console = output()
    directory = new_directory(results, f"{job.suite}-rerun")
    code = perform_all(job.suite, [job], directory, console, _here(1))
    before = found.outcome
    now = writers.read(directory).outcomes[0]
    same = "the same" if now.verdict == before.verdict else "not the same"
    console.print(f"verdict then: {_shown(before.verdict)}; now: {now.verdict} - {same}")
    return code


def _with_files(job: Job, kernel: Path | None, rootfs: Path | None) -> Job:
    """A job with another kernel or image, where they are given."""
    if kernel is not None:
        job = replace(job, kernel=manifest.file_ref(_file(kernel, "kernel")), vmlinux=None, kernel_config=None)
    if rootfs is not None:
        job = replace(job, rootfs=manifest.file_ref(_file(rootfs, "rootfs")))
    return job


def _file(path: Path, name: str) -> Path:
    if not path.is_file():
        raise InvalidInput(f"{name}: {str(path)!r}: does not exist; correct the path")
    return path
