# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own reclaim for a while: ``kernel_reclaim.py scheme|module MIN_AGE_US SECONDS``.

``scheme``: DAMON_RECLAIM's scheme on paddr through sysfs. ``module``: the kernel's damon_reclaim itself.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

from tests.vm.guest import kernel_damon

PARAMETERS = Path("/sys/module/damon_reclaim/parameters")
MIN_REGIONS = 50


def by_scheme(min_age_us: int, seconds: float) -> tuple[float, dict[str, int]]:
    context = kernel_damon.stage("paddr", regions=(kernel_damon.system_ram(),), min_regions=MIN_REGIONS)
    scheme = kernel_damon.stage_pageout(
        context, min_age=min_age_us // 100000, quota_ms=0, quota_sz=512 << 20, reset_interval_ms=1000
    )
    with kernel_damon.running() as pid:
        time.sleep(seconds)
        cpu = kernel_damon.cpu_seconds(pid)
        stats = kernel_damon.stats(scheme)
    return cpu, stats


def by_module(min_age_us: int, seconds: float) -> tuple[float, dict[str, int]]:
    values = {
        "min_age": min_age_us,
        "wmarks_high": 1000,
        "wmarks_mid": 1000,
        "wmarks_low": 0,
        "quota_ms": 0,
        "quota_sz": 512 << 20,
        "min_nr_regions": MIN_REGIONS,
        "max_nr_regions": 200,
    }
    for name, value in values.items():
        kernel_damon.put(PARAMETERS / name, value)
    kernel_damon.put(PARAMETERS / "enabled", "Y")
    try:
        pid = int((PARAMETERS / "kdamond_pid").read_text())
        time.sleep(seconds)
        cpu = kernel_damon.cpu_seconds(pid)
        names = ("bytes_reclaim_tried_regions", "bytes_reclaimed_regions")
        stats = {name: int((PARAMETERS / name).read_text()) for name in names}
    finally:
        kernel_damon.put(PARAMETERS / "enabled", "N")
    return cpu, stats


def main() -> None:
    who, min_age_us, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3])
    cpu, stats = (by_scheme if who == "scheme" else by_module)(min_age_us, seconds)
    print(json.dumps({"cpu_seconds": cpu, "stats": stats}))


if __name__ == "__main__":
    main()
