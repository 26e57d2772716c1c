# SPDX-License-Identifier: GPL-2.0-only
"""Small trace files, and the same in plain Python: each page's touches in each window."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from random import Random

from damon.workload.tracefile.form import Row, TracedArea, pack_rows, unpack_rows
from damon.workload.tracefile.writer import TraceWriter

MS = 10**6


@dataclass(frozen=True)
class Window:
    t0: int
    t1: int
    rows: list[Row]

    def touches(self, page: int) -> float:
        """Of a page of the space, in all of the window."""
        return next((each for low, end, each, _ in self.rows if low <= page < end), 0.0)


def random_windows(rnd: Random, nr_pages: int, number: int, length_ns: int = 20 * MS) -> list[Window]:
    """With gaps in time and between rows; some with rates that most searches end in, some with next to nothing."""
    windows, t = [], 0
    for _ in range(number):
        t += rnd.choice([0, 0, 0, rnd.randint(1, length_ns)])
        end = t + rnd.choice([length_ns, length_ns, rnd.randint(1, length_ns)])
        rows, page = [], rnd.choice([0, rnd.randrange(nr_pages)])
        while page < nr_pages and rnd.random() < 0.9:
            stop = min(page + rnd.choice([1, 3, 40, 700]), nr_pages)
            rows.append((page, stop, rnd.choice([0.01, 0.01, 0.3, 2.0, rnd.random()]), rnd.choice([0.0, 0.2, 1.0])))
            page = stop + rnd.choice([0, 0, 1, 60])
        windows.append(Window(t, end, unpack_rows(pack_rows(rows))))
        t = end
    return windows


def random_counts(rnd: Random, nr_pages: int, number: int, length_ns: int = 20 * MS) -> list[Window]:
    """As an exact capture has them: each page with a whole count and a share of writes of its own, one row each."""
    windows = []
    for n in range(number):
        pages = sorted(rnd.sample(range(nr_pages), rnd.choice([0, 1, nr_pages // 9, nr_pages // 2, nr_pages])))
        rows = [
            (page, page + 1, float(rnd.choice([1, 2, 3, 40])), rnd.choice([0.0, 0.002, 0.5, 1.0])) for page in pages
        ]
        windows.append(Window(n * length_ns, (n + 1) * length_ns, unpack_rows(pack_rows(rows))))
    return windows


def write(
    path: Path, spaces: list[tuple[str, int, list[Window]]], areas: list[TracedArea], duration: int,
    loop: bool = False, origin: str = "a test",
) -> Path:  # fmt: skip
    with TraceWriter(path) as writer:
        for process, nr_pages, windows in spaces:
            number = writer.space(process, nr_pages)
            for window in windows:
                writer.add(number, window.t0, window.t1, pack_rows(window.rows))
        writer.close(duration, areas, loop=loop, origin=origin)
    return path


def random_trace(path: Path, seed: int, number: int = 60, origin: str = "a test") -> Path:
    """Two processes with areas of which some come and go."""
    rnd = Random(seed)
    spaces, areas, end = [], [], 1
    for space in range(rnd.randint(1, 2)):
        sizes = [rnd.choice([1, 16, 200, 513, 1024]) for _ in range(rnd.randint(1, 3))]
        windows = random_windows(rnd, sum(sizes), rnd.randint(0, number))
        end = max(end, windows[-1].t1 if windows else 1)
        spaces.append((f"traced{space}", sum(sizes), windows))
        first = 0
        for index, size in enumerate(sizes):
            areas.append((f"s{space}a{index}", space, first, size))
            first += size
    duration = end + rnd.randint(0, 30 * MS)
    made = []
    for name, space, first, size in areas:
        times = sorted({0, duration, *(rnd.randrange(duration) for _ in range(rnd.choice([0, 0, 1, 2, 4])))})
        periods = tuple(zip(times[::2], times[1::2], strict=False)) or ((0, duration),)
        made.append(TracedArea(name, space, first, size, rnd.choice(["anon", "anon", "file"]), 0, periods))
    return write(path, spaces, made, duration, rnd.random() < 0.5, origin)
