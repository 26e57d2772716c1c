# SPDX-License-Identifier: GPL-2.0-only
"""``damon-workload`` in a guest: it knows an emulated processor, keeps its pace there, and leaves nothing behind."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from damon.workload.tracefile.form import TracedArea
from tests.vm.job import ACCURACY, COUNTED, PROJECT, PYTHON, ROOT, workload
from tests.waiting import HANG_S
from tests.workload.traces import Window, write
from vmtest import Guest

#: A processor that is twice as fast: what is dropped is not the machine's doing.
pytestmark = pytest.mark.guest(memory="1G", **{**COUNTED, "icount": 1})


@pytest.mark.long
@pytest.mark.parametrize("name", ["hot-cold", "accuracy"])
def test_pace_and_truth(guest: Guest, capsys: pytest.CaptureFixture[str], name: str) -> None:
    """All due touches are made or counted as dropped; how many the machine made is printed."""
    path = f"{PROJECT}/workloads/{name}.yaml"
    words = [PYTHON, "-m", "damon.workload.runner", "--json", "--duration", "4", path]
    reports = [json.loads(line) for line in guest.run(words, timeout=HANG_S).check().text.splitlines()]
    end = reports[-1]
    shares = {area["name"]: area["share"] for area in end["areas"]}
    with capsys.disabled():
        print(f"\n  {name}: {end['touches'] / end['seconds']:,.0f} touches/s, {end['dropped']:,} not made in time,"
              f" shares {shares}")  # fmt: skip
    assert end["event"] == "end"
    assert end["tlb_flush"] is (guest.accelerator == "tcg")
    rate = {"hot-cold": 2e6, "accuracy": 804800}[name]
    assert end["touches"] + end["dropped"] == pytest.approx(rate * end["seconds"], rel=0.03)
    made = end["touches"] / (end["touches"] + end["dropped"])
    # A page of hot is due in each interval, and what was not made can't have been seen.
    assert shares["hot"] <= 1
    assert shares["hot"] == pytest.approx(made, abs=0.12)
    assert shares["cold"] == 0


def test_flushing_on_an_emulated_processor_makes_touches_visible(guest: Guest) -> None:
    """Idle pages, marked once a TLB entry is there: touched ones must not stay idle."""
    with workload(guest, ACCURACY) as running:
        words = [PYTHON, "-m", "tests.vm.guest.idle", str(running.pid), running.span("hot"), running.span("cold")]
        # Not writable: what is locked besides are the program's tables.
        rule = "/^[0-9a-f]+-/ {at=$1; flushed=$2 !~ /w/} /^Locked:/ && $2 && flushed {print at}"
        locked = f"awk '{rule}' /proc/{running.pid}/smaps"
        spans = [line.split("-") for line in guest.run(locked).check().text.splitlines()]
        words += [f"{int(start, 16)}:{int(end, 16)}" for start, end in spans]
        hot, cold, *flushing = json.loads(guest.run(words, timeout=HANG_S).check().text)
    assert hot > 0.95
    assert cold < 0.05
    assert len(flushing) == (guest.accelerator == "tcg")
    assert all(share < 0.05 for share in flushing), "the pages that are flushed look as if they were in use"


@pytest.mark.parametrize("row", [40, 1], ids=["a record's", "a capture's"])
def test_a_trace_is_performed(guest: Guest, tmp_path: Path, row: int) -> None:
    """To its end, one process for each of the trace's; each touch of each window is made or counted as dropped.

    A capture has a row for each page, a record one for all pages of a region.
    """
    second = 10**9
    rows = [[(page, page + row, 20.0, 0.5) for page in range(n * 10, n * 10 + 40, row)] for n in range(10)]
    windows = [Window(n * second // 5, (n + 1) * second // 5, rows[n]) for n in range(10)]
    areas = [
        TracedArea("heap", 0, 0, 64, mapped=((0, 2 * second),)),
        TracedArea("map", 0, 64, 100, "file", mapped=((second // 2, 7 * second // 5),)),
        TracedArea("other", 1, 0, 200, mapped=((0, 2 * second),)),
    ]
    path = write(tmp_path / "w.trace", [("web", 164, windows), ("db", 200, windows)], areas, 2 * second)
    guest.put(path, "/tmp/w.trace")
    words = [PYTHON, "-m", "damon.workload.runner", "--json", "--replay", "/tmp/w.trace"]
    reports = [json.loads(line) for line in guest.run(words, timeout=HANG_S).check().text.splitlines()]
    ends = {end["process"]: end for end in reports if end["event"] == "end"}
    assert ends["db"]["touches"] + ends["db"]["dropped"] == 10 * 40 * 20
    # The clock of an idle guest goes on to the next timer, and what is late then is dropped.
    assert ends["db"]["touches"] > 4000
    # Pages up to 63 of windows 0 to 6; pages from 64 on in windows 3 to 6, where the map is there.
    heap, mapped = (20 * sum(pages) for pages in ((40, 40, 40, 34, 24, 14, 4), (6, 16, 26, 36)))
    made = [area["touches"] for area in ends["web"]["areas"]]
    assert made[0] <= heap
    assert made[1] <= mapped
    assert sum(made) + ends["web"]["dropped"] == pytest.approx(heap + mapped, abs=20 * 36)
    assert {r["areas"][1]["start"] != 0 for r in reports if r["process"] == "web"} == {False, True}
    assert all(end["seconds"] > 1.9 for end in ends.values())


def test_ending_leaves_no_process(guest: Guest) -> None:
    with workload(guest, ROOT / "workloads/phases.yaml") as running:
        assert guest.run(["test", "-d", f"/proc/{running.pid}"]).returncode == 0
    assert guest.run(["pgrep", "-x", "damon-workload"]).text == ""
