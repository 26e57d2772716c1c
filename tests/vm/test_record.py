# SPDX-License-Identifier: GPL-2.0-only
"""damon record on real page tables: what it shows of a workload, and what a kill and a full disk leave."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from damon.cli.main import main
from tests.vm.job import COUNTED, PYTHON, ROOT, uptime, workload
from tests.waiting import HANG_S
from vmtest import Guest

pytestmark = pytest.mark.guest(memory="1G", **COUNTED)

RECORD = f"{PYTHON} -m damon.cli.main record --linux --ops vaddr --quiet"
#: Each hot page in every sampling interval of 5 ms.
SMALL = ROOT / "tests/vm/suites/hot-cold-small.yaml"
#: Small snapshots, 50 a second.
OFTEN = "--aggr-us 20000 --flush 0.5"
#: Ten snapshots are in the file when the recorder is killed.
KILL = f"""
    sleep 600 & idle=$!
    {RECORD} --pid $idle -o killed {OFTEN} & recorder=$!
    until [ "$(stat -c %s killed)" -gt 1000 ]; do sleep 0.3; done
    kill -KILL $recorder
    wait $recorder
    code=$?
    kill $idle
    exit $code
"""
FILL = f"""
    mkdir full && mount -t tmpfs -o size=16k none full || exit 9
    sleep 600 & idle=$!
    {RECORD} --pid $idle -o full/out {OFTEN} --duration 60 --accesses-only
    code=$?
    kill $idle
    exit $code
"""


def _report(path: Path, capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    """Of the only target."""
    assert main(["report", str(path), "--json", "--rows", "3", "--columns", "256"]) == 0
    (target,) = json.loads(capsys.readouterr().out)["targets"]
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


def test_what_is_hot_and_what_is_beside_it(
    shared_guest: Guest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with workload(shared_guest, SMALL) as running:
        began = uptime(shared_guest)
        words = f"mkdir /tmp/hot && {RECORD} --pid {running.pid} -o /tmp/hot/damon.data --duration 6 --events all"
        shared_guest.run(words, timeout=HANG_S).check()
        truth = running.truth(began, uptime(shared_guest))
    shared_guest.get("/tmp/hot", tmp_path / "hot")
    data = tmp_path / "hot/damon.data"
    target = _report(data, capsys)
    hot, cold = (_heat(target, *running.areas[name]) for name in ("hot", "cold"))
    print(f"  hot {hot:.0f} %, cold {cold:.1f} % of samples; {target['nr_snapshots']} snapshots")
    assert target["nr_snapshots"] > 20  # a sampling interval takes longer on an emulated processor
    assert hot > 0.7 * 100 * truth["hot"] > 30  # how fast the workload is depends on the host
    assert cold < 5
    start, end = running.areas["hot"]
    assert target["wss_bytes"]["50"] == pytest.approx(end - start, rel=0.4)
    (kdamond,) = json.loads(Path(f"{data}.kdamonds").read_text())
    assert kdamond["contexts"][0]["targets"][0]["pid"] == str(running.pid)
    footprints = json.loads(Path(f"{data}.mem_footprint").read_text())
    resident = footprints[-1]["footprints"][0]["footprint"]["resident"] * 4096
    assert resident >= sum(end - start for start, end in running.areas.values())
    vmas = json.loads(Path(f"{data}.vmas").read_text())
    assert any(vma["start"] <= start < vma["end"] for vma in vmas[0]["procvmas"][0]["vmas"])
    stats = json.loads(Path(f"{data}.proc_stats").read_text())
    names = [process["fields"][1] for process in stats[-1]["proc_stats"]]
    assert names[0] == "(kdamond.0)"
    first = Path(f"{data}.trace").read_text().partition("\n")[0].split()
    assert (first[0], first[1], first[4]) == ("kdamond.0", kdamond["pid"], "damon:damon_aggregated:")


@pytest.mark.long
def test_a_kill_and_a_full_disk_leave_what_was_written(
    shared_guest: Guest, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    shared_guest.run(["mkdir", "/tmp/left"]).check()
    killed = shared_guest.run(KILL, cwd="/tmp/left", timeout=HANG_S)
    full = shared_guest.run(FILL, cwd="/tmp/left", timeout=HANG_S)
    shared_guest.get("/tmp/left", tmp_path / "left")
    assert killed.returncode == 137
    assert _report(tmp_path / "left/killed", capsys)["nr_snapshots"] > 5
    assert full.returncode == 1
    message = (
        "/tmp/left/full/out: cannot be written: No space left on device; make room there; "
        "what was written before is kept"
    )
    assert full.errors.strip() == f"damon: {message}"
    assert _report(tmp_path / "left/full/out", capsys)["nr_snapshots"] > 5
    assert {path.name for path in (tmp_path / "left/full").iterdir()} == {"out", "out.kdamonds"}
