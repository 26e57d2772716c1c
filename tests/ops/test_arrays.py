# SPDX-License-Identifier: GPL-2.0-only
"""An operations set whose loops are NumPy's, on the arrays that C works on: ``examples/two_pages_arrays.py``."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import pytest

import damon
from damon.model.arrays import RegionArray
from damon.model.random import Random

numpy = pytest.importorskip("numpy", reason="NumPy is not installed: pip install numpy")
EXAMPLE = Path(__file__).parents[2] / "examples/two_pages_arrays.py"


class _Space:
    """Pages at odd page numbers are young."""

    pid = 1

    def __init__(self) -> None:
        self.asked: list[int] = []

    def alive(self) -> bool:
        return True

    def close(self) -> None: ...

    def mkold(self, addrs: Any, nr: int) -> Any:
        self.asked = [addrs[index] for index in range(nr)]
        return nr

    def young(self, batch: int, out: Any) -> None:
        for index, addr in enumerate(self.asked):
            out[index] = addr >> 12 & 1


@pytest.mark.parametrize("nr", [0, 1, 300])
def test_counts_what_it_asked_for(nr: int) -> None:
    ops = runpy.run_path(str(EXAMPLE))["TwoPagesArrays"]()
    space = _Space()
    target = damon.DamonTarget(space=space)
    for index in range(nr):
        target.regions.append(index << 20, index + 1 << 20)
    ctx = damon.DamonCtx(targets=[target], rnd=Random(1))
    counts = [0] * nr
    for _ in range(5):
        ops.prepare_access_checks(ctx)
        highest = ops.check_accesses(ctx)
        for index, region in enumerate(target.regions):
            first, second = space.asked[index], space.asked[nr + index]
            assert region.start <= first < region.end
            assert region.start <= second < region.end
            counts[index] += (first | second) >> 12 & 1
    assert [region.nr_accesses for region in target.regions] == counts
    assert highest == max(counts, default=0)


def test_a_view_writes_to_the_regions_and_outlives_their_growth() -> None:
    regions = RegionArray([(0, 4096), (4096, 8192)])
    view = numpy.frombuffer(regions.rows(), numpy.dtype(damon.DamonRegion))
    assert view["end"].tolist() == [4096, 8192]
    view["age"] = 7
    assert [region.age for region in regions] == [7, 7]
    regions.reserve(100_000)
    view["age"] = 8
    assert [region.age for region in regions] == [7, 7]
