# SPDX-License-Identifier: GPL-2.0-only
"""On which NUMA nodes pages of a process are: ``nodes.py PID START:END ...`` prints JSON, an object for each span."""

from __future__ import annotations

import ctypes
import json
import os
import sys
from collections import Counter

PAGE = 4096
_MOVE_PAGES = {"x86_64": 279, "aarch64": 239}[os.uname().machine]


def nodes(pid: int, start: int, end: int) -> dict[int, int]:
    """Pages by node, by ``move_pages(2)``; those that are absent are in none."""
    nr = (end - start) // PAGE
    addresses = (ctypes.c_void_p * nr)(*range(start, end, PAGE))
    status = (ctypes.c_int * nr)()
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.syscall(_MOVE_PAGES, pid, ctypes.c_ulong(nr), addresses, None, status, 0):
        raise OSError(ctypes.get_errno(), "move_pages")
    return {node: count for node, count in Counter(status).items() if node >= 0}


def main() -> None:
    spans = (map(int, word.split(":")) for word in sys.argv[2:])
    print(json.dumps([nodes(int(sys.argv[1]), start, end) for start, end in spans]))


if __name__ == "__main__":
    main()
