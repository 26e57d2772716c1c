# SPDX-License-Identifier: GPL-2.0-only
"""The simulated machine under damon_reclaim with 1000 regions: virtual seconds a wall second, memory sizes in turns."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from pathlib import Path

from damon.core import Damon
from damon.mm.sim import SimulatedMachine
from damon.modules.loader import Loader
from damon.workload.load import load_workload

SECONDS = 60
ROUNDS = 5
SIZES = {"1 GiB": 1 << 30, "16 GiB": 1 << 34, "1 TiB": 1 << 40}
WORDS = (
    "enabled=Y", "min_age=5000000", "min_nr_regions=1000", "max_nr_regions=1000", "wmarks_high=1000", "wmarks_mid=1000",
    "wmarks_low=0",
)  # fmt: skip
HOT_COLD = str(Path(__file__).parents[1] / "workloads/hot-cold.yaml")


def run(memory: int) -> float:
    """Virtual seconds a wall second."""
    workload = load_workload(HOT_COLD)
    machine = SimulatedMachine(replace(workload, machine=replace(workload.machine, memory=memory, reserved=0)), 1)
    loader = Loader(Damon(machine, seed=1))
    began = time.perf_counter()
    loader.load(loader.prepare("damon_reclaim", WORDS))
    machine.clock.sleep_us(SECONDS * 1_000_000)
    wall = time.perf_counter() - began
    loader.unload_all()
    machine.close()
    return SECONDS / wall


def main() -> None:
    rounds = [{name: run(memory) for name, memory in SIZES.items()} for _ in range(ROUNDS)]
    first = next(iter(SIZES))
    print(f"{'memory':<10}{'virtual s / s':>14}{'ratio':>8}")
    for name in SIZES:
        speed = statistics.median(row[name] for row in rounds)
        ratio = statistics.median(row[name] / row[first] for row in rounds)
        print(f"{name:<10}{speed:>14.0f}{ratio:>8.2f}")


if __name__ == "__main__":
    main()
