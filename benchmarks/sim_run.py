# SPDX-License-Identifier: GPL-2.0-only
"""One run of damon_reclaim on the simulated machine, for ``bench_sim.py``: as JSON what it took.

Also run by the Python of an older checkout, so it uses what was there from the start.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import time
from dataclasses import replace
from pathlib import Path

HOT_COLD = str(Path(__file__).parents[1] / "workloads/hot-cold.yaml")
SAMPLES_PER_SECOND = 200


def words(regions: int) -> list[str]:
    """Always active, and that many regions at least and at most."""
    limits = [f"min_nr_regions={regions}", f"max_nr_regions={regions}"]
    return ["min_age=5000000", *limits, "wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0"]


def command(regions: int, seconds: float, memory: int) -> None:
    """As ``damon run`` does it."""
    from damon.cli.main import main

    arguments = ["run", "--module", "damon_reclaim", *words(regions), "--sim", HOT_COLD, "--seed", "1"]
    with contextlib.redirect_stdout(io.StringIO()):
        code = main([*arguments, "--duration", str(seconds), "--quiet"])
    assert code in (0, None), code


def library(regions: int, seconds: float, memory: int) -> None:
    """As a program does it, on a machine with that much memory."""
    from damon.core import Damon
    from damon.mm.sim import SimulatedMachine
    from damon.modules.loader import Loader
    from damon.workload.load import load_workload

    workload = load_workload(HOT_COLD)
    machine = SimulatedMachine(replace(workload, machine=replace(workload.machine, memory=memory, reserved=0)), 1)
    loader = Loader(Damon(machine, seed=1))
    loader.load(loader.prepare("damon_reclaim", ["enabled=Y", *words(regions)]))
    machine.clock.sleep_us(round(seconds * 1e6))
    loader.unload_all()
    machine.close()


def main() -> None:
    how, regions, seconds, memory = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), int(sys.argv[4])
    run = {"command": command, "library": library}[how]
    run(regions, 0.2, memory)  # what is loaded or made once
    wall, cpu = time.perf_counter(), time.process_time()
    run(regions, seconds, memory)
    print(json.dumps({"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}))


if __name__ == "__main__":
    main()
