# SPDX-License-Identifier: GPL-2.0-only
"""The demo's verdict: what it shows is checked, and each way to be wrong is seen."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import pytest

from damon.cli import demo
from tests.changed import changed

MIB = 1 << 20
GOOD: dict[str, Any] = {
    "areas": {
        "hot": {"size_bytes": 32 * MIB, "refaults": 0},
        "cold": {"resident_bytes_start": 224 * MIB, "resident_bytes_end": 0},
    },
    "timing": {"wall_seconds": 0.5},
}


WAYS = [
    (0, "cold memory", "areas.cold.resident_bytes_end", 40 * MIB),
    (0, "hot pages", "areas.hot.refaults", 90),
    (1, "two runs", "memory", 1),
]


def test_all_as_it_should_be() -> None:
    assert all(check.kept for check in demo._checks(deepcopy(GOOD), deepcopy(GOOD), deepcopy(GOOD)))


@pytest.mark.parametrize(("which", "what", "path", "value"), WAYS, ids=[what for _, what, _, _ in WAYS])
def test_each_way_to_be_wrong(which: int, what: str, path: str, value: int) -> None:
    results = [deepcopy(GOOD) for _ in range(3)]
    results[which] = changed(GOOD, path, value)
    wrong = [check.what for check in demo._checks(*results) if not check.kept]
    assert any(name.startswith(what) for name in wrong)


def test_a_slow_machine_is_shown_and_is_no_fault() -> None:
    slow = deepcopy(GOOD)
    slow["timing"]["wall_seconds"] = 1000.0
    verdicts = [check.verdict for check in demo._checks(deepcopy(GOOD), deepcopy(GOOD), slow)]
    assert verdicts == ["ok", "ok", "ok", "ok", "slow here"]
    assert all(check.kept for check in demo._checks(slow, slow, slow))
