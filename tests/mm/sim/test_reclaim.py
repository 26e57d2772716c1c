# SPDX-License-Identifier: GPL-2.0-only
"""kswapd, direct reclaim and the end of memory on the simulated machine."""

from __future__ import annotations

import errno

from damon.mm.sim import SimulatedMachine
from damon.model.machine import Advice
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
from tests.mm.sim.machines import KIB, MIB, SWAP, act_on, check, machine, stat, young


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
    assert sim.free_mem()[0] >= sim.state.m.node[0].wmark_low
    assert stat(sim, "hot").swapped_bytes < 0.05 * 8 * MIB
    assert stat(sim, "cold").swapped_bytes > 2 * MIB
    # All accessed bits were set when reclaim first looked, so hot pages went too: once.
    assert stat(sim, "hot").refaults < 2048
    assert sim.psi_some_us() <= 31 * stat(sim, "hot").refaults  # 30.5, and waits behind minor faults
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
    assert stat(sim, "new").resident_bytes == 32 * MIB
    check(sim)


def test_an_area_bigger_than_memory_is_populated_through_swap() -> None:
    sim = machine(Area("a", 80 * MIB), memory=64 * MIB, swap=Swap(64 * MIB, 5.0, 1.0))
    area = stat(sim)
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
    act_on(sim, sim.phys.activate, lambda n: n >= 256)  # b: the workingset to compare with
    act_on(sim, sim.phys.pageout, lambda n: n < 10)
    sim.clock.sleep_us(100_000)
    assert stat(sim).refaults == 10
    assert stat(sim).active_pages == 10


def test_kswapd_reclaims_up_to_the_high_watermark() -> None:
    sim = machine(Area("cold", 50 * MIB), Area("new", 8 * MIB, populate=False, process="b"),
                  accesses=(Access("new", 5_000, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=SWAP)  # fmt: skip
    lowest, after = sim.free_mem()[0], 0
    while sim.clock.now_ns() < 300_000_000:
        sim.clock.sleep_us(200)
        free = sim.free_mem()[0]
        lowest = min(lowest, free)
        after = max(after, free) if sim.counters()["pgsteal_kswapd"] else 0
    assert sim.state.m.node[0].wmark_min < lowest <= sim.state.m.node[0].wmark_low
    assert after >= sim.state.m.node[0].wmark_high


def test_kswapd_gives_up_after_sixteen_failures_until_an_area_goes() -> None:
    """Without swap no anonymous page can be reclaimed. Each allocation below the low watermark wakes kswapd."""
    sim = machine(Area("a", 50 * MIB), Area("new", 8 * MIB, populate=False), memory=64 * MIB, swap=None,
                  accesses=(Access("new", 5000, Pattern.SEQUENTIAL),))  # fmt: skip
    on, seen = sim.state.m.node[0], [0]
    while len(seen) < 17:
        sim.clock.sleep_us(200)
        seen += [on.kswapd_failures] if on.kswapd_failures not in seen else []
    assert seen == list(range(17))
    sim.clock.sleep_us(1000)
    assert (on.kswapd_failures, on.kswapd_awake, sim.counters()["oom_kill"]) == (16, 0, 0)
    sim.clock.sleep_us(1_000_000)
    assert (on.kswapd_failures, sim.counters()["oom_kill"]) == (0, 1), "the kill unmaps everything"
    check(sim)


def test_kswapd_tries_again_once_direct_reclaim_succeeds() -> None:
    """Anonymous pages fill memory to below the low watermark, then pages of a file come, which can be reclaimed."""
    phases = (
        Phase("fill", 184_000, (Access("new", 5000, Pattern.SEQUENTIAL),)),
        Phase("read", 1_000_000, (Access("file", 5000, Pattern.SEQUENTIAL),)),
    )
    areas = (
        Area("a", 50 * MIB),
        Area("new", 8 * MIB, populate=False),
        Area("file", 4 * MIB, Kind.FILE, populate=False),
    )
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(64 * MIB, swap=None)), 1)
    sim.clock.sleep_us(184_000)
    assert sim.state.m.node[0].kswapd_failures == 16
    sim.clock.sleep_us(100_000)
    assert sim.counters()["pgsteal_direct"] > 0
    assert (sim.state.m.node[0].kswapd_failures, sim.counters()["oom_kill"]) == (0, 0)
    check(sim)


def test_active_pages_that_are_not_accessed_any_more_leave_too() -> None:
    sim = machine(Area("old", 48 * MIB), Area("new", 16 * MIB, populate=False, process="b"),
                  accesses=(Access("new", 20_000, Pattern.SEQUENTIAL),), memory=64 * MIB, swap=SWAP)  # fmt: skip
    assert act_on(sim, sim.phys.activate, lambda n: True) >= 48 * MIB // 4096
    sim.clock.sleep_us(3_000_000)
    assert sim.counters()["pgdeactivate"] > 1000
    assert stat(sim, "old").swapped_bytes > 4 * MIB
    check(sim)


def test_pages_come_back_into_other_frames() -> None:
    """Big areas lie in whole blocks of frames; their pages still are found when they lie elsewhere."""
    work = Workload(
        "w", (Area("a", 4 * MIB), Area("b", 2 * MIB)), (Phase("p", 1),), machine=MachineSpec(memory=16 * MIB, swap=SWAP)
    )
    sim = SimulatedMachine(work, 1)
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    assert act_on(sim, sim.phys.pageout, lambda n: n % 3 == 0) == 512
    check(sim)
    for end in range(4 * MIB, 0, -512 * KIB):
        assert space.madvise(start + end - 512 * KIB, 512 * KIB, Advice.WILLNEED) == 0
    check(sim)
    assert stat(sim).resident_bytes == 4 * MIB
    folios = [folio.pfn for batch in sim.phys.folios(0, 16 * MIB) for folio in batch]
    assert len(folios) == 1024 + 512 - (512 - 342)
    addrs = [pfn * 4096 for pfn in folios]
    sim.phys.mkold(addresses(addrs), len(addrs))
    assert not any(young(sim.phys, addrs))
