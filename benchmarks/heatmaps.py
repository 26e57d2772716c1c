# SPDX-License-Identifier: GPL-2.0-only
"""What each way of seeing accesses shows of a moving hot spot: ``make docs-images-vm`` draws it in ``docs/images``.

One guest of Linux 7.3 with two processors, whose clock counts instructions. In it a shipped workload goes round once
for each of: pydamon by rwp, pydamon by page_idle, and the kernel's own DAMON. At first no one flushes the TLB for a
monitor's sake, then the workload flushes it in each of its rounds. The three take the same intervals, regions, and
range (fvaddr). Beside each is the mean of all cells, and what it would be of a monitor that misses nothing.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from damon.workload.load import load_workload
from damon.workload.plan import TlbFlush
from share.drawing import Heat, heatmap, svg, text
from tests.vm import trees
from tests.vm.job import PROJECT, PYTHON, ROOT, RunningWorkload, uptime, workload
from tests.waiting import HANG_S
from vmtest import Guest, GuestConfig

IMAGES: Final = ROOT / "docs/images"
#: Column of the picture, and the words of ``damon record`` that are its own.
WATCHERS: Final = {
    "rwp": "--access rwp",
    "page_idle": "--access page_idle",
    "the kernel's DAMON": "--engine host",
}
FLUSHES: Final[dict[TlbFlush, str]] = {"off": "no flushing of translations", "on": "flushed in each round"}
REGIONS: Final = 100
COLUMNS, ROWS, WIDE, HIGH = 64, 56, 4, 4
GAP: Final = 24
RECORD: Final = f"{PYTHON} -m damon.cli.main record --linux --ops fvaddr --quiet --max-nr-regions {REGIONS}"


@dataclass(frozen=True)
class Seen:
    """One heatmap: percent of samples, by time and address; their mean, and that of what was touched."""

    heat: Heat
    mean: float
    truth: float
    aggregation_ms: float


def _truth(running: RunningWorkload, began: float, ended: float) -> float:
    """Percent of all pages' sampling intervals in which they were touched."""
    sizes = {name: end - start for name, (start, end) in running.areas.items()}
    shares = running.truth(began, ended)
    return 100 * sum(sizes[name] * shares[name] for name in sizes) / sum(sizes.values())


def _see(guest: Guest, path: Path, own: str, flush: TlbFlush) -> Seen:
    seconds = sum(phase.duration_us for phase in load_workload(path).phases) / 1e6
    with workload(guest, path, tlb_flush=flush) as running:
        spans = [f"{start:#x}-{end:#x}" for start, end in sorted(running.areas.values())]
        regions = " ".join(f"--region {span}" for span in spans)
        record = f"{RECORD} {own} --pid {running.pid} {regions} --duration {seconds:g} -o /tmp/data"
        began = uptime(guest)
        guest.run(f"rm -f /tmp/data*; {record}", cwd=PROJECT, timeout=HANG_S).check()
        truth = _truth(running, began, uptime(guest))
    report = f"{PYTHON} -m damon.cli.main report /tmp/data --json --rows {ROWS} --columns {COLUMNS}"
    (target,) = json.loads(guest.run(report, cwd=PROJECT, timeout=HANG_S).check().text)["targets"]
    areas = sorted(target["areas"], key=lambda area: int(area["start"]))
    heat = [[cell or 0.0 for area in areas for cell in area["heat_percent"][row]] for row in range(ROWS)]
    cells = [cell for row in heat for cell in row]
    spell = target["end_seconds"] - target["start_seconds"]
    return Seen(heat, sum(cells) / len(cells), truth, 1e3 * spell / target["nr_snapshots"])


def _picture(name: str, seen: dict[TlbFlush, dict[str, Seen]]) -> str:
    most = max(cell or 0.0 for row in seen.values() for one in row.values() for line in one.heat for cell in line)
    wide = max(len(one.heat[0]) for row in seen.values() for one in row.values()) * WIDE + GAP
    high = ROWS * HIGH + 3 * GAP
    parts = []
    for nr, (flush, row) in enumerate(seen.items()):
        for column, (who, one) in enumerate(row.items()):
            left, top = GAP + column * wide, 2 * GAP + nr * high
            parts.append(text(left, top - 22, f"{who}, {FLUSHES[flush]}"))
            parts.append(text(left, top - 7, f"accessed in {one.mean:.1f} % of samples, truth {one.truth:.1f} %"))
            parts += heatmap(one.heat, most, left, top, WIDE, HIGH)
    parts.append(text(GAP, 14, f"{name}: accesses by time (down) and address"))
    return svg(GAP + len(WATCHERS) * wide, GAP // 2 + len(seen) * high, parts)


def _draw(guest: Guest, name: str) -> Path:
    path = ROOT / f"workloads/{name}.yaml"
    seen: dict[TlbFlush, dict[str, Seen]] = {}
    for flush in FLUSHES:
        seen[flush] = {}
        for who, own in WATCHERS.items():
            one = seen[flush][who] = _see(guest, path, own, flush)
            print(
                f"| {name} | {FLUSHES[flush]} | {who} | {one.mean:.1f} % | {one.truth:.1f} % "
                f"| {one.aggregation_ms:.0f} ms |",
                flush=True,
            )
    picture = IMAGES / f"accesses-{name}.svg"
    picture.write_text(_picture(name, seen))
    return picture


def main(words: Sequence[str] | None = None) -> int:
    """Draw them; the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("workloads", nargs="*", default=["stairs", "zigzag"], help="shipped ones that repeat")
    parser.add_argument("--kernel", default="page-idle-7.3", help="a name that 'vmtest kernels' lists")
    arguments = parser.parse_args(words)
    config = GuestConfig(
        memory="1G", cpus=2, icount=2, kernel=arguments.kernel, trees=trees.project(), env={"PYTHONPATH": PROJECT}
    )
    print("| workload | translations | by | seen | truth | aggregation |\n|---|---|---|---|---|---|", flush=True)
    with Guest(config) as guest:
        for name in arguments.workloads:
            print(_draw(guest, name).relative_to(ROOT), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
