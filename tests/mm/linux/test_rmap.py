# SPDX-License-Identifier: GPL-2.0-only
"""When the reverse map is read anew, and what two attempts with it count, on made-up kernels."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from damon.mm.linux import native
from damon.mm.linux.native import Result
from damon.mm.linux.rmap import MAX_AGE_NS, MIN_AGE_NS, ReverseMap, add_second
from damon.model.arrays import (
    FOLIO_PASS,
)
from tests.mm.linux.dictated import ANON
from tests.mm.linux.fake import WANTED, FakeKernel, batch, present


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[FakeKernel]:
    with FakeKernel(tmp_path, [ANON] * 256) as made:
        yield made


#: Above every kernel's pid_max.
NO_PROCESS = 5_000_000


class Time:
    """A clock that the test turns; every look takes ``step``."""

    def __init__(self, step: int = 1000) -> None:
        self.now, self.step = 0, step

    def __call__(self) -> int:
        self.now += self.step
        return self.now


def test_reverse_map_is_read_anew_by_age_and_on_mismatch(kernel: FakeKernel) -> None:
    """A made-up process can't be acted on: no real one has such a number, so each of its pages is stale."""
    time = Time()
    kernel.process(NO_PROCESS, [(0, 64)], {10: present(20)})
    rmap = ReverseMap(kernel.files, time)
    known, unknown = batch((20, 1, WANTED)), batch((60, 1, WANTED))
    rmap.act(unknown, native.PAGEOUT)
    assert rmap.builds == 1
    rmap.act(unknown, native.PAGEOUT)
    assert rmap.builds == 1  # too young to be read anew
    time.now += MIN_AGE_NS
    result = rmap.act(unknown, native.PAGEOUT)
    assert rmap.builds == 2
    assert result.missing == 1
    time.now += MIN_AGE_NS
    rmap.act(batch((60, 1, FOLIO_PASS)), native.PAGEOUT)  # nothing mapped: no reason
    assert rmap.builds == 2
    rmap.act(batch(), native.PAGEOUT)
    rmap.act(known, native.ACTIVATE)
    assert rmap.builds == 3  # stale
    time.now += MAX_AGE_NS
    rmap.act(batch((60, 1, FOLIO_PASS)), native.PAGEOUT)
    assert rmap.builds == 4
    rmap.act(batch((1 << 30, 1, WANTED)), native.PAGEOUT)  # another window
    assert rmap.builds == 5
    rmap.close()
    assert rmap.act(known, native.PAGEOUT).wanted == 0


def test_a_second_attempt_counts_each_page_once() -> None:
    """Ten pages, of which one was reached at first; five more are by the newer map."""
    first, again = Result(wanted=10, acted=1, left=1, stale=4, missing=3, shared=2), Result()
    again.wanted, again.acted, again.left, again.missing, again.shared = 10, 5, 4, 2, 2
    add_second(first, again)
    assert (first.wanted, first.acted, first.left) == (10, 6, 5)
    assert (first.stale, first.missing, first.shared) == (0, 2, 2)
    repeated = Result(wanted=10, acted=8, stale=2)
    add_second(repeated, Result(wanted=10, acted=10))
    assert (repeated.acted, repeated.stale) == (10, 0)


def test_pages_that_are_tried_twice_are_wanted_once(kernel: FakeKernel) -> None:
    time = Time()
    kernel.process(NO_PROCESS, [(0, 64)], {10: present(20)})
    rmap = ReverseMap(kernel.files, time)
    known = batch((20, 1, WANTED))
    rmap.act(known, native.PAGEOUT)
    time.now += MIN_AGE_NS
    result = rmap.act(known, native.PAGEOUT)
    assert rmap.builds == 2
    assert (result.wanted, result.stale) == (1, 1)


def test_reading_the_map_takes_a_small_share_of_the_time(kernel: FakeKernel) -> None:
    time = Time(step=1_000_000_000)
    rmap = ReverseMap(kernel.files, time)
    unknown = batch((60, 1, WANTED))
    for _ in range(20):
        rmap.act(unknown, native.PAGEOUT)
    assert rmap.builds * rmap.cost_ns * 10 <= time.now
    rmap.close()
