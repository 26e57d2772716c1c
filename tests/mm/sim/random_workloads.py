# SPDX-License-Identifier: GPL-2.0-only
"""Random workloads and machines for them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from damon.workload.model import (
    Access,
    Area,
    Cgroup,
    Event,
    Hotplug,
    Kind,
    MachineSpec,
    Node,
    Pattern,
    Phase,
    PhaseEvent,
    ProcessSpec,
    Swap,
    Workload,
)
from tests.mm.sim.machines import KIB, MIB

SWAPS = [
    Swap(16 * MIB, 5.0, 2.0),
    Swap(64 * KIB, 20.0, 10.0),
    None,
    (Swap(32 * KIB, 5.0, 2.0, 7), Swap(20 * KIB, 1.0, 1.0, 7), Swap(MIB, 20.0, 10.0), Swap(4 * MIB, 30.0, 9.0)),
]
RATES = st.sampled_from([700.0, 1e5, 1e6])
ANY_RATE = st.sampled_from([3.0, 700.0, 1e5, 1e6])

NODES = [
    (Node(4 * MIB, 80.0), Node(8 * MIB, 250.0)),
    (Node(4 * MIB, 100.0, (10, 30, 20)), Node(4 * MIB, 100.0, (30, 10, 21)), Node(4 * MIB, 300.0, (20, 20, 10))),
]

sizes = st.one_of(
    st.integers(1, 40).map(lambda n: n * 4096),
    st.sampled_from([MIB, 2 * MIB, 3 * MIB]).flatmap(lambda size: st.sampled_from([size, size + 4096])),
)


def draw_plugs(nodes: int) -> st.SearchStrategy[Hotplug]:
    """Memory that comes or goes, of nodes 0 to ``nodes`` - 1."""
    return st.builds(Hotplug, st.booleans(), st.sampled_from([2 * MIB, 4 * MIB]), st.integers(0, max(nodes, 1) - 1))


def accesses(area: Area, rates: st.SearchStrategy[float] = ANY_RATE) -> st.SearchStrategy[Access]:
    return st.builds(
        Access,
        st.just(area.name),
        rates,
        st.sampled_from(Pattern),
        st.sampled_from([0.0, 0.01, 0.5, 1.0]),
        st.sampled_from([64, 1000, 4096, 5000, 12288, 1 << 20]),
        st.sampled_from([0.3, 1.0, 1.00001, 2.5]),
    )


def events(areas: Sequence[Area]) -> st.SearchStrategy[PhaseEvent]:
    named = {Event.EXIT: [area.process for area in areas]}
    return st.sampled_from(Event).flatmap(
        lambda event: st.builds(
            PhaseEvent, st.just(event), st.sampled_from(named.get(event) or [area.name for area in areas])
        )
    )


@st.composite
def cgroups(draw: st.DrawFn, areas: Sequence[Area]) -> tuple[Cgroup, ...]:
    """Limits and protection of some of the areas' cgroups, and of those above them."""
    names = {area.memcg for area in areas if area.memcg}
    limit = st.sampled_from([None, None, 32 * KIB, 100 * KIB, MIB, 3 * MIB])
    protected = st.sampled_from([0, 0, 50 * KIB, MIB, None])
    return tuple(
        Cgroup(name, draw(limit), draw(limit), draw(protected), draw(protected), draw(limit))
        for name in sorted(names | {name.partition("/")[0] for name in names})
        if draw(st.booleans())
    )


@st.composite
def workloads(draw: st.DrawFn) -> Workload:
    parts = (sizes, st.sampled_from(Kind), st.sampled_from(["one", "one", "two"]), st.booleans())
    mapped, memcg = st.sampled_from([True, True, True, False]), st.sampled_from(["", "", "a", "a/b", "c"])
    areas = tuple(
        draw(st.builds(Area, st.just(f"area{n}"), *parts, mapped, memcg)) for n in range(draw(st.integers(1, 4)))
    )
    nodes: tuple[Node, ...] = draw(st.sampled_from([(), (), *NODES]))
    plugs = st.lists(draw_plugs(len(nodes)), max_size=3).map(tuple) if draw(st.booleans()) else st.just(())
    phases = []
    for n in range(draw(st.integers(1, 3))):
        used = tuple(draw(accesses(area)) for area in areas if draw(st.integers(0, 3)))
        happens = tuple(draw(st.lists(events(areas), max_size=2))) if n else ()
        duration_us = draw(st.sampled_from([900, 5_000, 50_000]))
        phases.append(Phase(f"phase{n}", duration_us, used, happens, draw(plugs) if n else ()))
    swap = draw(st.sampled_from(SWAPS))
    thp = draw(st.sampled_from(["never", "madvise", "madvise", "always"]))
    spec = MachineSpec(memory=draw(st.sampled_from([16, 8, 6, 4])) * MIB, swap=swap, thp=thp)
    processes: tuple[ProcessSpec, ...] = ()
    if nodes:
        spec = MachineSpec(12 * MIB, swap=swap, nodes=nodes, migrate_us=0.7, thp=thp)
        processes = (ProcessSpec("two", node=draw(st.integers(0, 1))),)
    limits = draw(cgroups(areas))
    return Workload("random", areas, tuple(phases), draw(st.booleans()), spec, processes, limits)


@st.composite
def huge_workloads(draw: st.DrawFn) -> Workload:
    """Areas with whole blocks, anonymous but for the last one; sparse accesses, so that many pages are absent."""
    areas = [
        Area(f"area{n}", draw(st.sampled_from([4, 2, 3])) * MIB, populate=draw(st.booleans()))
        for n in range(draw(st.integers(1, 2)))
    ]
    areas.append(Area("file", MIB, Kind.FILE, populate=draw(st.booleans())))
    boxed = draw(st.booleans())
    areas = [replace(area, memcg="a/b" if boxed else "") for area in areas]
    used = [area for area in areas if draw(st.integers(0, 3))]
    phase = Phase("only", 10_000, tuple(draw(accesses(area, RATES)) for area in used))
    swap = draw(st.sampled_from([Swap(16 * MIB, 5.0, 2.0), Swap(3 * MIB, 20.0, 10.0), None]))
    given = {"swap": swap, "thp": draw(st.sampled_from(["never", "madvise", "always"])), "huge_us": 30.0}
    nodes = draw(st.sampled_from([(), (Node(12 * MIB, 80.0), Node(16 * MIB, 250.0)), *NODES]))
    memory = sum(node.size for node in nodes) if nodes else draw(st.sampled_from([8, 16, 24])) * MIB
    limit = st.sampled_from([None, 100 * KIB, 3 * MIB, 5 * MIB])
    boxes = (Cgroup("a", draw(limit), draw(limit), 0, 0, draw(limit)),) if boxed else ()
    machine = MachineSpec(memory, nodes=nodes, **given)  # type: ignore[arg-type]
    return Workload("huge", tuple(areas), (phase,), machine=machine, cgroups=boxes)
