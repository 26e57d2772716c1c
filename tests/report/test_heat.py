# SPDX-License-Identifier: GPL-2.0-only
"""Cells are the means of what they stand for, and their number does not grow with the run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from damon.report.gather import Limits, Map, gather
from damon.report.heat import Grid, Intervals, Kept, Scanned
from damon.report.space import Space, spread
from damon.results.arrays import Arrays
from damon.results.run import Run


def _snapshot(time_ns: int, *rows: tuple[int, int, int, int], target: int = 0) -> Arrays:
    return Arrays(time_ns, 0, target, np.array(rows, np.uint64).T, True)


def _grid(space: Space, times: list[int], shape: tuple[int, int], stride: int = 1) -> Grid:
    intervals = Intervals(np.array(times), np.full(len(times), 10.0), np.full(len(times), 100.0))
    return Grid(space, Scanned(np.array(times), {}), intervals, shape, stride)


def test_the_axis_leaves_out_what_is_between_ranges() -> None:
    space = Space({0: [(0, 1000), (1 << 40, (1 << 40) + 1000)], 1: [(500, 1500)]})
    assert space.gap == 0  # of so little memory
    assert space.at(0, [0, 999, 5000, 1 << 40, (1 << 40) + 1000]).tolist() == [0, 999, 1000, 1000, 2000]
    assert space.at(1, [500, 1500]).tolist() == [2000, 3000]
    large = Space({0: [(0, 1 << 30), (1 << 40, (1 << 40) + (1 << 30))]})
    assert large.gap > 0
    assert large.gap % 4096 == 0


def test_spread_is_the_integral() -> None:
    found = spread(np.array([0.0, 6.0]), np.array([4.0, 10.0]), np.array([1.0, 0.5]), np.array([0.0, 2, 5, 8, 10]))
    assert found.tolist() == [2, 2, 1, 1]


def test_cells_are_means_by_bytes_and_time() -> None:
    times = [100_000, 200_000, 300_000, 400_000]
    grid = _grid(Space({0: [(0, 8)]}), times, (2, 2))
    for number, time_ns in enumerate(times):
        grid.add(_snapshot(time_ns, (0, 2, 10, 0), (2, 8, 5 if number == 3 else 0, 0)))
    np.testing.assert_allclose(grid.share, [[0.5, 0], [0.5 + 0.125, 0.25]])


def test_a_pause_is_not_monitored() -> None:
    times = [100_000, 1_000_000]
    grid = _grid(Space({0: [(0, 8)]}), times, (10, 1))
    assert grid.shape == (2, 1)
    times = [100_000, *range(2_000_000, 3_000_000, 100_000)]
    grid = _grid(Space({0: [(0, 8)]}), times, (30, 1))
    for time_ns in times:
        grid.add(_snapshot(time_ns, (0, 8, 10, 0)))
    share = grid.share[:, 0]
    assert np.isnan(share).any()
    assert share[0] == share[-1] == 1.0


def test_targets_are_side_by_side() -> None:
    grid = _grid(Space({0: [(0, 4)], 1: [(0, 4)]}), [100_000], (1, 2))
    grid.add(_snapshot(100_000, (0, 4, 10, 0), target=0))
    grid.add(_snapshot(100_000, (0, 4, 5, 0), target=1))
    grid.add(_snapshot(100_000, (0, 4, 5, 0), target=7))  # unknown
    assert grid.share.tolist() == [[1.0, 0.5]]


def test_snapshots_are_kept_evenly_within_the_limit() -> None:
    kept = Kept([0], 10)
    for number in range(100):
        kept.add(_snapshot(number + 1, (0, 2, 0, 0), (2, 4, 0, 0)))
    assert [one.time_ns for one in kept.snapshots] == list(range(1, 101, kept.stride))
    assert len(kept.snapshots) <= 5


def _maps(path: Path, limits: Limits | None = None) -> Map:
    (found,) = gather(Run.open(path), "x", limits).maps
    return found


@pytest.mark.parametrize("name", ["early", "virtual"])
def test_what_is_seen_is_near_the_truth(runs: dict[str, Path], name: str) -> None:
    found = _maps(runs[name])
    assert found.truth is not None
    seen, true = np.nanmean(found.share), np.nanmean(found.truth)
    assert true > 0.001
    assert 0.5 < seen / true < 2
    assert {"index", "cache"} <= {one.name for one in found.named}
    assert (len(found.actions.time) > 0) == (name == "early")


def test_limits_bound_what_is_kept(runs: dict[str, Path]) -> None:
    found = _maps(runs["early"], Limits(8, 16, 40))
    assert found.share.shape == (8, 16)
    assert sum(one.regions.shape[1] for one in found.kept) <= 40
    whole = _maps(runs["early"])
    assert np.nanmean(found.share) == pytest.approx(np.nanmean(whole.share), rel=0.2)
