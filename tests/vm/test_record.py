# SPDX-License-Identifier: GPL-2.0-only
"""damon record on real page tables: what it shows of a workload, and what a kill and a full disk leave."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.vm.job import COUNTED, PROJECT, PYTHON, RunningWorkload, uptime, workload
from tests.waiting import HANG_S
from vmtest import Guest

pytestmark = pytest.mark.guest(memory="1G", **COUNTED)

CLI = [PYTHON, "-m", "damon.cli.main"]
#: Each hot page in every sampling interval of 5 ms.
SMALL = f"{PROJECT}/tests/vm/suites/hot-cold-small.yaml"


def _record(running: RunningWorkload, out: str, *words: str) -> list[str]:
    return [*CLI, "record", "--linux", "--ops", "vaddr", "--pid", str(running.pid), "-o", out, "--quiet", *words]


def _report(guest: Guest, path: str) -> dict[str, Any]:
    """Of the only target."""
    done = guest.run([*CLI, "report", path, "--json", "--rows", "3", "--columns", "256"], timeout=HANG_S).check()
    (target,) = json.loads(done.text)["targets"]
    assert isinstance(target, dict)
    return target


def _heat(target: dict[str, Any], start: int, end: int) -> float:
    """The mean over what lies whole in ``[start, end)``, at the end of the recording."""
    cells: list[float] = []
    for area in target["areas"]:
        row = area["heat_percent"][-1]
        width = (area["end"] - area["start"]) / len(row)
        for index, cell in enumerate(row):
            low = area["start"] + index * width
            if cell is not None and start <= low and low + width <= end:
                cells.append(cell)
    return sum(cells) / len(cells)


def test_what_is_hot_and_what_is_beside_it(guest: Guest) -> None:
    with workload(guest, SMALL) as running:
        began = uptime(guest)
        guest.run(_record(running, "/tmp/damon.data", "--duration", "8", "--events", "all"), timeout=HANG_S).check()
        ended = uptime(guest)
        target = _report(guest, "/tmp/damon.data")
        truth = running.truth(began, ended)
    hot, cold = (_heat(target, *running.areas[name]) for name in ("hot", "cold"))
    print(f"  hot {hot:.0f} %, cold {cold:.1f} % of samples; {target['nr_snapshots']} snapshots")
    assert target["nr_snapshots"] > 20  # a sampling interval takes longer on an emulated processor
    assert hot > 0.7 * 100 * truth["hot"] > 30  # how fast the workload is depends on the host
    assert cold < 5
    start, end = running.areas["hot"]
    assert target["wss_bytes"]["50"] == pytest.approx(end - start, rel=0.4)
    (kdamond,) = json.loads(guest.run(["cat", "/tmp/damon.data.kdamonds"]).text)
    assert kdamond["contexts"][0]["targets"][0]["pid"] == str(running.pid)
    footprints = json.loads(guest.run(["cat", "/tmp/damon.data.mem_footprint"]).text)
    resident = footprints[-1]["footprints"][0]["footprint"]["resident"] * 4096
    assert resident >= sum(end - start for start, end in running.areas.values())
    vmas = json.loads(guest.run(["cat", "/tmp/damon.data.vmas"]).text)
    assert any(vma["start"] <= start < vma["end"] for vma in vmas[0]["procvmas"][0]["vmas"])
    stats = json.loads(guest.run(["cat", "/tmp/damon.data.proc_stats"]).text)
    names = [process["fields"][1] for process in stats[-1]["proc_stats"]]
    assert names[0] == "(kdamond.0)"
    first = guest.run(["head", "-n", "1", "/tmp/damon.data.trace"]).text.split()
    assert (first[0], first[1], first[4]) == ("kdamond.0", kdamond["pid"], "damon:damon_aggregated:")


def test_a_kill_and_a_full_disk_leave_what_was_written(guest: Guest) -> None:
    guest.run(["sh", "-c", "mkdir /tmp/full && mount -t tmpfs -o size=16k none /tmp/full"]).check()
    with workload(guest, SMALL) as running:
        killed = guest.run(
            ["timeout", "-s", "KILL", "8", *_record(running, "/tmp/killed", "--flush", "0.5")], timeout=HANG_S
        )
        words = _record(running, "/tmp/full/out", "--flush", "0.5", "--duration", "60", "--accesses-only")
        full = guest.run(words, timeout=HANG_S)
        left = guest.run(["ls", "-A", "/tmp/full"]).text.split()
    assert killed.returncode == 137
    assert _report(guest, "/tmp/killed")["nr_snapshots"] > 5
    assert full.returncode == 1
    message = (
        "/tmp/full/out cannot be written: No space left on device; make room there; what was written before is kept"
    )
    assert full.errors.strip() == f"damon: {message}"
    assert _report(guest, "/tmp/full/out")["nr_snapshots"] > 5
    assert left == ["out", "out.kdamonds"]
