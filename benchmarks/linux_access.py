# SPDX-License-Identifier: GPL-2.0-only
"""What each way of seeing accesses costs, and costs the process that is watched, by the size of its memory.

For a machine of its own, such as a guest (root, Linux 7.3, idle page tracking)::

    vmtest exec --memory 10G --cpus 2 --tree .:/opt/project --cwd /opt/project -- \
        python3 -m benchmarks.linux_access --sizes 64 256 1024

A process writes all of its memory once, and then 8 MiB of it again and again. Unwatched and watched spells take turns;
the slowdown is the median of the ratios of neighbours, and beside it are its quartiles. CPU time is the monitor's, of
one processor. Faults are the process's, and so is the share of time in the kernel. Three forms are not DAMON, and say
what part of a slowdown is whose: "nothing" shows how far the machine lets two spells differ, "10 ms of arithmetic" what
a busy other processor costs, and "the two calls alone" what the kernel's interface costs, without any of the rest.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import mmap
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from damon import Damon, DamonAttrs, DamonCallControl, DamonTarget
from damon.core import set_attrs, set_regions
from damon.mm.linux import LinuxMachine
from damon.ops import vaddr_exact

HOT: Final = 8 << 20
PAGE: Final = 4096
HUGE: Final = 2 << 20
BLOCKS: Final = "a block of each of 1000 regions, once"
#: Operations set, access, sampling interval in us, regions; the aggregation interval is 100 ms.
FORMS: Final = {
    "page_idle, 100 regions": ("fvaddr", "page_idle", 5000, 100),
    "rwp, 100 regions": ("fvaddr", "rwp", 5000, 100),
    "page_idle, 1000 regions": ("fvaddr", "page_idle", 5000, 1000),
    "rwp, 1000 regions": ("fvaddr", "rwp", 5000, 1000),
    "exact, once an aggregation": ("vaddr-exact", "rwp", 100_000, 1000),
    "exact, five times": ("vaddr-exact", "rwp", 20_000, 1000),
    BLOCKS: ("vaddr-exact", "rwp", 100_000, 1000),
}
AGGREGATION_US: Final = 100_000
NOTHING: Final = "nothing"
BUSY: Final = "10 ms of arithmetic"
CALLS: Final = "the two calls alone"


class Watchable(Protocol):
    """A process, and where its memory begins that is watched."""

    pid: int
    base: int


class Toucher:
    """The process: it reports how often it went over its hot part."""

    def __init__(self, mib: int, huge: bool) -> None:
        words = [sys.executable, "-c", f"from benchmarks.linux_access import touch; touch({mib}, {huge})"]
        self.process = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = self.process.pid
        self.base = int(self._line())

    def _line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline()

    def rounds_a_second(self, seconds: float) -> float:
        """How often it goes over the hot part, for that long."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{seconds}\n")
        self.process.stdin.flush()
        return float(self._line())

    def faults(self) -> tuple[int, float]:
        """How many it has had, and seconds in the kernel: what the machine's other load does not change much."""
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return int(fields[7]), int(fields[12]) / os.sysconf("SC_CLK_TCK")

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def touch(mib: int, huge: bool) -> None:
    """What the process does: for the seconds that each line of its input has."""
    area = mmap.mmap(-1, (mib << 20) + HUGE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    area.madvise(mmap.MADV_HUGEPAGE if huge else mmap.MADV_NOHUGEPAGE)
    base = (ctypes.addressof(ctypes.c_char.from_buffer(area)) + HUGE - 1) & -HUGE
    ctypes.memset(base, 1, mib << 20)
    print(base, flush=True)
    for line in sys.stdin:
        begin, end = time.monotonic(), time.monotonic() + float(line)
        rounds = 0
        while time.monotonic() < end:
            ctypes.memset(base, rounds & 255, HOT)
            rounds += 1
        print(rounds / (time.monotonic() - begin), flush=True)


@dataclass
class Watched:
    """One spell: the intervals between results in ms, CPU seconds, and MiB that were seen as accessed."""

    intervals: list[float] = field(default_factory=list)
    cpu: float = 0.0
    accessed: list[float] = field(default_factory=list)


def _call(machine: LinuxMachine, toucher: Watchable, mib: int, found: Watched, ended: threading.Event) -> None:
    """Protect all pages and read all answers, once an aggregation interval."""
    start, end = toucher.base, toucher.base + (mib << 20)
    space = machine.open_process(toucher.pid)
    due = time.monotonic()
    while not ended.is_set():
        space.protect([(start, end)])
        due += AGGREGATION_US / 1e6
        ended.wait(due - time.monotonic())
        found.accessed.append(sum(last - first for first, last in space.accessed(start, end)) / (1 << 20))


def _compute(ended: threading.Event) -> None:
    due = time.monotonic()
    while not ended.is_set():
        while time.monotonic() < due + 0.01:
            pass
        due += AGGREGATION_US / 1e6
        ended.wait(due - time.monotonic())


@contextmanager
def _beside(toucher: Watchable, mib: int, form: str) -> Iterator[Watched]:
    """What is not DAMON, during the block."""
    found, ended = Watched(), threading.Event()
    with LinuxMachine(access="rwp") as machine:
        work = {CALLS: lambda: _call(machine, toucher, mib, found, ended), BUSY: lambda: _compute(ended)}
        thread = threading.Thread(target=work.get(form, ended.wait))
        begin = time.process_time()
        thread.start()
        try:
            yield found
        finally:
            found.cpu = time.process_time() - begin
            ended.set()
            thread.join()


@contextmanager
def watching(toucher: Watchable, mib: int, form: str) -> Iterator[Watched]:
    """A monitor of the process during the block."""
    if form not in FORMS:
        with _beside(toucher, mib, form) as found:
            yield found
        return
    name, access, sample_us, regions = FORMS[form]
    vaddr_exact.EXACT_MAX = 0 if form == BLOCKS else 1 << 50
    found = Watched()
    times: list[float] = []
    with LinuxMachine(access=access) as machine:
        damon = Damon(machine, seed=1)
        ctx = damon.new_ctx()
        damon.select_ops(ctx, name)
        least = regions if name == "fvaddr" or form == BLOCKS else 10
        set_attrs(ctx, DamonAttrs(sample_us, AGGREGATION_US, 1_000_000, least, regions))
        target = DamonTarget(space=machine.open_process(toucher.pid))
        ctx.targets.append(target)
        set_regions(target, [(toucher.base, toucher.base + (mib << 20))], PAGE)

        def see(_: object) -> None:
            times.append(time.monotonic())
            found.accessed.append(sum(row.size for row in target.regions if row.nr_accesses) / (1 << 20))

        begin = time.process_time()
        damon.start([ctx])
        damon.call(ctx, DamonCallControl(see, repeat=True, results_only=True))
        try:
            yield found
        finally:
            found.cpu = time.process_time() - begin
            damon.stop()
    found.intervals = sorted((after - before) * 1e3 for before, after in itertools.pairwise(times[2:]))


def _median(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.1f} {unit}" if values else "-"


def _slowdown(ratios: list[float]) -> str:
    """The median and the quartiles."""
    quartiles = statistics.quantiles(ratios, method="inclusive") if len(ratios) > 1 else [*ratios] * 3
    low, middle, high = (f"{100 * (ratio - 1):+.1f}" for ratio in quartiles)
    return f"{middle} % ({low} to {high})"


def measure(mib: int, form: str, pairs: int, seconds: float, huge: bool) -> str:
    """A row of the table."""
    toucher = Toucher(mib, huge)
    ratios, cpu, intervals, accessed, faults, inside = [], [], [], [], [], []
    try:
        for _ in range(pairs):
            alone = toucher.rounds_a_second(seconds)
            with watching(toucher, mib, form) as found:
                before = toucher.faults()
                ratios.append(alone / toucher.rounds_a_second(seconds))
                after = toucher.faults()
            faults.append((after[0] - before[0]) / seconds)
            inside.append((after[1] - before[1]) / seconds)
            cpu.append(found.cpu / seconds)
            intervals += found.intervals
            accessed += found.accessed[2:]
    finally:
        toucher.end()
    intervals.sort()
    late = f"{intervals[int(0.95 * len(intervals))]:.0f} ms" if intervals else "-"
    times = f"{_median(intervals, 'ms')} | {late}"
    return (
        f"| {mib} MiB | {form} | {100 * statistics.median(cpu):.1f} % | {_slowdown(ratios)} "
        f"| {statistics.median(faults):.0f} | {100 * statistics.mean(inside):.1f} % "
        f"| {times} | {_median(accessed, 'MiB')} |"
    )


def main() -> None:
    forms = [NOTHING, BUSY, CALLS, *FORMS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024], metavar="MIB")
    parser.add_argument("--forms", nargs="+", default=forms, metavar="FORM", choices=forms)
    parser.add_argument("--pairs", type=int, default=5, help="of unwatched and watched spells")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a spell")
    parser.add_argument("--huge", action="store_true", help="the process's memory is transparent huge pages")
    arguments = parser.parse_args()
    columns = ["memory", "form", "CPU", "slowdown", "faults a second", "in the kernel", "aggregation, median"]
    print("| " + " | ".join([*columns, "95th percentile", "accessed"]) + " |\n" + "|---" * 9 + "|")
    for mib in arguments.sizes:
        for form in arguments.forms:
            row = measure(mib, form, arguments.pairs, arguments.seconds, arguments.huge)
            print(row, flush=True)


if __name__ == "__main__":
    main()
