# SPDX-License-Identifier: GPL-2.0-only
"""What recording results costs a run on the simulated machine: processor time with and without, side by side.

    python3 -m benchmarks.results_cost --pairs 5

A day of ``workloads/phases.yaml`` under damon_reclaim with intervals of 100 ms and 2 s, so 43,200 aggregations. Each
form runs in a process of its own, next to one without; the ratio is the median of the pairs. Both find the byte code
of their modules, as installed programs do.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

FORMS: Final = {
    "each aggregation": [],
    "once a minute": ["--every", "1min"],
    "each aggregation, regions": ["--regions"],
    "each aggregation, JSON": ["--out-form", "jsonl"],
}
_MODULE: Final = (
    "damon_reclaim", "min_age=5000000", "sample_interval=100000", "aggr_interval=2000000", "max_nr_regions=200",
    "wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0",
)  # fmt: skip


def _seconds(seconds: float, more: list[str], cache: Path) -> float:
    """Processor time of one run; ``cache``: of byte code."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    words = [sys.executable, "-m", "damon", "run", "--module", *_MODULE, "--sim", "phases", "--quiet"]
    environment["PYTHONPYCACHEPREFIX"] = str(cache)
    subprocess.run([*words, "--duration", str(seconds), *more], check=True, env=environment)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=86400)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        cache, out = Path(place) / "cache", Path(place) / "run"
        for name, more in FORMS.items():
            ratios, sizes = [], []
            _seconds(1, ["--out", str(out), *more], cache)  # everything is compiled
            for _ in range(arguments.pairs):
                shutil.rmtree(out)
                plain = _seconds(arguments.seconds, [], cache)
                ratios.append(_seconds(arguments.seconds, ["--out", str(out), *more], cache) / plain)
                sizes.append(sum(path.stat().st_size for path in out.iterdir()))
            shutil.rmtree(out)
            print(f"| {name} | {statistics.median(ratios):.3f} | {sizes[0] / 1e6:.1f} MB |", flush=True)


if __name__ == "__main__":
    main()
