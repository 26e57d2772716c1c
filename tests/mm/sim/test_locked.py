# SPDX-License-Identifier: GPL-2.0-only
"""Memory that mlock(2) holds: nothing takes it, and it is on a list of its own."""

from __future__ import annotations

import errno

from damon.model.machine import Advice
from damon.workload.model import Access, Area, Event, Node, Pattern, Phase, PhaseEvent
from tests.mm.sim.machines import MIB, SWAP, act_on, advise, check, machine, stat


def test_reclaim_that_is_asked_for_leaves_it() -> None:
    """As the kernel's paddr does, DAMOS_PAGEOUT puts it back; madvise(2) refuses it."""
    sim = machine(Area("held", 2 * MIB, locked=True), Area("a", 2 * MIB), swap=SWAP, memory=64 * MIB)
    assert act_on(sim, sim.phys.pageout, lambda number: True) == 512
    assert (stat(sim, "held").resident_bytes, stat(sim).resident_bytes) == (2 * MIB, 0)
    for advice in (Advice.PAGEOUT, Advice.COLD):
        assert advise(sim, advice, area="held") == -errno.EINVAL
    assert advise(sim, Advice.WILLNEED, area="held") == 0
    assert sim.counters()["nr_unevictable"] == 512
    check(sim)


def test_it_is_neither_active_nor_inactive() -> None:
    sim = machine(Area("held", 2 * MIB, locked=True), swap=SWAP, memory=64 * MIB)
    for move in (sim.phys.activate, sim.phys.deactivate):
        act_on(sim, move, lambda number: True)
        assert stat(sim, "held").active_pages == 0
        assert sim.lru_pages() == (0, 0)
    check(sim)


def test_others_leave_for_want_of_memory() -> None:
    """Nothing accesses it, and of the two it would be the first to go."""
    sim = machine(
        Area("held", 24 * MIB, locked=True), Area("a", 24 * MIB), Area("new", 32 * MIB, populate=False),
        accesses=(Access("new", 20_000, Pattern.SEQUENTIAL), Access("a", 5000)), swap=SWAP, memory=64 * MIB,
    )  # fmt: skip
    sim.clock.sleep_us(3_000_000)
    assert sim.counters()["pgsteal_kswapd"] + sim.counters()["pgsteal_direct"] > 0
    assert stat(sim, "held").resident_bytes == 24 * MIB
    check(sim)


def test_it_moves_splits_and_goes_as_other_memory() -> None:
    """To another node, of huge pages, and when it is unmapped."""
    nodes = (Node(16 * MIB, 80.0), Node(16 * MIB, 250.0))
    areas = (Area("held", 4 * MIB, locked=True), Area("a", 2 * MIB))
    phases = (Phase("there", 1_000_000), Phase("gone", 1_000_000, events=(PhaseEvent(Event.MUNMAP, "held"),)))
    sim = machine(*areas, phases=phases, nodes=nodes, swap=SWAP, thp="always", huge_us=30.0)
    assert stat(sim, "held").huge_bytes == 4 * MIB

    def to_the_other(folios: object) -> int:
        for folio in folios:  # type: ignore[attr-defined]
            folio.target_nid = 1
        return sim.phys.migrate(folios)  # type: ignore[arg-type]

    assert act_on(sim, to_the_other, lambda number: number == 0) == 512
    check(sim)
    assert sim.counters()["nr_unevictable"] == 1024
    sim.clock.sleep_us(1_500_000)
    assert sim.counters()["nr_unevictable"] == 0
    check(sim)
