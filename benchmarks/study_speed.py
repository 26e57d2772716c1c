# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.study_speed``: how many configurations of a simulated day an hour, recorded and not.

A search of ``--trials`` configurations of ``examples/studies/moving-day-reclaim.yaml`` (100 ms and 2 s, up to 200
regions, a hot spot that moves, pruning on), with ``damon tune --out`` and without. What other programs do on the
machine changes the time, and hardly the processor time: from that of all processes follows what two free processors
do in an hour. It is extrapolated, as a search of 1000 would know more to give runs up by.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

STUDY: Final = Path(__file__).parents[1] / "examples/studies/moving-day-reclaim.yaml"
_HOUR: Final = 3600.0


def _search(study: Path, words: list[str], scratch: Path) -> tuple[float, float, Counter[str]]:
    """Processor and other seconds, and how many runs had which outcome."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    results = scratch / "results.jsonl"
    command = [sys.executable, "-m", "damon", "tune", str(study), "-o", str(results), "--quiet", *words]
    subprocess.run(command, check=True)
    after, took = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic() - began
    processor = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    lines = [json.loads(line) for line in results.read_text().splitlines()[1:]]
    return processor, took, Counter(line["result"]["outcome"] for line in lines if line["request"]["engine"])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--study", type=Path, default=STUDY)
    parser.add_argument("--trials", type=int, default=60)
    parser.add_argument("--jobs", default="2")
    given = parser.parse_args()
    print("| results | configurations | to the end | given up | processor time | time | an hour on two processors |")
    print("|---|---|---|---|---|---|---|")
    for name, recorded in (("recorded", True), ("not recorded", False)):
        with tempfile.TemporaryDirectory(prefix="damon-study-") as place:
            scratch = Path(place)
            words = ["--trials", str(given.trials), "-j", given.jobs, *(["--out", f"{place}/runs"] if recorded else [])]
            processor, took, outcomes = _search(given.study, words, scratch)
            size = sum(path.stat().st_size for path in scratch.rglob("runs/*/*")) / 1e6
        nr = sum(outcomes.values())
        kept = f" ({size:.0f} MB)" if recorded else ""
        print(
            f"| {name}{kept} | {nr} | {outcomes['complete']} | {outcomes['pruned']} | {processor:.0f} s | {took:.0f} s "
            f"| {nr * 2 * _HOUR / processor:.0f} |", flush=True,
        )  # fmt: skip


if __name__ == "__main__":
    main()
