# SPDX-License-Identifier: GPL-2.0-only
"""The guest kernel's own DAMON over all System RAM: ``kernel_idle.py SECONDS`` prints its last snapshot, one object.

in_use: share of the bytes with an access; idle_ms: at 25, 50, 75 and 100 % of the bytes, by the regions' ages, negative
in use; regions: their number. At 5 ms and 100 ms.
"""

from __future__ import annotations

import json
import sys
import time

from tests.vm.guest import kernel_damon

SHOWN = (25, 50, 75, 100)
AGGR_MS = 100


def last_snapshot() -> list[tuple[int, int, int]]:
    """``(bytes, nr_accesses, age)`` of every region."""
    kernel_damon.put(kernel_damon.TRACING / "events/damon/damon_aggregated/enable", 1)
    time.sleep(1)
    kernel_damon.put(kernel_damon.TRACING / "events/damon/damon_aggregated/enable", 0)
    found = list(kernel_damon.LINE.finditer((kernel_damon.TRACING / "trace").read_text()))
    total, last = int(found[-1][1]), found[-int(found[-1][1]) :]
    assert all(int(match[1]) == total for match in last)
    return [(int(match[3]) - int(match[2]), int(match[4]), int(match[5])) for match in last]


def main() -> None:
    kernel_damon.stage("paddr", regions=(kernel_damon.system_ram(),), max_regions=1000)
    kernel_damon.put(kernel_damon.TRACING / "buffer_size_kb", 16384)
    with kernel_damon.running():
        time.sleep(float(sys.argv[1]))
        regions = last_snapshot()
    total = sum(size for size, _, _ in regions)
    idle = [((-1 if nr else 1) * (age + 1) * AGGR_MS, size) for size, nr, age in regions]
    print(
        json.dumps(
            {
                "in_use": sum(size for ms, size in idle if ms < 0) / total,
                "idle_ms": {
                    percent: min(
                        ms for ms, _ in idle if 100 * sum(size for m, size in idle if m <= ms) >= percent * total
                    )
                    for percent in SHOWN
                },
                "regions": len(regions),
            }
        )
    )


if __name__ == "__main__":
    main()
