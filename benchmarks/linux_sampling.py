# SPDX-License-Identifier: GPL-2.0-only
"""What one sample of 1000 regions costs on real page tables: batches against three or more system calls a page.

For a guest or a test machine, as root, because it makes pages of the whole system idle. A page stays idle until it is
touched, and each word of the bitmap that is read asks for all of its idle pages: the check gets dearer while a monitor
runs. Here every page is made idle first, which is where cold memory ends up. (--fresh: measure the way there.)
"""

from __future__ import annotations

import argparse
import mmap
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from damon.mm.linux import LinuxMachine, native
from damon.model.arrays import U8, U64, Batch, Buffer
from damon.model.machine import AccessBits
from damon.model.random import Random

Space = Callable[[Buffer, int], Batch]


def child(mib: int, hot_mib: int) -> int:
    """A process with ``mib`` of memory, of which it writes ``hot_mib`` over and over; its pid."""
    ready, tell = os.pipe()
    pid = os.fork()
    if pid:
        os.read(ready, 1)
        return pid
    area = mmap.mmap(-1, mib << 20, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
    for at in range(0, mib << 20, 4096):
        area[at] = 1
    os.write(tell, b"x")
    while os.getppid() != 1:
        for at in range(0, hot_mib << 20, 4096):
            area[at] = 2
        time.sleep(0.01)
    os._exit(0)


def spread(ranges: list[tuple[int, int]], regions: int) -> list[tuple[int, int]]:
    """``regions`` even pieces of ``ranges``."""
    unit = max(4096, sum(end - start for start, end in ranges) // regions // 4096 * 4096)
    cut = [(at, min(at + unit, end)) for start, end in ranges for at in range(start, end, unit)]
    return cut[:regions]


def measure(
    prepare: Space, check: Callable[[Batch, Buffer], None], regions: list[tuple[int, int]], rounds: int
) -> list[float]:
    """µs of CPU a region for making old and for checking, and the share that was accessed; the best of ``rounds``."""
    random = Random(1)
    nr = len(regions)
    addrs, out = Buffer(U64, nr), Buffer(U8, nr)
    best, found = [float("inf")] * 2, 0
    for _ in range(rounds):
        for i, (start, end) in enumerate(regions):
            addrs[i] = random.rand(start, end)
        begin = time.thread_time()
        batch = prepare(addrs, nr)
        middle = time.thread_time()
        time.sleep(0.005)
        again = time.thread_time()
        check(batch, out)
        best = [min(best[0], middle - begin), min(best[1], time.thread_time() - again)]
        found += sum(out[i] for i in range(nr))
    return [best[0] / nr * 1e6, best[1] / nr * 1e6, found / nr / rounds]


class OneByOne:
    """A space whose samples are batches of one address each."""

    def __init__(self, space: AccessBits) -> None:
        self._space = space
        self._batches: list[Batch] = []

    def mkold(self, addrs: Buffer, nr: int) -> Batch:
        self._batches = []
        for i in range(nr):
            one = Buffer(U64, 1)
            one[0] = addrs[i]
            self._batches.append(self._space.mkold(one, 1))
        return Batch(addrs, nr)

    def young(self, batch: Batch, out: Buffer) -> None:
        answer = Buffer(U8, 1)
        for i, one in enumerate(self._batches):
            self._space.young(one, answer)
            out[i] = answer[0]


def all_idle() -> None:
    machine = LinuxMachine()
    for start, end in machine.system_ram():
        frames = range(start, end, 4096)
        addrs = Buffer(U64, len(frames))
        for i, at in enumerate(frames):
            addrs[i] = at
        machine.phys.mkold(addrs, len(frames))
    machine.close()


GAPS = {
    "one page at a time": None,
    "neighbours only": (0, 0, 0),
    "batches": (native.GAP_PAGEMAP, native.GAP_KPAGEFLAGS, native.GAP_WRITE),
}


# Long: the options, and a line for each way and operations set.
def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mib", type=int, default=256)
    parser.add_argument("--hot-mib", type=int, default=32)
    parser.add_argument("--regions", type=int, default=1000)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--fresh", action="store_true")
    parser.add_argument("--gaps", help="also: comma-separated PAGEMAP:KPAGEFLAGS:WRITE")
    args = parser.parse_args()
    pid = child(args.mib, args.hot_mib)
    ways = dict(GAPS)
    for gaps in (args.gaps or "").split(","):
        if gaps:
            first, second, third = map(int, gaps.split(":"))
            ways[gaps] = (first, second, third)
    if not args.fresh:
        all_idle()
    print(f"{'':26}{'make old':>10}{'check':>10}{'total':>10}{'ratio':>8}{'accessed':>10}   system calls a sample")
    for ops in ("paddr", "vaddr"):
        naive = 0.0
        for name, way in ways.items():
            machine = LinuxMachine()
            if way:
                files = machine.files()
                files.gap_pagemap, files.gap_kpageflags, files.gap_write = way
            space = machine.open_process(pid)
            if ops == "paddr":
                target: AccessBits = machine.phys
                ranges = list(machine.system_ram())
            else:
                target = space
                ranges = [max(space.mappings(), key=lambda area: area[1] - area[0])]
            if way is None:
                target = OneByOne(target)
            before = sum(machine.counters().values())
            rounds = max(2, args.rounds // 5) if way is None else args.rounds
            old, check, accessed = measure(target.mkold, target.young, spread(ranges, args.regions), rounds)
            calls = (sum(machine.counters().values()) - before) / rounds
            total = old + check
            naive = naive or total
            print(
                f"{ops + ' ' + name:26}{old:8.2f}us{check:8.2f}us{total:8.2f}us{naive / total:7.1f}x{accessed:10.3f}"
                f"{calls:10.0f}",
                flush=True,
            )
            space.close()
            machine.close()
    os.kill(pid, 9)
    os.waitpid(pid, 0)


if __name__ == "__main__":
    main()
