# SPDX-License-Identifier: GPL-2.0-only
"""Memory that comes and goes while the simulated machine runs."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.errors import InvalidInput
from damon.mm.sim import SimulatedMachine
from damon.mm.sim.ram import SECTION, growth, watermarks
from damon.model.machine import Advice
from damon.workload.load import parse_workload
from damon.workload.model import (
    Access,
    Area,
    Event,
    Hotplug,
    MachineSpec,
    Node,
    Pattern,
    Phase,
    PhaseEvent,
    Swap,
    Workload,
)
from tests.buffers import addresses
from tests.examples import examples
from tests.mm.sim.machines import MIB, SWAP, check, machine, page_addrs, stat, young

MS = 1000
stories = st.lists(
    st.builds(Hotplug, st.booleans(), st.integers(1, 4).map(lambda n: n * 2 * MIB), st.integers(0, 1)),
    min_size=1,
    max_size=5,
)
TWO = (Node(32 * MIB), Node(32 * MIB))


def _machine(
    *steps: tuple[Hotplug, ...], areas: tuple[Area, ...] = (Area("a", 4 * MIB),), accesses: tuple[Access, ...] = (),
    **spec: Any,
) -> SimulatedMachine:  # fmt: skip
    """A first phase of a millisecond, then one with each of ``steps``."""
    phases = [Phase("first", MS, accesses)]
    phases += [Phase(f"step {n}", MS, accesses, (), plugs) for n, plugs in enumerate(steps)]
    return machine(*areas, phases=phases, **{"memory": 64 * MIB, "swap": SWAP, **spec})


def _step(sim: SimulatedMachine) -> None:
    sim.clock.sleep_us(MS)
    check(sim)


def test_memory_comes_above_all_other_and_goes_again() -> None:
    sim = _machine((Hotplug(True, 16 * MIB),), (Hotplug(False, 16 * MIB),))
    ram, (free, total) = sim.system_ram(), sim.free_mem()
    assert ram == ((0x1000, 0x9FC00), (MIB, 64 * MIB))
    _step(sim)
    assert sim.system_ram() == (*ram, (SECTION, SECTION + 16 * MIB))
    assert sim.free_mem() == (free + 4096, total + 4096)
    assert sim.node_spans()[-1] == (SECTION, SECTION + 16 * MIB, 0)
    marks = sim.state.m.node[0]
    assert (marks.wmark_min, marks.wmark_low, marks.wmark_high) == watermarks(total + 4096)
    _step(sim)
    assert sim.system_ram() == ram
    assert sim.free_mem() == (free, total)
    assert sim.offline_failures == 0


def test_a_node_without_memory_gets_some() -> None:
    sim = _machine((Hotplug(True, 32 * MIB, 1),), nodes=(Node(32 * MIB), Node(0, 250.0)), areas=(Area("a", 28 * MIB),))
    assert sim.node_mem(1) is None
    assert stat(sim).swapped_bytes > 4 * MIB, "too big for the only memory"
    space = sim.open_process(sim.pids["main"])

    def move() -> int:
        moved = 0
        for folios in space.folios(0, 2**47):
            for folio in folios:
                folio.target_nid, folio.flags = 1, folio.flags | 1 << 17
            moved += space.migrate(folios)
        return moved

    assert move() == 0, "memoryless"
    assert sim.counters()["pgmigrate_fail"] == 0
    _step(sim)
    assert sim.node_mem(1) == (8192, 8192)
    assert [nid for _, _, nid in sim.node_spans()] == [0, 0, 1]
    assert move() == stat(sim).node_bytes[1] // 4096 > 0
    check(sim)


def test_what_is_in_memory_that_goes_moves_to_other_nodes_first() -> None:
    access = (Access("a", 2000, Pattern.RANDOM),)
    plug = (Hotplug(False, 30 * MIB, 0),)  # more than there is beside the kernel's
    sim = _machine(plug, (Hotplug(False, 22 * MIB, 0),), nodes=TWO, accesses=access)
    space, addrs = sim.open_process(sim.pids["main"]), page_addrs(sim, "a")
    space.mkold(addresses(addrs), len(addrs))
    _step(sim)
    assert sim.offline_failures == 1
    assert stat(sim).node_bytes == (4 * MIB, 0)
    before = young(space, addrs)
    _step(sim)
    assert sim.offline_failures == 1
    stays, moved = stat(sim).node_bytes
    assert stays + moved == 4 * MIB
    assert stays == (sim.node_mem(0) or (0, 0))[1] * 4096 < 2 * MIB, "what is left of the node is full of it"
    assert sim.counters()["pgmigrate_success"] == moved // 4096
    after = young(space, addrs)
    assert all(new >= old for new, old in zip(after, before, strict=True)), "accessed bits went with the pages"
    assert 0 < sum(after) < 20


def test_within_a_node_and_then_out_of_memory() -> None:
    """One node: what is at the top moves down, and when that is full, to swap."""
    areas = (Area("a", 40 * MIB), Area("b", 4 * MIB))
    sim = _machine((Hotplug(False, 8 * MIB),), (Hotplug(False, 8 * MIB),), areas=areas)
    _step(sim)
    assert (stat(sim).swapped_bytes, stat(sim, "b").swapped_bytes) == (0, 0)
    _step(sim)
    assert sim.offline_failures == 0
    assert stat(sim).swapped_bytes + stat(sim, "b").swapped_bytes > 3 * MIB
    assert sim.counters()["pgsteal_direct"] > 0


def test_without_room_it_fails_and_all_is_there() -> None:
    areas = (Area("a", 44 * MIB),)
    sim = _machine((Hotplug(False, 30 * MIB),), (Hotplug(True, 2 * MIB),), areas=areas, swap=None)
    total = sim.free_mem()[1]
    ram = sim.system_ram()
    _step(sim)
    assert sim.offline_failures == 1
    assert sim.free_mem()[1] == total
    assert sim.system_ram() == ram
    assert stat(sim).resident_bytes == 44 * MIB
    _step(sim)
    assert sim.system_ram() == ram, "nothing of it is offline"


def test_memory_comes_back_where_it_went() -> None:
    sim = _machine((Hotplug(False, 8 * MIB, 1),), (Hotplug(True, 8 * MIB, 1),), nodes=TWO)
    spans, mem = sim.node_spans(), [sim.node_mem(nid) for nid in range(2)]
    _step(sim)
    assert sim.node_spans() != spans
    assert (sim.node_mem(1) or (0, 0))[1] == (mem[1] or (0, 0))[1] - 2048
    assert sim.node_mem(0) == mem[0]
    _step(sim)
    assert sim.node_spans() == spans
    assert [sim.node_mem(nid) for nid in range(2)] == mem


def test_huge_pages_in_memory_that_goes() -> None:
    sim = _machine((Hotplug(False, 22 * MIB, 0),), nodes=TWO, areas=(Area("a", 8 * MIB),))
    space, start = sim.open_process(sim.pids["main"]), sim.state.placed["a"].start
    assert space.madvise(start, 8 * MIB, Advice.COLLAPSE) == 0
    _step(sim)
    assert sim.offline_failures == 0
    assert stat(sim).node_bytes == (0, 8 * MIB)
    assert stat(sim).huge_bytes == 8 * MIB, "moved whole"
    assert sim.counters()["thp_migration_success"] == 4


def test_more_memory_ends_pressure() -> None:
    access = (Access("b", 2000, Pattern.SEQUENTIAL),)
    areas = (Area("a", 44 * MIB), Area("b", 16 * MIB, populate=False))
    phases = (Phase("tight", 2_000_000, access), Phase("more", 4_000_000, access, (), (Hotplug(True, 64 * MIB),)))
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(64 * MIB, swap=Swap(64 * MIB))), 1)
    sim.clock.sleep_us(2_010_000)
    before = sim.counters()["pgsteal_kswapd"]
    sim.clock.sleep_us(4_000_000)
    assert stat(sim, "b").resident_bytes == 16 * MIB
    assert sim.counters()["pgsteal_kswapd"] - before <= 32
    check(sim)


def test_reclaim_that_had_given_up_begins_again() -> None:
    """Nothing can leave without swap: the reclaim daemon gives up, until there is new memory."""
    areas = (Area("a", 52 * MIB), Area("b", 410 * 4096, populate=False))
    access = (Access("b", 20_000, Pattern.SEQUENTIAL),)
    phases = (Phase("full", 2_000_000, access), Phase("more", MS, access, (), (Hotplug(True, 2 * MIB),)))
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(64 * MIB, swap=None)), 1)
    sim.clock.sleep_us(1_900_000)
    assert sim.state.m.node[0].kswapd_failures > 0
    sim.clock.sleep_us(200_000)
    assert sim.state.m.node[0].kswapd_failures == 0


def test_order_within_a_phase() -> None:
    """Areas go, memory goes, areas come: the new area is not in the way."""
    phases = (
        Phase("one", MS),
        Phase("two", MS, (), (PhaseEvent(Event.MUNMAP, "a"), PhaseEvent(Event.MMAP, "b")), (Hotplug(False, 40 * MIB),)),
    )
    areas = (Area("a", 40 * MIB), Area("b", 20 * MIB, mapped_at_start=False))
    sim = SimulatedMachine(Workload("w", areas, phases, machine=MachineSpec(64 * MIB, swap=SWAP)), 1)
    _step(sim)
    assert sim.offline_failures == 0
    assert sim.counters()["pgmigrate_success"] == 0
    assert stat(sim, "b").swapped_bytes > 0


@examples(12)
@given(stories, st.sampled_from(["never", "always"]), st.sampled_from([None, Swap(2 * MIB)]), st.integers(1, 20))
def test_any_story_keeps_the_books(story: list[Hotplug], thp: str, swap: Swap | None, size: int) -> None:
    sim = _machine(*((plug,) for plug in story), nodes=(Node(8 * MIB), Node(12 * MIB)),
                   areas=(Area("a", size * MIB),), thp=thp, swap=swap, accesses=(Access("a", 1e5),))  # fmt: skip
    at_first = sim.free_mem()[1]
    for n in range(len(story) + 1):
        if n % 2 and sim.processes()[0].alive:
            sim.open_process(sim.pids["main"]).madvise(sim.state.placed["a"].start, MIB, Advice.PAGEOUT)
        sim.clock.sleep_us(MS)
        check(sim)
        plugs = [
            plug for phase in sim.workload.phases[: sim.workload.phases.index(sim.phase) + 1] for plug in phase.hotplug
        ]
        came = sum(plug.size // 4096 * (1 if plug.online else -1) for plug in plugs)
        assert sim.offline_failures or sim.free_mem()[1] == at_first + came


def test_what_never_fits_is_refused() -> None:
    workload = Workload("w", (Area("a", MIB),), (Phase("p", 1, hotplug=(Hotplug(True, 2 * MIB, 3),)),))
    with pytest.raises(InvalidInput, match="phase 'p': node 3: does not exist; there are 1"):
        growth(workload)
    data = {
        "areas": {"a": {"size": "1M"}},
        "phases": [{"duration": "1s"}, {"duration": "1s", "online": [{"size": "4M"}]}],
        "repeat": True,
    }
    with pytest.raises(
        InvalidInput, match=r"phases\[1\]\.online: \[1077936128\]: is what a round leaves of \[1073741824\]"
    ):
        parse_workload(data)
