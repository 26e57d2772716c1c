# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.best``: how long the best possible reclaim of one day takes to compute, in processor time."""

from __future__ import annotations

import time
from collections.abc import Sequence
from random import Random

from damon.results.best import held_against_best
from damon.workload.find import shipped
from damon.workload.load import load_workload
from damon.workload.model import Access, Area, Kind, MachineSpec, Pattern, Phase, Swap, Workload

DAY_S = 86400.0
MIB, GIB = 1 << 20, 1 << 30


def many_areas(nr_phases: int, patterns: Sequence[Pattern], share: float, phase_s: float, repeat: bool) -> Workload:
    """300 areas, each with one of ``patterns``; ``share`` of them are accessed in each phase, at different rates."""
    rnd = Random(1)
    areas = tuple(Area(f"a{n}", rnd.choice([4, 16, 64, 256]) * MIB, rnd.choice(list(Kind))) for n in range(300))
    pattern = {area.name: rnd.choice(patterns) for area in areas}
    phases = tuple(
        Phase(
            f"p{n}", int(phase_s * 1e6),
            tuple(
                Access(area.name, rnd.choice([10.0, 1e3, 1e5]), pattern[area.name])
                for area in areas
                if rnd.random() < share
            ),
        )
        for n in range(nr_phases)
    )  # fmt: skip
    return Workload("many", areas, phases, repeat, MachineSpec(64 * GIB, swap=Swap(64 * GIB)))


def main() -> None:
    random = [Pattern.RANDOM]
    most = [Pattern.SEQUENTIAL, Pattern.STRIDED, *[Pattern.RANDOM] * 4, *[Pattern.ZIPF] * 2]
    workloads = {name: load_workload(name) for name in shipped()} | {
        "300 areas of one pattern each, 24 phases": many_areas(24, most, 0.2, DAY_S / 24, False),
        "300 random areas, 48 phases": many_areas(48, random, 0.5, DAY_S / 48, False),
        "300 random areas, 10 phases of 20 s that repeat": many_areas(10, random, 0.5, 20.0, True),
    }
    for name, workload in workloads.items():
        memory = sum(area.size for area in workload.areas)
        began = time.process_time()
        held_against_best(workload, DAY_S, 0.6 * memory * DAY_S, 1_000_000)
        print(f"{name}: {time.process_time() - began:.3f} s")


if __name__ == "__main__":
    main()
