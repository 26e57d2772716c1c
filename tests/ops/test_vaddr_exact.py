# SPDX-License-Identifier: GPL-2.0-only
"""``vaddr-exact`` on the simulated machine, and how regions are cut."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon import Damon, DamonCallControl, DamonCtx, DamonTarget
from damon.core import set_attrs
from damon.errors import DamonError
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import RegionArray
from damon.model.attrs import DamonAttrs
from damon.ops import vaddr_exact
from damon.ops.vaddr_exact import VaddrExact, coarsened, count, cut
from damon.workload.load import load_workload

MIB = 1 << 20
#: Each page of `hot` in each interval; every other page of `half`.
WORKLOAD = """
name: exact
areas:
  cold: {size: 8 MiB}
  hot: {size: 3 MiB}
  late: {size: 4 MiB}
phases:
  - {duration: 2s, access: [{area: hot, pattern: sequential, rate: 1M}]}
  - {duration: 2s, access: [{area: late, pattern: sequential, rate: 1M}]}
machine: {memory: 64 MiB, hz: 0}
"""


@pytest.fixture
def machine(tmp_path: Path) -> SimulatedMachine:
    path = tmp_path / "exact.yaml"
    path.write_text(WORKLOAD)
    return SimulatedMachine(load_workload(str(path)), 1)


def _seen(machine: SimulatedMachine, reads: int = 1, most: int = 100) -> list[list[tuple[int, int, int, int]]]:
    """The regions after each aggregation interval of 100 ms: start, end, accesses, age."""
    damon = Damon(machine, seed=1)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, "vaddr-exact")
    set_attrs(ctx, DamonAttrs(100_000 // reads, 100_000, 1_000_000, 10, most))
    (pid,) = machine.pids.values()
    ctx.targets.append(DamonTarget(space=machine.open_process(pid)))
    found: list[list[tuple[int, int, int, int]]] = []

    def see(ctx: DamonCtx) -> None:
        found.append([(row.start, row.end, row.nr_accesses, row.age) for row in ctx.targets[0].regions])

    damon.start([ctx])
    damon.call(ctx, DamonCallControl(see, repeat=True, results_only=True))
    machine.clock.sleep_us(4_000_000)
    damon.stop()
    return found


def _accessed(rows: list[tuple[int, int, int, int]]) -> list[tuple[int, int]]:
    return list(vaddr_exact._joined((start, end) for start, end, nr, _ in rows if nr))


@pytest.mark.parametrize("reads", [1, 4])
def test_the_areas_that_are_accessed_are_the_answer(machine: SimulatedMachine, reads: int) -> None:
    hot, late = ((placed.start, placed.end) for name, placed in machine.state.placed.items() if name != "cold")
    found = _seen(machine, reads)
    assert len(found) >= 35
    for rows in found[2:17]:
        assert _accessed(rows) == [hot]
        assert {nr for start, _, nr, _ in rows if hot[0] <= start < hot[1]} == {reads}
    for rows in found[22:]:
        assert _accessed(rows) == [late]
    assert max(age for start, _, _, age in found[-1] if start < hot[0]) > 30, "what is never accessed ages on"
    assert all(len(rows) <= 100 for rows in found)


def test_large_targets_are_asked_about_by_blocks(machine: SimulatedMachine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(vaddr_exact, "EXACT_MAX", MIB)
    hot = machine.state.placed["hot"]
    found = _seen(machine)
    inside = sum(
        min(end, hot.end) - max(start, hot.start)
        for start, end in _accessed(found[15])
        if start < hot.end and end > hot.start
    )
    assert inside >= 2 * MIB
    assert sum(end - start for start, end in _accessed(found[15])) <= 6 * MIB


def test_only_the_kernels_sets_have_names_for_the_sysfs_tree(machine: SimulatedMachine) -> None:
    damon = Damon(machine)
    assert damon.operations.names() == ["vaddr", "fvaddr", "paddr"]
    with pytest.raises(DamonError, match="'vaddr-exact': is registered already"):
        damon.operations.register(VaddrExact())


def _regions(*bounds: int) -> RegionArray:
    regions = RegionArray()
    for start, end in zip(bounds, bounds[1:], strict=False):
        regions.append(start, end)
    return regions


def test_regions_are_cut_at_edges_and_keep_what_they_know() -> None:
    regions = _regions(0, 100, 200)
    regions[0].age, regions[1].age = 3, 4
    cut(regions, [0, 50, 100, 150, 150, 200, 300])
    assert regions.ranges() == [(0, 50), (50, 100), (100, 150), (150, 200)]
    assert [region.age for region in regions] == [3, 3, 4, 4]
    assert count(regions, [(50, 150)]) == 1
    assert [region.nr_accesses for region in regions] == [0, 1, 1, 0]


def test_a_region_was_accessed_when_most_of_it_was() -> None:
    regions = _regions(0, 100, 200)
    assert count(regions, [(0, 50), (140, 195)]) == 1
    assert [region.nr_accesses for region in regions] == [0, 1]


RUNS = st.lists(st.integers(1, 50), min_size=2, max_size=60).map(
    lambda steps: [(sum(steps[: 2 * n + 1]), sum(steps[: 2 * n + 2])) for n in range(len(steps) // 2)]
)


@given(runs=RUNS, most=st.integers(1, 12))
def test_coarse_runs_are_few_apart_and_within(runs: list[tuple[int, int]], most: int) -> None:
    found = coarsened(runs, most)
    assert 1 <= len(found) <= max(most, 1)
    assert all(start < end for start, end in found)
    assert all(one[1] < other[0] for one, other in zip(found, found[1:], strict=False))
    assert runs[0][0] <= found[0][0]
    assert found[-1][1] <= runs[-1][1]
    if len(runs) <= most:
        assert list(found) == runs
