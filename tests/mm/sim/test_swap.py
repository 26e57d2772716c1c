# SPDX-License-Identifier: GPL-2.0-only
"""Several swap devices: priorities, turns, and what each costs."""

from __future__ import annotations

import pytest

from damon.errors import InvalidInput
from damon.mm.sim import SimulatedMachine
from damon.model.machine import Advice, SwapStat
from damon.workload.model import Access, Area, MachineSpec, Pattern, Swap
from tests.mm.sim.machines import MIB, act_on, check, machine, stat

PAGE = 4096


def _used(sim: SimulatedMachine) -> list[int]:
    return [device.used_bytes // PAGE for device in sim.swaps()]


def test_the_highest_priority_is_filled_first_then_the_next() -> None:
    swap = (Swap(100 * PAGE, 20.0, 5.0), Swap(50 * PAGE, 20.0, 5.0), Swap(30 * PAGE, 2.0, 1.0, priority=5))
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=swap)
    assert [device.priority for device in sim.swaps()] == [5, -2, -3]
    assert sim.swaps()[0] == SwapStat(5, 30 * PAGE, 0)
    for wanted, expected in ((20, [20, 0, 0]), (40, [30, 10, 0]), (150, [30, 100, 20]), (256, [30, 100, 50])):
        act_on(sim, sim.phys.pageout, lambda n, wanted=wanted: n + stat(sim).swapped_bytes // PAGE < wanted)  # type: ignore[misc]
        assert _used(sim) == expected
        check(sim)
    assert stat(sim).active_pages == 256 - 180, "no room"
    assert sim.counters()["nr_swap_pages"] == 0


def test_equal_priorities_take_turns() -> None:
    swap = tuple(Swap(size * PAGE, 20.0, 5.0, 3) for size in (100, 10, 100))
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=swap)
    act_on(sim, sim.phys.pageout, lambda n: n < 9)
    assert _used(sim) == [3, 3, 3]
    act_on(sim, sim.phys.pageout, lambda n: n < 101)
    assert _used(sim) == [50, 10, 50]
    check(sim)


def test_each_device_has_its_price() -> None:
    swap = (Swap(10 * PAGE, 3.0, 1.0, 2), Swap(MIB, 100.0, 50.0, 1))
    sim = machine(Area("a", MIB), accesses=(Access("a", 1000, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=swap,
                  reclaim_us=0.0, scan_us=0.0, fault_us=0.0)  # fmt: skip
    assert act_on(sim, sim.phys.pageout, lambda n: n < 15) == 15
    assert sim.clock.now_ns() == 10 * 1000 + 5 * 50_000
    sim.clock.sleep_us(20_000)
    assert sim.processes()[0].stall_us == 10 * 3 + 5 * 100
    assert _used(sim) == [0, 0]
    check(sim)


def test_slots_are_free_again_after_reading_and_unmapping() -> None:
    swap = (Swap(10 * PAGE, 3.0, 1.0), Swap(MIB, 100.0, 50.0))
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=swap)
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    assert space.madvise(start, 20 * PAGE, Advice.PAGEOUT) == 0
    assert _used(sim) == [10, 10]
    assert space.madvise(start + 5 * PAGE, 10 * PAGE, Advice.WILLNEED) == 0
    assert _used(sim) == [5, 5]
    assert space.madvise(start + 40 * PAGE, 7 * PAGE, Advice.PAGEOUT) == 0
    assert _used(sim) == [10, 7]
    check(sim)
    sim._play.unmap("a", sim.clock.now_ns())
    assert _used(sim) == [0, 0]


def test_too_many_devices_are_refused() -> None:
    with pytest.raises(InvalidInput, match=r"machine\.swap: 9: are too many; give at most 8"):
        machine(Area("a", MIB), memory=64 * MIB, swap=(Swap(PAGE),) * 9)


def test_default_priorities_are_those_of_swapon() -> None:
    assert MachineSpec(swap=None).swaps == []
    assert [priority for _, priority in MachineSpec(swap=Swap(PAGE)).swaps] == [-2]
    devices = (Swap(1), Swap(2, priority=0), Swap(3), Swap(4, priority=9), Swap(5, priority=0))
    assert [(d.size, p) for d, p in MachineSpec(swap=devices).swaps] == [(4, 9), (2, 0), (5, 0), (1, -2), (3, -3)]
