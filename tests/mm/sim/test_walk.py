# SPDX-License-Identifier: GPL-2.0-only
"""A process's folios by address, and the cgroups that they are charged to."""

from __future__ import annotations

import pytest

from damon.errors import InvalidInput
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON, FOLIO_MAPPED, FOLIO_PASS, FOLIO_YOUNG
from damon.workload.model import Access, Area, Kind, ProcessSpec
from tests.mm.sim.machines import GIB, MIB, SWAP, act_on, check, machine, young


def _walk(sim: SimulatedMachine, start: int, end: int, process: str = "main") -> list[tuple[int, int, int]]:
    space = sim.open_process(sim.pids[process])
    return [(f.addr, f.ilx, f.pfn) for batch in space.folios(start, end) for f in batch]


def test_folios_are_those_mapped_there_in_order_of_address() -> None:
    sim = machine(Area("a", 4 * MIB), Area("f", MIB, Kind.FILE), memory=64 * MIB, swap=SWAP)
    a, f = sim.state.placed["a"], sim.state.placed["f"]
    everything = _walk(sim, 0, 2**47)
    assert [addr for addr, _, _ in everything] == [*range(a.start, a.end, 4096), *range(f.start, f.end, 4096)]
    assert [ilx for _, ilx, _ in everything[:1024]] == [(a.start >> 12) + n for n in range(1024)], "anonymous"
    assert [ilx for _, ilx, _ in everything[1024:]] == list(range(256)), "a file's from its first page"
    assert sorted(pfn for _, _, pfn in everything) == [
        folio.pfn for batch in sim.phys.folios(0, 64 * MIB) for folio in batch
    ]
    some = [addr for addr, _, _ in _walk(sim, a.start + 4097, a.start + 3 * 4096 + 1)]
    assert some == [a.start + 4096, a.start + 8192, a.start + 12288], "whoever has a byte in the range"
    assert _walk(sim, a.end, f.start) == []
    assert _walk(sim, f.end, 2**47) == []


def test_pages_that_left_are_not_met_and_another_process_sees_its_own() -> None:
    sim = machine(Area("a", MIB), Area("b", MIB, process="two"), memory=64 * MIB, swap=SWAP)
    act_on(sim, sim.phys.pageout, lambda n: n < 256 and n % 2 == 0)
    a = sim.state.placed["a"]
    assert [addr for addr, _, _ in _walk(sim, 0, 2**47)] == list(range(a.start + 4096, a.end, 8192))
    assert len(_walk(sim, 0, 2**47, "two")) == 256
    check(sim)


def test_flags_and_accessed_state_of_a_walk() -> None:
    sim = machine(Area("a", MIB), Area("f", MIB, Kind.FILE), accesses=(Access("f", 1e7),), memory=64 * MIB)
    act_on(sim, sim.phys.activate, lambda n: n == 3)
    space = sim.open_process(sim.pids["main"])
    flags = [f.flags for batch in space.folios(0, 2**47) for f in batch]
    assert flags[2:5] == [
        FOLIO_MAPPED | FOLIO_ANON,
        FOLIO_MAPPED | FOLIO_ANON | FOLIO_ACTIVE,
        FOLIO_MAPPED | FOLIO_ANON,
    ]
    assert set(flags[256:]) == {FOLIO_MAPPED}
    young: list[int] = []
    for _ in range(2):
        young.clear()
        for batch in space.folios(0, 2**47):
            space.folios_young(batch)
            space.folios_mkold(batch)
            young += [bool(f.flags & FOLIO_YOUNG) for f in batch]
        sim.clock.sleep_us(10_000)
    assert not any(young[:256])
    assert sum(young[256:]) > 200


def test_an_area_that_was_never_touched_is_walked_quickly_and_yields_nothing() -> None:
    sim = machine(Area("a", 1 << 40, populate=False), memory=64 * MIB)
    assert _walk(sim, 0, 2**47) == []


def test_walk_of_a_process_that_is_gone() -> None:
    sim = machine(Area("a", MIB), memory=64 * MIB)
    space = sim.open_process(sim.pids["main"])
    walk = space.folios(0, 2**47)
    space.close()
    assert list(walk) == []


# -- cgroups


def _grouped() -> SimulatedMachine:
    areas = (
        Area("a", MIB, process="one"), Area("b", 2 * MIB, process="one", memcg="web/worker"),
        Area("c", MIB, process="two"), Area("d", MIB, Kind.FILE, process="three"),
    )  # fmt: skip
    specs = (ProcessSpec("one", memcg="web"), ProcessSpec("three", memcg="webs"))
    return machine(*areas, processes=specs, memory=64 * MIB, swap=SWAP)


def test_cgroups_have_stable_ids_and_folios_carry_them() -> None:
    sim = _grouped()
    assert [sim.memcg_id(name) for name in ("web", "web/worker", "/webs")] == [1, 2, 3]
    with pytest.raises(InvalidInput, match=r"cgroup: 'wbe': .*; its are web, web/worker, webs"):
        sim.memcg_id("wbe")
    memcgs = [f.memcg for batch in sim.phys.folios(0, 64 * MIB) for f in batch]
    assert memcgs == [1] * 256 + [2] * 512 + [0] * 256 + [3] * 256
    assert {f.memcg for batch in sim.open_process(sim.pids["three"]).folios(0, 2**47) for f in batch} == {3}


def test_pages_of_a_cgroup_are_those_of_its_areas_and_of_cgroups_below() -> None:
    sim = _grouped()
    assert [sim.node_memcg_pages(0, memcg) for memcg in range(5)] == [None, 768, 512, 256, None]
    assert sim.node_memcg_pages(1, 1) is None
    act_on(sim, sim.phys.pageout, lambda n: n % 2 == 0)
    assert [sim.node_memcg_pages(0, memcg) for memcg in (1, 2, 3)] == [384, 256, 128]
    check(sim)


def test_an_area_in_two_ranges_of_physical_memory() -> None:
    """Its pages have consecutive frames there, but no consecutive numbers: 1 GiB above 4 GiB, then from 1 MiB on."""
    sim = machine(Area("a", 3 * GIB + 64 * MIB), memory=4 * GIB, swap=SWAP)
    assert list(sim.system_ram())[1:] == [(MIB, 3 * GIB), (4 * GIB, 5 * GIB)]
    middle = sim.state.placed["a"].start + GIB

    def frames() -> dict[int, int]:
        return {addr: pfn for addr, _, pfn in _walk(sim, middle - MIB, middle + MIB)}

    before = frames()
    assert [before[middle - 4096], before[middle]] == [(5 * GIB >> 12) - 1, MIB >> 12]
    assert young(sim.phys, [2 * MIB, 2 * GIB, 3 * GIB, 4 * GIB - 4096, 4 * GIB]) == [1, 1, 0, 0, 1]
    left = 0
    for start in MIB, 5 * GIB - 100 * 4096:
        for folios in sim.phys.folios(start, start + 100 * 4096):
            for folio in folios:
                folio.flags |= FOLIO_PASS
            left += sim.phys.pageout(folios)
    assert left == 200
    assert frames() == {
        addr: pfn for addr, pfn in before.items() if not middle - 100 * 4096 <= addr < middle + 100 * 4096
    }
