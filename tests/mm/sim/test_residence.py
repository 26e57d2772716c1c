# SPDX-License-Identifier: GPL-2.0-only
"""Memory over time: what the machine integrates is what its pages did."""

from __future__ import annotations

from random import Random

import pytest

from damon.mm.sim import SimulatedMachine
from damon.model.machine import Advice
from damon.workload.model import Access, Area, Event, Kind, Pattern, Phase, PhaseEvent
from tests.mm.sim.machines import MIB, SWAP, advise, machine, stat
from tests.random_contexts import random_workload

SECOND = 1_000_000


@pytest.mark.parametrize("kind", list(Kind))
def test_memory_counts_as_saved_from_leaving_until_it_comes_back(kind: Kind) -> None:
    """4 pages leave at 1 s; from 3 s on one is touched every quarter of a second; the area is unmapped at 10 s."""
    sim = machine(
        Area("a", 16384, kind),
        phases=(
            Phase("idle", 3 * SECOND),
            Phase("back", 7 * SECOND, (Access("a", 4.0, Pattern.SEQUENTIAL),)),
            Phase("gone", SECOND, events=(PhaseEvent(Event.MUNMAP, "a"),)),
        ),
        swap=SWAP, memory=64 * MIB, hz=0,
    )  # fmt: skip
    sim.clock.sleep_us(SECOND)
    advise(sim, Advice.PAGEOUT)
    assert stat(sim).evicted_bytes == 16384
    assert stat(sim).evicted_byte_seconds == pytest.approx(16384 * (sim.clock.now_ns() - 1e9) / 1e9)
    sim.clock.sleep_us(11 * SECOND)
    saved = sum(2 + (n + 1) / 4 for n in range(4)) * 4096
    assert stat(sim).evicted_byte_seconds == pytest.approx(saved)
    assert stat(sim).resident_byte_seconds == pytest.approx(9 * 16384 + 16384 - saved)
    assert (stat(sim).evicted_bytes, stat(sim).resident_bytes) == (0, 0)


def test_pages_that_were_never_there_are_not_saved() -> None:
    sim = machine(Area("a", MIB, populate=False), accesses=(Access("a", 10.0),), swap=SWAP, memory=64 * MIB)
    sim.clock.sleep_us(5 * SECOND)
    advise(sim, Advice.PAGEOUT)
    out = stat(sim).evicted_bytes
    assert 0 < out <= 51 * 4096
    assert stat(sim).evicted_byte_seconds < out / 1000  # while it was written


@pytest.mark.parametrize("seed", range(12))
def test_while_nothing_changes_the_integrals_grow_by_what_is_there(seed: int) -> None:
    sim, rnd, quiet = SimulatedMachine(random_workload(Random(seed)), seed), Random(seed), 0
    before = sim.areas()
    for _ in range(300):
        us = rnd.choice([50, 900, 20_000])
        sim.clock.sleep_us(us)
        now = sim.areas()
        for old, new in zip(before, now, strict=True):
            grown = new.evicted_byte_seconds - old.evicted_byte_seconds
            assert grown >= -1e-6
            if _changes(old) == _changes(new):
                quiet += 1
                assert grown == pytest.approx(old.evicted_bytes * us / 1e6, rel=1e-6, abs=1e-3)
                there = new.resident_byte_seconds - old.resident_byte_seconds
                assert there == pytest.approx(old.resident_bytes * us / 1e6, rel=1e-6, abs=1e-3)
        before = now
        if rnd.random() < 0.1:
            area = rnd.choice(now)
            if area.mapped and sim.workload.machine.swap:
                advise(sim, Advice.PAGEOUT, area=area.name)
                before = sim.areas()
    assert quiet


def _changes(area: object) -> tuple[object, ...]:
    names = ("faults", "reclaimed_pages", "resident_bytes", "evicted_bytes", "mapped", "huge_bytes", "swapped_bytes")
    return tuple(getattr(area, name) for name in names)
