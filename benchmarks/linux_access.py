# SPDX-License-Identifier: GPL-2.0-only
"""What each way of seeing accesses costs, and costs the process that is watched, by the size of its memory.

For a machine of its own, such as a guest (root, Linux 7.3, idle page tracking)::

    vmtest exec --memory 10G --cpus 2 --tree .:/opt/project --cwd /opt/project -- \
        python3 -m benchmarks.linux_access --sizes 64 256 1024

A process writes all of its memory once, and then 8 MiB of it again and again. Unwatched and watched spells take turns;
the slowdown is the median of the ratios of neighbours. CPU time is the monitor's, of one processor.
"""

from __future__ import annotations

import argparse
import ctypes
import itertools
import mmap
import statistics
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from damon import Damon, DamonAttrs, DamonCallControl, DamonTarget
from damon.core import set_attrs, set_regions
from damon.mm.linux import LinuxMachine

HOT: Final = 8 << 20
PAGE: Final = 4096
#: Operations set, access, sampling interval in us, regions; the aggregation interval is 100 ms.
FORMS: Final = {
    "page_idle, 100 regions": ("fvaddr", "page_idle", 5000, 100),
    "rwp, 100 regions": ("fvaddr", "rwp", 5000, 100),
    "page_idle, 1000 regions": ("fvaddr", "page_idle", 5000, 1000),
    "rwp, 1000 regions": ("fvaddr", "rwp", 5000, 1000),
    "exact, once an aggregation": ("vaddr-exact", "rwp", 100_000, 1000),
    "exact, five times": ("vaddr-exact", "rwp", 20_000, 1000),
}
AGGREGATION_US: Final = 100_000


class Toucher:
    """The process: it reports how often it went over its hot part."""

    def __init__(self, mib: int) -> None:
        words = [sys.executable, "-c", f"from benchmarks.linux_access import touch; touch({mib})"]
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

    def end(self) -> None:
        self.process.kill()
        self.process.wait()


def touch(mib: int) -> None:
    """What the process does: for the seconds that each line of its input has."""
    area = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    base = ctypes.addressof(ctypes.c_char.from_buffer(area))
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

    intervals: list[float]
    cpu: float
    accessed: list[float]


@contextmanager
def watching(toucher: Toucher, mib: int, form: str) -> Iterator[Watched]:
    """A monitor of the process during the block."""
    name, access, sample_us, regions = FORMS[form]
    found = Watched([], 0.0, [])
    times: list[float] = []
    with LinuxMachine(access=access) as machine:
        damon = Damon(machine, seed=1)
        ctx = damon.new_ctx()
        damon.select_ops(ctx, name)
        least = regions if name == "fvaddr" else 10
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


def measure(mib: int, form: str, pairs: int, seconds: float) -> str:
    toucher = Toucher(mib)
    ratios, cpu, intervals, accessed = [], [], [], []
    try:
        for _ in range(pairs):
            alone = toucher.rounds_a_second(seconds)
            with watching(toucher, mib, form) as found:
                ratios.append(alone / toucher.rounds_a_second(seconds))
            cpu.append(found.cpu / seconds)
            intervals += found.intervals
            accessed += found.accessed[2:]
    finally:
        toucher.end()
    intervals.sort()
    late = intervals[int(0.95 * len(intervals))] if intervals else float("nan")
    middle = statistics.median(intervals) if intervals else float("nan")
    seen = statistics.median(accessed) if accessed else float("nan")
    return (
        f"| {mib} MiB | {form} | {100 * statistics.median(cpu):.1f} % | {100 * (statistics.median(ratios) - 1):+.1f} % "
        f"| {middle:.0f} ms | {late:.0f} ms | {seen:.1f} MiB |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[64, 256, 1024], metavar="MIB")
    parser.add_argument("--forms", nargs="+", default=[*FORMS], metavar="FORM", choices=FORMS)
    parser.add_argument("--pairs", type=int, default=5, help="of unwatched and watched spells")
    parser.add_argument("--seconds", type=float, default=2.0, help="of a spell")
    arguments = parser.parse_args()
    print("| memory | form | CPU | slowdown | aggregation, median | 95th percentile | accessed, median |")
    print("|---|---|---|---|---|---|---|")
    for mib in arguments.sizes:
        for form in arguments.forms:
            print(measure(mib, form, arguments.pairs, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
