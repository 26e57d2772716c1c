# SPDX-License-Identifier: GPL-2.0-only
"""Where pages lie, how they come and go, and the lists of the simulated machine."""

from __future__ import annotations

import math

import pytest

from damon.errors import InvalidInput, MissingCapability
from damon.mm.sim import SimulatedMachine
from damon.mm.sim.ram import memory_of, system_ram, watermarks
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON
from damon.ops.vaddr import damon_va_three_regions
from damon.workload.model import (
    Access,
    Area,
    Kind,
    MachineSpec,
    Pattern,
    Phase,
    Swap,
    Workload,
)
from tests.buffers import addresses
from tests.mm.sim.machines import GIB, MIB, SWAP, act_on, check, machine, page_addrs, stat, young

# -- layout


def test_system_ram_is_placed_as_on_a_pc() -> None:
    low = (0x1000, 0x9FC00)
    assert system_ram(GIB) == [low, (MIB, GIB)]
    assert system_ram(3 * GIB) == [low, (MIB, 3 * GIB)]
    assert system_ram(8 * GIB) == [low, (MIB, 3 * GIB), (4 * GIB, 9 * GIB)]


@pytest.mark.parametrize("total", [6 * MIB, 23 * MIB, 24 * MIB, 25 * MIB, 363 * MIB + 4096, GIB, 1 << 40])
def test_the_memory_of_which_the_kernel_has_so_much_in_use(total: int) -> None:
    memory = memory_of(total)
    sizes = [machine(Area("only", MIB), memory=memory - less).free_mem()[1] * 4096 for less in (0, MIB)]
    assert sizes[1] < total <= sizes[0]


@pytest.mark.parametrize(
    ("memory", "expected"),
    [(GIB, 1024), (64 * MIB, 256), (4 * MIB, 64), (MIB, 32), (1024 * GIB, 32768)],
)
def test_watermarks_are_the_kernels(memory: int, expected: int) -> None:
    """1 GiB: min_free_kbytes = sqrt(16 * lowmem_kbytes) = 4096; distance = max(min / 4, pages * 10 / 10000)."""
    pages = memory // 4096
    low, mid, high = watermarks(pages)
    assert mid - low == high - mid == max(low // 4, pages // 1000)
    assert low == expected


def test_reserved_memory_is_neither_free_nor_a_folio() -> None:
    plain, held = (machine(Area("a", MIB), memory=64 * MIB, reserved=size) for size in (0, 10 * MIB + 1))
    assert held.free_mem() == (plain.free_mem()[0] - 2561, plain.free_mem()[1])
    assert [batch.nr for batch in held.phys.folios(0, 64 * MIB)] == [256]
    check(held)
    with pytest.raises(InvalidInput, match=r"machine\.reserved: 67108864: leaves nothing"):
        machine(Area("a", MIB), memory=64 * MIB, reserved=64 * MIB)


def test_big_machines_use_the_highest_memory_first() -> None:
    """What a module monitors by default is the biggest range: there the workload must be."""
    sim = machine(Area("a", MIB), memory=16 * GIB, swap=SWAP)
    assert [folios.nr for folios in sim.phys.folios(4 * GIB, 17 * GIB)] == [256]
    assert not list(sim.phys.folios(0, 4 * GIB))


def test_frames_of_an_area_are_contiguous_and_folios_come_in_order() -> None:
    sim = machine(Area("a", 3 * MIB), Area("f", MIB, Kind.FILE), memory=64 * MIB)
    folios = [(f.pfn, f.flags & FOLIO_ANON) for batch in sim.phys.folios(0, 64 * MIB) for f in batch]
    first = folios[0][0]
    assert folios == [(first + n, FOLIO_ANON if n < 768 else 0) for n in range(1024)]
    some = [f.pfn for batch in sim.phys.folios((first + 5) * 4096 + 17, (first + 9) * 4096 + 1) for f in batch]
    assert some == list(range(first + 5, first + 10))


def test_what_is_no_folio_is_never_accessed() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB)
    addrs = [0, 0xA0000, 63 * MIB, 64 * MIB, 2**63, 2**64 - 1]
    sim.phys.mkold(addresses(addrs), len(addrs))
    assert young(sim.phys, addrs) == [0] * 6


def test_three_regions_can_be_built() -> None:
    """Every process has the two big gaps that virtual address monitoring needs, whatever its areas."""
    sim = machine(Area("a", 4096), Area("b", 4 * MIB), memory=64 * MIB)
    maps = sim.open_process(sim.pids["main"]).mappings()
    placed = sim.state.placed
    assert placed["b"].start % (2 * MIB) == 0
    assert damon_va_three_regions(maps)[1] == (placed["a"].start, placed["b"].end)


# -- moving pages


def test_pageout_takes_the_chosen_folios_and_the_callers_time() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=SWAP, reclaim_us=2.0, scan_us=0.5)
    free = sim.free_mem()[0]
    assert act_on(sim, sim.phys.pageout, lambda n: n % 4 == 0) == 64
    assert sim.free_mem()[0] == free + 64
    assert sim.clock.now_ns() == 64 * (2000 + 5000) + 256 * 500
    area = stat(sim)
    assert (area.resident_bytes, area.swapped_bytes) == (192 * 4096, 64 * 4096)
    assert (area.reclaimed_pages, area.refaults) == (64, 0)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    assert young(space, addrs) == [0, 1, 1, 1] * 64
    check(sim)


def test_clean_file_pages_are_dropped_without_writing_and_without_swap() -> None:
    sim = machine(Area("a", MIB, Kind.FILE), memory=64 * MIB, swap=None, reclaim_us=1.0, scan_us=0.0)
    assert act_on(sim, sim.phys.pageout, lambda n: True) == 256
    assert sim.clock.now_ns() == 256 * 1000
    assert sim.counters()["writeback"] == 0


def test_no_swap_no_pageout_of_anonymous_memory() -> None:
    """It becomes active instead, as when the kernel finds no swap slot."""
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=None)
    assert act_on(sim, sim.phys.pageout, lambda n: True) == 0
    assert stat(sim).resident_bytes == MIB
    assert stat(sim).active_pages == 256
    with pytest.raises(MissingCapability, match="no swap"):
        sim.require("paddr", ["pageout"])
    sim.require("paddr", ["pageout:file", "stat", "lru_prio"])
    with pytest.raises(MissingCapability, match="xaddr"):
        sim.require("xaddr", [])


def test_full_swap_stops_pageout() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=Swap(100 * 4096))
    assert act_on(sim, sim.phys.pageout, lambda n: True) == 100
    assert sim.counters()["nr_swap_pages"] == 0
    assert stat(sim).active_pages == 156
    check(sim)


def test_refault_brings_pages_back_one_after_the_other() -> None:
    """Pages out are touched every 64 us, a fault takes 30.5 us: no queue. Stall, PSI and slowdown follow."""
    sim = machine(Area("a", MIB), accesses=(Access("a", 1e6, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=SWAP)
    assert act_on(sim, sim.phys.pageout, lambda n: n % 64 == 0) == 4
    sim.clock.sleep_us(10_000)
    area = stat(sim)
    assert (area.refaults, area.faults, area.resident_bytes, area.swapped_bytes) == (4, 4, MIB, 0)
    counters = sim.counters()
    assert (counters["pswpout"], counters["pswpin"], counters["refault_anon"], counters["pgmajfault"]) == (4, 4, 4, 4)
    assert sim.psi_some_us() == 4 * 30.5
    assert sim.processes()[0].stall_us == 122
    assert sim.slowdown() == pytest.approx(1 + 4 * 30_500 / sim.clock.now_ns())
    check(sim)


def test_faults_of_one_process_queue_and_those_of_two_overlap() -> None:
    """10 pages touched at once: one process waits ten times as long; two processes wait at the same time."""
    for names, expected in ((("x", "x"), 10 * 100), (("x", "y"), 5 * 100)):
        areas = tuple(Area(name, 5 * 4096, Kind.FILE, process) for name, process in zip("ab", names, strict=True))
        accesses = tuple(Access(name, 5e9, Pattern.SEQUENTIAL) for name in "ab")
        sim = machine(*areas, memory=64 * MIB, file_read_us=100.0, fault_us=0.0, reclaim_us=0.0, scan_us=0.0,
                      accesses=accesses)  # fmt: skip
        assert act_on(sim, sim.phys.pageout, lambda n: True) == 10
        sim.clock.sleep_us(300)
        assert 290 <= sim.psi_some_us() <= 300, "what has still to be waited for is not counted yet"
        sim.clock.sleep_us(10_000)
        assert sim.psi_some_us() == expected
        assert sum(process.stall_us for process in sim.processes()) == 1000
        assert max(process.refaults for process in sim.processes()) == (10 if names[1] == "x" else 5)


def test_first_touches_of_an_area_that_is_not_populated() -> None:
    """Random first touches come as the coupon collector meets them: expected share 1 - exp(-touches / pages)."""
    for pattern in (Pattern.RANDOM, Pattern.ZIPF, Pattern.SEQUENTIAL):
        sim = machine(
            Area("a", 16 * MIB, populate=False), accesses=(Access("a", 4096, pattern, skew=0.2),), memory=64 * MIB
        )
        assert stat(sim).resident_bytes == 0
        sim.clock.sleep_us(1_000_000)
        resident = stat(sim).resident_bytes // 4096
        assert stat(sim).faults == resident
        assert stat(sim).refaults == 0
        if pattern is Pattern.SEQUENTIAL:
            assert resident == 4096
        else:
            expected = 4096 * sim.truth("a", 1_000_000)
            assert resident == pytest.approx(expected, abs=5 * 4096**0.5 * 0.5)
        assert sim.psi_some_us() == 0, "a minor fault is no memory stall"
        check(sim)


def test_first_touches_of_a_skewed_area() -> None:
    """Groups of absent pages stand for their hottest one; what is too much must be thinned out."""
    rounds, resident, rate, skew = 60, 0, 3000, 1.5
    for seed in range(rounds):
        sim = machine(
            Area("a", 4 * MIB, populate=False), accesses=(Access("a", rate, Pattern.ZIPF, skew=skew),), seed=seed
        )
        sim.clock.sleep_us(1_000_000)
        resident += stat(sim).resident_bytes // 4096
    norm = sum(rank**-skew for rank in range(1, 1025))
    shares = [1 - math.exp(-rate * rank**-skew / norm) for rank in range(1, 1025)]
    spread = math.sqrt(rounds * sum(share * (1 - share) for share in shares))
    assert resident == pytest.approx(rounds * sum(shares), abs=4.5 * spread)


def test_lru_moves_and_flags() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB)
    assert act_on(sim, sim.phys.activate, lambda n: n % 2 == 0) == 128
    assert act_on(sim, sim.phys.activate, lambda n: n % 4 == 0) == 64, "already active ones count too"
    assert (sim.counters()["nr_active_anon"], sim.counters()["pgactivate"]) == (128, 128)
    assert sim.lru_pages() == (128, 128)
    flags = [f.flags & FOLIO_ACTIVE for batch in sim.phys.folios(0, 64 * MIB) for f in batch]
    assert flags == [FOLIO_ACTIVE, 0] * 128
    assert act_on(sim, sim.phys.deactivate, lambda n: True) == 256
    assert sim.lru_pages() == (0, 256)
    assert sim.counters()["pgdeactivate"] == 128
    check(sim)


def test_lists_forget_stale_claims_when_they_are_full() -> None:
    """Area a's pages change lists again and again; b's claim to all of its pages gets holes once."""
    work = Workload("w", (Area("a", MIB), Area("b", MIB)), (Phase("p", 1),), machine=MachineSpec(memory=4 * MIB))
    sim = SimulatedMachine(work, 1)
    act_on(sim, sim.phys.activate, lambda number: number >= 256 and number % 3 == 0)
    for n in range((sim.state.m.run_mask + 1) // 120):
        some = range(n % 2, 256, 2)
        act_on(sim, sim.phys.activate, some.__contains__)
        act_on(sim, sim.phys.deactivate, some.__contains__)
    assert sim.state.m.next_seq > sim.state.m.run_mask + 1
    check(sim)
