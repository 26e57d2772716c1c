# SPDX-License-Identifier: GPL-2.0-only
"""The truth of cells is that of the machine, whatever their edges."""

from __future__ import annotations

import numpy as np
import pytest

from damon.mm.sim import SimulatedMachine
from damon.report import truth
from damon.report.space import Space
from damon.workload.model import Access, Area, Event, Pattern, Phase, PhaseEvent, Workload

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
    found = truth.of_areas(workload, edges, SAMPLE_US)
    for area in ("a", "b", "c"):
        for cell in (0, 3, 9, 12, 21):
            wanted = _machine_truth(workload, area, edges[cell] / 1e9 + 0.25)
            assert found[area][cell] == pytest.approx(wanted, abs=1e-9), (area, cell)


def test_a_cell_over_phases_is_their_mean() -> None:
    workload = Workload("w", AREAS, PHASES, True)
    fine = truth.of_areas(workload, np.linspace(0, 10e9, 101), SAMPLE_US)
    coarse = truth.of_areas(workload, np.array([0, 10e9]), SAMPLE_US)
    for area in ("a", "b", "c"):
        assert coarse[area][0] == pytest.approx(fine[area].mean())


def test_virtual_memory_is_by_page() -> None:
    workload = Workload("w", AREAS, PHASES)
    space = Space({0: [(0, 2 * MIB), (16 * MIB, 20 * MIB)]})
    edges, times = np.linspace(0, space.size, 65), np.array([0.0, 1e9])
    starts = {"a": 0, "b": 16 * MIB, "c": 64 * MIB}
    (found,) = truth.virtual(workload, starts, {"main": 0}, space, edges, times, SAMPLE_US)
    means = truth.of_areas(workload, times, SAMPLE_US)
    total = (found * np.diff(edges)).sum()
    assert total == pytest.approx(means["a"][0] * 2 * MIB + means["b"][0] * 4 * MIB, rel=0.01)
    zipf = found[-40:]
    assert (np.diff(zipf) <= 1e-12).all()
    assert zipf[0] > 5 * zipf[-1]


def test_physical_memory_is_by_what_is_there() -> None:
    workload = Workload("w", AREAS, PHASES)
    space = Space({0: [(0, 8 * MIB)]})
    rows = [[("a", 0, 2 * MIB, 1.0)], [("a", 4 * MIB, 8 * MIB, 0.5)]]
    found = truth.physical(
        workload, truth.Places([0, 500_000_000], rows), space, np.linspace(0, 8 * MIB, 5),
        np.array([0.0, 0.5e9, 1e9]), SAMPLE_US,
    )  # fmt: skip
    share = truth.of_areas(workload, np.array([0.0, 1e9]), SAMPLE_US)["a"][0]
    np.testing.assert_allclose(found, [[share, 0, 0, 0], [0, 0, share / 2, share / 2]])
