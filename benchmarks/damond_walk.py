# SPDX-License-Identifier: GPL-2.0-only
"""What reading a whole tree costs: ``python -m benchmarks.damond_walk [--kdamonds 64] [--schemes 8] [--tries 3]``.

The tree of one damond on a simulated machine is read by ``grep -r``, ``find -exec cat`` and Python, on all processors
and with reader and damond on one. For each walk: seconds, processor time of both, how many requests of which kind the
kernel sent, and how many system calls damond made to read and to answer them.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks.damond_load import KDAMONDS, service
from damon.damond.client import Client
from damon.damond.runtime import socket_path

PYTHON = """
import os, sys
for directory, _, files in os.walk(sys.argv[1]):
    for name in files:
        open(os.path.join(directory, name)).read()
"""
WALKS = {
    "grep -r": ("grep", "-r", ".", "TREE"),
    "find + cat": ("find", "TREE", "-type", "f", "-exec", "cat", "{}", "+"),
    "Python": (sys.executable, "-c", PYTHON, "TREE"),
}


@dataclass
class Walk:
    """What one walk took."""

    seconds: float
    reader_cpu_s: float
    damond_cpu_s: float
    calls: int  #: of read(2), write(2) and their kind, by damond
    requests: dict[str, int]

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.requests.items(), key=lambda one: -one[1]))
        return (
            f"{self.seconds:5.2f} s, processor time {self.reader_cpu_s:4.2f} + {self.damond_cpu_s:4.2f} s; "
            f"{self.calls} system calls, {sum(self.requests.values())} requests: {counts}"
        )


def build(mount: Path, kdamonds: int, schemes: int) -> Path:
    """So many kdamonds with so many schemes each; their directory."""
    directory = mount / KDAMONDS
    (directory / "nr_kdamonds").write_text(str(kdamonds))
    for index in range(kdamonds):
        (directory / str(index) / "contexts/nr_contexts").write_text("1")
        (directory / str(index) / "contexts/0/schemes/nr_schemes").write_text(str(schemes))
    return directory


def _used(pid: int) -> tuple[float, int]:
    """Seconds of processor time and calls of read(2) and write(2), of all threads that ``pid`` has had."""
    io = dict(line.split(": ") for line in Path(f"/proc/{pid}/io").read_text().splitlines())
    times = psutil.Process(pid).cpu_times()
    return times.user + times.system, int(io["syscr"]) + int(io["syscw"])


def walk(kind: str, tree: Path, pid: int, mount: Path) -> Walk:
    """Read all of ``tree``, which the service ``pid`` serves at ``mount``."""
    words = [str(tree) if word == "TREE" else word for word in WALKS[kind]]
    with Client(socket_path(mount)) as ask:
        counted = ask.call("requests")
        cpu_s, calls = _used(pid)
        began = time.monotonic()
        reader = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        _, status, usage = os.wait4(reader.pid, 0)
        seconds = time.monotonic() - began
        reader.returncode = os.waitstatus_to_exitcode(status)
        after_s, after_calls = _used(pid)
        requests = {name: count - counted.get(name, 0) for name, count in ask.call("requests").items()}
    return Walk(
        seconds,
        usage.ru_utime + usage.ru_stime,
        after_s - cpu_s,
        after_calls - calls,
        {name: count for name, count in requests.items() if count},
    )


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--kdamonds", type=int, default=64)
    words.add_argument("--schemes", type=int, default=8)
    words.add_argument("--tries", type=int, default=3)
    given = words.parse_args()
    processors = sorted(os.sched_getaffinity(0))
    for used in dict.fromkeys((tuple(processors), tuple(processors[:1]))):
        os.sched_setaffinity(0, used)
        with service() as (mount, process, _):
            tree = build(mount, given.kdamonds, given.schemes)
            print(f"processors {', '.join(map(str, used))}; load {os.getloadavg()[0]:.1f}", flush=True)
            for _ in range(given.tries):
                for kind in WALKS:
                    print(f"  {kind:<11}{walk(kind, tree, process.pid, mount)}", flush=True)
    os.sched_setaffinity(0, processors)


if __name__ == "__main__":
    main()
