# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's own DAMON at work for a while: ``kernel_work.py SECONDS scheme MIN_AGE_US``, or
``kernel_work.py SECONDS MODULE PARAMETER=VALUE ...``.

``scheme``: DAMON_RECLAIM's scheme on paddr through sysfs. Prints the worker's processor time.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from tests.vm.guest import kernel_damon

MIN_REGIONS = 50


def by_scheme(min_age_us: int, seconds: float) -> float:
    context = kernel_damon.stage("paddr", regions=(kernel_damon.system_ram(),), min_regions=MIN_REGIONS)
    kernel_damon.stage_pageout(
        context, min_age=min_age_us // 100000, quota_ms=0, quota_sz=512 << 20, reset_interval_ms=1000
    )
    with kernel_damon.running() as pid:
        time.sleep(seconds)
        return kernel_damon.cpu_seconds(pid)


def by_module(name: str, words: Sequence[str], seconds: float) -> float:
    parameters = Path(f"/sys/module/{name}/parameters")
    for word in words:
        parameter, _, value = word.partition("=")
        kernel_damon.put(parameters / parameter, value)
    kernel_damon.put(parameters / "enabled", "Y")
    try:
        pid = int((parameters / "kdamond_pid").read_text())
        time.sleep(seconds)
        return kernel_damon.cpu_seconds(pid)
    finally:
        kernel_damon.put(parameters / "enabled", "N")


def main() -> None:
    seconds, who, words = float(sys.argv[1]), sys.argv[2], sys.argv[3:]
    cpu = by_scheme(int(words[0]), seconds) if who == "scheme" else by_module(who, words, seconds)
    print(json.dumps({"cpu_seconds": cpu}))


if __name__ == "__main__":
    main()
