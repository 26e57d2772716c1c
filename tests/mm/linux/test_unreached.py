# SPDX-License-Identifier: GPL-2.0-only
"""Bytes that no advice reached, by reason, over several actions (the reverse map's answers are dictated)."""

from __future__ import annotations

from typing import Any

import pytest

from damon.mm.linux.native import Result
from damon.mm.linux.physical import LinuxPhysicalSpace
from damon.model.arrays import FolioArray
from damon.model.machine import PAGE_SIZE


def test_reasons_add_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter(
        [
            Result(wanted=10, shared=3, acted=7, left=6, unevictable=40),
            Result(wanted=5, missing=1, own=2, stale=1, acted=1, unmapped=20),
        ]
    )

    class Map:
        def act(self, folios: FolioArray, action: int) -> Any:
            return next(answers)

    def no_files() -> Any:
        raise AssertionError

    space = LinuxPhysicalSpace(no_files)
    monkeypatch.setattr(LinuxPhysicalSpace, "rmap", Map())
    folios = FolioArray(1)
    assert space.pageout(folios) == 6
    assert space.pageout(folios) == 0
    assert space.unreached() == {
        "wanted": 75 * PAGE_SIZE, "missing": PAGE_SIZE, "own": 2 * PAGE_SIZE, "stale": PAGE_SIZE,
        "shared": 3 * PAGE_SIZE, "unmapped": 20 * PAGE_SIZE, "unevictable": 40 * PAGE_SIZE,
    }  # fmt: skip
