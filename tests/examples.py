# SPDX-License-Identifier: GPL-2.0-only
"""How many examples a property is tried with: few of the costly ones at each run, many in ``make test-long``."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import settings

#: ``make test-long`` sets it.
TIMES = int(os.environ.get("PYDAMON_EXAMPLES", "1"))


def examples(number: int, **more: Any) -> settings:
    """Settings with so many examples, times ``$PYDAMON_EXAMPLES``; then each run draws others."""
    return settings(max_examples=number * TIMES, derandomize=TIMES == 1, **more)
