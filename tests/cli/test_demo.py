# SPDX-License-Identifier: GPL-2.0-only
"""The demo's verdict: what it shows is checked, and each way to be wrong is seen."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import pytest

from damon.cli import demo

MIB = 1 << 20
GOOD: dict[str, Any] = {
    "areas": {
        "hot": {"size_bytes": 32 * MIB, "refaults": 0},
        "cold": {"resident_bytes_start": 224 * MIB, "resident_bytes_end": 0},
    },
    "timing": {"wall_seconds": 0.5},
}


def _spoil(what: str, *keys: str, value: Any) -> tuple[str, Callable[[list[dict[str, Any]]], None]]:
    def spoil(results: list[dict[str, Any]]) -> None:
        for result in results:
            part = result
            for key in keys[:-1]:
                part = part[key]
            part[keys[-1]] = value

    return what, spoil


WAYS = [
    (0, _spoil("cold memory", "areas", "cold", "resident_bytes_end", value=40 * MIB)),
    (0, _spoil("hot pages", "areas", "hot", "refaults", value=90)),
    (1, _spoil("two runs", "memory", value=1)),
]


def test_all_as_it_should_be() -> None:
    assert all(check.kept for check in demo._checks(deepcopy(GOOD), deepcopy(GOOD), deepcopy(GOOD)))


@pytest.mark.parametrize(("which", "way"), WAYS, ids=[way[0] for _, way in WAYS])
def test_each_way_to_be_wrong(which: int, way: tuple[str, Callable[[list[dict[str, Any]]], None]]) -> None:
    results = [deepcopy(GOOD) for _ in range(3)]
    what, spoil = way
    spoil([results[which]])
    wrong = [check.what for check in demo._checks(*results) if not check.kept]
    assert any(name.startswith(what) for name in wrong)


def test_a_slow_machine_is_shown_and_is_no_fault() -> None:
    slow = deepcopy(GOOD)
    slow["timing"]["wall_seconds"] = 1000.0
    verdicts = [check.verdict for check in demo._checks(deepcopy(GOOD), deepcopy(GOOD), slow)]
    assert verdicts == ["ok", "ok", "ok", "ok", "slow here"]
    assert all(check.kept for check in demo._checks(slow, slow, slow))
