# SPDX-License-Identifier: GPL-2.0-only
"""A suite on a local Dask cluster of two workers, one of which is killed; its verdicts against those of a local run.

``python -m benchmarks.cluster SUITE.yaml [--filter PATTERN ...] [--local DIR] [--kill-after 30]``. Without ``--local``
(the results of an earlier ``vmtest run``) the suite runs here first. Each worker has a cache of its own, as two
machines would.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path

from distributed import LocalCluster
from rich.console import Console
from rich.table import Table

from vmtest.cluster.client import cluster_runner
from vmtest.results import manifest, writers
from vmtest.suite.command import run_suite

WORKERS = 2


def worker(number: int, address: str, directory: Path) -> subprocess.Popen[bytes]:
    """A worker process that takes one job at a time."""
    env = {**os.environ, "XDG_CACHE_HOME": str(directory / f"cache{number}")}
    words = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--no-nanny", "--nthreads", "1"]
    words += ["--no-dashboard", "--name", f"w{number}", "--local-directory", str(directory / f"w{number}")]
    log = (directory / f"w{number}.log").open("wb")
    return subprocess.Popen(words, env=env, stdout=log, stderr=log)


def main(arguments: Sequence[str] | None = None) -> int:
    """The benchmark; 0 when the verdicts are the same."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("suite", type=Path)
    parser.add_argument("--filter", action="append", default=[])
    parser.add_argument("--local", type=Path, help="results of a local run to compare with")
    parser.add_argument("--kill-after", type=float, default=30.0, metavar="S")
    parser.add_argument("--results", type=Path, help="directory for the cluster's results (default: a temporary one)")
    options = parser.parse_args(arguments)
    with contextlib.ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="vmtest-cluster.")))
        local = options.local or scratch / "local"
        if options.local is None:
            run_suite(options.suite, most=WORKERS, filters=options.filter, results=local)
        cluster = stack.enter_context(LocalCluster(n_workers=0, dashboard_address="127.0.0.1:0", silence_logs=50))
        processes = [worker(number, cluster.scheduler_address, scratch) for number in range(WORKERS)]
        for process in processes:
            stack.callback(process.wait)
            stack.callback(process.kill)
        killer = threading.Timer(options.kill_after, processes[0].kill)
        killer.daemon = True
        killer.start()
        results = options.results or scratch / "cluster"
        began = time.monotonic()
        runner = cluster_runner(cluster.scheduler_address)
        run_suite(options.suite, filters=options.filter, results=results, runner=runner)
        took = time.monotonic() - began
        died = processes[0].poll() is not None and processes[1].poll() is None
        return compare(local, results, took, options.kill_after if died else None)


def compare(local: Path, results: Path, took: float, killed: float | None) -> int:
    """Prints both verdicts of each job; 0 when they are the same and the worker was killed in time."""
    there = {outcome.name: outcome for outcome in writers.read(results).outcomes}
    here = {outcome.name: outcome for outcome in writers.read(local).outcomes if outcome.name in there}
    table = Table("job", "local", "cluster", title=f"{len(there)} jobs on {WORKERS} workers, {took:.0f} s", width=110)
    different = 0
    for name, outcome in there.items():
        mine = here[name].verdict if name in here else "none"
        different += mine != outcome.verdict
        table.add_row(name, mine, outcome.verdict, style="red" if mine != outcome.verdict else "")
    console = Console(width=120)
    console.print(table)
    files = [name for name in there if there[name].directory and not _same_files(results, local, there[name].directory)]
    console.print(f"one worker killed after {killed:g} s" if killed else "NO WORKER WAS KILLED: it was over before")
    console.print(f"{different} verdicts differ; {len(files)} guests with other artifacts than a local run's")
    return int(bool(different or files or killed is None))


def _same_files(one: Path, other: Path, directory: str) -> bool:
    names = [{path.name for path in (base / directory).iterdir()} for base in (one, other)]
    return names[0] == names[1] and manifest.read(one / directory).job == manifest.read(other / directory).job


if __name__ == "__main__":
    sys.exit(main())
