# SPDX-License-Identifier: GPL-2.0-only
"""Prints one JSON object: of each check ``ok``, ``error`` (the traceback) and what it measured."""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path
from typing import Any

from tests.vm.guest.linux_mm import CHECKS

#: Nobody else moves pages between nodes meanwhile, and what is freed does not wait by the 10 MiB in per-CPU lists.
QUIET = {"kernel/numa_balancing": "0", "vm/percpu_pagelist_high_fraction": "100000"}


def main() -> None:
    for name, value in QUIET.items():
        (Path("/proc/sys") / name).write_text(value)
    wanted = sys.argv[1:] or list(CHECKS)
    report: dict[str, Any] = {}
    for name in wanted:
        begin = time.monotonic()
        try:
            report[name] = {"ok": True, "saw": CHECKS[name]()}
        except BaseException:
            report[name] = {"ok": False, "error": traceback.format_exc()}
        report[name]["seconds"] = round(time.monotonic() - begin, 2)
    print(json.dumps(report))


if __name__ == "__main__":
    main()
