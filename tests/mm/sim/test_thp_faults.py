# SPDX-License-Identifier: GPL-2.0-only
"""Where huge pages of the simulated machine come from: first touches, khugepaged, schemes; the machine's setting."""

from __future__ import annotations

import pytest

from damon.core import Damon
from damon.mm.sim import SimulatedMachine
from damon.model.machine import Advice
from damon.model.scheme import Damos, DamosAction
from damon.model.target import DamonTarget
from damon.workload.model import (
    Access,
    Area,
    Kind,
    MachineSpec,
    Pattern,
    Phase,
    Workload,
)
from tests.mm.sim.machines import GIB, MIB, SWAP, act_on, advise, check, machine, stat

HUGE = 2 * MIB


@pytest.mark.parametrize(("thp", "advice", "huge"), [
    ("always", None, True), ("always", Advice.NOHUGEPAGE, False), ("madvise", None, False),
    ("madvise", Advice.HUGEPAGE, True), ("never", Advice.HUGEPAGE, False),
])  # fmt: skip
def test_a_first_touch_brings_a_huge_page_where_that_is_wanted(thp: str, advice: Advice | None, huge: bool) -> None:
    sim = machine(Area("a", 8 * MIB, populate=False), accesses=(Access("a", 1000, Pattern.STRIDED, stride=HUGE),),
                  memory=64 * MIB, thp=thp, huge_us=50.0)  # fmt: skip
    if advice is not None:
        assert advise(sim, advice) == 0
    sim.clock.sleep_us(100_000)
    area = stat(sim)
    assert (area.faults, area.resident_bytes) == (4, 8 * MIB if huge else 16384)
    assert sim.counters()["thp_fault_alloc"] == (4 if huge else 0)
    assert sim.processes()[0].stall_us == (4 * 50 + 2 if huge else 2)
    check(sim)


def test_a_block_with_a_page_or_with_mixed_advice_gets_no_huge_page_by_a_fault() -> None:
    sim = machine(Area("a", 6 * MIB, populate=False), accesses=(Access("a", 1000, Pattern.STRIDED, stride=MIB),),
                  memory=64 * MIB, thp="always")  # fmt: skip
    assert advise(sim, Advice.NOHUGEPAGE, 0, HUGE) == 0
    sim.clock.sleep_us(1_500)
    assert advise(sim, Advice.HUGEPAGE, 0, 5 * MIB) == 0
    sim.clock.sleep_us(5_000)
    assert stat(sim).huge_bytes == HUGE, "the second block: the first had a page, the third is advised in part"
    assert stat(sim).resident_bytes == HUGE + 4 * 4096
    check(sim)


def test_populating_with_huge_pages() -> None:
    sim = machine(Area("a", 5 * MIB), Area("f", 4 * MIB, Kind.FILE), memory=64 * MIB, thp="always")
    assert [area.huge_bytes for area in sim.areas()] == [4 * MIB, 0]
    assert stat(sim).resident_bytes == 5 * MIB
    check(sim)
    big = machine(Area("a", 16 * GIB), memory=32 * GIB, thp="always")
    assert stat(big).huge_bytes == 16 * GIB


def test_huge_pages_leave_the_low_watermark_free() -> None:
    """The rest comes page by page, which reclaim makes room for. Machines of many sizes: pieces must be aligned."""
    for more in range(40):
        memory = 64 * MIB + more * 13 * 4096
        free = machine(Area("a", MIB, populate=False), memory=memory).free_mem()[0]
        sim = machine(Area("a", 60 * MIB), memory=memory, thp="always", swap=SWAP)
        most = (free - sim.state.m.node[0].wmark_low) // 512
        counters = sim.counters()
        assert most - 1 <= counters["thp_fault_alloc"] <= most
        assert counters["thp_fault_alloc"] + counters["thp_fault_fallback"] >= 30
        assert stat(sim).resident_bytes + stat(sim).swapped_bytes == 60 * MIB
    check(sim)


def test_khugepaged_collapses_what_is_advised_and_accessed_a_little_every_ten_seconds() -> None:
    phases = (Phase("p", 1_000_000, (Access("a", 1e5, Pattern.RANDOM),)),)
    areas = (Area("a", 24 * MIB), Area("b", 4 * MIB))
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(128 * MIB, swap=SWAP)), 1)
    assert advise(sim, Advice.HUGEPAGE) == 0
    sim.clock.sleep_us(1_000_000)
    assert stat(sim).huge_bytes == 16 * MIB, "4096 pages a round"
    sim.clock.sleep_us(10_000_000)
    assert stat(sim).huge_bytes == 24 * MIB
    assert stat(sim, "b").huge_bytes == 0
    assert sim.state.m.khugepaged
    check(sim)
    quiet = machine(Area("a", HUGE), memory=64 * MIB)
    quiet.clock.sleep_us(30_000_000)
    assert not quiet.state.m.khugepaged


def test_khugepaged_leaves_blocks_that_nobody_uses_or_that_are_in_swap() -> None:
    sim = machine(Area("a", 8 * MIB), memory=64 * MIB, swap=SWAP)
    act_on(sim, sim.phys.pageout, lambda n: n < 65)
    assert advise(sim, Advice.COLD, HUGE, HUGE) == 0  # clears accessed bits
    assert advise(sim, Advice.HUGEPAGE) == 0
    sim.clock.sleep_us(1000)
    assert stat(sim).huge_bytes == 4 * MIB, "neither the first, of which 65 pages are in swap, nor the cold second one"
    check(sim)


@pytest.mark.parametrize(("swapped", "huge"), [(64, True), (65, False)])
def test_khugepaged_reads_in_up_to_64_pages_of_a_block(swapped: int, huge: bool) -> None:
    sim = machine(Area("a", HUGE), memory=64 * MIB, swap=SWAP)
    act_on(sim, sim.phys.pageout, lambda n: n < swapped)
    assert advise(sim, Advice.HUGEPAGE) == 0
    sim.clock.sleep_us(1000)
    assert (stat(sim).huge_bytes, stat(sim).swapped_bytes) == ((HUGE, 0) if huge else (0, swapped * 4096))
    check(sim)


def test_a_scheme_collapses_hot_memory() -> None:
    """DAMOS collapse through the interface: the hot area becomes huge pages, the cold one stays as it is."""
    sim = machine(Area("cold", 32 * MIB), Area("hot", 32 * MIB), memory=128 * MIB,
                  accesses=(Access("hot", 4e6, Pattern.SEQUENTIAL),))  # fmt: skip
    damon = Damon(sim, seed=1)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, "vaddr")
    scheme = Damos(action=DamosAction.COLLAPSE)
    scheme.pattern.min_nr_accesses = 10
    scheme.pattern.min_sz_region = HUGE
    ctx.schemes.append(scheme)
    ctx.targets.append(DamonTarget(space=sim.open_process(sim.pids["main"])))
    damon.start([ctx])
    sim.clock.sleep_us(3_000_000)
    damon.stop([ctx])
    assert stat(sim, "hot").huge_bytes >= 24 * MIB
    assert stat(sim, "cold").huge_bytes <= 2 * HUGE
    assert scheme.stat.sz_applied > 0
    check(sim)
