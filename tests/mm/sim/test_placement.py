# SPDX-License-Identifier: GPL-2.0-only
"""Where areas are in physical memory: nothing is lost, and rows are few."""

from __future__ import annotations

import pytest

from damon.mm.sim import SimulatedMachine
from damon.mm.sim.placement import MAX_BLOCKS, MAX_ROWS, Placed, placement
from damon.workload.model import Access, Area, Event, MachineSpec, Phase, PhaseEvent, Workload

MIB = 1 << 20


def _machine(*areas: Area, memory: int = 256 * MIB) -> SimulatedMachine:
    phase = Phase("all", 10_000_000, tuple(Access(area.name, 1e4) for area in areas))
    return SimulatedMachine(Workload("w", areas, (phase,), machine=MachineSpec(memory)), 1)


def _total(found: list[Placed], area: str) -> int:
    return sum(one.resident_bytes for one in found if one.area == area)


def test_all_that_is_resident_is_somewhere() -> None:
    with _machine(Area("a", 20 * MIB), Area("b", 3 * MIB), Area("c", 8 * MIB, populate=False)) as machine:
        machine.clock.sleep_us(300_000)
        found = placement(machine)
        for stat in machine.areas():
            assert _total(found, stat.name) == stat.resident_bytes
        assert 0 < _total(found, "c") < 8 * MIB
        assert all(one.start < one.end and one.resident_bytes <= one.end - one.start for one in found)


def test_what_was_unmapped_is_nowhere() -> None:
    areas = (Area("a", 20 * MIB), Area("b", 4 * MIB))
    unmapped = Phase("unmapped", 1_000_000, events=(PhaseEvent(Event.MUNMAP, "a"),))
    with SimulatedMachine(Workload("w", areas, (Phase("mapped", 1_000_000), unmapped)), 1) as machine:
        assert _total(placement(machine), "a") == 20 * MIB
        machine.clock.sleep_us(1_500_000)
        assert {one.area for one in placement(machine)} == {"b"}


@pytest.mark.parametrize("memory", [1 << 30, 6 << 30])
def test_rows_are_few_and_large_machines_are_estimated(memory: int) -> None:
    areas = [Area(f"a{number}", memory // 8) for number in range(4)]
    with _machine(*areas, memory=memory) as machine:
        found = placement(machine)
        assert len(found) <= min(MAX_ROWS, 2 * MAX_BLOCKS)
        for stat in machine.areas():
            assert _total(found, stat.name) == pytest.approx(stat.resident_bytes, rel=0.02)
        # One after the other, so each is one piece but for blocks that two share.
        assert len(found) <= 4 * 5
