# SPDX-License-Identifier: GPL-2.0-only
"""Runs a module beside the workload of a suite and checks the kernel's accounts: ``check.py reclaim|lru_sort``.

Areas named ``hot...`` must stay (or become active), those named ``cold...`` must leave (or become inactive).
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable

from tests.vm.guest import pages

SECONDS = 180
LOOK_SECONDS = 8
BLOCK_PAGES = 512
RESULT = "/tmp/run.json"
AWAKE = ("wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0", "quota_ms=0")
#: Regions of at most a hundredth of the memory. With larger ones, where the noise of other programs takes most of the
#: regions that there may be, cold memory can share one with hot memory for minutes: then it is not cold.
REGIONS = ("min_nr_regions=100", "max_nr_regions=400", "sample_interval=10000", "aggr_interval=200000")
MODULES = {
    "reclaim": ("damon_reclaim", "quota_sz=536870912", "min_age=2000000", *AWAKE, *REGIONS),
    "lru_sort": ("damon_lru_sort", "cold_min_age=2000000", *AWAKE, *REGIONS),
}
HOT_PRESENT, COLD_PRESENT, SORTED = 0.95, 0.15, 0.85

Areas = dict[str, tuple[int, int]]
Shares = dict[str, dict[str, float]]


def workload() -> tuple[int, Areas]:
    """Process and areas of the workload that the suite has started."""
    with open(os.environ["VMTEST_WORKLOAD_OUTPUT"]) as stream:
        event = next(json.loads(line) for line in stream if '"ready"' in line)
    return event["pid"], {area["name"]: (area["start"], area["end"]) for area in event["areas"]}


def look(pid: int, areas: Areas, lists: bool) -> Shares:
    """Of each area the shares of pages that are present, swapped, active, inactive."""
    found = {name: pages.area(pid, start, end, lists=lists) for name, (start, end) in areas.items()}
    return {name: {what: n / max(1, row["pages"]) for what, n in row.items()} for name, row in found.items()}


def mixed(pid: int, areas: Areas) -> float:
    """The share of cold pages whose block of physical memory has hot pages too: no region can hold only the cold ones.

    A guest's free memory is in pieces of all sizes, and the first area gets the smallest.
    """
    frames = {name: [entry & pages.PFN_MASK for entry in pages.pagemap(pid, *span)] for name, span in areas.items()}
    hot = {pfn // BLOCK_PAGES for name, found in frames.items() if name.startswith("hot") for pfn in found}
    cold = [pfn // BLOCK_PAGES for name, found in frames.items() if name.startswith("cold") for pfn in found]
    return sum(block in hot for block in cold) / len(cold)


def reclaimed(shares: Shares) -> bool:
    """Cold memory is gone, hot memory is there."""
    return all(
        row["present"] >= HOT_PRESENT if name.startswith("hot") else row["present"] <= COLD_PRESENT
        for name, row in shares.items()
    )


def is_sorted(shares: Shares) -> bool:
    """Hot memory is active, cold memory inactive."""
    return all(row["active" if name.startswith("hot") else "inactive"] >= SORTED for name, row in shares.items())


def main() -> int:
    """0 when the module has done its work in time and nothing else."""
    what = sys.argv[1]
    reached: Callable[[Shares], bool] = reclaimed if what == "reclaim" else is_sorted
    lists = what == "lru_sort"
    pid, areas = workload()
    if lists:
        for name, (start, end) in areas.items():
            if name.startswith("cold"):
                subprocess.run(
                    [sys.executable, "-m", "tests.vm.guest.activate", str(pid), f"{start}:{end}"], check=True
                )
    before = look(pid, areas, lists)
    assert not reached(before), f"reached before anything was done: {before}"
    print(f"{mixed(pid, areas):.1%} of the cold pages are among hot ones", flush=True)
    words = [sys.executable, "-m", "damon.cli.main", "run", "--linux", "--duration", str(SECONDS), "--quiet"]
    run = subprocess.Popen([*words, "--json", RESULT, "--module", *MODULES[what]])
    began, good, shares = time.monotonic(), False, before
    while not good and time.monotonic() - began < SECONDS and run.poll() is None:
        time.sleep(LOOK_SECONDS)
        shares = look(pid, areas, lists)
        good = reached(shares)
        columns = ("active", "inactive") if lists else ("present", "swapped")
        said = "; ".join(
            f"{name} " + ", ".join(f"{row[key]:.0%} {key}" for key in columns) for name, row in shares.items()
        )
        print(f"{time.monotonic() - began:5.1f} s  {said}", flush=True)
    run.send_signal(signal.SIGTERM)
    code = run.wait(60)
    if code:
        print(f"damon run ended with {code}", file=sys.stderr)
    elif not good:
        print(f"{what}: not reached within {SECONDS} s: {shares}", file=sys.stderr)
    if code or not good:
        with open(RESULT) as stream:
            print(stream.read())
    return int(bool(code) or not good)


if __name__ == "__main__":
    sys.exit(main())
