# SPDX-License-Identifier: GPL-2.0-only
"""What reading a whole tree costs: ``python -m benchmarks.damond_walk [--kdamonds 64] [--schemes 8] [--tries 3]``.

The tree of one damond on a simulated machine is read by ``grep -r``, ``find -exec cat`` and Python, on all processors
and with reader and damond on one. For each walk: seconds, how many of these are its own (on an idle machine: all), and
how many requests of which kind the kernel sent.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from benchmarks.damond_load import KDAMONDS, service
from damon.damond.control import Client
from damon.damond.instance import socket_path

PYTHON = """
import os, sys
for folder, _, files in os.walk(sys.argv[1]):
    for name in files:
        open(os.path.join(folder, name)).read()
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
    waited_s: float  #: reader and damond, ready while others had the processors; both can be at the same time
    reader_cpu_s: float
    damond_cpu_s: float
    requests: dict[str, int]

    @property
    def own_s(self) -> float:
        """About what it takes where nobody else runs: of the time, what nobody waited; not less than was worked."""
        return min(self.seconds, max(self.seconds - self.waited_s, self.reader_cpu_s + self.damond_cpu_s))

    def __str__(self) -> str:
        counts = ", ".join(f"{name} {count}" for name, count in sorted(self.requests.items(), key=lambda one: -one[1]))
        return (
            f"{self.seconds:5.2f} s, of these own {self.own_s:5.2f} s "
            f"(both waited {self.waited_s:5.2f} s for processors, "
            f"had {self.reader_cpu_s:4.2f} + {self.damond_cpu_s:4.2f} s); "
            f"{sum(self.requests.values())} requests: {counts}"
        )


def build(mount: Path, kdamonds: int, schemes: int) -> Path:
    """So many kdamonds with so many schemes each; their folder."""
    folder = mount / KDAMONDS
    (folder / "nr_kdamonds").write_text(str(kdamonds))
    for index in range(kdamonds):
        (folder / str(index) / "contexts/nr_contexts").write_text("1")
        (folder / str(index) / "contexts/0/schemes/nr_schemes").write_text(str(schemes))
    return folder


def _scheduled(pid: int) -> tuple[float, float]:
    """Seconds on a processor and seconds waiting for one, of all threads that ``pid`` has."""
    on, waiting = 0, 0
    for task in Path(f"/proc/{pid}/task").iterdir():
        try:
            ran, waited, _ = (task / "schedstat").read_text().split()
        except OSError:
            continue  # it has just ended
        on, waiting = on + int(ran), waiting + int(waited)
    return on / 1e9, waiting / 1e9


def _end(reader: subprocess.Popen[bytes]) -> tuple[float, float]:
    """Wait until ``reader`` has ended; its seconds on a processor, children included, and waiting for one, without."""
    os.waitid(os.P_PID, reader.pid, os.WEXITED | os.WNOWAIT)
    waited = int(Path(f"/proc/{reader.pid}/schedstat").read_text().split()[1]) / 1e9
    _, status, usage = os.wait4(reader.pid, 0)
    reader.returncode = os.waitstatus_to_exitcode(status)
    return usage.ru_utime + usage.ru_stime, waited


def walk(kind: str, tree: Path, pid: int, mount: Path) -> Walk:
    """Read all of ``tree``, which the service ``pid`` serves at ``mount``."""
    words = [str(tree) if word == "TREE" else word for word in WALKS[kind]]
    with Client(socket_path(mount)) as ask:
        counted = ask.call("requests")
        ran, waited = _scheduled(pid)
        began = time.monotonic()
        reader = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        reader_ran, reader_waited = _end(reader)
        seconds = time.monotonic() - began
        after_ran, after_waited = _scheduled(pid)
        requests = {name: count - counted.get(name, 0) for name, count in ask.call("requests").items()}
    return Walk(
        seconds,
        after_waited - waited + reader_waited,
        reader_ran,
        after_ran - ran,
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
