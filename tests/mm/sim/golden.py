# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tests.mm.sim.golden``: writes ``golden.txt``, what random operations do to random machines.

A line a seed: the digest of the machine's state at the start, then of what each operation answers together with the
whole state after it. The file was first made by two implementations, the C routines and a Python version of
each, that agreed byte for byte. A change of the simulator's behaviour changes it: write it anew, and say in the commit
why.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from random import Random

from damon.mm.sim import SimulatedMachine
from damon.workload.model import Access, Area, Cgroup, Hotplug, Node, Pattern, Phase, ProcessSpec, Workload
from tests.mm.sim.operations import do, draw
from tests.mm.sim.random_workloads import NODES, SWAPS
from tests.random_contexts import MIB, random_workload

GOLDEN = Path(__file__).with_name("golden.txt")
SEEDS, OPERATIONS = range(40), 16


def workload(seed: int) -> Workload:
    """Short phases; every other machine has areas with whole huge pages, several nodes or several swap devices, and
    every fifth has limits for cgroups; in every fourth an area is locked."""
    rnd = Random(seed)
    made = _workload(rnd, seed)
    if seed % 4 == 3:
        made = replace(made, areas=(replace(made.areas[0], locked=True), *made.areas[1:]))
    return _boxed(rnd, made) if seed % 5 == 2 else made


def _boxed(rnd: Random, made: Workload) -> Workload:
    areas = tuple(replace(area, memcg=rnd.choice(["box", "box/in", "other"])) for area in made.areas)
    size = sum(area.size for area in areas)
    limits = [rnd.choice([None, size // 2, size // 4]) for _ in range(3)]
    protected = [rnd.choice([0, size // 4, size]) for _ in range(2)]
    return replace(
        made, areas=areas, cgroups=(Cgroup("box", *limits[:2]), Cgroup("other", limits[2], None, *protected))
    )


def _workload(rnd: Random, seed: int) -> Workload:
    made = random_workload(rnd)
    if seed % 2:
        areas = tuple(
            Area(
                f"area{n}", rnd.choice([4, 2, 3]) * MIB, process="one" if n < 2 else "two", populate=rnd.random() < 0.5
            )
            for n in range(3)
        )
        nodes = rnd.choice([(), (), (Node(16 * MIB, 80.0), Node(16 * MIB, 250.0)), *NODES])
        spec = replace(
            made.machine, memory=rnd.choice([24, 48]) * MIB, swap=rnd.choice(SWAPS), nodes=nodes,
            thp=rnd.choice(["never", "madvise", "always"]), huge_us=30.0, migrate_us=0.7,
        )  # fmt: skip
        specs = (ProcessSpec("two", node=rnd.randint(0, 1)),) if nodes else ()
        phases = tuple(_phase(rnd, areas, number, len(nodes)) for number in range(3))
        return Workload("huge", areas, phases, True, spec, specs)
    phases = tuple(replace(phase, duration_us=rnd.choice([900, 5_000, 50_000])) for phase in made.phases)
    return replace(made, phases=phases)


def _phase(rnd: Random, areas: tuple[Area, ...], number: int, nodes: int) -> Phase:
    """Sparse accesses, so that many pages are absent; in the second phase memory goes, in the third it comes."""
    accesses = tuple(
        Access(area.name, rnd.choice([700.0, 1e5, 1e6]), rnd.choice(list(Pattern)))
        for area in areas
        if rnd.random() < 0.7
    )
    plug = (Hotplug(number == 2, 2 * MIB, nodes and nodes - 1),) if number else ()
    return Phase(f"phase{number}", rnd.choice([5_000, 30_000]), accesses, (), plug)


def digest(*what: object) -> str:
    return sha256(repr(what).encode()).hexdigest()[:8]


def play(seed: int) -> Iterator[str]:
    """The digest of the machine as it is at first, and after each operation."""
    rnd, sim = Random(seed), SimulatedMachine(workload(seed), seed)
    yield digest(sim.state.snapshot())
    for _ in range(OPERATIONS):
        answer = do(sim, draw(rnd, huge=seed % 2 == 1))
        yield digest(answer, sim.clock.now_ns(), sim.state.snapshot())
    sim.close()


def line(seed: int) -> str:
    return " ".join([str(seed), *play(seed)])


if __name__ == "__main__":
    GOLDEN.write_text("".join(f"{line(seed)}\n" for seed in SEEDS))
