# SPDX-License-Identifier: GPL-2.0-only
"""Limits and protection of cgroups on the simulated machine."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.mm.sim import SimulatedMachine
from damon.mm.sim.memcgs import CgroupStat
from damon.model.machine import Advice
from damon.workload.model import Access, Area, Cgroup, Kind, MachineSpec, Pattern, Phase, ProcessSpec, Swap, Workload
from tests.examples import examples
from tests.mm.sim.machines import KIB, MIB, advise, check

SPEC = MachineSpec(256 * MIB, swap=Swap(256 * MIB, read_us=30.0, write_us=5.0), thp="never")


def boxed(*cgroups: Cgroup, areas: tuple[Area, ...] = (), rate: float = 2e4, **spec: Any) -> SimulatedMachine:
    """An area of 16 MiB in ``box/in``, and one of 4 MiB beside it; both accessed."""
    areas = areas or (Area("a", 16 * MIB, memcg="box/in"), Area("b", 4 * MIB, memcg="other", process="two"))
    accesses = tuple(Access(area.name, rate, Pattern.ZIPF) for area in areas)
    machine = MachineSpec(**{**vars(SPEC), **spec})
    return SimulatedMachine(Workload("boxed", areas, (Phase("p", 10**9, accesses),), False, machine, (), cgroups), 1)


def stat(sim: SimulatedMachine, name: str) -> CgroupStat:
    return next(one for one in sim.cgroups() if one.name == name)


def seconds(sim: SimulatedMachine, time: float) -> None:
    sim.clock.sleep_us(int(time * 1e6))


def test_without_limits_it_is_as_without_cgroups() -> None:
    plain = boxed(areas=(Area("a", 16 * MIB), Area("b", 4 * MIB, process="two")), memory=24 * MIB)
    one = boxed(areas=(Area("a", 16 * MIB, memcg="x"), Area("b", 4 * MIB, memcg="x", process="two")), memory=24 * MIB)
    for sim in (plain, one):
        seconds(sim, 3)
    assert plain.counters() == one.counters()
    assert plain.areas() == one.areas()
    assert stat(one, "x").refaults == plain.counters()["refault_anon"] > 0


def test_max_is_kept_and_the_others_have_their_memory() -> None:
    sim = boxed(Cgroup("box", max=8 * MIB))
    for _ in range(20):
        seconds(sim, 0.1)
        assert stat(sim, "box").resident_bytes <= 8 * MIB
    box, inner, other = stat(sim, "box"), stat(sim, "box/in"), stat(sim, "other")
    assert box.resident_bytes == inner.resident_bytes >= 8 * MIB - 256 * KIB
    assert box.swapped_bytes == 16 * MIB - box.resident_bytes
    assert box.reclaimed_pages > 0
    assert (inner.reclaimed_pages, other.reclaimed_pages) == (0, 0)
    assert box.events["max"] > 0
    assert inner.events["max"] == 0
    assert (other.resident_bytes, other.faults) == (4 * MIB, 0)
    assert box.psi_some_us == inner.psi_some_us > 0 == other.psi_some_us
    assert not sim.kills()
    check(sim)


def test_reclaim_within_a_cgroup_takes_the_least_accessed() -> None:
    """Uniform accesses lose as much as they are over the limit, a skewed set much less."""
    missed = {}
    for pattern in (Pattern.RANDOM, Pattern.ZIPF):
        area = Area("a", 16 * MIB, memcg="box")
        accesses = (Access("a", 2e4, pattern, skew=1.5),)
        workload = Workload(
            "w", (area,), (Phase("p", 10**9, accesses),), machine=SPEC, cgroups=(Cgroup("box", 8 * MIB),)
        )
        with SimulatedMachine(workload, 1) as sim:
            seconds(sim, 2)
            before = stat(sim, "box").refaults
            seconds(sim, 3)
            missed[pattern] = (stat(sim, "box").refaults - before) / 6e4
    assert missed[Pattern.RANDOM] == pytest.approx(0.5, abs=0.02)
    assert missed[Pattern.ZIPF] < 0.1


def test_high_delays_when_reclaim_brings_nothing() -> None:
    """Without swap nothing of anonymous memory can leave: the area comes as slowly as the delays let it."""
    area = Area("a", 16 * MIB, memcg="box", populate=False)
    sim = boxed(Cgroup("box", high=4 * MIB), areas=(area,), swap=None, rate=1e5)
    seconds(sim, 2)
    box = stat(sim, "box")
    assert box.resident_bytes > 4 * MIB
    assert box.events["high"] > 0
    assert (box.events["max"], box.events["oom"]) == (0, 0)
    (process,) = sim.processes()
    # 64 pages at 25 % excess: 64 * 0.0625 = 4 s, of which at most 2 are waited.
    assert process.stall_us > 10e6
    assert sim.psi_some_us() == box.psi_some_us == pytest.approx(2e6, rel=0.2)


def test_high_with_swap_reclaims_and_hardly_delays() -> None:
    sim = boxed(Cgroup("box", high=8 * MIB))
    seconds(sim, 2)
    box = stat(sim, "box")
    assert 8 * MIB - MIB < box.resident_bytes <= 8 * MIB + 256 * KIB + 4096
    assert box.events["high"] > 0
    assert sim.slowdown() < 2
    check(sim)


def test_the_largest_process_of_the_cgroup_is_killed() -> None:
    areas = (
        Area("small", 4 * MIB, memcg="box/a", process="small"), Area("large", 7 * MIB, memcg="box/b", process="large"),
        Area("other", 32 * MIB, memcg="other", process="other"),
        Area("more", 4 * MIB, memcg="box/a", process="small", populate=False),
    )  # fmt: skip
    sim = boxed(Cgroup("box", max=12 * MIB), areas=areas, swap=None)
    seconds(sim, 3)
    (kill,) = sim.kills()
    assert (kill.name, kill.cgroup, kill.limit_bytes) == ("large", "box", 12 * MIB)
    assert str(kill).endswith("give cgroup box a higher memory.max")
    assert "cgroup box out of memory (memory.max 12.0 MiB, no swap)" in kill.why
    assert stat(sim, "box").events["oom_kill"] == stat(sim, "box").events["oom"] == 1
    assert stat(sim, "box/b").resident_bytes == 0
    assert stat(sim, "other").resident_bytes == 32 * MIB
    check(sim)


def test_swap_max_keeps_the_rest_in_memory() -> None:
    sim = boxed(Cgroup("box", max=15 * MIB, swap_max=2 * MIB))
    seconds(sim, 1)
    assert stat(sim, "box").swapped_bytes <= 2 * MIB
    assert not sim.kills()
    advise(sim, Advice.PAGEOUT)  # advice respects it as well
    assert MIB < stat(sim, "box").swapped_bytes <= 2 * MIB
    assert stat(sim, "box").resident_bytes >= 14 * MIB
    check(sim)


@pytest.mark.parametrize("protection", ["low", "min"])
def test_protected_memory_is_left_as_long_as_others_have_some(protection: str) -> None:
    areas = (Area("a", 16 * MIB, memcg="box/in"), Area("b", 16 * MIB, memcg="other", process="two"))
    given = [Cgroup(name, **{protection: 16 * MIB}) for name in ("box", "box/in")]
    lost = {}
    for cgroups in ((), given, given[1:]):
        sim = boxed(*cgroups, areas=areas, memory=32 * MIB)
        seconds(sim, 2)
        lost[len(cgroups)] = 16 * MIB - stat(sim, "box").resident_bytes
        check(sim)
    assert lost[0] > MIB
    assert lost[2] == 0
    assert lost[1] == pytest.approx(lost[0], rel=0.5)  # the cgroup above has no protection to share out


def test_low_gives_way_and_min_does_not() -> None:
    area = Area("a", 24 * MIB, memcg="box")
    for protection, killed in (("low", 0), ("min", 1)):
        cgroup = Cgroup("box", **{protection: None})
        sim = boxed(cgroup, areas=(area,), memory=20 * MIB)
        seconds(sim, 0.5)
        assert len(sim.kills()) == killed
        assert (stat(sim, "box").events["low"] > 0) == (protection == "low")
        assert stat(sim, "box").events["oom_kill"] == 0  # of the machine, not of the cgroup


def test_siblings_share_what_protects_the_cgroup_above() -> None:
    areas = tuple(Area(name, 16 * MIB, memcg=f"box/{name}", process=name) for name in ("a", "b"))
    areas += (Area("c", 16 * MIB, memcg="c", process="c"),)
    cgroups = (Cgroup("box", min=16 * MIB), Cgroup("box/a", min=12 * MIB), Cgroup("box/b", min=4 * MIB))
    sim = boxed(*cgroups, areas=areas, memory=40 * MIB)
    seconds(sim, 3)
    left = {name: stat(sim, f"box/{name}").resident_bytes / MIB for name in ("a", "b")}
    assert left["a"] >= 12
    assert left["b"] >= 4
    assert left["a"] > left["b"]


def test_pages_of_a_file_are_charged_too() -> None:
    sim = boxed(Cgroup("box", max=8 * MIB), areas=(Area("a", 16 * MIB, Kind.FILE, memcg="box"),), swap=None)
    seconds(sim, 1)
    assert stat(sim, "box").resident_bytes <= 8 * MIB
    assert stat(sim, "box").refaults > 0
    assert not sim.kills()


def test_a_huge_page_without_room_comes_as_single_pages() -> None:
    areas = (Area("a", 16 * MIB, memcg="box"),)
    sim = boxed(Cgroup("box", max=5 * MIB), areas=areas, thp="always")
    check(sim)
    assert stat(sim, "box").resident_bytes <= 5 * MIB
    assert sim.counters()["thp_fault_alloc"] == 2
    assert sim.counters()["thp_fault_fallback"] > 0


def test_goals_of_a_cgroup_see_its_limit() -> None:
    sim = boxed(Cgroup("box", max=8 * MIB))
    seconds(sim, 1)
    pages = sim.node_memcg_pages(0, sim.memcg_id("/box"))
    assert pages is not None
    assert 8 * MIB - 256 * KIB <= pages * 4096 == stat(sim, "box").resident_bytes <= 8 * MIB
    assert sim.node_memcg_pages(0, sim.memcg_id("box/in")) == pages


def test_a_process_in_a_cgroup() -> None:
    areas = (Area("a", 4 * MIB, process="one"), Area("b", 4 * MIB, process="one", memcg="b"))
    workload = Workload(
        "w", areas, (Phase("p", 10**6),), machine=SPEC, process_specs=(ProcessSpec("one", "a"),),
        cgroups=(Cgroup("a", max=2 * MIB),),
    )  # fmt: skip
    with SimulatedMachine(workload, 1) as sim:
        assert stat(sim, "a").resident_bytes <= 2 * MIB
        assert stat(sim, "b").resident_bytes == 4 * MIB


LIMITS = st.none() | st.integers(0, 20).map(lambda n: n * 256 * KIB)


@examples(15)
@given(st.integers(0, 2**32), LIMITS, LIMITS, LIMITS)
def test_no_limit_is_ever_exceeded(seed: int, limit: int | None, inner: int | None, swap: int | None) -> None:
    """``check()`` compares what is charged with the limits."""
    areas = (Area("a", 3 * MIB, memcg="box/in"), Area("b", MIB, Kind.FILE, memcg="box", process="two"))
    accesses = tuple(Access(area.name, 1e4, Pattern.RANDOM) for area in areas)
    cgroups = (Cgroup("box", limit, swap_max=swap), Cgroup("box/in", inner))
    workload = Workload("w", areas, (Phase("p", 10**9, accesses),), machine=SPEC, cgroups=cgroups)
    with SimulatedMachine(workload, seed) as sim:
        for _ in range(3):
            seconds(sim, 0.05)
            check(sim)
