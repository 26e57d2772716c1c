# SPDX-License-Identifier: GPL-2.0-only
"""Huge pages of the simulated machine: collapse, sampling, splitting, moving."""

from __future__ import annotations

import errno
import math

import pytest

from damon.mm.sim import SimulatedMachine
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_PASS
from damon.model.machine import Advice
from damon.workload.model import (
    Access,
    Area,
    Event,
    Kind,
    MachineSpec,
    Node,
    Pattern,
    Phase,
    PhaseEvent,
    Swap,
    Workload,
)
from tests.buffers import addresses
from tests.mm.sim.machines import KIB, MIB, SWAP, act_on, advise, check, machine, page_addrs, stat, young

HUGE = 2 * MIB


def _collapsed(size: int = 8 * MIB, **given: object) -> SimulatedMachine:
    """All of area a in huge pages."""
    sim = machine(Area("a", size), **{"memory": 64 * MIB, "swap": SWAP, **given})  # type: ignore[arg-type]
    sim.clock.sleep_us(1000)
    assert advise(sim, Advice.COLLAPSE) == 0
    return sim


# -- collapse


def test_collapse_makes_folios_of_512_pages_and_takes_the_callers_time() -> None:
    sim = machine(Area("a", 5 * MIB), memory=64 * MIB, huge_us=70.0)
    free = sim.free_mem()[0]
    assert advise(sim, Advice.COLLAPSE) == 0
    assert sim.clock.now_ns() == 2 * 70_000
    assert sim.free_mem()[0] == free
    area = stat(sim)
    assert (area.huge_bytes, area.resident_bytes) == (4 * MIB, 5 * MIB)
    counters = sim.counters()
    assert (counters["thp_collapse_alloc"], counters["nr_anon_transparent_hugepages"]) == (2, 2)
    folios = [(f.pfn, f.nr_pages) for batch in sim.phys.folios(0, 64 * MIB) for f in batch]
    assert sorted(nr for _, nr in folios) == [1] * 256 + [512] * 2
    assert all(pfn % 512 == 0 for pfn, nr in folios if nr == 512)
    check(sim)
    assert advise(sim, Advice.COLLAPSE) == 0, "already done"
    assert sim.counters()["thp_collapse_alloc"] == 2


def test_a_process_meets_a_huge_folio_once_where_its_walk_begins() -> None:
    sim = _collapsed(4 * MIB)
    start = sim.state.placed["a"].start
    space = sim.open_process(sim.pids["main"])
    met = [(f.addr, f.ilx, f.nr_pages) for batch in space.folios(start + 5 * 4096, start + 2**40) for f in batch]
    first = start >> 21
    assert met == [(start + 5 * 4096, first, 512), (start + HUGE, first + 1, 512)]
    assert [f.nr_pages for batch in space.folios(start + HUGE - 1, start + HUGE) for f in batch] == [512]
    first, second = (f.pfn for batch in sim.phys.folios(0, 64 * MIB) for f in batch)
    inside = [f.pfn for batch in sim.phys.folios((first + 7) * 4096, (second + 1) * 4096) for f in batch]
    assert inside == [first, second]


def test_collapse_reads_swap_in_and_fills_what_was_never_touched() -> None:
    sim = machine(Area("a", 4 * MIB, populate=False), accesses=(Access("a", 1000, Pattern.SEQUENTIAL),),
                  memory=64 * MIB, swap=SWAP)  # fmt: skip
    sim.clock.sleep_us(100_000)
    assert stat(sim).resident_bytes == 100 * 4096
    assert advise(sim, Advice.PAGEOUT, 0, 40 * 4096) == 0
    before = sim.clock.now_ns()
    assert advise(sim, Advice.COLLAPSE, 0, HUGE) == 0
    assert sim.clock.now_ns() - before == 40 * 30_000 + 100_000
    area = stat(sim)
    assert (area.resident_bytes, area.swapped_bytes, area.huge_bytes) == (HUGE, 0, HUGE)
    check(sim)
    assert advise(sim, Advice.COLLAPSE, 0, 8 * MIB) == -errno.EINVAL, "the second block is empty; so is what is behind"
    assert advise(sim, Advice.COLLAPSE, HUGE, HUGE) == -errno.EINVAL, "nothing there"
    sim.clock.sleep_us(1_000_000)
    assert stat(sim).faults == 100 + 512, "first touches of the rest; the others found their page"
    check(sim)


@pytest.mark.parametrize(
    ("area", "expected"),
    [(Area("a", HUGE - 4096), -errno.EINVAL), (Area("a", HUGE, Kind.FILE), -errno.EINVAL), (Area("a", HUGE), 0)],
)
def test_what_can_be_collapsed(area: Area, expected: int) -> None:
    sim = machine(area, memory=64 * MIB, thp="never")
    assert advise(sim, Advice.COLLAPSE) == expected
    if not expected:
        again = machine(area, memory=64 * MIB, thp="never")
        assert advise(again, Advice.NOHUGEPAGE) == 0
        assert advise(again, Advice.COLLAPSE) == -errno.EINVAL
        assert advise(again, Advice.HUGEPAGE) == 0
        assert advise(again, Advice.COLLAPSE) == 0


def test_collapse_needs_memory_in_one_piece() -> None:
    sim = machine(Area("a", 40 * MIB), Area("b", 8 * MIB), memory=64 * MIB, swap=Swap(64 * MIB), reserved=6 * MIB)
    act_on(sim, sim.phys.pageout, lambda n: n % 2 == 0)  # every second frame
    free = sim.free_mem()[0]
    while free > 400:  # the rest of the piece that was never used
        assert advise(sim, Advice.COLLAPSE, area="b") in (0, -errno.ENOMEM)
        if sim.counters()["thp_collapse_alloc_failed"]:
            break
    assert sim.counters()["thp_collapse_alloc_failed"] == 1 or stat(sim, "b").huge_bytes == 8 * MIB
    check(sim)


def test_freed_pieces_grow_together_again() -> None:
    """All single pages of an area leave in odd order; their frames are huge pages afterwards."""
    sim = machine(Area("a", 24 * MIB), Area("b", 16 * MIB), memory=64 * MIB, swap=Swap(64 * MIB), reserved=14 * MIB)
    for part in range(3):
        act_on(sim, sim.phys.pageout, lambda n, part=part: n % (3 - part) == 0 and n < 24 * 256)  # type: ignore[misc]
    assert sim.state.m.node[0].nr_free_runs > 1000
    assert advise(sim, Advice.COLLAPSE, area="b") == 0
    assert stat(sim, "b").huge_bytes == 16 * MIB
    check(sim)


def test_a_free_piece_of_just_the_size_and_place_becomes_a_huge_page() -> None:
    """Free are single pages and one aligned piece of 512; its last page is the piece's last."""
    sim = machine(Area("a", 48 * MIB), Area("b", HUGE), memory=64 * MIB, swap=Swap(64 * MIB), reserved=12 * MIB)
    pfns = [f.pfn for batch in sim.phys.folios(0, 64 * MIB) for f in batch]
    first = -(-pfns[4000] // 512) * 512
    piece, alone = range(first, first + 512), (first - 1, first + 512)
    act_on(sim, sim.phys.pageout, lambda n: pfns[n] in piece or (pfns[n] % 2 == 1 and pfns[n] not in alone))
    on = sim.state.m.node[0]
    runs = [sim.state.free[0].rows[n].nr for n in range(on.nr_free_runs)]
    assert [nr for nr in runs if nr > 300] == [512]
    assert advise(sim, Advice.COLLAPSE, area="b") == 0
    assert first in [f.pfn for batch in sim.phys.folios(0, 64 * MIB) for f in batch if f.nr_pages == 512]
    check(sim)


# -- accessed bits and lists


def test_a_folio_is_young_when_any_of_its_pages_is() -> None:
    """Random touches of 512 pages: 1 - exp(-touches in the interval); sampled through any of its pages."""
    rate, us = 300.0, 2000
    sim = _collapsed(HUGE, accesses=(Access("a", rate, Pattern.RANDOM),))
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    hits, rounds = 0, 3000
    for n in range(rounds):
        some = [addrs[n % 512], addrs[0], addrs[511]]
        space.mkold(addresses(some), 3)
        sim.clock.sleep_us(us)
        seen = young(space, some)
        assert len(set(seen)) == 1
        hits += seen[0]
    share = 1 - math.exp(-rate * us / 1e6)
    assert hits / rounds == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / rounds))


@pytest.mark.parametrize("pattern", [Pattern.SEQUENTIAL, Pattern.ZIPF])
def test_other_patterns_of_a_folio(pattern: Pattern) -> None:
    sim = _collapsed(4 * MIB, accesses=(Access("a", 2000, pattern, skew=0.8),))
    space = sim.open_process(sim.pids["main"])
    start, hits = sim.state.placed["a"].start, [0, 0]
    for _ in range(2048):
        addrs = [start + 7 * 4096, start + HUGE + 300 * 4096]
        space.mkold(addresses(addrs), 2)
        sim.clock.sleep_us(500)
        hits = [total + one for total, one in zip(hits, young(space, addrs), strict=True)]
    if pattern is Pattern.SEQUENTIAL:
        assert hits == [1024, 1024]
    else:
        weights = [rank**-0.8 for rank in range(1, 1025)]
        for half, seen in enumerate(hits):
            share = 1 - math.exp(-sum(weights[half * 512 : half * 512 + 512]) / sum(weights))
            assert seen / 2048 == pytest.approx(share, abs=4 * math.sqrt(share * (1 - share) / 2048))


def test_a_new_folio_is_not_idle_and_lists_count_all_its_pages() -> None:
    sim = _collapsed(4 * MIB)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    assert all(young(space, addrs))
    space.mkold(addresses(addrs), 1)
    assert young(space, addrs) == [0] * 512 + [1] * 512
    assert act_on(sim, sim.phys.activate, lambda n: n == 1) == 512
    assert sim.lru_pages() == (512, 512)
    assert [f.flags & FOLIO_ACTIVE for batch in sim.phys.folios(0, 64 * MIB) for f in batch] == [0, FOLIO_ACTIVE]
    assert act_on(sim, sim.phys.deactivate, lambda n: True) == 1024
    assert sim.counters()["pgdeactivate"] == 512
    assert (sim.lru_pages(), stat(sim).active_pages) == ((0, 1024), 0)
    check(sim)


def test_samples_through_physical_addresses() -> None:
    sim = _collapsed(HUGE)
    [pfn] = [f.pfn for batch in sim.phys.folios(0, 64 * MIB) for f in batch]
    addrs = [(pfn + 3) * 4096, (pfn + 511) * 4096 + 77, (pfn + 512) * 4096]
    assert young(sim.phys, addrs) == [1, 1, 0]
    sim.phys.mkold(addresses(addrs[:1]), 1)
    assert young(sim.phys, addrs) == [0, 0, 0]


# -- splitting


@pytest.mark.parametrize("slots", [512, 16384])
def test_pageout_of_a_folio_takes_all_of_it(slots: int) -> None:
    sim = _collapsed(4 * MIB, swap=Swap(slots * 4096))
    assert act_on(sim, sim.phys.pageout, lambda n: n == 0) == 512
    area, counters = stat(sim), sim.counters()
    assert (area.swapped_bytes, area.huge_bytes, area.resident_bytes) == (HUGE, HUGE, HUGE)
    assert (counters["thp_swpout"], counters["thp_split_page"], counters["thp_split_pmd"]) == (1, 0, 1)
    check(sim)


def test_pageout_of_a_folio_that_swap_has_no_room_for() -> None:
    sim = _collapsed(4 * MIB, swap=Swap(100 * 4096))
    assert act_on(sim, sim.phys.pageout, lambda n: n == 0) == 100
    area, counters = stat(sim), sim.counters()
    assert (area.swapped_bytes, area.huge_bytes, area.resident_bytes) == (100 * 4096, HUGE, 4 * MIB - 100 * 4096)
    assert (counters["thp_swpout"], counters["thp_swpout_fallback"], counters["thp_split_page"]) == (0, 1, 1)
    assert area.active_pages == 412
    check(sim)


@pytest.mark.parametrize("advice", [Advice.PAGEOUT, Advice.COLD])
def test_advice_for_a_part_splits_the_folio(advice: Advice) -> None:
    sim = _collapsed(6 * MIB)
    act_on(sim, sim.phys.activate, lambda n: True)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    space.mkold(addresses(addrs[::512]), 3)
    assert advise(sim, advice, MIB, 3 * MIB) == 0  # half of the first, all of the second
    area = stat(sim)
    if advice is Advice.PAGEOUT:
        assert (area.huge_bytes, area.resident_bytes, area.active_pages) == (HUGE, 3 * MIB, 256 + 512)
    else:
        assert (area.huge_bytes, area.resident_bytes, area.active_pages) == (4 * MIB, 6 * MIB, 256 + 512)
    assert sim.counters()["thp_split_page"] == 1
    assert young(space, addrs[:256]) == [0] * 256, "old as the folio was"
    check(sim)


def test_nohugepage_prevents_only_new_ones() -> None:
    sim = _collapsed(4 * MIB)
    assert advise(sim, Advice.NOHUGEPAGE) == 0
    assert stat(sim).huge_bytes == 4 * MIB


def test_reclaim_takes_cold_folios_and_unmapping_all() -> None:
    phases = (
        Phase("grow", 3_000_000, (Access("b", 10_000, Pattern.SEQUENTIAL),)),
        Phase("end", 1, (), (PhaseEvent(Event.MUNMAP, "a"), PhaseEvent(Event.MUNMAP, "b"))),
    )
    areas = (Area("a", 40 * MIB), Area("b", 24 * MIB, populate=False))
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(64 * MIB, swap=SWAP, thp="always")), 1)
    free = sim.free_mem()[0]
    assert stat(sim).huge_bytes == 40 * MIB
    sim.clock.sleep_us(2_900_000)
    assert sim.counters()["thp_swpout"] > 0
    check(sim)
    sim.clock.sleep_us(200_000)
    assert sim.free_mem() == (free + 40 * 256, sim.free_mem()[1])
    assert sim.counters()["nr_anon_transparent_hugepages"] == 0
    check(sim)


def test_migration_of_folios() -> None:
    nodes = (Node(32 * MIB), Node(16 * MIB + 384 * KIB))
    workload = Workload(
        "w", (Area("a", 16 * MIB),), (Phase("p", 1),), machine=MachineSpec(48 * MIB + 384 * KIB, nodes=nodes, swap=None)
    )
    sim = SimulatedMachine(workload, 1)
    assert advise(sim, Advice.COLLAPSE) == 0
    moved = 0
    for folios in sim.phys.folios(0, 32 * MIB):
        for folio in folios:
            folio.target_nid, folio.flags = 1, folio.flags | FOLIO_PASS
        moved += sim.phys.migrate(folios)
    counters = sim.counters()
    assert moved == counters["pgmigrate_success"] == stat(sim).node_bytes[1] // 4096
    assert counters["pgmigrate_fail"] == 16 * 256 - moved > 0
    assert counters["thp_migration_success"] == 7
    assert counters["thp_migration_split"] == 1
    assert moved % 512
    assert sim.state.m.node[1].nr_free == sim.state.m.node[1].wmark_min
    check(sim)
