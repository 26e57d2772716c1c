# SPDX-License-Identifier: GPL-2.0-only
"""``python -m benchmarks.tune_recorded [--seeds 1 2 3]``: damon_reclaim tuned on an imported record of a day.

Records ``examples/studies/day.yaml`` as ``damon record`` does (vaddr, 1 s and 20 s), imports the record, and searches
``recorded-day-reclaim.yaml`` once for each tuner seed. Virtual time: the same numbers anywhere.
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Final

from damon.cli.main import main as damon

STUDIES: Final = Path(__file__).parents[1] / "examples/studies"
_INTERVALS: Final = ("--sample-us", "1000000", "--aggr-us", "20000000", "--update-us", "60000000")


def _run(*words: str) -> None:
    code = damon([*words, "--quiet"])
    assert code == 0, (code, words)


def _row(found: dict[str, Any], seed: int) -> str:
    """Of the table of docs/how-to/tune.md."""

    def figures(config: dict[str, Any]) -> str:
        own = config["figures"]
        return f"{own['saved_bytes'] / 2**20:.1f} MiB at {own['refaulted_wss_per_min']:.3%}"

    near = {
        name.partition(".")[2]: " to ".join(dict.fromkeys(found["parameters"][name][end] for end in ends["values"]))
        for name, ends in found["near"].items()
    }
    region = ", ".join(f"`{name}` {near[name]}" for name in ("min_age", "wmarks_high", "quota_sz"))
    runs = found["runs"]
    return (
        f"| {seed} | {runs['asked']} of {runs['grid']} | {figures(found['chosen'])} | {figures(found['default'][0])} "
        f"| {region} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--jobs", default="0", help="worker processes; 0: one for each processor")
    given = parser.parse_args()
    jobs = ["-j", given.jobs] if given.jobs != "0" else []
    with tempfile.TemporaryDirectory(prefix="damon-recorded-") as place:
        scratch = Path(place)
        for name in ("recorded-day.yaml", "recorded-day-reclaim.yaml"):
            shutil.copy(STUDIES / name, scratch)
        record = f"{place}/day.data"
        words = ["--ops", "vaddr", *_INTERVALS, "--max-nr-regions", "400", "--duration", "86400", "--seed", "1"]
        _run("record", "--sim", str(STUDIES / "day.yaml"), *words, "-o", record)
        _run("import", record, "-o", f"{place}/day.trace", "--spread", "120s")
        for seed in given.seeds:
            words = [f"{place}/recorded-day-reclaim.yaml", "--seed", str(seed), "--json", f"{place}/{seed}.json"]
            _run("tune", *words, "-o", f"{place}/{seed}.jsonl", *jobs)
            print(_row(json.loads((scratch / f"{seed}.json").read_text()), seed), flush=True)


if __name__ == "__main__":
    main()
