# SPDX-License-Identifier: GPL-2.0-only
"""PID START:END...: of each span, the share of its present pages that were touched within 20 ms of a mark idle; JSON.

One page at a time, with the idle bitmap alone: nothing of this project's monitoring is in it.
A single try says little: while mprotect() changes a page's entry, marking the page idle does not find the entry, and an
access of long ago stays in it.
"""

from __future__ import annotations

import json
import os
import random
import struct
import sys
import time
from pathlib import Path

BITMAP = "/sys/kernel/mm/page_idle/bitmap"
TRIES = 100


def main() -> None:
    # Locked pages wait in lists of each processor until they are on an LRU list, and only what is on one is marked.
    Path("/proc/sys/vm/compact_memory").write_text("1")
    pagemap = os.open(f"/proc/{sys.argv[1]}/pagemap", os.O_RDONLY)
    bitmap = os.open(BITMAP, os.O_RDWR)
    rng = random.Random(1)
    shares = []
    for span in sys.argv[2:]:
        start, end = map(int, span.split(":"))
        entries = struct.unpack(f"{(end - start) // 4096}Q", os.pread(pagemap, (end - start) // 512, start // 512))
        present = [number for number, entry in enumerate(entries, start // 4096) if entry >> 63]
        seen = 0
        for _ in range(TRIES):
            entry = int.from_bytes(os.pread(pagemap, 8, rng.choice(present) * 8), "little")
            frame = entry & ((1 << 55) - 1)
            place, bit = frame // 64 * 8, 1 << frame % 64
            os.pwrite(bitmap, bit.to_bytes(8, "little"), place)
            time.sleep(0.02)
            seen += not int.from_bytes(os.pread(bitmap, 8, place), "little") & bit
        shares.append(seen / TRIES)
    print(json.dumps(shares))


if __name__ == "__main__":
    main()
