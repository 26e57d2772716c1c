# SPDX-License-Identifier: GPL-2.0-only
"""The native program, for real and briefly: rates, the truth it reports, which pages it touches, events."""

from __future__ import annotations

import json
import math
import re
import signal
import subprocess
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from damon.native import WORKLOAD_PROGRAM
from damon.workload import runner
from damon.workload.load import load_workload, parse_workload
from damon.workload.plan import Options, compile_plan
from tests.workload.native import next_report, one, perform, perform_plan, present, started, virtual_time

SHIPPED = Path(__file__).parents[2] / "workloads"


def _zipf_share(pages: int, rate: float, skew: float, interval: float) -> float:
    weights = [(i + 1) ** -skew for i in range(pages)]
    total = sum(weights)
    return sum(1 - math.exp(-rate * interval * w / total) for w in weights) / pages


@pytest.mark.parametrize(
    ("data", "interval_us", "share"),
    [
        (one("sequential", 256 * 50), 5000, 0.25),  # a sweep every 20 ms
        (one("sequential", 256 * 50), 10000, 0.5),
        (one("sequential", 256 * 400), 5000, 1.0),
        (one("strided", 256 * 25, stride=8192), 5000, 0.125),  # half of the pages, each every 20 ms
        (one("strided", 256 * 200, stride=1024), 5000, 0.25),  # each page four times in a row, every 20 ms
        (one("random", 256 * 100), 5000, 1 - math.exp(-0.5)),
        (one("random", 256 * 100), 20000, 1 - math.exp(-2)),
        (one("zipf", 20000, skew=1.0), 5000, _zipf_share(256, 20000, 1.0, 0.005)),
        (one("zipf", 20000, skew=0.5), 5000, _zipf_share(256, 20000, 0.5, 0.005)),
        (one("random", 256 * 100, write=0), 5000, 1 - math.exp(-0.5)),
    ],
    ids=["sequential", "longer", "fast", "strided", "short", "random", "often", "zipf", "flat", "reads"],
)
def test_rate_and_truth(data: dict[str, Any], interval_us: int, share: float) -> None:
    """The share is what pattern and rate say, and every touch that is due is made."""
    rate = data["phases"][0]["access"][0]["rate"]
    end = perform(data, 1.0, interval_us=interval_us)[-1]
    assert (end["event"], end["dropped"]) == ("end", 0)
    assert end["touches"] == pytest.approx(rate * end["seconds"], rel=0.01)
    assert end["areas"][0]["share"] == pytest.approx(share, rel=0.04)


def _expected(pattern: str, touches: int, pages: int, seed: int, stride: int = 4096, skew: float = 1.0) -> set[int]:
    """The pages that the first ``touches`` fall on."""
    mask, state, result = (1 << 64) - 1, seed * 1000003, set()
    weights = [(i + 1) ** -skew for i in range(pages)]
    offset = 0
    for _ in range(touches):
        if pattern in ("sequential", "strided"):
            result.add(offset // 4096)
            offset = 0 if offset + stride >= pages * 4096 else offset + stride
            continue
        state = (state + 0x9E3779B97F4A7C15) & mask
        v = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & mask
        v = (v ^ v >> 27) * 0x94D049BB133111EB & mask
        v ^= v >> 31
        if pattern == "random":
            result.add(v * pages >> 64)
            continue
        wanted, page = (v >> 11) * 2**-53 * sum(weights), 0
        while wanted >= weights[page]:
            wanted -= weights[page]
            page += 1
        result.add(page)
    return result


@pytest.mark.parametrize(
    ("pattern", "seed", "more"),
    [
        ("sequential", 0, {}),
        ("strided", 0, {"stride": 3 * 4096 + 64}),  # starts over at the first byte, as masim and the simulator do
        ("random", 1, {}),
        ("random", 2**63, {}),
        ("zipf", 7, {"skew": 0.8}),
    ],
)
def test_the_pages_that_are_touched(pattern: str, seed: int, more: dict[str, Any]) -> None:
    """Page for page, by pagemap: for a while some hundred touches of memory that is not there yet, then nothing."""
    data = one(pattern, 1000, 700, duration="300ms", **more)
    data["areas"]["a"]["populate"] = False
    data["phases"].append({"duration": "60s"})
    with started(data, virtual_time(), seed=seed, report_us=100_000) as (process, (ready,)):
        report = ready
        while report["phase"] != "phase 1":
            report = next_report(process)
        assert report["touches"] == pytest.approx(300, abs=2)
        assert present(ready) == _expected(pattern, report["touches"], 700, seed & (1 << 64) - 1, **more)


@pytest.mark.parametrize(("huge", "flag"), [(True, "hg"), (False, "nh")])
def test_huge_pages_are_asked_for_or_refused(huge: bool, flag: str) -> None:
    """By madvise, as VmFlags of the area's mapping show it."""
    if not Path("/sys/kernel/mm/transparent_hugepage").exists():
        pytest.skip("this kernel has no transparent huge pages")
    with started(one("sequential", 1000), virtual_time(), huge_pages=huge) as (_, (ready,)):
        mappings = Path(f"/proc/{ready['pid']}/smaps").read_text()
    start = ready["areas"][0]["start"]
    flags = re.search(rf"^{start:08x}-.*?^VmFlags:(.*?)$", mappings, re.MULTILINE | re.DOTALL)
    assert flags
    assert {"hg", "nh"} & set(flags[1].split()) == {flag}


@pytest.mark.parametrize("locked", [False, True])
def test_a_locked_area(locked: bool) -> None:
    """Its pages are, as the kernel has it; of what is not, only the tables of its touches."""
    data = one("sequential", 1000, 700)
    data["areas"]["a"]["locked"] = locked
    with started(data, virtual_time()) as (_, (ready,)):
        smaps = Path(f"/proc/{ready['pid']}/smaps").read_text()
    area = smaps[smaps.index(f"{ready['areas'][0]['start']:x}-") :]
    assert int(area[area.index("Locked:") :].split()[1]) == 2800 * locked


def test_more_than_may_be_locked_is_refused() -> None:
    plan = compile_plan(parse_workload({
        "areas": {"a": {"size": "64 MiB", "locked": True}}, "phases": [{"duration": "1s"}]
    }))  # fmt: skip
    limited = ["prlimit", f"--memlock={1 << 20}", "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534"]
    refused = subprocess.run([*limited, WORKLOAD_PROGRAM], input=plan, capture_output=True, text=True, check=False)
    assert refused.returncode != 0
    assert "mlock2 of area a failed: Cannot allocate memory; ulimit -l 65536" in refused.stderr


@pytest.mark.parametrize(("limit", "unlocked"), [(0, 16 << 10), (1 << 20, 0)])
def test_own_tables_that_may_not_be_locked_are_counted(limit: int, unlocked: int) -> None:
    """Of a process with no right to lock more than the limit: four pages, for the time of each page's last touch."""
    plan = compile_plan(parse_workload(one("sequential", 1000, 4096)), Options(duration_us=1000, tlb_flush="off"))
    limited = ["prlimit", f"--memlock={limit}", "setpriv", "--bounding-set=-all", "--inh-caps=-all", "--reuid=65534"]
    done = subprocess.run([*limited, WORKLOAD_PROGRAM], input=plan, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout.splitlines()[0])["unlocked_bytes"] == unlocked


def test_what_is_not_locked_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    report = {
        "event": "ready",
        "process": "main",
        "pid": 7,
        "areas": [],
        "tlb_flush": False,
        "unlocked_bytes": 16 << 10,
    }
    runner._say(json.dumps(report))
    said = capsys.readouterr()
    assert said.out.startswith("main ready, pid 7")
    assert said.err == (
        "damon-workload: main: 16 KiB of its own tables are not locked, so their faults may count as the workload's; "
        "raise ulimit -l\n"
    )


@pytest.mark.parametrize("write", [0.0, 0.5, 1.0])
def test_the_share_of_touches_that_write(write: float) -> None:
    """Each write adds one to a byte of the page. A page that was only read has a frame of its own as well."""
    data = one("sequential", 5000, 8000, duration="400ms", write=write)
    data["areas"]["a"]["populate"] = False
    data["phases"].append({"duration": "60s"})
    with started(data, virtual_time(), report_us=100_000) as (process, (ready,)):
        report = ready
        while report["phase"] != "phase 1":
            report = next_report(process)
        smaps = Path(f"/proc/{ready['pid']}/smaps").read_text()
        start = ready["areas"][0]["start"]
        area = smaps[smaps.index(f"{start:x}-") :]
        own = int(area[area.index("Anonymous:") :].split()[1]) // 4
        with Path(f"/proc/{ready['pid']}/mem").open("rb") as memory:
            memory.seek(start)
            written = sum(memory.read(8000 * 4096)[64::4096])
    assert report["touches"] == pytest.approx(2000, abs=10)
    assert own == report["touches"]
    assert written / report["touches"] == pytest.approx(write, abs=0.06)


def test_a_page_that_is_mapped_again_comes_by_a_write_again() -> None:
    """Pages that are read only: none of them is the page of zeros, which the kernel maps for a read."""
    data = one("sequential", 5000, 100, write=0)
    data["areas"]["a"]["populate"] = False
    data["phases"] = [
        {"duration": "100ms", "access": data["phases"][0]["access"]},
        {"duration": "50ms", "munmap": ["a"]},
        {"duration": "100ms", "mmap": ["a"], "access": data["phases"][0]["access"]},
        {"duration": "60s"},
    ]
    with started(data, virtual_time(), report_us=50_000) as (process, (ready,)):
        report = ready
        while report["phase"] != "phase 3":
            report = next_report(process)
        smaps = Path(f"/proc/{ready['pid']}/smaps").read_text()
        area = smaps[smaps.index(f"{report['areas'][0]['start']:x}-") :]
        assert int(area[area.index("Anonymous:") :].split()[1]) == 400


def test_populated_areas_are_there_from_the_start() -> None:
    with started(one("random", 1, 300)) as (_, (ready,)):
        assert present(ready) == set(range(300))
        smaps = Path(f"/proc/{ready['pid']}/smaps").read_text()
        area = smaps[smaps.index(f"{ready['areas'][0]['start']:x}-") :]
        assert "nh" in area[area.index("VmFlags:") :].splitlines()[0].split()


def test_a_file_area_is_a_file_without_a_name(tmp_path: Path) -> None:
    data = one("random", 1, 300, write=0)
    data["areas"]["a"]["kind"] = "file"
    with started(data, directory=str(tmp_path)) as (_, (ready,)):
        maps = Path(f"/proc/{ready['pid']}/maps").read_text().splitlines()
        mapping = next(line for line in maps if line.startswith(f"{ready['areas'][0]['start']:x}-"))
        assert str(tmp_path) in mapping
        assert mapping.split()[1].endswith("s")
        assert mapping.endswith("(deleted)")
        assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_reported_before_anything_starts(tmp_path: Path) -> None:
    data = one("random", 1)
    data["areas"]["a"]["kind"] = "file"
    data["areas"]["b"] = {"size": 4096, "process": "other"}
    plan = compile_plan(parse_workload(data), Options(directory=str(tmp_path / "gone")))
    result = subprocess.run([WORKLOAD_PROGRAM], input=plan, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    assert result.stderr.startswith("damon-workload: the backing file of area a failed: No such file")
    assert '"touches": 0' in result.stdout or result.stdout == ""


def test_events_map_unmap_and_exit() -> None:
    workload = load_workload(SHIPPED / "phases.yaml")
    plan = compile_plan(workload, Options(duration_us=1_600_000, report_us=100_000))
    plan = plan.replace("phase 5000000", "phase 500000")
    reports = perform_plan(plan)
    buffer = [(r["phase"], r["areas"][1]["start"] != 0) for r in reports if r["process"] == "main" and r["phase"]]
    assert set(buffer) == {("start", False), ("burst", True), ("calm", False)}
    helper = [r for r in reports if r["process"] == "helper"]
    assert helper[-1]["event"] == "end"
    assert helper[-1]["seconds"] == pytest.approx(1.0, abs=0.01)


def test_the_share_counts_only_while_the_area_is_mapped() -> None:
    """Mapped half of the time and swept every 10 ms then: a half, and the rounds go on."""
    data = {
        "areas": {"a": {"size": 64 * 4096, "mapped": False}, "rest": {"size": 4096}},
        "repeat": True,
        "phases": [
            {"duration": "100ms", "mmap": ["a"], "access": [{"area": "a", "rate": 6400, "pattern": "sequential"}]},
            {"duration": "100ms", "munmap": ["a"]},
        ],
    }
    end = perform(data, 1.0)[-1]
    assert end["dropped"] == 0
    assert end["areas"][0]["touches"] == pytest.approx(3200, rel=0.02)
    assert end["areas"][0]["share"] == pytest.approx(0.5, rel=0.1)
    assert end["areas"][1]["share"] == 0


def test_recent_share_is_that_since_the_last_report() -> None:
    data = one("sequential", 256 * 400, duration="500ms")
    data["phases"].append({"duration": "60s"})
    reports = perform(data, 1.4, report_us=100_000)
    assert all(r["areas"][0]["recent_share"] > 0.7 for r in reports[1:5])
    assert [r["areas"][0]["recent_share"] for r in reports[-5:]] == [0] * 5
    assert 0.2 < reports[-1]["areas"][0]["share"] < 0.5


@pytest.mark.parametrize("round_us", [1000, 5000, 10_000])
def test_rounds_keep_pace_and_truth(round_us: int) -> None:
    """A page that is touched every 20 ms is touched in a quarter of the intervals, however long the rounds."""
    reports = perform(one("sequential", 50_000, 1000, duration="2s"), 2, round_us=round_us)
    assert reports[-1]["touches"] == pytest.approx(100_000, rel=0.02)
    assert reports[-1]["dropped"] == 0
    assert reports[-1]["areas"][0]["share"] == pytest.approx(0.25, abs=0.03)


@pytest.mark.parametrize("flush", ["on", "off"])
def test_flushing_the_tlb_is_reported(flush: str) -> None:
    """The pages for it stay in memory: a monitor takes them for idle, and without them nothing is flushed."""
    with started(one("random", 1000), tlb_flush=flush) as (process, (ready,)):
        assert ready["tlb_flush"] is (flush == "on")
        status = Path(f"/proc/{ready['pid']}/status").read_text()
        tables = 4
        assert int(status.split("VmLck:")[1].split()[0]) == tables + 256 * (flush == "on")
        assert process.poll() is None


def test_more_than_the_machine_can_do() -> None:
    """Areas take turns, the reports come, what was not made is counted, and a signal ends it."""
    data = {
        "areas": {"a": {"size": 1 << 20}, "b": {"size": 1 << 20}},
        "phases": [{"duration": "60s", "access": [{"area": "a", "rate": "10G"}, {"area": "b", "rate": "10G"}]}],
    }
    with started(data, virtual_time(), report_us=100_000, tlb_flush="on") as (process, _):
        reports = [next_report(process) for _ in range(3)]
        process.send_signal(signal.SIGTERM)
        process.communicate()
        assert process.returncode == 0
    assert max(later["seconds"] - r["seconds"] for r, later in pairwise(reports)) < 0.25
    one_area, other = (area["touches"] for area in reports[-1]["areas"])
    assert one_area == pytest.approx(other, rel=0.3)
    assert reports[-1]["dropped"] > 10 * reports[-1]["touches"]


@pytest.mark.parametrize(
    "text",
    [
        "", "nonsense\n", "options 1 5000 0 0 1000 0 0 0 /tmp\n", "area 0 0 4096 1 1 0 a\n",
        "options 1 5000 0 0 0 0 0 0 /tmp\nprocess p\narea 0 0 4096 1 1 0 a\nphase 1 x\n",
        "options 1 5000 0 0 10001 0 0 0 /tmp\nprocess p\narea 0 0 4096 1 1 0 a\nphase 1 x\n",
        "options 1 5000 0 0 1000 0 0 0 /tmp\nprocess p\narea 0 0 4097 1 1 0 a\nphase 1 x\n",
        "options 1 5000 0 0 1000 0 0 0 /tmp\nprocess p\narea 0 0 4096 1 1 0 a\nphase 1 x\naccess 1 0 1.0 1.0 4096 1\n",
        "options 1 5000 0 0 1000 0 0 0 /tmp\nprocess p\narea 0 0 4096 1 1 0 a\nphase 1 x\naccess 0 0 1.0 1.0 0 1.0\n",
        "options 1 5000 0 0 1000 0 0 0 /tmp\nprocess p\narea 0 0 4096 1 1 0 a\nphase 1 x\nevent 2 1\n",
    ],
)  # fmt: skip
def test_a_bad_plan_is_refused(text: str) -> None:
    result = subprocess.run([WORKLOAD_PROGRAM], input=text, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


def test_phases_take_nothing_of_what_goes_on() -> None:
    """A pass in order and a slow rate, over 100 phases that another access makes: each touch is made, in turn."""
    access = [
        {"area": "a", "rate": 90, "pattern": "sequential"},
        {"area": "steps", "rate": 110, "pattern": "strided", "stride": 8192},
        {"area": "slow", "rate": 7},
        {"area": "beside", "rate": 1000, "rhythm": "other"},
    ]
    data = {
        "rhythms": {"other": {"period": "6s", "peak": 1, "step": "50ms"}},
        "areas": {name: {"size": 600 * 4096, "populate": False} for name in ("a", "steps", "slow", "beside")},
        "phases": [{"duration": "6s", "access": access}, {"name": "end", "duration": "60s"}],
    }
    assert len(parse_workload(data).phases) > 100
    with started(data, virtual_time(), report_us=100_000) as (process, (ready,)):
        report = ready
        while report["phase"] != "end":
            report = next_report(process)
        assert report["dropped"] == 0
        assert present(ready) == set(range(540))
    touches = {area["name"]: area["touches"] for area in report["areas"]}
    assert touches == pytest.approx({"a": 540, "steps": 660, "slow": 42, "beside": 3000}, abs=1)


def test_a_pass_begins_again_after_a_pause_and_with_another_stride() -> None:
    access = {"area": "a", "rate": 100, "pattern": "sequential"}
    phases = [[access], [], [access], [{**access, "pattern": "strided", "stride": 3 * 4096}], []]
    data = {
        "areas": {"a": {"size": 600 * 4096, "populate": False}},
        "phases": [{"duration": "500ms", "access": accesses} for accesses in phases],
    }
    with started(data, virtual_time(), report_us=100_000) as (process, (ready,)):
        report = ready
        while report["phase"] != "phase 4":
            report = next_report(process)
        assert present(ready) == {*range(50), *range(0, 150, 3)}
