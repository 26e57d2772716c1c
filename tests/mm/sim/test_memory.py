# SPDX-License-Identifier: GPL-2.0-only
"""Frames, lists, swap, reclaim, faults and stalls of the simulated machine."""

from __future__ import annotations

import errno
import math
import random
from collections.abc import Callable

import pytest

from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.mm.interface import Advice
from damon.mm.sim import AreaStat, SimulatedMachine
from damon.mm.sim.state import system_ram, watermarks
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON, FOLIO_PASS, FolioArray
from damon.ops.vaddr import three_regions
from damon.workload.model import (
    Access,
    Area,
    Event,
    Kind,
    MachineSpec,
    Pattern,
    Phase,
    PhaseEvent,
    Swap,
    Workload,
)
from tests.mm.sim.machines import GIB, KIB, MIB, addresses, check, machine, page_addrs, young

SWAP = Swap(64 * MIB, read_us=30.0, write_us=5.0)


def _folios(sim: SimulatedMachine, act: Callable[[FolioArray], int], wanted: Callable[[int], bool]) -> int:
    """Act on the folios (by number) that are wanted."""
    number = total = 0
    for start, end in sim.system_ram():
        for folios in sim.phys.folios(start, end):
            for folio in folios:
                folio.flags |= FOLIO_PASS if wanted(number) else 0
                number += 1
            total += act(folios)
    return total


def _area(sim: SimulatedMachine, name: str = "a") -> AreaStat:
    return next(area for area in sim.areas() if area.name == name)


# -- layout


def test_system_ram_is_placed_as_on_a_pc() -> None:
    low = (0x1000, 0x9FC00)
    assert system_ram(GIB) == [low, (MIB, GIB)]
    assert system_ram(3 * GIB) == [low, (MIB, 3 * GIB)]
    assert system_ram(8 * GIB) == [low, (MIB, 3 * GIB), (4 * GIB, 9 * GIB)]


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
    with pytest.raises(InvalidInput, match=r"machine\.reserved: 67108864 leaves nothing"):
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
    assert three_regions(maps)[1] == (placed["a"].start, placed["b"].end)


# -- moving pages


def test_pageout_takes_the_chosen_folios_and_the_callers_time() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=SWAP, reclaim_us=2.0, scan_us=0.5)
    free = sim.free_mem()[0]
    assert _folios(sim, sim.phys.pageout, lambda n: n % 4 == 0) == 64
    assert sim.free_mem()[0] == free + 64
    assert sim.clock.now_ns() == 64 * (2000 + 5000) + 256 * 500
    area = _area(sim)
    assert (area.resident_bytes, area.swapped_bytes) == (192 * 4096, 64 * 4096)
    assert (area.reclaimed_pages, area.refaults) == (64, 0)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    assert young(space, addrs) == [0, 1, 1, 1] * 64
    check(sim)


def test_clean_file_pages_are_dropped_without_writing_and_without_swap() -> None:
    sim = machine(Area("a", MIB, Kind.FILE), memory=64 * MIB, swap=None, reclaim_us=1.0, scan_us=0.0)
    assert _folios(sim, sim.phys.pageout, lambda n: True) == 256
    assert sim.clock.now_ns() == 256 * 1000
    assert sim.counters()["writeback"] == 0


def test_no_swap_no_pageout_of_anonymous_memory() -> None:
    """It becomes active instead, as when the kernel finds no swap slot."""
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=None)
    assert _folios(sim, sim.phys.pageout, lambda n: True) == 0
    assert _area(sim).resident_bytes == MIB
    assert _area(sim).active_pages == 256
    with pytest.raises(MissingCapability, match="no swap"):
        sim.require("paddr", ["pageout"])
    sim.require("paddr", ["pageout:file", "stat", "lru_prio"])
    with pytest.raises(MissingCapability, match="xaddr"):
        sim.require("xaddr", [])


def test_full_swap_stops_pageout() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=Swap(100 * 4096))
    assert _folios(sim, sim.phys.pageout, lambda n: True) == 100
    assert sim.counters()["nr_swap_pages"] == 0
    assert _area(sim).active_pages == 156
    check(sim)


def test_refault_brings_pages_back_one_after_the_other() -> None:
    """Pages out are touched every 64 us, a fault takes 30.5 us: no queue. Stall, PSI and slowdown follow."""
    sim = machine(Area("a", MIB), accesses=(Access("a", 1e6, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=SWAP)
    assert _folios(sim, sim.phys.pageout, lambda n: n % 64 == 0) == 4
    sim.clock.sleep_us(10_000)
    area = _area(sim)
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
        assert _folios(sim, sim.phys.pageout, lambda n: True) == 10
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
        assert _area(sim).resident_bytes == 0
        sim.clock.sleep_us(1_000_000)
        resident = _area(sim).resident_bytes // 4096
        assert _area(sim).faults == resident
        assert _area(sim).refaults == 0
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
        resident += _area(sim).resident_bytes // 4096
    norm = sum(rank**-skew for rank in range(1, 1025))
    shares = [1 - math.exp(-rate * rank**-skew / norm) for rank in range(1, 1025)]
    spread = math.sqrt(rounds * sum(share * (1 - share) for share in shares))
    assert resident == pytest.approx(rounds * sum(shares), abs=4.5 * spread)


def test_lru_moves_and_flags() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB)
    assert _folios(sim, sim.phys.activate, lambda n: n % 2 == 0) == 128
    assert _folios(sim, sim.phys.activate, lambda n: n % 4 == 0) == 64, "already active ones count too"
    assert (sim.counters()["nr_active_anon"], sim.counters()["pgactivate"]) == (128, 128)
    flags = [f.flags & FOLIO_ACTIVE for batch in sim.phys.folios(0, 64 * MIB) for f in batch]
    assert flags == [FOLIO_ACTIVE, 0] * 128
    assert _folios(sim, sim.phys.deactivate, lambda n: True) == 256
    assert sim.counters()["nr_active_anon"] == 0
    assert sim.counters()["pgdeactivate"] == 128
    check(sim)


@pytest.mark.parametrize("reference", [False, True])
def test_lists_forget_stale_claims_when_they_are_full(reference: bool) -> None:
    work = Workload("w", (Area("a", MIB), Area("b", MIB)), (Phase("p", 1),), machine=MachineSpec(memory=4 * MIB))
    sim = SimulatedMachine(work, 1, reference=reference)
    rounds = (sim.state.m.run_mask + 1) // 240
    for n in range(rounds):
        _folios(sim, sim.phys.activate, lambda number: number % 2 == n % 2)  # noqa: B023 - called at once
        _folios(sim, sim.phys.deactivate, lambda number: number % 2 == n % 2)  # noqa: B023
    assert sim.state.m.next_seq > sim.state.m.run_mask + 1
    check(sim)


# -- reclaim


def test_kswapd_keeps_memory_free_and_takes_the_coldest() -> None:
    """An area that is touched all the time stays, one that is not goes, when a third one comes."""
    phases = (
        Phase("warm up", 2_000_000, (Access("hot", 1e5, Pattern.SEQUENTIAL),)),
        Phase("grow", 2_000_000, (Access("hot", 1e5, Pattern.SEQUENTIAL), Access("new", 3000, Pattern.SEQUENTIAL))),
        Phase("on", 2_000_000, (Access("hot", 1e5, Pattern.SEQUENTIAL),)),
    )
    areas = (Area("hot", 8 * MIB), Area("cold", 32 * MIB), Area("new", 16 * MIB, populate=False))
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(memory=64 * MIB, swap=SWAP)), 1)
    sim.clock.sleep_us(5_000_000)
    counters = sim.counters()
    assert counters["pgsteal_kswapd"] > 0
    assert counters["allocstall"] == 0, "the daemon was fast enough"
    assert sim.free_mem()[0] >= sim.state.m.wmark_low
    assert _area(sim, "hot").swapped_bytes < 0.05 * 8 * MIB
    assert _area(sim, "cold").swapped_bytes > 2 * MIB
    # All accessed bits were set when reclaim first looked, so hot pages went too: once.
    assert _area(sim, "hot").refaults < 2048
    assert sim.psi_some_us() <= 31 * _area(sim, "hot").refaults  # 30.5, and waits behind minor faults
    check(sim)


def test_direct_reclaim_stalls_who_allocates() -> None:
    """Pages are wanted faster than kswapd can write."""
    slow = Swap(256 * MIB, 30.0, 400.0)
    sim = machine(
        Area("cold", 40 * MIB), Area("new", 32 * MIB, populate=False, process="greedy"),
        accesses=(Access("new", 20_000, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=slow,
    )  # fmt: skip
    sim.clock.sleep_us(2_000_000)
    assert sim.counters()["allocstall"] > 0
    assert sim.counters()["pgsteal_direct"] > 0
    stalls = {process.name: process.stall_us for process in sim.processes()}
    assert stalls["greedy"] > 100_000
    assert stalls["main"] == 0
    assert sim.psi_some_us() > 100_000
    assert sim.slowdown() == max(process.slowdown for process in sim.processes()) > 1.05
    check(sim)


def test_out_of_memory_kills_the_biggest() -> None:
    sim = machine(
        Area("big", 40 * MIB, process="big"), Area("new", 32 * MIB, populate=False, process="small"),
        accesses=(Access("new", 1e6, Pattern.SEQUENTIAL), Access("big", 1e5, Pattern.RANDOM)),
        memory=64 * MIB, swap=None,
    )  # fmt: skip
    space = sim.open_process(sim.pids["big"])
    sim.clock.sleep_us(1_000_000)
    assert sim.counters()["oom_kill"] == 1
    assert [(process.name, process.alive) for process in sim.processes()] == [("big", False), ("small", True)]
    assert not space.alive()
    assert space.mappings() == []
    assert space.madvise(0, 4096, Advice.COLD) == -errno.ESRCH
    assert young(space, [0, 4096]) == [0, 0]
    assert _area(sim, "new").resident_bytes == 32 * MIB
    check(sim)


def test_an_area_bigger_than_memory_is_populated_through_swap() -> None:
    sim = machine(Area("a", 80 * MIB), memory=64 * MIB, swap=Swap(64 * MIB, 5.0, 1.0))
    area = _area(sim)
    assert area.resident_bytes + area.swapped_bytes == 80 * MIB
    assert area.swapped_bytes >= 16 * MIB
    assert sim.processes()[0].stall_us > 0
    check(sim)


def test_young_pages_get_a_second_chance() -> None:
    """New pages are accessed pages: the first look of reclaim spares them, the second takes those not touched since."""
    sim = machine(Area("a", 50 * MIB), Area("b", 3 * MIB, populate=False, process="b"),
                  accesses=(Access("b", 100_000, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=SWAP)  # fmt: skip
    sim.clock.sleep_us(1_000_000)
    counters = sim.counters()
    if counters["pgsteal_kswapd"]:
        assert counters["pgscan_kswapd"] > counters["pgsteal_kswapd"]


def test_a_thrashing_refault_goes_to_the_active_list() -> None:
    sim = machine(Area("a", MIB), Area("b", MIB), accesses=(Access("a", 1e5, Pattern.SEQUENTIAL),), memory=64 * MIB,
                  swap=SWAP)  # fmt: skip
    _folios(sim, sim.phys.activate, lambda n: n >= 256)  # b: the workingset to compare with
    _folios(sim, sim.phys.pageout, lambda n: n < 10)
    sim.clock.sleep_us(100_000)
    assert _area(sim).refaults == 10
    assert _area(sim).active_pages == 10


def test_kswapd_reclaims_up_to_the_high_watermark() -> None:
    sim = machine(Area("cold", 50 * MIB), Area("new", 8 * MIB, populate=False, process="b"),
                  accesses=(Access("new", 5_000, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=SWAP)  # fmt: skip
    lowest, after = sim.free_mem()[0], 0
    while sim.clock.now_ns() < 300_000_000:
        sim.clock.sleep_us(200)
        free = sim.free_mem()[0]
        lowest = min(lowest, free)
        after = max(after, free) if sim.counters()["pgsteal_kswapd"] else 0
    assert sim.state.m.wmark_min < lowest <= sim.state.m.wmark_low
    assert after >= sim.state.m.wmark_high


def test_active_pages_that_are_not_accessed_any_more_leave_too() -> None:
    sim = machine(Area("old", 48 * MIB), Area("new", 16 * MIB, populate=False, process="b"),
                  accesses=(Access("new", 20_000, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=SWAP)  # fmt: skip
    assert _folios(sim, sim.phys.activate, lambda n: True) >= 48 * MIB // 4096
    sim.clock.sleep_us(3_000_000)
    assert sim.counters()["pgdeactivate"] > 1000
    assert _area(sim, "old").swapped_bytes > 4 * MIB
    check(sim)


@pytest.mark.parametrize("reference", [False, True])
def test_pages_come_back_into_other_frames(reference: bool) -> None:
    """Big areas lie in whole blocks of frames; their pages still are found when they lie elsewhere."""
    work = Workload(
        "w", (Area("a", 4 * MIB), Area("b", 2 * MIB)), (Phase("p", 1),), machine=MachineSpec(memory=16 * MIB, swap=SWAP)
    )
    sim = SimulatedMachine(work, 1, reference=reference)
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    assert _folios(sim, sim.phys.pageout, lambda n: n % 3 == 0) == 512
    check(sim)
    for end in range(4 * MIB, 0, -512 * KIB):
        assert space.madvise(start + end - 512 * KIB, 512 * KIB, Advice.WILLNEED) == 0
    check(sim)
    assert _area(sim).resident_bytes == 4 * MIB
    folios = [folio.pfn for batch in sim.phys.folios(0, 16 * MIB) for folio in batch]
    assert len(folios) == 1024 + 512 - (512 - 342)
    addrs = [pfn * 4096 for pfn in folios]
    sim.phys.mkold(addresses(addrs), len(addrs))
    assert not any(young(sim.phys, addrs))


# -- madvise and processes


def test_madvise_as_the_system_call() -> None:
    sim = machine(Area("a", MIB), Area("b", MIB), memory=64 * MIB, swap=SWAP)
    space = sim.open_process(sim.pids["main"])
    start = sim.state.placed["a"].start
    assert space.madvise(start, MIB, Advice.PAGEOUT) == 0
    assert _area(sim).resident_bytes == 0
    assert space.madvise(start, 64 * KIB + 1, Advice.WILLNEED) == 0, "the length is rounded up"
    assert _area(sim).resident_bytes == 64 * KIB + 4096
    assert _area(sim).refaults == 0
    assert space.madvise(start + 1, 4096, Advice.COLD) == -errno.EINVAL
    assert space.madvise(start, -1, Advice.COLD) == -errno.EINVAL
    assert space.madvise(start, 0, Advice.COLD) == 0
    assert space.madvise(start, MIB, Advice.HUGEPAGE) == -errno.EINVAL
    assert space.madvise(start, MIB, Advice.NORMAL) == 0
    assert space.madvise(start, 4 * MIB, Advice.PAGEOUT) == -errno.ENOMEM, "a hole between and behind"
    assert _area(sim, "b").resident_bytes == 0, "what is mapped is done all the same"
    assert space.madvise(0, 4096, Advice.COLD) == -errno.ENOMEM
    check(sim)


def test_willneed_leaves_the_next_touch_pending_once() -> None:
    sim = machine(Area("a", MIB), accesses=(Access("a", 100, Pattern.RANDOM),), memory=64 * MIB, swap=SWAP)
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    for _ in range(5):
        assert space.madvise(start, MIB, Advice.PAGEOUT) == 0
        check(sim)
        assert space.madvise(start, MIB, Advice.WILLNEED) == 0
        check(sim)
        sim.clock.sleep_us(1_000_000)
        check(sim)
    assert _area(sim).faults < 5


def test_cold_moves_to_the_inactive_list() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=SWAP)
    _folios(sim, sim.phys.activate, lambda n: True)
    space = sim.open_process(sim.pids["main"])
    assert space.madvise(sim.state.placed["a"].start, 128 * 4096, Advice.COLD) == 0
    assert _area(sim).active_pages == 128


def test_process_exit_and_its_successor() -> None:
    phases = (
        Phase("run", 1000),
        Phase("exit", 1000, (Access("a", 1e5),), (PhaseEvent(Event.EXIT, "p"),)),
        Phase("again", 1000, (Access("a", 1e5),), (PhaseEvent(Event.MMAP, "a"),)),
    )
    work = Workload("w", (Area("a", MIB, process="p"), Area("o", MIB, process="other")), phases)
    sim = SimulatedMachine(work, 1)
    first = sim.open_process(sim.pids["p"])
    other = sim.open_process(sim.pids["other"])
    free = sim.free_mem()[0]
    sim.clock.sleep_us(1000)
    assert not first.alive()
    assert other.alive()
    assert sim.free_mem()[0] == free + 256
    with pytest.raises(DamonError, match="no process") as refused:
        sim.open_process(first.pid)
    assert refused.value.errno == errno.EINVAL
    sim.clock.sleep_us(1000)
    assert sim.pids["p"] != first.pid
    assert not first.alive(), "a later process of the same name is another one"
    assert sim.open_process(sim.pids["p"]).alive()
    check(sim)
    other.close()
    other.close()
    assert not other.alive()


# -- bad input


def test_bad_workloads_are_refused() -> None:
    phase = Phase("p", 1)
    with pytest.raises(InvalidInput, match=r"machine\.memory: 1048576"):
        machine(Area("a", MIB), memory=MIB)
    with pytest.raises(InvalidInput, match="phases is empty"):
        SimulatedMachine(Workload("w", (Area("a", MIB),), ()), 1)
    with pytest.raises(InvalidInput, match="areas is empty"):
        SimulatedMachine(Workload("w", (), (phase,)), 1)
    with pytest.raises(InvalidInput, match="more than once"):
        machine(Area("a", MIB), accesses=(Access("a", 1.0), Access("a", 2.0)))
    with pytest.raises(InvalidInput, match="'nope': none of a"):
        machine(Area("a", MIB)).truth("nope", 5000)


def test_memory_is_reserved_not_used() -> None:
    """A terabyte of populated memory costs a few megabytes and milliseconds."""
    before = _rss()
    sim = machine(Area("a", 900 * GIB), memory=1024 * GIB, swap=Swap(64 * GIB))
    assert _area(sim).resident_bytes == 900 * GIB
    assert _rss() - before < 32 * MIB
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    rnd = random.Random(1)
    addrs = sorted(start + rnd.randrange(900 * GIB) for _ in range(1000))
    space.mkold(addresses(addrs), 1000)
    assert not any(young(space, addrs))


def _rss() -> int:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096


def test_pages_with_a_history_count_as_young_until_they_are_made_old() -> None:
    """Moved on the lists, or read in again: a folio that nobody made old is not idle."""
    sim = machine(Area("a", MIB), memory=64 * MIB, swap=SWAP)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    _folios(sim, sim.phys.activate, lambda n: True)
    assert all(young(space, addrs))
    space.mkold(addresses(addrs), 256)
    assert not any(young(space, addrs))
    assert space.madvise(addrs[0], MIB, Advice.PAGEOUT) == 0
    assert not any(young(space, addrs))
    assert space.madvise(addrs[0], MIB, Advice.WILLNEED) == 0
    assert all(young(space, addrs)), "a new folio is not idle"


@pytest.mark.parametrize("kind", list(Kind))
def test_unmapping_gives_back_all_of_it(kind: Kind) -> None:
    """Active and inactive pages, swapped ones, frames out of order."""
    phases = (Phase("there", 100_000), Phase("gone", 1, (), (PhaseEvent(Event.MUNMAP, "a"),)))
    areas = (Area("a", 2 * MIB, kind), Area("b", MIB, kind))
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(memory=64 * MIB, swap=SWAP)), 1)
    free = sim.free_mem()[0]
    _folios(sim, sim.phys.activate, lambda n: n % 3 == 0)
    _folios(sim, sim.phys.pageout, lambda n: n % 5 == 0)
    check(sim)
    sim.clock.sleep_us(100_000)
    check(sim)
    assert sim.free_mem()[0] >= free + 512
    assert [area.name for area in sim.areas() if area.resident_bytes] == ["b"]
    expected = sim.areas()[1]
    counters, name = sim.counters(), kind.value
    assert counters[f"nr_active_{name}"] == expected.active_pages
    assert counters[f"nr_inactive_{name}"] == expected.resident_bytes // 4096 - expected.active_pages
