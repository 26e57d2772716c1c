# SPDX-License-Identifier: GPL-2.0-only
"""A day of three processes whose hot sets move, with 20,000 regions: what its run directory and its page take.

``python -m benchmarks.report_day [DIRECTORY]``; with a directory, run and page are kept there. Chromium, where it is
installed, opens the page.
"""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Final, TypeVar

from damon.cli.main import main as damon_command
from damon.report import page
from damon.report.gather import gather
from damon.results import arrays
from damon.results.run import Run

PROCESSES: Final = ("web", "db", "batch")
AREAS, HOURS = 6, 24
PARAMETERS: Final = (
    *("min_age=1800000000", "sample_interval=6000000", "aggr_interval=120000000", "min_nr_regions=20000"),
    *("max_nr_regions=40000", "wmarks_high=1000", "wmarks_mid=1000", "wmarks_low=0"),
)
Found = TypeVar("Found")


def workload() -> str:
    """The hot area of each process moves on, each hour or two; the next one is warm."""
    lines = ["name: day", "areas:"]
    lines += [f"  {name}-{nr}: {{size: 64 MiB, process: {name}}}" for name in PROCESSES for nr in range(AREAS)]
    lines.append("phases:")
    for hour in range(HOURS):
        lines += [f"  - name: hour-{hour}", "    duration: 1h", "    access:"]
        for number, name in enumerate(PROCESSES):
            hot = (hour if not number else hour // 2 + 2 * number) % AREAS
            lines.append(f"      - {{area: {name}-{hot}, pattern: random, rate: 40k}}")
            lines.append(f"      - {{area: {name}-{(hot + 1) % AREAS}, pattern: random, rate: 2k}}")
    lines += ["machine:", "  memory: 4 GiB", "  reserved: 256 MiB", "  swap: {size: 4 GiB}"]
    return "\n".join(lines) + "\n"


def timed(what: str, act: Callable[[], Found]) -> Found:
    """Print the processor time of ``act()``."""
    begin = time.process_time()
    found = act()
    print(f"{what}: {time.process_time() - begin:.3f} s")
    return found


def measure(place: Path) -> None:
    """Run, open, decode, draw."""
    (place / "day.yaml").write_text(workload())
    words = ["run", "--sim", f"{place}/day.yaml", "--module", "damon_reclaim", *PARAMETERS, "--regions", "--quiet"]
    timed("the run", lambda: damon_command([*words, "--out", f"{place}/run"]))
    print(f"on disk: {sum(file.stat().st_size for file in (place / 'run').iterdir())} bytes")
    run = timed("open", lambda: Run.open(place / "run"))
    sizes = timed("decode as arrays", lambda: [one.regions.shape[1] for one in arrays.snapshots(run)])
    print(f"{len(sizes)} snapshots, {sum(sizes)} regions, {min(sizes)} to {max(sizes)} at a time")
    timed("decode as Python's values", lambda: sum(1 for _ in run.snapshots()))
    gathered = timed("read and sum up", lambda: gather(run, "day"))
    text = timed("make the page", lambda: page.html([gathered]))
    (place / "day.html").write_text(text)
    print(f"page: {len(text.encode())} bytes; at most {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10} MiB")
    _draw(place / "day.html")


def _draw(path: Path) -> None:
    from share import browser

    if browser.program() is None:
        print("chromium is not installed: the page is not drawn")
        return
    with browser.Browser() as chromium, chromium.page() as tab:
        tab.open(path, width=1600)
        print(f"drawn after {int(tab.evaluate('document.documentElement.dataset.ready'))} ms, {tab.problems}")


def main() -> int:
    """The exit code."""
    if len(sys.argv) > 1:
        measure(Path(sys.argv[1]))
        return 0
    with tempfile.TemporaryDirectory() as place:
        measure(Path(place))
    return 0


if __name__ == "__main__":
    sys.exit(main())
