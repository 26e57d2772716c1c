# SPDX-License-Identifier: GPL-2.0-only
"""Idle time percentiles and memory bandwidth from regions (DAMON spec, modules 5)."""

from __future__ import annotations

from itertools import accumulate, pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.model.arrays import RegionArray
from damon.modules.stat.idle import idle_ms_percentiles, memory_bandwidth
from tests.fakes import regions_of


def _regions(*rows: tuple[int, int, int]) -> RegionArray:
    """One after the other, from ``(bytes, nr_accesses, age)``."""
    ends = accumulate((size for size, _, _ in rows), initial=0x1000)
    return regions_of(*((*span, nr, 0, age) for span, (_, nr, age) in zip(pairwise(ends), rows, strict=True)))


def test_percentiles_of_the_specification() -> None:
    regions = _regions((600, 0, 9), (300, 5, 1), (100, 0, 49))
    expected = (-200,) * 31 + (1000,) * 60 + (5000,) * 10
    assert idle_ms_percentiles(regions, 100_000) == expected
    assert memory_bandwidth([regions], 100_000) == 15000


@pytest.mark.parametrize(
    ("rows", "aggr", "expected"),
    [
        ([(4096, 0, 0)], 100_000, [(101, 100)]),
        ([(4096, 1, 0)], 100_000, [(101, -100)]),
        # Among those in use, the one that is it longest is the least idle; one region can be less than a percent.
        ([(5, 0, 7), (990, 3, 2), (5, 20, 9)], 100_000, [(1, -1000), (99, -300), (1, 800)]),
        ([(999, 0, 3), (1, 1, 0)], 100_000, [(1, -100), (100, 400)]),
        # Just short of a percent, and just a whole one.
        ([(1009, 1, 0), (99_991, 0, 0)], 100_000, [(1, -100), (100, 100)]),
        ([(1010, 1, 0), (99_990, 0, 0)], 100_000, [(2, -100), (99, 100)]),
        # Milliseconds are rounded towards zero on either side of it, as C does.
        ([(500, 1, 2), (500, 0, 2)], 100_060, [(51, -300), (50, 300)]),
        ([(500, 1, 0), (500, 0, 0)], 100_999, [(51, -100), (50, 100)]),
        ([(1, 0, 0), (1, 0, 1), (1, 0, 2)], 5000, [(34, 5), (33, 10), (34, 15)]),
        ([(1 << 62, 0, 4_294_967_295), (1 << 62, 1, 4_294_967_294)], 200_000_000,
         [(51, -(2**32 - 1) * 200_000), (50, 2**32 * 200_000)]),
    ],
)  # fmt: skip
def test_percentiles_by_hand(rows: list[tuple[int, int, int]], aggr: int, expected: list[tuple[int, int]]) -> None:
    flat = tuple(value for count, value in expected for _ in range(count))
    assert idle_ms_percentiles(_regions(*rows), aggr) == flat


def test_no_regions_no_percentiles() -> None:
    assert idle_ms_percentiles(RegionArray(), 100_000) == ()
    assert memory_bandwidth([RegionArray()], 100_000) == 0


@pytest.mark.parametrize(
    ("rows", "aggr", "expected"),
    [
        ([(4096, 20, 0)], 100_000, 819_200),
        ([(4096, 20, 0), (8192, 0, 3), (4096, 1, 0)], 100_000, 860_160),
        ([(1, 1, 0)], 3_000_000, 0),  # floor of 1/3
        ([(7, 1, 0)], 3_000_000, 2),  # multiplied first, then divided
        ([(4096, 20, 5)], 200_000_000, 409),
    ],
)
def test_bandwidth_by_hand(rows: list[tuple[int, int, int]], aggr: int, expected: int) -> None:
    assert memory_bandwidth([_regions(*rows)], aggr) == expected
    assert memory_bandwidth([_regions(*rows), RegionArray(), _regions(*rows)], 2 * aggr) == expected


ROWS = st.lists(
    st.tuples(st.integers(1, 1 << 44), st.sampled_from([0, 0, 1, 20]), st.integers(0, 2**32 - 1)),
    min_size=1,
    max_size=40,
)


@given(ROWS, st.integers(1, 400_000_000))
def test_percentiles_by_definition(rows: list[tuple[int, int, int]], aggr: int) -> None:
    """Percentile p: the least idle time such that memory with no more of it makes up p percent or more."""
    keys = [-(age + 1) if nr else age + 1 for _, nr, age in rows]
    total = sum(size for size, _, _ in rows)
    result = idle_ms_percentiles(_regions(*rows), aggr)
    assert len(result) == 101
    for percent, value in enumerate(result):
        enough = [
            key
            for key in keys
            if 100 * sum(rows[i][0] for i, other in enumerate(keys) if other <= key) >= percent * total
        ]
        us = min(enough) * aggr
        assert value == (us // 1000 if us >= 0 else -(-us // 1000))
    assert list(result) == sorted(result)
