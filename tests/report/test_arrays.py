# SPDX-License-Identifier: GPL-2.0-only
"""Snapshots and tables as arrays are what they are as Python's values."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import InvalidInput
from damon.results import arrays, regions
from damon.results.directory import DirectorySink
from damon.results.run import Run
from damon.results.tables import TABLES
from tests.report.conftest import fill


def test_snapshots_are_the_same(runs: dict[str, Path]) -> None:
    for path in runs.values():
        run = Run.open(path)
        pairs = list(zip(run.snapshots(), arrays.snapshots(run), strict=True))
        assert len(pairs) > 30
        for one, other in pairs:
            assert (one.time_ns, one.context, one.target) == (other.time_ns, other.context, other.target)
            assert [tuple(row) for row in other.regions.T.tolist()] == list(one.regions)


@pytest.mark.parametrize("table", sorted(TABLES))
def test_tables_are_the_same(run: Run, table: str) -> None:
    wanted = run.table(table).columns
    found = [list(part.values()) for part in arrays.chunks(run, table)]
    for index, values in enumerate(wanted.values()):
        mine = [value for part in found for value in part[index].tolist()]
        assert [None if isinstance(one, float) and math.isnan(one) else one for one in mine] == values


def test_unknown_values_are_nan_in_both_forms(tmp_path: Path) -> None:
    for form in ("arrow", "jsonl"):
        sink = DirectorySink(tmp_path / form, {}, form)
        fill(sink, "machine", time_ns=[1, 2, 3], refaults=[7, None, 9], slowdown=[None, 1.5, None])
        sink.close()
        found = arrays.whole(Run.open(tmp_path / form), "machine", "refaults", "slowdown")
        np.testing.assert_equal(found["refaults"], [7, np.nan, 9])
        np.testing.assert_equal(found["slowdown"], [np.nan, 1.5, np.nan])


Edges = st.lists(st.integers(0, 40), min_size=2, max_size=12, unique=True).map(sorted)


@given(before=Edges, after=Edges, aged=st.integers(0, 3))
def test_decoding_is_that_of_the_reference(before: list[int], after: list[int], aged: int) -> None:
    old = [(a, b, a % 3, 5) for a, b in zip(before[0::2], before[1::2], strict=False)]
    new = [(a, b, b % 3, 1) for a, b in zip(after[0::2], after[1::2], strict=False)]
    found = arrays.decode(np.array(old, np.uint64).T, np.array(new, np.uint64).T, aged)
    assert [tuple(row) for row in found.T.tolist()] == regions.decode(old, new, aged)


@pytest.mark.parametrize("rows", [[(5, 5)], [(5, 4)], [(0, 9), (8, 10)]])
def test_regions_out_of_order_are_refused(tmp_path: Path, rows: list[tuple[int, int]]) -> None:
    sink = DirectorySink(tmp_path / "run", {}, "jsonl")
    fill(sink, "snapshots", time_ns=[1], nr_rows=[len(rows)])
    fill(sink, "regions", start=[start for start, _ in rows], end=[end for _, end in rows])
    sink.close()
    with pytest.raises(InvalidInput, match="in order"):
        list(arrays.snapshots(Run.open(tmp_path / "run")))
