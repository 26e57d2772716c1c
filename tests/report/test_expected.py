# SPDX-License-Identifier: GPL-2.0-only
"""The truth of cells is that of the machine, whatever their edges."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from damon.mm.sim import SimulatedMachine
from damon.report import asked, expected
from damon.report.space import Space
from damon.workload.model import Access, Area, Event, Pattern, Phase, PhaseEvent, Workload
from damon.workload.replays import workload_of
from damon.workload.tracefile.form import TracedArea, pack_rows
from damon.workload.tracefile.writer import TraceWriter

MIB = 1 << 20
AREAS = (Area("a", 2 * MIB), Area("b", 4 * MIB), Area("c", MIB, mapped_at_start=False))
PHASES = (
    Phase("one", 1_000_000, (Access("a", 1e5), Access("b", 5e4, Pattern.ZIPF, skew=1.1))),
    Phase("two", 3_000_000, (Access("b", 1e5, Pattern.SEQUENTIAL), Access("c", 1e5)), (PhaseEvent(Event.MMAP, "c"),)),
    Phase("three", 1_000_000, (Access("a", 2e5),), (PhaseEvent(Event.MUNMAP, "c"),)),
)
SAMPLE_US = 5000.0


def _machine_truth(workload: Workload, area: str, seconds: float) -> float:
    with SimulatedMachine(workload, 1) as machine:
        machine.clock.sleep_us(round(seconds * 1e6))
        return machine.truth(area, round(SAMPLE_US))


@pytest.mark.parametrize("repeat", [False, True])
def test_of_areas_is_that_of_the_machine(repeat: bool) -> None:
    workload = Workload("w", AREAS, PHASES, repeat)
    edges = np.arange(0, 12e9, 0.5e9)
    found = expected.of_areas(workload, edges, SAMPLE_US)
    for area in ("a", "b", "c"):
        for cell in (0, 3, 9, 12, 21):
            wanted = _machine_truth(workload, area, edges[cell] / 1e9 + 0.25)
            assert found[area][cell] == pytest.approx(wanted, abs=1e-9), (area, cell)


def test_a_cell_over_phases_is_their_mean() -> None:
    workload = Workload("w", AREAS, PHASES, True)
    fine = expected.of_areas(workload, np.linspace(0, 10e9, 101), SAMPLE_US)
    coarse = expected.of_areas(workload, np.array([0, 10e9]), SAMPLE_US)
    for area in ("a", "b", "c"):
        assert coarse[area][0] == pytest.approx(fine[area].mean())


def test_virtual_memory_is_by_page() -> None:
    workload = Workload("w", AREAS, PHASES)
    space = Space({0: [(0, 2 * MIB), (16 * MIB, 20 * MIB)]})
    edges, times = np.linspace(0, space.size, 65), np.array([0.0, 1e9])
    starts = {"a": 0, "b": 16 * MIB, "c": 64 * MIB}
    (found,) = expected.virtual(workload, starts, {"main": 0}, space, edges, times, SAMPLE_US)
    means = expected.of_areas(workload, times, SAMPLE_US)
    total = (found * np.diff(edges)).sum()
    assert total == pytest.approx(means["a"][0] * 2 * MIB + means["b"][0] * 4 * MIB, rel=0.01)
    zipf = found[-40:]
    assert (np.diff(zipf) <= 1e-12).all()
    assert zipf[0] > 5 * zipf[-1]


def test_physical_memory_is_by_what_is_there() -> None:
    workload = Workload("w", AREAS, PHASES)
    space = Space({0: [(0, 8 * MIB)]})
    rows = [[("a", 0, 2 * MIB, 1.0)], [("a", 4 * MIB, 8 * MIB, 0.5)]]
    found = expected.physical(
        workload, expected.Places([0, 500_000_000], rows), space, np.linspace(0, 8 * MIB, 5),
        np.array([0.0, 0.5e9, 1e9]), SAMPLE_US,
    )  # fmt: skip
    share = expected.of_areas(workload, np.array([0.0, 1e9]), SAMPLE_US)["a"][0]
    np.testing.assert_allclose(found, [[share, 0, 0, 0], [0, 0, share / 2, share / 2]])


def _traced(place: Path, loop: bool) -> tuple[Workload, Area]:
    """Two areas of 2 MiB in one space; only the second half of the second is accessed, from 1 s to 2 s of 3 s."""
    with TraceWriter(place / "t.trace") as writer:
        space = writer.space("main", 1024)
        writer.add(space, 10**9, 2 * 10**9, pack_rows([(768, 1024, 100.0, 1.0)]))
        areas = [
            TracedArea(name, space, first, 512, mapped=((0, 3 * 10**9),)) for name, first in (("x", 0), ("y", 512))
        ]
        writer.close(3 * 10**9, areas, loop=loop)
    workload = workload_of(place / "t.trace")
    return workload, workload.areas[1]


def test_a_cell_over_the_end_of_a_round_has_what_is_in_both(tmp_path: Path) -> None:
    workload, area = _traced(tmp_path, True)
    whole = expected.of_areas(workload, np.array([0.0, 3e9]), SAMPLE_US)["y"][0]
    over = expected.of_areas(workload, np.array([1.5e9, 4.5e9]), SAMPLE_US)["y"][0]
    assert area.replay is not None
    assert over == pytest.approx(whole)
    assert whole > 0


@pytest.mark.parametrize("loop", [False, True])
def test_traces_are_as_on_the_machine(tmp_path: Path, loop: bool) -> None:
    workload, area = _traced(tmp_path, loop)
    found = expected.of_areas(workload, np.arange(0, 8e9, 0.5e9), SAMPLE_US)
    assert not found["x"].any()
    for cell in range(15):
        wanted = _machine_truth(workload, area.name, 0.5 * cell + 0.25)
        assert found["y"][cell] == pytest.approx(wanted, abs=1e-9), cell
    assert found["y"].any()


def test_traces_are_where_they_are_accessed(tmp_path: Path) -> None:
    workload, area = _traced(tmp_path, False)
    space = Space({0: [(0, 4 * MIB)]})
    starts = {"x": 0, "y": 2 * MIB}
    times = np.array([0.0, 1e9, 2e9])
    cells = expected.virtual(workload, starts, {area.process: 0}, space, np.linspace(0, 4 * MIB, 5), times, SAMPLE_US)
    np.testing.assert_allclose(cells, [[0, 0, 0, 0], [0, 0, 0, 1 - np.exp(-0.5)]], atol=1e-9)


def test_a_trace_that_is_lost_is_named(tmp_path: Path) -> None:
    workload, area = _traced(tmp_path, False)
    assert asked.lost_trace(workload) is None
    (tmp_path / "t.trace").write_bytes(b"DAMTRACE")
    assert asked.lost_trace(workload) == "the trace t.trace is damaged"
    (tmp_path / "t.trace").write_bytes(b"x")
    assert asked.lost_trace(workload) == "the trace t.trace is not where it was"
    other, _ = _traced(tmp_path, False)
    assert area.replay is not None
    longer = replace(area, replay=replace(area.replay, end_ns=4 * 10**9))
    assert asked.lost_trace(replace(other, areas=(longer,))) == "the trace t.trace is another one now"
