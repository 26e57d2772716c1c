# SPDX-License-Identifier: GPL-2.0-only
"""What the kernel says of a process's pages: ``pages.py PID START:END ...`` prints one object a range.

present, swapped: by /proc/PID/pagemap. active, inactive: present pages by /proc/kpageflags (LRU, ACTIVE or not).
"""

from __future__ import annotations

import json
import os
import struct
import sys

PRESENT, SWAPPED, PFN_MASK = 1 << 63, 1 << 62, (1 << 55) - 1
LRU, ACTIVE, COMPOUND_TAIL, THP = 1 << 5, 1 << 6, 1 << 16, 1 << 22


def pagemap(pid: int, start: int, end: int) -> list[int]:
    """One entry a page."""
    pages = (end - start) // 4096
    with open(f"/proc/{pid}/pagemap", "rb", buffering=0) as file:
        data = os.pread(file.fileno(), pages * 8, start // 4096 * 8)
    return list(struct.unpack(f"{len(data) // 8}Q", data))


def page_flags(fd: int, pfns: list[int]) -> list[int]:
    """kpageflags of each frame, neighbours in one read."""
    flags: list[int] = []
    index = 0
    while index < len(pfns):
        count = 1
        while index + count < len(pfns) and pfns[index + count] == pfns[index] + count:
            count += 1
        data = os.pread(fd, count * 8, pfns[index] * 8)
        flags += struct.unpack(f"{len(data) // 8}Q", data)
        index += count
    return flags


def area(pid: int, start: int, end: int) -> dict[str, int]:
    entries = pagemap(pid, start, end)
    pfns = [entry & PFN_MASK for entry in entries if entry & PRESENT]
    fd = os.open("/proc/kpageflags", os.O_RDONLY)
    try:
        flags = page_flags(fd, pfns)
    finally:
        os.close(fd)
    return {
        "pages": (end - start) // 4096,
        "present": len(pfns),
        "swapped": sum(bool(entry & SWAPPED) for entry in entries),
        "active": sum(flag & (LRU | ACTIVE) == LRU | ACTIVE for flag in flags),
        "inactive": sum(flag & (LRU | ACTIVE) == LRU for flag in flags),
    }


def main() -> None:
    pid = int(sys.argv[1])
    ranges = [tuple(int(edge, 0) for edge in span.split(":")) for span in sys.argv[2:]]
    print(json.dumps([area(pid, start, end) for start, end in ranges]))


if __name__ == "__main__":
    main()
