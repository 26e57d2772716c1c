# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.resampling [WORKLOAD ...]``: what a workload loses when it is recorded and replayed.

Each workload is recorded (vaddr, 5 ms and 100 ms), the record imported, and the replay recorded in the same way. The
table compares both records, and for the noise of any recording two records of the workload with different seeds. The
same is done for a run of damon_reclaim on the workload and on the replay. Virtual time: the same numbers anywhere.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from bisect import bisect_right
from collections.abc import Iterator
from pathlib import Path

from damon.cli.main import main as damon
from damon.records.read import Snapshot, read

WORKLOADS = ("stairs", "hot-cold", "zipf", "phases")
MIB = 1 << 20


def _run(*words: str) -> None:
    code = damon([*words, "--quiet"])
    assert code == 0, (code, words)


def record(workload: str, path: Path, seed: int, given: argparse.Namespace) -> Path:
    sample, aggr = given.intervals
    words = ("--sample-us", sample, "--aggr-us", aggr, "--seed", str(seed), "--duration", given.duration)
    _run("record", "--sim", workload, "--ops", "vaddr", *words, "-o", str(path))
    return path


class Record:
    """The figures of a recording of one target."""

    def __init__(self, path: Path) -> None:
        self.snapshots: list[Snapshot] = []
        for one, snapshot in read(path):
            self.most = one.max_nr_accesses or 20
            self.snapshots.append(snapshot)

    def _bytes(self, least: int) -> list[int]:
        """In regions with so many accesses, in order of the snapshots."""
        return [sum(end - start for start, end, nr, *_ in one.rows if nr >= least) for one in self.snapshots]

    def working_set(self, percent: int) -> float:
        values = sorted(self._bytes(1))
        return values[(len(values) - 1) * percent // 100] / MIB

    def hot(self) -> float:
        """Mean MiB in regions that were accessed in half of the samples or more."""
        return sum(self._bytes((self.most + 1) // 2)) / len(self.snapshots) / MIB

    def mean_count(self) -> float:
        """MiB times share of the samples, on average."""
        total = sum((end - start) * nr for one in self.snapshots for start, end, nr, *_ in one.rows)
        return total / self.most / len(self.snapshots) / MIB

    def _idle(self) -> Iterator[tuple[int, int]]:
        """Aggregations without an access, and bytes, in the second half."""
        for one in self.snapshots[len(self.snapshots) // 2 :]:
            yield from ((0 if nr else age, end - start) for start, end, nr, age, _ in one.rows)

    def idle_shares(self) -> tuple[list[int], list[float]]:
        """Idle times in order, and the share of the memory that was idle up to each."""
        times: list[int] = []
        shares: list[float] = []
        total = 0.0
        rows = sorted(self._idle())
        whole = sum(size for _, size in rows)
        for time, size in rows:
            total += size
            if times and times[-1] == time:
                shares[-1] = total / whole
            else:
                times.append(time)
                shares.append(total / whole)
        return times, shares


def idle_distance(first: Record, second: Record) -> float:
    """The largest difference of the two distributions of idle times (Kolmogorov and Smirnov's), 0 to 1."""
    both = [one.idle_shares() for one in (first, second)]

    def share(which: int, time: int) -> float:
        times, shares = both[which]
        at = bisect_right(times, time)
        return shares[at - 1] if at else 0.0

    return max(abs(share(0, time) - share(1, time)) for times, _ in both for time in times)


def cells(one: Record) -> dict[tuple[int, int], float]:
    """Share of the samples by second and MiB, as in a heatmap."""
    sums: dict[tuple[int, int], list[float]] = {}
    begin = one.snapshots[0].end_ns
    for snapshot in one.snapshots:
        second = (snapshot.end_ns - begin) // 10**9
        for start, end, nr, *_ in snapshot.rows:
            for mib in range(start // MIB, -(-end // MIB)):
                size = min(end, (mib + 1) * MIB) - max(start, mib * MIB)
                cell = sums.setdefault((second, mib), [0.0, 0.0])
                cell[0] += size * nr / one.most
                cell[1] += size
    return {key: total / size for key, (total, size) in sums.items()}


def cell_error(first: Record, second: Record) -> float:
    """Mean absolute difference of the cells, by the mean of the first one's."""
    ours, theirs = cells(first), cells(second)
    return sum(abs(value - theirs.get(key, 0.0)) for key, value in ours.items()) / sum(ours.values())


def reclaim(workload: str, path: Path, seed: int) -> tuple[float, int]:
    """MiB in memory at the end of a minute of damon_reclaim, and refaults."""
    words = (
        "enabled=Y",
        "min_age=2000000",
        "quota_sz=0",
        "quota_ms=0",
        "wmarks_high=1000",
        "wmarks_mid=1000",
        "wmarks_low=0",
    )
    _run(
        "run",
        "--sim",
        workload,
        "--duration",
        "60",
        "--module",
        "damon_reclaim",
        *words,
        "--seed",
        str(seed),
        "--json",
        str(path),
    )
    result = json.loads(path.read_text())
    return result["memory"]["resident_bytes"] / MIB, result["memory"]["refaults"]


def compare(workload: str, scratch: Path, given: argparse.Namespace) -> None:
    paths = [record(workload, scratch / f"seed{seed}", seed, given) for seed in (1, 2)]
    trace = str(scratch / "trace")
    _run("import", str(paths[0]), "-o", trace, "--spread", given.spread)
    paths.append(record(trace, scratch / "replay", 3, given))
    first, other, replay = (Record(path) for path in paths)
    print(f"\n{workload:<34}{'recorded':>10}{'other seed':>12}{'replay':>10}")
    for name, figure in (
        ("working set p50, MiB", lambda one: one.working_set(50)),
        ("working set p95, MiB", lambda one: one.working_set(95)),
        ("hot (half of the samples), MiB", Record.hot),
        ("MiB x share of samples", Record.mean_count),
    ):
        print(f"  {name:<32}{figure(first):>10.2f}{figure(other):>12.2f}{figure(replay):>10.2f}")
    for name, distance in (
        ("idle times, largest distance", idle_distance),
        ("heatmap 1 s x 1 MiB, mean error", cell_error),
    ):
        print(f"  {name:<32}{'':>10}{distance(first, other):>12.3f}{distance(first, replay):>10.3f}")
    runs = [reclaim(what, scratch / "result", seed) for what, seed in ((workload, 1), (workload, 2), (trace, 3))]
    for index, name in enumerate(("damon_reclaim: resident, MiB", "damon_reclaim: refaults")):
        print(f"  {name:<32}{runs[0][index]:>10.0f}{runs[1][index]:>12.0f}{runs[2][index]:>10.0f}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("workload", nargs="*", default=WORKLOADS)
    parser.add_argument("--spread", default="5s", help="as for damon import")
    parser.add_argument("--intervals", nargs=2, default=("5000", "100000"), metavar="US", help="sampling, aggregation")
    parser.add_argument("--duration", default="60")
    given = parser.parse_args()
    for workload in given.workload:
        with tempfile.TemporaryDirectory(prefix="damon-resampling-") as scratch:
            compare(workload, Path(scratch), given)


if __name__ == "__main__":
    main()
