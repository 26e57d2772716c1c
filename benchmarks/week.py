# SPDX-License-Identifier: GPL-2.0-only
"""A recorded week as a workload: what recording, importing and each replay of it cost.

    python3 -m benchmarks.week --days 7

``workloads/daily.yaml`` is recorded on the simulated machine as a production machine would be, once in 20 s, and
imported. Then damon_reclaim runs on the trace, with these intervals and with ten times shorter ones.
"""

from __future__ import annotations

import argparse
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Final

_OPEN: Final = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "max_nr_regions=200", "min_age=600000000")
#: Sampling and aggregation interval, us.
_INTERVALS: Final = ((1_000_000, 20_000_000), (100_000, 2_000_000))


def _seconds(*words: str) -> float:
    """Processor time of a command of damon."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "damon", *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=7)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        record, trace = Path(scratch, "week.data"), Path(scratch, "week.trace")
        sample, aggr = map(str, _INTERVALS[0])
        took = _seconds(
            "record", "--sim", "daily", "--ops", "vaddr", "--sample-us", sample, "--aggr-us", aggr,
            "--max-nr-regions", "200", "--duration", str(arguments.days * 86400), "-o", str(record), "--quiet",
        )  # fmt: skip
        print(f"| recording | {took:.0f} s | {record.stat().st_size / 1e6:.1f} MB |", flush=True)
        took = _seconds("import", str(record), "-o", str(trace), "--quiet")
        print(f"| importing | {took:.0f} s | {trace.stat().st_size / 1e6:.1f} MB |", flush=True)
        for sample_us, aggr_us in _INTERVALS:
            module = ("damon_reclaim", f"sample_interval={sample_us}", f"aggr_interval={aggr_us}", *_OPEN)
            took = _seconds("run", "--sim", str(trace), "--module", *module, "--quiet")
            print(f"| a run, {sample_us / 1e6:g} s / {aggr_us / 1e6:g} s | {took:.1f} s | |", flush=True)


if __name__ == "__main__":
    main()
