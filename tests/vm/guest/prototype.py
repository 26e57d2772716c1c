# SPDX-License-Identifier: GPL-2.0-only
"""Runs the program of docs/how-to/prototyping.md here: ``prototype.py PID COLD_START COLD_END HOT_START HOT_END``.

Prints one JSON object, beside what pagemap shows of the pages.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
from typing import Any

import damon
from tests import prototyping

SWAPPED = 1 << 62


def swapped(pid: int, start: int, end: int) -> int:
    """Bytes of ``[start, end)`` that are in swap."""
    fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY)
    raw = memoryview(os.pread(fd, (end - start) // 512, start // 512)).cast("Q")
    os.close(fd)
    return sum(bool(entry & SWAPPED) for entry in raw) * 4096


def main() -> None:
    pid, *bounds = map(int, sys.argv[1:])
    cold, hot = (bounds[0], bounds[1]), (bounds[2], bounds[3])
    page = prototyping.program()
    said: dict[str, Any] = {}
    with contextlib.redirect_stdout(sys.stderr), damon.open_machine(linux=True) as machine:
        said["watch"] = sorted(page.watch(machine, pid, 40).items())
        regions = page.with_own_operations(machine, pid, sorted((cold, hot)))
        said["operations"] = [(region.start, region.end, region.nr_accesses) for region in regions]
        free = machine.free_mem()[0] * 4096 >> 20
        out, even = page.with_own_parts(machine, pid, sorted((cold, hot)), free + 64, 14)
        said["parts"] = {
            "tried": out.stat.sz_tried,
            "applied": out.stat.sz_applied,
            "goal": out.quota.goals[0].current_value - free,
        }
        said["parts"] |= {
            "even": [even.stat.sz_applied, even.stat.sz_tried],
            "swapped": [swapped(pid, *cold), swapped(pid, *hot)],
        }
        scheme = page.reclaim(machine, pid, 16)  # time for a slow machine: it stops where nothing is cold any more
        said["reclaim"] = {"applied": scheme.stat.sz_applied, "swapped": [swapped(pid, *cold), swapped(pid, *hot)]}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
