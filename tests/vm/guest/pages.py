# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's view of a process's pages: ``pages.py PID START:END ...`` answers each line of standard input.

A line has ``after``, seconds to wait, and ``lists``; the answer ``uptime`` and ``areas``, an object a range. present,
swapped: by /proc/PID/pagemap. With ``lists`` also active, inactive: present pages by /proc/kpageflags (LRU, ACTIVE or
not).
"""

from __future__ import annotations

import json
import os
import sys
import time
from array import array
from collections.abc import Sequence

from damon.workload.residence import PRESENT, SWAPPED, count, pagemap

__all__ = ["ACTIVE", "LRU", "PFN_MASK", "PRESENT", "SWAPPED", "area", "count", "page_flags", "pagemap"]

PFN_MASK = (1 << 55) - 1
LRU, ACTIVE = 1 << 5, 1 << 6


def page_flags(fd: int, pfns: Sequence[int]) -> array[int]:
    """kpageflags of each frame, neighbours in one read."""
    flags = array("Q")
    index = 0
    while index < len(pfns):
        first, last = index, pfns[index]
        index += 1
        while index < len(pfns) and pfns[index] == last + 1:
            last += 1
            index += 1
        flags.frombytes(os.pread(fd, (index - first) * 8, pfns[first] * 8))
    return flags


def area(pid: int, start: int, end: int, *, lists: bool) -> dict[str, int]:
    entries = pagemap(pid, start, end)
    result = {
        "pages": (end - start) // 4096,
        "present": count(entries, PRESENT, PRESENT),
        "swapped": count(entries, SWAPPED, SWAPPED),
    }
    if lists:
        pfns = sorted(entry & PFN_MASK for entry in entries if entry & PRESENT)
        fd = os.open("/proc/kpageflags", os.O_RDONLY)
        try:
            flags = page_flags(fd, pfns)
        finally:
            os.close(fd)
        result["active"] = count(flags, LRU | ACTIVE, LRU | ACTIVE)
        result["inactive"] = count(flags, LRU | ACTIVE, LRU)
    return result


def main() -> None:
    pid, *spans = sys.argv[1:]
    ranges = [tuple(map(int, span.split(":"))) for span in spans]
    for line in sys.stdin:
        wanted = json.loads(line)
        time.sleep(wanted["after"])
        areas = [area(int(pid), start, end, lists=wanted["lists"]) for start, end in ranges]
        print(json.dumps({"uptime": time.clock_gettime(time.CLOCK_BOOTTIME), "areas": areas}), flush=True)


if __name__ == "__main__":
    main()
