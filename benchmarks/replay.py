# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.replay make|run FILE ...``: big traces, and what replaying them takes.

``make FILE GIB WINDOWS ROWS`` writes a trace of one process with so much memory, so many windows of 100 ms and so many
rows in each, of one page. ``make FILE GIB WINDOWS ROWS PAGES`` makes rows of so many pages, at 16384 places of the
memory: an exact capture, in which each page of a row has a count. ``run FILE SECONDS`` replays a file with monitoring
(100 ms / 2 s, 200 regions) and prints time and memory, also after a tenth and a half.
"""

from __future__ import annotations

import argparse
import resource
import struct
import time
from pathlib import Path
from random import Random

import damon
from damon.progress import Progress
from damon.workload.tracefile.form import TRUTH, TracedArea
from damon.workload.tracefile.writer import TraceWriter

WINDOW_NS = 100_000_000
PLACES = 16384


def make(path: Path, gib: int, windows: int, rows: int) -> None:
    """Rows of one page each, most of them in a hot eighth of the memory that moves."""
    nr_pages, rnd, begin = gib << 18, Random(1), time.perf_counter()
    pack = struct.Struct("<2If").pack
    with TraceWriter(path) as writer, Progress("make") as progress:
        space = writer.space("big", nr_pages)
        for number in range(windows):
            hot = number * 97 % nr_pages
            step = max(nr_pages // 8 // rows, 2)
            pages = sorted({(hot + n * step + rnd.randrange(step)) % nr_pages for n in range(rows)})
            data = b"".join(pack(page, 1 | 128 << 24, 1.0 + page % 7) for page in pages)
            writer.add(space, number * WINDOW_NS, (number + 1) * WINDOW_NS, data)
            progress.update(f"window {number} of {windows}")
        end = windows * WINDOW_NS
        writer.close(end, [TracedArea("memory", space, 0, nr_pages, mapped=((0, end),))], origin="a benchmark")
    print(f"{windows * rows} rows, {path.stat().st_size >> 20} MiB in {time.perf_counter() - begin:.0f} s, {_memory()}")


def make_runs(path: Path, gib: int, windows: int, rows: int, pages: int) -> None:
    """Rows of several pages. Each window has a part of the places, which moves on."""
    nr_pages, begin = gib << 18, time.perf_counter()
    step = nr_pages // PLACES
    assert rows <= PLACES
    assert pages < step
    pack = struct.Struct("<2If").pack
    places = [pack(n * step, pages | 128 << 24, 1.0 + n % 7) for n in range(PLACES)]
    with TraceWriter(path) as writer, Progress("make") as progress:
        space = writer.space("big", nr_pages)
        for number in range(windows):
            first = number * 7 % PLACES
            wrapped = max(first + rows - PLACES, 0)
            data = b"".join(places[:wrapped] + places[first : first + rows])
            writer.add(space, number * WINDOW_NS, (number + 1) * WINDOW_NS, data)
            progress.update(f"window {number} of {windows}")
        end = windows * WINDOW_NS
        writer.close(end, [TracedArea("memory", space, 0, nr_pages, mapped=((0, end),))], origin=TRUTH)
    took = time.perf_counter() - begin
    print(f"{windows * rows * pages} counts in {windows * rows} rows, {path.stat().st_size >> 20} MiB in {took:.0f} s")


def run(path: Path, seconds: float) -> None:
    begin = time.perf_counter()
    with damon.open_machine(sim=path, seed=1) as machine:
        opened = time.perf_counter() - begin
        kernel = damon.Damon(machine, seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "vaddr")
        damon.add_process(ctx, machine.processes()[0].pid)
        damon.set_attrs(ctx, damon.DamonAttrs(100_000, 2_000_000, 60_000_000, 10, 200))
        begin = time.process_time()
        with damon.running(kernel, ctx):
            for part in (0.1, 0.4, 0.5):
                machine.clock.sleep_us(round(seconds * part * 1e6))
                print(f"after {machine.clock.now_ns() / 1e9:g} s: {_memory()}")
        took = time.process_time() - begin
        print(f"opened in {opened:.2f} s; {seconds:g} s in {took:.2f} s of processor time, {_memory()}")


def _memory() -> str:
    """Without the file's pages, which are mapped and can go at any time."""
    anonymous = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("RssAnon"))
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
    return f"{int(anonymous.split()[1]) >> 10} MiB of anonymous memory, at most {most} MiB with mapped files"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", choices=("make", "run"))
    parser.add_argument("file", type=Path)
    parser.add_argument("numbers", type=float, nargs="+")
    arguments = parser.parse_args()
    if arguments.what == "make":
        (make if len(arguments.numbers) == 3 else make_runs)(arguments.file, *map(int, arguments.numbers))
    else:
        run(arguments.file, *arguments.numbers)


if __name__ == "__main__":
    main()
