# SPDX-License-Identifier: GPL-2.0-only
"""Makes pages of its own idle and touches each; prints as JSON: pages, those no longer idle, faults meanwhile.

Where the processor sets the accessed flag there is no fault; else each touch is one.
"""

from __future__ import annotations

import json
import mmap
import os
import resource

from tests.vm.guest.pages import PRESENT
from tests.vm.guest.victim import PAGE, Victim

MIB = 2
BITMAP = "/sys/kernel/mm/page_idle/bitmap"


def main() -> None:
    victim = Victim(MIB, "")
    victim.obey(["write", "0", str(victim.pages), "1"])
    # Fresh pages are on a list, where they can be marked, once later ones have pushed them out of a processor's batch.
    later = mmap.mmap(-1, 64 * PAGE)
    later.write(bytes(64 * PAGE))
    pagemap = os.open("/proc/self/pagemap", os.O_RDONLY)
    data = os.pread(pagemap, victim.pages * 8, victim.base // PAGE * 8)
    entries = [int.from_bytes(data[at : at + 8], "little") for at in range(0, len(data), 8)]
    frames = [entry & ((1 << 55) - 1) for entry in entries if entry & PRESENT]
    bitmap = os.open(BITMAP, os.O_RDWR)
    for frame in frames:
        os.pwrite(bitmap, (1 << frame % 64).to_bytes(8, "little"), frame // 64 * 8)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    victim.obey(["touch", "0", str(victim.pages), "1"])
    faults = resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
    seen = sum(not int.from_bytes(os.pread(bitmap, 8, frame // 64 * 8), "little") >> frame % 64 & 1 for frame in frames)
    print(json.dumps([len(frames), seen, faults]))


if __name__ == "__main__":
    main()
