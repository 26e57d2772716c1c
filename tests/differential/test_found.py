# SPDX-License-Identifier: GPL-2.0-only
"""What the fuzzer found, made small: both engines do the same now."""

from __future__ import annotations

from typing import Any

from tests.differential import small
from tests.differential.fuzz import play_both
from tests.differential.play import first_difference
from tests.kernel.trees import built


def test_probes_that_go_while_all_schemes_sleep() -> None:
    """The sample after that still picks its addresses as with probes, although there is none to ask."""
    steps: list[tuple[str, Any]] = [
        ("wait", 20_000), ("machine", (10, 0, 0)), ("wait", 30_000), ("commit", {"probes": []}),
        ("machine", (300, 0, 0)), ("wait", 40_000),
    ]  # fmt: skip
    case = small.case(steps, small.scheme(), probes=[{"weight": 1, "filters": []}])
    own, kernel = play_both(case, built())
    assert first_difference(own.log, kernel.log) is None
    assert any(where == "commit" and not values["error"] for _, where, values in own.log)
