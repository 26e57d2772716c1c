# SPDX-License-Identifier: GPL-2.0-only
"""How fast the simulated machine is under damon_reclaim, by regions and by memory, beside an older checkout.

``python -m benchmarks.bench_sim --against DIR``: DIR has a .venv of its own. Runs of both take turns. CPU time is what
the process used, whatever else the machine did; the least of all rounds counts, and ratios are of one round each.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

#: Regions, and so many virtual seconds that a run takes a while.
CURVE = {10: 60.0, 100: 60.0, 1000: 60.0, 10_000: 10.0, 100_000: 2.0}
SIZES = {"1 GiB": 1 << 30, "16 GiB": 1 << 34, "1 TiB": 1 << 40}
RUN = str(Path(__file__).with_name("sim_run.py"))
SAMPLES_PER_SECOND = 200
Times = dict[str, float]


def timed(python: str, how: str, regions: int, seconds: float, memory: int) -> Times:
    """Wall and CPU seconds of one run in a process of its own."""
    done = subprocess.run(
        [python, RUN, how, str(regions), str(seconds), str(memory)], capture_output=True, text=True, check=True
    )
    result: Times = json.loads(done.stdout.splitlines()[-1])
    return result


def ratio(rounds: Sequence[Sequence[Times]], what: str) -> float:
    """By how much the last one of each round took less than the first."""
    return statistics.median(row[0][what] / row[-1][what] for row in rounds)


def curve(how: str, pythons: Sequence[str], counts: Sequence[int], nr_rounds: int, scale: float) -> None:
    print(f"{how}: virtual seconds a second, by CPU time (by wall time), and ns a region and sample")
    print("  regions" + "".join(f"{name:>28}" for name in ("older", "this")[-len(pythons) :]) + "   times as fast")
    for regions in counts:
        seconds = CURVE[regions] * scale
        rounds = [[timed(python, how, regions, seconds, 1 << 30) for python in pythons] for _ in range(nr_rounds)]
        line = f"{regions:>9}"
        for column in zip(*rounds, strict=True):
            cpu, wall = (min(times[what] for times in column) for what in ("cpu", "wall"))
            sample_ns = cpu / seconds / regions / SAMPLES_PER_SECOND * 1e9
            line += f"{seconds / cpu:>11.1f} ({seconds / wall:.1f}){sample_ns:>8.1f}"
        if len(pythons) > 1:
            line += f"{ratio(rounds, 'cpu'):>11.2f} ({ratio(rounds, 'wall'):.2f})"
        print(line, flush=True)


def sizes(nr_rounds: int, scale: float) -> None:
    print("memory, 1000 regions, through the library")
    print(f"  {'size':<9}{'virtual s / CPU s':>18}{'times as fast as the first':>28}")
    python = sys.executable
    rounds = [[timed(python, "library", 1000, 60 * scale, size) for size in SIZES.values()] for _ in range(nr_rounds)]
    for name, column in zip(SIZES, zip(*rounds, strict=True), strict=True):
        relative = statistics.median(row[0]["cpu"] / times["cpu"] for row, times in zip(rounds, column, strict=True))
        print(f"  {name:<9}{60 * scale / min(times['cpu'] for times in column):>18.0f}{relative:>28.2f}", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--against", metavar="DIR", type=Path, help="an older checkout, installed in its .venv")
    parser.add_argument("--regions", metavar="N", type=int, nargs="+", choices=CURVE, default=[*CURVE])
    parser.add_argument("--rounds", metavar="N", type=int, default=3)
    parser.add_argument("--scale", metavar="X", type=float, default=1.0, help="longer or shorter runs")
    parser.add_argument(
        "--how", choices=("command", "library", "memory"), nargs="+", default=["command", "library", "memory"]
    )
    arguments = parser.parse_args()
    pythons = [sys.executable]
    if arguments.against is not None:
        pythons.insert(0, str(arguments.against.resolve() / ".venv/bin/python"))
    for how in arguments.how:
        if how == "memory":
            sizes(arguments.rounds, arguments.scale)
        else:
            curve(how, pythons, arguments.regions, arguments.rounds, arguments.scale)


if __name__ == "__main__":
    main()
