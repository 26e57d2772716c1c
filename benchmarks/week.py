# SPDX-License-Identifier: GPL-2.0-only
"""A recorded week as a workload: what recording, importing and each replay of it cost.

    python3 -m benchmarks.week --days 7
    python3 -m benchmarks.week --days 7 --tune 32

``workloads/daily.yaml`` is recorded on the simulated machine as a production machine would be, once in 20 s, and
imported. Then damon_reclaim runs on the trace, with these intervals and with ten times shorter ones. ``--tune N``
searches N configurations of it instead, on this machine's processors and on the two workers of a local Dask cluster,
whose result file has to be the same.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

_OPEN: Final = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "max_nr_regions=200", "min_age=600000000")
#: Sampling and aggregation interval, us.
_INTERVALS: Final = ((1_000_000, 20_000_000), (100_000, 2_000_000))
_STUDY: Final = """\
format: 1
workloads: [week.trace]
modules:
  damon_reclaim:
    min_age: {from: 1m, to: 6h, log: 16}
    sample_interval: 1s
    aggr_interval: {of: sample_interval, times: 20}
    max_nr_regions: [100, 200, 400]
    wmarks_high: [500, 1000]
    wmarks_mid: 500
    wmarks_low: 0
    quota_sz: {from: 4M, to: 256M, log: 7}
duration: DURATION
objectives: [maximize saved_bytes]
constraints: [refaulted_wss_per_min <= 0.2%]
tune: {trials: TRIALS, batch: 4, startup: 16, seed: 1}
"""


def _seconds(*words: str) -> float:
    """Processor time of a command of damon."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run([sys.executable, "-m", "damon", *words], check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _replays(trace: Path) -> None:
    for sample_us, aggr_us in _INTERVALS:
        module = ("damon_reclaim", f"sample_interval={sample_us}", f"aggr_interval={aggr_us}", *_OPEN)
        took = _seconds("run", "--sim", str(trace), "--module", *module, "--quiet")
        print(f"| a run, {sample_us / 1e6:g} s / {aggr_us / 1e6:g} s | {took:.1f} s | |", flush=True)


def _tuned(trace: Path, days: float, trials: int) -> None:
    from distributed import LocalCluster

    study, found = trace.with_name("week.yaml"), trace.with_name("found.json")
    study.write_text(_STUDY.replace("DURATION", f"{round(days * 86400)}s").replace("TRIALS", str(trials)))
    files = [trace.with_name(f"{name}.jsonl") for name in ("here", "there")]
    with contextlib.ExitStack() as closing:
        for file in files:
            cluster = None
            if file is files[1]:
                cluster = closing.enter_context(LocalCluster(
                    n_workers=2, threads_per_worker=1, dashboard_address="127.0.0.1:0", silence_logs=50
                ))  # fmt: skip
            begin = time.monotonic()
            words = ["tune", str(study), "-o", str(file), "--json", str(found), "--quiet"]
            _seconds(*words, *(["--cluster", cluster.scheduler_address] if cluster is not None else []))
            took, runs = time.monotonic() - begin, json.loads(found.read_text())["runs"]
            where = "two workers of a cluster" if cluster is not None else "this machine"
            print(f"| {trials} trials, {where} | {took:.0f} s | {runs} |", flush=True)
    assert files[0].read_bytes() == files[1].read_bytes()
    answer = json.loads(found.read_text())
    for name, config in (("default", answer["default"][0]), ("chosen", answer["chosen"])):
        figures = {figure: config["figures"][figure] for figure in ("saved_bytes", "refaulted_wss_per_min")}
        print(f"{name}: {json.dumps(config['parameters'])} {json.dumps(figures)}")
    print(f"near: {json.dumps(answer['near'])}; importance: {json.dumps(answer['importance'])}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--days", type=float, default=7)
    parser.add_argument("--tune", type=int, metavar="TRIALS")
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
        if arguments.tune:
            _tuned(trace, arguments.days, arguments.tune)
        else:
            _replays(trace)


if __name__ == "__main__":
    main()
