# SPDX-License-Identifier: GPL-2.0-only
"""What one exact read of all pages each 100 ms costs the process that is watched, by what the process does.

``python3 -m benchmarks.exact_cost`` boots a guest of Linux 7.3 with one processor, whose clock counts an instruction as
``2**icount`` ns, so that other load of the host has no influence. In it (``--here``) unwatched and watched spells take
turns. "Processor time" is the process's own, for the same work: its faults are in that, the monitor's time is not.
"Work" is what it does in a second less, with the monitor on the same processor: what has time to spare loses nothing.
Both are medians, with quartiles.
"""

from __future__ import annotations

import argparse
import json
import os
import select
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, Protocol

from benchmarks.linux_access import Toucher, watching

ROOT: Final = Path(__file__).parents[1]
FORM: Final = "exact, once an aggregation"
PROGRAM: Final = [sys.executable, "-m", "damon.workload.runner", "--json", "--tlb-flush", "off"]


class Program(Protocol):
    """What is watched: it works for a spell at a time. ``mib`` from ``base`` on are watched."""

    pid: int
    base: int
    mib: int

    def work(self, seconds: float) -> float:
        """How much it did in that time."""

    def end(self) -> None: ...


class Rounds(Toucher):
    """8 MiB of 256 written again and again, as fast as it can."""

    mib = 256

    def __init__(self, huge: bool) -> None:
        super().__init__(self.mib, huge)

    def work(self, seconds: float) -> float:
        return seconds * self.rounds_a_second(seconds)


class Workload:
    """A shipped workload, at its own pace."""

    def __init__(self, name: str) -> None:
        self.process = subprocess.Popen([*PROGRAM, name], stdout=subprocess.PIPE)
        assert self.process.stdout is not None
        self._lines = self.process.stdout.fileno()
        ready = self._event("ready")
        self.pid = ready["pid"]
        self.base = min(area["start"] for area in ready["areas"])
        self.mib = -(-(max(area["end"] for area in ready["areas"]) - self.base) >> 20)
        time.sleep(2)

    def _event(self, kind: str) -> Any:
        text = b""
        while True:
            text += os.read(self._lines, 1 << 16)
            whole, _, text = text.rpartition(b"\n")
            for event in map(json.loads, whole.splitlines()):
                if event["event"] == kind:
                    return event

    def _touches(self) -> int:
        """Until now: reports come once a second, too, and those that wait are old."""
        while select.select([self._lines], [], [], 0)[0]:
            os.read(self._lines, 1 << 16)
        os.kill(self.pid, signal.SIGUSR1)
        return int(self._event("report")["touches"])

    def work(self, seconds: float) -> float:
        before = self._touches()
        time.sleep(seconds)
        return self._touches() - before

    def end(self) -> None:
        self.process.terminate()
        self.process.wait()


def _cpu(pid: int) -> float:
    """Seconds of processor time that a process has had: the clock that clock_getcpuclockid(3) names."""
    return time.clock_gettime((~pid << 3) | 2)


PROGRAMS: Final[dict[str, Callable[[], Program]]] = {
    "8 MiB of 256, as fast as it can": lambda: Rounds(huge=False),
    "the same, transparent huge pages": lambda: Rounds(huge=True),
    "hot-cold": lambda: Workload("hot-cold"),
    "zipf": lambda: Workload("zipf"),
    "stairs": lambda: Workload("stairs"),
}


def _spell(program: Program, seconds: float) -> tuple[float, float, int]:
    """Processor time for a unit of work, units a second, and faults."""
    begin, cpu, faults = time.monotonic(), _cpu(program.pid), _faults(program.pid)
    done = program.work(seconds)
    spent, took = _cpu(program.pid) - cpu, time.monotonic() - begin
    return spent / done, done / took, _faults(program.pid) - faults


def _faults(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])


def _slower(ratios: list[float]) -> str:
    low, middle, high = (100 * (ratio - 1) for ratio in statistics.quantiles(ratios))
    return f"{middle:+.2f} % ({low:+.2f} to {high:+.2f})"


def measure(name: str, pairs: int, seconds: float) -> str:
    """A row of the table."""
    program = PROGRAMS[name]()
    dearer, slower, faults, busy = [], [], [], []
    try:
        for _ in range(pairs):
            begin = _cpu(program.pid)
            alone = _spell(program, seconds)
            busy.append((_cpu(program.pid) - begin) / seconds)
            with watching(program, program.mib, FORM):
                watched = _spell(program, seconds)
            dearer.append(watched[0] / alone[0])
            slower.append(alone[1] / watched[1])
            faults.append((watched[2] - alone[2]) / seconds)
    finally:
        program.end()
    return (
        f"| {name} | {100 * statistics.median(busy):.0f} % | {statistics.median(faults):.0f} "
        f"| {_slower(dearer)} | {_slower(slower)} |"
    )


def _in_guest(arguments: argparse.Namespace) -> None:
    from tests.vm import trees
    from tests.vm.job import PROJECT, PYTHON
    from vmtest import Guest, GuestConfig, Tree

    words = ["--here", "--pairs", str(arguments.pairs), "--seconds", str(arguments.seconds), "--programs"]
    config = GuestConfig(
        kernel=arguments.kernel,
        cpus=1,
        icount=arguments.icount,
        thp="madvise",
        trees=(*trees.project(), Tree(ROOT / "benchmarks", f"{PROJECT}/benchmarks")),
        env={"PYTHONPATH": PROJECT},
    )
    with Guest(config) as guest:
        for name in arguments.programs:
            command = [PYTHON, "-m", "benchmarks.exact_cost", *words, name]
            print(guest.run(command, cwd=PROJECT, timeout=3600).check().text, end="", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--here", action="store_true", help="on this machine, as root, and not in a guest")
    parser.add_argument("--kernel", default="page-idle-7.3", help="a name that 'vmtest kernels' lists")
    parser.add_argument("--icount", type=int, default=0, help="an instruction takes 2**ICOUNT ns")
    parser.add_argument("--programs", nargs="+", default=list(PROGRAMS), metavar="NAME", choices=list(PROGRAMS))
    parser.add_argument("--pairs", type=int, default=20, help="of unwatched and watched spells")
    parser.add_argument("--seconds", type=float, default=0.5, help="of a spell")
    arguments = parser.parse_args()
    if arguments.here:
        for name in arguments.programs:
            print(measure(name, arguments.pairs, arguments.seconds), flush=True)
        return
    print("| program | busy | faults a second | processor time | work |")
    print("|---|---|---|---|---|", flush=True)
    _in_guest(arguments)


if __name__ == "__main__":
    main()
