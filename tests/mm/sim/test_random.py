# SPDX-License-Identifier: GPL-2.0-only
"""Random machines under random operations: golden results, books that balance, the same run for the same seed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.mm.sim import SimulatedMachine
from damon.workload.model import Workload
from tests.examples import examples
from tests.mm.sim import golden
from tests.mm.sim.machines import check
from tests.mm.sim.operations import Operation, do
from tests.mm.sim.random_workloads import huge_workloads, workloads

operations = st.tuples(
    st.sampled_from(
        [
            "sleep",
            "phys",
            "probe",
            "virt",
            "young",
            "pageout",
            "activate",
            "deactivate",
            "madvise",
            "madvise",
            "walk",
            "migrate",
        ]
    ),
    st.floats(0.0, 1.0),
    st.floats(0.0, 1.0),
    st.integers(0, 2**16 - 1),
)
#: Mostly collapsing, and what takes folios apart again.
huge_operations = st.one_of(
    st.tuples(st.just("madvise"), st.just(0.0), st.just(1.0), st.integers(0, 2**12 - 1).map(lambda n: 10 * n + 7)),
    st.tuples(st.just("madvise"), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.integers(0, 2**14 - 1)),
    st.tuples(
        st.sampled_from(["sleep", "pageout", "migrate", "activate", "walk", "virt", "phys", "probe"]),
        st.sampled_from([0.0, 0.0, 0.3]), st.sampled_from([1.0, 0.5]), st.integers(0, 2**16 - 1),
    ),
)  # fmt: skip


@examples(20)
@given(workloads(), st.integers(0, 2**64 - 1), st.lists(operations, min_size=3, max_size=20))
def test_nothing_is_lost(workload: Workload, seed: int, steps: list[Operation]) -> None:
    """Frames, list members, swap slots, counts and pending touches add up after every step."""
    sim = SimulatedMachine(workload, seed)
    check(sim)
    for step in steps:
        do(sim, step)
        check(sim)


@examples(8)
@given(huge_workloads(), st.integers(0, 2**64 - 1), st.lists(huge_operations, min_size=3, max_size=12))
def test_nothing_is_lost_with_huge_pages(workload: Workload, seed: int, steps: list[Operation]) -> None:
    test_nothing_is_lost.hypothesis.inner_test(workload, seed, steps)  # type: ignore[attr-defined]


@examples(20)
@given(workloads(), st.integers(0, 2**64 - 1), st.lists(operations, min_size=3, max_size=20))
def test_same_seed_same_run(workload: Workload, seed: int, steps: list[Operation]) -> None:
    first, second = SimulatedMachine(workload, seed), SimulatedMachine(workload, seed)
    assert [do(first, step) for step in steps] == [do(second, step) for step in steps]
    assert first.state.snapshot() == second.state.snapshot()


@pytest.mark.parametrize("expected", golden.GOLDEN.read_text().splitlines(), ids=lambda line: line.split()[0])
def test_golden(expected: str) -> None:
    """What each operation answers, and the whole state after it, byte for byte."""
    assert golden.line(int(expected.split(maxsplit=1)[0])) == expected
