# SPDX-License-Identifier: GPL-2.0-only
"""The soak of ``benchmarks/soak.py``, for some seconds: nothing fails, nothing leaks, and it repeats itself."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from damon.model.context import DamonCtx
from tests.invariants import live_arrays

sys.path.append(str(Path(__file__).parents[2]))  # where benchmarks are, which nothing installs

from benchmarks.soak import KINDS, Slot, Soak

SECONDS = 15


def _play(soak: Soak) -> None:
    while soak.seconds() < SECONDS:
        soak.step()


def _run(seed: int) -> tuple[str, Soak]:
    soak = Soak(seed)
    _play(soak)
    return soak.end(), soak


@pytest.mark.parametrize("seed", [1, pytest.param(3, marks=pytest.mark.long)])
def test_soak(seed: int) -> None:
    before = live_arrays()
    digest, soak = _run(seed)
    counts = soak.counts
    assert counts["started"] >= len(KINDS)
    assert counts["commits"] > 5
    assert counts["aggregations"] > 500
    assert counts["quota windows"] > 50
    assert counts["bytes applied"] > 0
    assert counts["tried in vain"] > 0
    held = live_arrays()  # by the machine and what is global in it: no context that has ended
    assert all(held[name] == before[name] for name in ("Kdamond", "DamonCtx", "RegionArray", "threads"))
    assert held["FolioArray"] - before["FolioArray"] <= len(KINDS)  # the machine keeps one for each walk at a time
    assert _run(seed)[0] == digest
    assert _run(seed + 100)[0] != digest
    del soak
    assert live_arrays() == before


def test_a_broken_invariant_is_found() -> None:
    """A fault of the caller's own: a page more than was merged."""

    def breaks(soak: Soak, slot: Slot) -> str:
        def grow(ctx: DamonCtx) -> None:
            for target in ctx.targets:
                if target.regions.nr:
                    target.regions[-1].end += 4096

        return "broken" if soak.call(slot, grow) else "not broken"

    soak = Soak(1, faults=(breaks,) * 50)
    with pytest.raises(AssertionError, match=r"covered|not aligned|after"):
        _play(soak)
    soak.damon.stop([slot.ctx for slot in soak.slots])
    soak.machine.close()
