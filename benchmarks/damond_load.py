# SPDX-License-Identifier: GPL-2.0-only
"""Many clients that read and commit at once: ``python -m benchmarks.damond_load [--minutes 5] [--clients 32]``.

Each client owns a running kdamond of one damond on a simulated machine, changes its intervals and scheme, commits, and
asks the service whether the worker has what was committed. At the end nothing may be left: no file open, no thread
more than before, no memory that grows.
"""

from __future__ import annotations

import argparse
import errno
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from damon.damond.client import Client
from damon.damond.fusefs import MAX_THREADS
from damon.damond.runtime import socket_path

WORKLOAD = Path(__file__).parents[1] / "workloads/hot-cold.yaml"
#: Made when they are needed, and kept.
FUSE_THREADS = MAX_THREADS + 1
KDAMONDS = "kernel/mm/damon/admin/kdamonds"


@dataclass
class Load:
    """What happened."""

    commits: int = 0
    reads: int = 0
    busy: int = 0
    lost: list[str] = field(default_factory=list)
    slowest_s: float = 0.0
    usage: list[tuple[float, int, int, int]] = field(default_factory=list)  #: seconds, RSS, open files, threads
    before: tuple[int, int] = (0, 0)  #: open files and threads, before the first kdamond
    after: tuple[int, int] = (0, 0)  #: the same when all are gone again

    def growth_bytes(self) -> int:
        """Of RSS, from the second quarter's median to the last one's."""
        rss = [row[1] for row in self.usage]
        quarter = max(len(rss) // 4, 1)
        middle = sorted(rss[quarter : 2 * quarter] or rss), sorted(rss[-quarter:])
        return middle[1][len(middle[1]) // 2] - middle[0][len(middle[0]) // 2]


def _write(load: Load, path: Path, value: str) -> None:
    """Again while somebody else holds the tree's lock, as every user of the kernel's interface does."""
    while True:
        try:
            path.write_text(value)
            return
        except OSError as error:
            if error.errno != errno.EBUSY:
                raise
            load.busy += 1
            time.sleep(0.002)


def _client(load: Load, mount: Path, ask: Client, index: int, ends: float, least: int) -> None:
    draw = random.Random(index)
    one = mount / KDAMONDS / str(index)
    ctx = one / "contexts/0"
    while time.monotonic() < ends or load.commits < least:
        sample = draw.choice((5000, 10000, 20000))
        size = draw.randrange(1, 1 << 40)
        _write(load, ctx / "monitoring_attrs/intervals/sample_us", str(sample))
        _write(load, ctx / "schemes/0/access_pattern/sz/min", str(size))
        began = time.monotonic()
        _write(load, one / "state", "commit")
        load.slowest_s = max(load.slowest_s, time.monotonic() - began)
        load.commits += 1
        found = ask.call("status")["kdamonds"][index]
        if found["sample_us"] != sample or found["state"] != "on":
            load.lost.append(f"kdamond {index}: committed sample_us {sample}, the worker has {found['sample_us']}")
        if int((ctx / "schemes/0/access_pattern/sz/min").read_text()) != size:
            load.lost.append(f"kdamond {index}: sz/min was {size}")
        for directory, _, files in os.walk(ctx):
            for name in files:
                Path(directory, name).read_bytes()
                load.reads += 1


def _set_up(load: Load, mount: Path, clients: int) -> None:
    kdamonds = mount / KDAMONDS
    _write(load, kdamonds / "nr_kdamonds", str(clients))
    for index in range(clients):
        one = kdamonds / str(index)
        _write(load, one / "contexts/nr_contexts", "1")
        ctx = one / "contexts/0"
        for path, value in {
            "operations": "paddr", "targets/nr_targets": 1, "targets/0/regions/nr_regions": 1,
            "targets/0/regions/0/start": 0x100000, "targets/0/regions/0/end": 1 << 30, "schemes/nr_schemes": 1,
            "monitoring_attrs/nr_regions/max": 100,
        }.items():  # fmt: skip
            _write(load, ctx / path, f"{value}\n")
        for part in ("sz", "nr_accesses", "age"):
            _write(load, ctx / f"schemes/0/access_pattern/{part}/max", str(2**64 - 1))
        _write(load, one / "state", "on")


def drive(mount: Path, pid: int, clients: int, seconds: float, least: int = 0) -> Load:
    """Load the service ``pid`` at ``mount`` for so long, and until so many commits were made by all together."""
    load = Load()
    process = psutil.Process(pid)
    list((mount / KDAMONDS).iterdir())  # it has its first thread for requests
    load.before = process.num_fds(), process.num_threads()
    _set_up(load, mount, clients)
    began = time.monotonic()
    failures: list[BaseException] = []

    def client(index: int) -> None:
        try:
            with Client(socket_path(mount)) as ask:
                _client(load, mount, ask, index, began + seconds, least)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=client, args=(index,)) for index in range(clients)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        usage = process.memory_info().rss, process.num_fds(), process.num_threads()
        load.usage.append((time.monotonic() - began, *usage))
        time.sleep(min(1.0, seconds / 20))
    if failures:
        raise failures[0]
    for index in range(clients):
        _write(load, mount / KDAMONDS / str(index) / "state", "off")
    _write(load, mount / KDAMONDS / "nr_kdamonds", "0")
    deadline = time.monotonic() + 5
    while (process.num_fds() > load.before[0]) and time.monotonic() < deadline:
        time.sleep(0.05)  # connections end in threads of their own
    load.after = process.num_fds(), process.num_threads()
    return load


@contextmanager
def service() -> Iterator[tuple[Path, subprocess.Popen[bytes], Path]]:
    """A damond of our own: its mount, its process, its log."""
    with tempfile.TemporaryDirectory(prefix="damond-load-") as directory:
        mount, log = Path(directory, "sys"), Path(directory, "log")
        os.environ["RUNTIME_DIRECTORY"] = str(Path(directory, "run"))
        command = [sys.executable, "-m", "damon.cli.damond", "--sim", str(WORKLOAD), "--mount", str(mount)]
        with log.open("w") as stream:
            process = subprocess.Popen(command, stderr=stream)
        try:
            while "mounted at" not in log.read_text():
                if process.poll() is not None:
                    raise SystemExit(log.read_text())
                time.sleep(0.05)
            yield mount, process, log
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--minutes", type=float, default=5.0)
    words.add_argument("--clients", type=int, default=32)
    given = words.parse_args()
    with service() as (mount, process, log):
        load = drive(mount, process.pid, given.clients, given.minutes * 60)
        said = log.read_text()
    print(f"{load.commits} commits, {load.reads} files read, {load.busy} times busy, in {given.minutes:g} minutes")
    print(f"slowest commit {load.slowest_s:.2f} s; updates lost: {len(load.lost)}")
    for name, column in (("RSS", 1), ("open files", 2), ("threads", 3)):
        values = [row[column] for row in load.usage]
        print(f"{name:<11} first {values[0]:>11}  last {values[-1]:>11}  most {max(values):>11}")
    print(f"files, threads before {load.before}, after {load.after}; {FUSE_THREADS} threads serve requests at most")
    print(f"RSS grew by {load.growth_bytes() / 2**20:.1f} MiB from the second to the last quarter")
    print(json.dumps({"lost": load.lost[:5], "tracebacks": said.count("Traceback")}))


if __name__ == "__main__":
    main()
