# SPDX-License-Identifier: GPL-2.0-only
"""The guest kernel's own DAMON, through its sysfs interface and trace events: what ours is compared with."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

KDAMONDS = Path("/sys/kernel/mm/damon/admin/kdamonds")
TRACING = Path("/sys/kernel/tracing")
LINE = re.compile(r"damon_aggregated: target_id=\d+ nr_regions=(\d+) (\d+)-(\d+): (\d+) (\d+)")


def put(path: Path, value: object) -> None:
    path.write_text(f"{value}\n")


def system_ram() -> tuple[int, int]:
    """From the first to the last System RAM, end exclusive."""
    spans = [
        tuple(int(edge, 16) for edge in line.split(":")[0].split("-"))
        for line in Path("/proc/iomem").read_text().splitlines()
        if line.endswith(": System RAM") and not line.startswith(" ")
    ]
    return spans[0][0], spans[-1][1] + 1


def stage(
    operations: str,
    *,
    pid: int = 0,
    regions: tuple[tuple[int, int], ...] = (),
    min_regions: int = 10,
    max_regions: int = 200,
    kdamonds: Path = KDAMONDS,
) -> Path:
    """One kdamond, one context, one target; returns the context's directory."""
    put(kdamonds / "nr_kdamonds", 1)
    kdamond = kdamonds / "0"
    put(kdamond / "contexts/nr_contexts", 1)
    context = kdamond / "contexts/0"
    put(context / "operations", operations)
    put(context / "monitoring_attrs/nr_regions/min", min_regions)
    put(context / "monitoring_attrs/nr_regions/max", max_regions)
    put(context / "targets/nr_targets", 1)
    if pid:
        put(context / "targets/0/pid_target", pid)
    put(context / "targets/0/regions/nr_regions", len(regions))
    for index, (start, end) in enumerate(regions):
        put(context / f"targets/0/regions/{index}/start", start)
        put(context / f"targets/0/regions/{index}/end", end)
    return context


def stage_pageout(context: Path, *, min_age: int, quota_ms: int, quota_sz: int, reset_interval_ms: int) -> Path:
    """DAMON_RECLAIM's scheme: pattern, quota and weights the same."""
    put(context / "schemes/nr_schemes", 1)
    scheme = context / "schemes/0"
    put(scheme / "action", "pageout")
    pattern = scheme / "access_pattern"
    for name, low, high in (("sz", 4096, 2**64 - 1), ("nr_accesses", 0, 0), ("age", min_age, 2**32 - 1)):
        put(pattern / name / "min", low)
        put(pattern / name / "max", high)
    quotas = scheme / "quotas"
    put(quotas / "ms", quota_ms)
    put(quotas / "bytes", quota_sz)
    put(quotas / "reset_interval_ms", reset_interval_ms)
    put(quotas / "weights/age_permil", 1)
    return scheme


@contextmanager
def running(kdamonds: Path = KDAMONDS) -> Iterator[int]:
    """Switch kdamond 0 on, and off at the end; its pid."""
    state = kdamonds / "0/state"
    put(state, "on")
    try:
        yield int((kdamonds / "0/pid").read_text())
    finally:
        put(state, "off")


def stats(scheme: Path) -> dict[str, int]:
    put(KDAMONDS / "0/state", "update_schemes_stats")
    return {
        path.name: int(path.read_text()) for path in (scheme / "stats").iterdir() if path.name != "max_nr_snapshots"
    }


def cpu_seconds(pid: int) -> float:
    """User and system time of one thread or process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def snapshots(seconds: float) -> list[list[tuple[int, int, int]]]:
    """``(start, end, nr_accesses)`` of every region, one list an aggregation, from the damon_aggregated event."""
    put(TRACING / "buffer_size_kb", 16384)
    put(TRACING / "trace", "")
    put(TRACING / "events/damon/damon_aggregated/enable", 1)
    time.sleep(seconds)
    put(TRACING / "events/damon/damon_aggregated/enable", 0)
    result: list[list[tuple[int, int, int]]] = []
    current: list[tuple[int, int, int]] = []
    for line in (TRACING / "trace").read_text().splitlines():
        match = LINE.search(line)
        if match is None:
            continue
        total, start, end, nr_accesses, _age = map(int, match.groups())
        current.append((start, end, nr_accesses))
        if len(current) == total:
            result.append(current)
            current = []
    return result
