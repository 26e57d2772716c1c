# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.bench_engines [ENGINE]``: pydamon's core beside the kernel's C on the same simulated machine.

damon_reclaim, sampling 5 ms, aggregation 100 ms, hot-cold. Both engines take turns; the processor time of the best of
three turns counts. A ratio above 1: pydamon is faster.
"""

from __future__ import annotations

import sys
import time

from damon.library.engine import Engine, open_engine, other_modules
from damon.mm.sim import SimulatedMachine
from damon.modules.loader import Loader
from damon.workload.load import load_workload

#: Upper limit of regions, and the virtual seconds to run.
RUNS = ((10, 120), (100, 120), (1000, 30), (10_000, 5))


def _seconds(engine: Engine, nr_regions: int, seconds: int) -> tuple[float, int]:
    """Processor time of so many virtual seconds, and the bytes that were tried."""
    with SimulatedMachine(load_workload("hot-cold"), 1) as machine:
        loader = Loader(engine.open(machine, 1), known=other_modules(engine))
        words = [f"min_nr_regions={max(nr_regions // 2, 3)}", f"max_nr_regions={nr_regions}", "min_age=2000000"]
        module = loader.prepare(
            "damon_reclaim", [*words, "wmarks_high=1000", "wmarks_mid=999", "wmarks_low=0", "enabled=Y"]
        )
        loader.load(module)
        begun = time.process_time()
        machine.clock.sleep_us(seconds * 1_000_000)
        took = time.process_time() - begun
        tried = (module.progress() or (0, 0))[0]
        loader.unload_all()
        return took, tried


def main() -> int:
    own, kernel = open_engine(), open_engine(sys.argv[1] if len(sys.argv) > 1 else "linux-source-7.3")
    print(f"pydamon beside {kernel.identity.origin}")
    print(f"{'regions':>8} {'pydamon vs/s':>13} {'kernel vs/s':>12} {'ratio':>6}  same result")
    for nr_regions, seconds in RUNS:
        turns = [(_seconds(own, nr_regions, seconds), _seconds(kernel, nr_regions, seconds)) for _ in range(3)]
        ours, theirs = (min(turn[which][0] for turn in turns) for which in (0, 1))
        same = all(a[1] == b[1] for a, b in turns)
        print(
            f"{nr_regions:>8} {seconds / ours:>13.0f} {seconds / theirs:>12.0f} {theirs / ours:>6.2f}  {same}",
            flush=True,
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
