# SPDX-License-Identifier: GPL-2.0-only
"""PID START:END...: of each span, the share of its pages that were touched within 20 ms of being marked idle; JSON.

One page at a time, with the idle bitmap alone: nothing of this project's monitoring is in it.
"""

from __future__ import annotations

import json
import os
import random
import sys
import time

BITMAP = "/sys/kernel/mm/page_idle/bitmap"


def main() -> None:
    pagemap = os.open(f"/proc/{sys.argv[1]}/pagemap", os.O_RDONLY)
    bitmap = os.open(BITMAP, os.O_RDWR)
    rng = random.Random(1)
    shares = []
    for span in sys.argv[2:]:
        start, end = map(int, span.split(":"))
        seen = tried = 0
        for _ in range(200):
            address = rng.randrange(start, end) & ~4095
            entry = int.from_bytes(os.pread(pagemap, 8, address // 4096 * 8), "little")
            frame = entry & ((1 << 55) - 1)
            if not entry >> 63:
                continue
            place, bit = frame // 64 * 8, 1 << frame % 64
            os.pwrite(bitmap, bit.to_bytes(8, "little"), place)
            time.sleep(0.02)
            tried += 1
            seen += not int.from_bytes(os.pread(bitmap, 8, place), "little") & bit
        shares.append(seen / max(tried, 1))
    print(json.dumps(shares))


if __name__ == "__main__":
    main()
