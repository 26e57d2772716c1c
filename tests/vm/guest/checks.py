# SPDX-License-Identifier: GPL-2.0-only
"""Checks that run in a guest, many in one Python process: a registry, and what runs them.

Each check is a function that raises where the kernel shows something else, and returns what it saw.
"""

from __future__ import annotations

import json
import time
import traceback
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Check = Callable[[], dict[str, Any] | None]
#: Nothing else moves pages between nodes meanwhile, and what is freed does not wait by the 10 MiB in per-CPU lists.
QUIET = {"kernel/numa_balancing": "0", "vm/percpu_pagelist_high_fraction": "100000"}


class Checks(dict[str, Check]):
    """By name, in the order of their definitions; decorate a function with it to add it."""

    def __call__(self, function: Check) -> Check:
        self[function.__name__] = function
        return function

    def run(self, wanted: Sequence[str]) -> None:
        """Print one JSON object a check: its name, ``ok``, what it saw or ``error`` (the traceback), its seconds."""
        for name, value in QUIET.items():
            (Path("/proc/sys") / name).write_text(value)
        for name in wanted or self:
            begin = time.monotonic()
            result: dict[str, Any] = {"check": name}
            try:
                result |= {"ok": True, "saw": self[name]()}
            except BaseException:
                result |= {"ok": False, "error": traceback.format_exc()}
            print(json.dumps(result | {"seconds": round(time.monotonic() - begin, 2)}), flush=True)
