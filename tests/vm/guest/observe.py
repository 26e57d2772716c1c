# SPDX-License-Identifier: GPL-2.0-only
"""SECONDS EVERY_MS: performs the plan on standard input, and prints what the kernel shows of its processes; JSON.

``looks``: at one process each: its ``pid`` and ``name``, begin and end of the look (``at``, ``until``: seconds of the
plan), ``started`` (the same, by /proc/PID/stat), ``rss`` of the whole process (smaps_rollup), ``areas``: bytes that
/proc/PID/maps has of each, ``present`` and ``written`` pages by pagemap. Written is since ``since``, when the last look
cleared the soft-dirty bits; None: there was none. ``alive``: the numbers of all its processes by /proc. ``late``:
touches of each process that were not made in time.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from pathlib import Path
from typing import Any

from damon.workload.performed import Report, start_program
from damon.workload.residence import PRESENT, count, pagemap

SOFT_DIRTY = 1 << 55
TICKS = os.sysconf("SC_CLK_TCK")


class Plan:
    """The program at work: the latest report of each process, and when the plan began."""

    def __init__(self, plan: str) -> None:
        self.latest: dict[str, Report] = {}
        self.began = float("inf")  #: CLOCK_BOOTTIME
        self.process = start_program(plan)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            name, report = Report.parse(line)
            self.began = min(self.began, now() - report.seconds)
            self.latest[name] = report

    def close(self) -> None:
        """Ends it."""
        self.process.terminate()
        self.process.wait()
        self._reader.join()

    def children(self) -> list[int]:
        """Its processes by the kernel's list."""
        return list(map(int, Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()))


def now() -> float:
    return time.clock_gettime(time.CLOCK_BOOTTIME)


def maps(pid: int) -> list[tuple[int, int]]:
    """Start and end of each mapping."""
    lines = Path(f"/proc/{pid}/maps").read_text().splitlines()
    return [(int(start, 16), int(end, 16)) for start, _, end in (line.split()[0].partition("-") for line in lines)]


def look(pid: int, areas: dict[str, tuple[int, int]], cleared: dict[int, list[float]]) -> dict[str, Any]:
    """One process: areas and memory."""
    found: dict[str, Any] = {"pid": pid, "areas": {}, "since": cleared.get(pid), "at": now()}
    mapped = maps(pid)
    for name, (first, last) in areas.items():
        there = sum(max(min(end, last) - max(start, first), 0) for start, end in mapped)
        entries = pagemap(pid, first, last) if there else pagemap(pid, 0, 0)
        pages = {"present": count(entries, PRESENT, PRESENT), "written": count(entries, SOFT_DIRTY, SOFT_DIRTY)}
        found["areas"][name] = {"mapped": there, **pages}
    cleared[pid] = [now()]
    Path(f"/proc/{pid}/clear_refs").write_text("4")
    cleared[pid].append(now())
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found["rss"] = int(rollup[rollup.index("Rss:") :].split()[1]) << 10
    found["until"] = now()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    found["started"] = int(fields[19]) / TICKS
    return found


def main() -> None:
    seconds, every = float(sys.argv[1]), int(sys.argv[2]) / 1e3
    plan = Plan(sys.stdin.read())
    looks, alive, cleared = list[dict[str, Any]](), list[dict[str, Any]](), dict[int, list[float]]()
    while plan.began > now() or now() < plan.began + seconds:  # no report has come, or there is time left
        time.sleep(every - now() % every)
        alive.append({"at": now(), "pids": plan.children(), "until": now()})
        for name, report in list(plan.latest.items()):
            try:
                looks.append({"name": name, **look(report.pid, report.areas, cleared)})
            except (ProcessLookupError, FileNotFoundError):
                continue  # it has exited
    plan.close()
    for one in looks:
        one.update({key: one[key] - plan.began for key in ("at", "until", "started")})
        one["since"] = one["since"] and [at - plan.began for at in one["since"]]
    for one in alive:
        one.update({key: one[key] - plan.began for key in ("at", "until")})
    late = {name: report.dropped for name, report in plan.latest.items()}
    print(json.dumps({"looks": looks, "alive": alive, "late": late}))


if __name__ == "__main__":
    main()
