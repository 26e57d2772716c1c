# SPDX-License-Identifier: GPL-2.0-only
"""``damon record`` and ``damon report``: what is recorded is what the simulator had, and every way that it can end."""

from __future__ import annotations

import json
import os
import re
import resource
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from damon.cli.heatmap import level
from damon.records import heatmap
from damon.records.read import read
from tests.cli.conftest import OPEN, Damon
from tests.waiting import until

MIB = 1 << 20
ENDLESS = """\
areas:
  hot:  {size: 2 MiB}
  cold: {size: 6 MiB}
phases:
  - duration: 1s
    access:
      - {area: hot, pattern: sequential, rate: 150k}
repeat: true
machine:
  memory: 64 MiB
"""


def _start(*words: str, cwd: Path) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "damon.cli.main", "record", *words]
    environment = os.environ | {"PYTHONPATH": str(Path.cwd())}
    return subprocess.Popen(
        command, cwd=cwd, env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def _snapshots(path: Path) -> int:
    return sum(1 for _ in read(path)) if path.exists() else 0


@pytest.fixture
def endless(tmp_path: Path) -> str:
    (tmp_path / "endless.yaml").write_text(ENDLESS)
    return "endless.yaml"


def test_the_heatmap_shows_what_the_workload_does(damon: Damon, tmp_path: Path, small: str) -> None:
    path = tmp_path / "damon.data"
    outcome = damon(["record", "--sim", small, "--ops", "vaddr", "-o", str(path), "--quiet"])
    assert (outcome.code, outcome.out, outcome.err) == (0, "", "")
    assert sorted(entry.name for entry in tmp_path.iterdir()) == [
        "damon.data", "damon.data.kdamonds", "damon.data.mem_footprint", "damon.data.proc_stats", "damon.data.vmas",
        "small.yaml",
    ]  # fmt: skip
    outcome = damon(["report", str(path), "--json", "--rows", "4", "--columns", "32"])
    assert (outcome.code, outcome.err) == (0, "")
    (target,) = json.loads(outcome.out)["targets"]
    assert (target["nr_snapshots"], target["end_seconds"]) == (30, 3.0)
    (vmas,) = json.loads((tmp_path / "damon.data.vmas").read_text())
    areas = {vma["name"]: (vma["start"], vma["end"]) for vma in vmas["procvmas"][0]["vmas"]}
    shown = next(area for area in target["areas"] if area["start"] <= areas["hot"][0] < area["end"])
    row = shown["heat_percent"][-1]
    cell = (shown["end"] - shown["start"]) / len(row)

    def mean(start: int, end: int) -> float:
        inside: list[float] = [row[i] for i in range(len(row)) if start <= shown["start"] + i * cell + cell / 2 < end]
        return sum(inside) / len(inside)

    assert mean(*areas["hot"]) > 60  # each page 1.5 times in a sampling interval
    assert mean(*areas["cold"]) < 3
    assert target["wss_bytes"]["50"] == pytest.approx(2 * MIB, rel=0.3)


def test_the_report_has_tables_and_digits(damon: Damon, tmp_path: Path, small: str) -> None:
    path = tmp_path / "damon.data"
    outcome = damon(["record", "--sim", small, "--ops", "vaddr", "-o", str(path)])
    assert re.fullmatch(r"damon\.data: 30 snapshots, \d+\.\d KiB\n", outcome.out)
    outcome = damon(["report", str(path), "--rows", "3", "--columns", "16"])
    assert outcome.code == 0
    assert "kdamond 0, target 0: 30 snapshots in 3 s, sampled every 5 ms, 100 ms each" in outcome.out
    rows = [line.split() for line in outcome.out.splitlines() if re.match(r" +\d+\.\d\ds ", line)]
    assert [row[0] for row in rows] == ["0.00s", "1.00s", "2.00s"]
    assert all(re.fullmatch(r"[0-9]+", row[1]) for row in rows)
    assert any(digit in "6789" for digit in rows[-1][1])
    assert rows[-1][1].count("0") >= 8
    assert outcome.out.count("no access seen") == 2


def test_levels_of_heat() -> None:
    assert [level(percent) for percent in (0, 0.1, 11, 12, 50, 88.8, 88.9, 99, 100)] == [0, 1, 1, 2, 5, 8, 9, 9, 9]


def test_modules_are_recorded_while_they_work(damon: Damon, tmp_path: Path, small: str) -> None:
    path = tmp_path / "damon.data"
    words = ("--module", "damon_reclaim", "min_age=500000", "quota_ms=0", *OPEN)
    outcome = damon(
        [
            "record",
            *words,
            "--sim",
            small,
            "-o",
            str(path),
            "--events",
            "damos_before_apply,damos_esz",
            "--accesses-only",
        ]
    )
    assert outcome.code == 0
    (kdamond,) = json.loads((tmp_path / "damon.data.kdamonds").read_text())
    (scheme,) = kdamond["contexts"][0]["schemes"]
    assert (kdamond["contexts"][0]["ops"], scheme["action"]) == ("paddr", "pageout")
    assert int(scheme["stats"]["sz_applied"]) > 4 * MIB
    lines = (tmp_path / "damon.data.trace").read_text().splitlines()
    assert {line.split()[4] for line in lines} >= {"damon:damos_before_apply:"}
    tried = [line for line in lines if "damos_before_apply" in line]
    assert len(tried) >= int(scheme["stats"]["nr_tried"]) > 0
    assert not (tmp_path / "damon.data.vmas").exists()


def test_one_seed_the_same_bytes(damon: Damon, tmp_path: Path, small: str) -> None:
    files = []
    for name, seed in (("a", "1"), ("b", "1"), ("c", "2")):
        assert damon(["record", "--sim", small, "-o", str(tmp_path / name), "--seed", seed, "--quiet"]).code == 0
        files.append((tmp_path / name).read_bytes())
    assert files[0] == files[1] != files[2]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_whole(tmp_path: Path, endless: str, number: signal.Signals) -> None:
    (tmp_path / "out").write_text("older")
    process = _start(
        "--sim", endless, "--ops", "vaddr", "-o", "out", "--duration", "1e6", "--quiet", "--output-type", "json",
        cwd=tmp_path,
    )  # fmt: skip
    path = tmp_path / "out"
    until(lambda: path.read_bytes()[:1] == b"\x78" and _snapshots(path) > 100)
    process.send_signal(number)
    _, err = process.communicate(timeout=600)
    assert (process.returncode, err) == (0, "")
    assert (tmp_path / "out.old").read_text() == "older"
    (record,) = json.loads(path.read_text())
    times = [int(snapshot["end_time"]) for snapshot in record["snapshots"]]
    assert len(times) > 100
    assert {b - a for a, b in zip(times, times[1:], strict=False)} == {100_000_000}
    assert not [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")]


def test_footprints_are_not_taken_more_often_than_snapshots(damon: Damon, tmp_path: Path, endless: str) -> None:
    path = tmp_path / endless
    times = {}
    for aggr_us in (100_000, 5_000_000):
        words = ["--sample-us", str(aggr_us // 20), "--aggr-us", str(aggr_us), "-o", str(tmp_path / "out"), "--quiet"]
        assert damon(["record", "--sim", str(path), "--ops", "vaddr", "--duration", "21", *words]).code == 0
        looks = [look["time"] for look in json.loads((tmp_path / "out.mem_footprint").read_text())]
        times[aggr_us] = [round(b - a) for a, b in zip(looks[1:], looks[2:], strict=False)]
    assert set(times[100_000]) == {1}
    assert set(times[5_000_000]) == {5}


def test_a_kill_leaves_what_was_written(tmp_path: Path, endless: str) -> None:
    path = tmp_path / "out"
    for _ in range(4):
        process = _start(
            "--sim", endless, "--ops", "vaddr", "-o", "out", "--duration", "1e6", "--quiet", "--flush", "0.1",
            cwd=tmp_path,
        )  # fmt: skip
        until(lambda: path.exists() and _snapshots(path) > 200)
        process.kill()
        process.communicate(timeout=600)
        snapshots = [snapshot for _, snapshot in read(path)]  # complete: nothing is said to be damaged
        assert len(snapshots) > 200
        assert heatmap.report(path, 4, 4).damaged is None
        for name in ("kdamonds", "mem_footprint", "vmas"):
            assert json.loads((tmp_path / f"out.{name}").read_text())
        path.unlink()


def test_a_full_disk_is_reported_and_what_was_written_stays(tmp_path: Path, endless: str) -> None:
    process = _start(
        "--sim", endless, "--ops", "vaddr", "-o", "out", "--duration", "1e6", "--quiet", "--accesses-only", cwd=tmp_path
    )
    # No file may become bigger than this: for whoever writes it is the same as a full disk.
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (200_000, 200_000))
    _, err = process.communicate(timeout=600)
    assert process.returncode == 1
    assert re.fullmatch(r"damon: \S+/out: cannot be written: File too large; what was written before is kept\n", err)
    assert _snapshots(tmp_path / "out") > 20
    assert not [entry.name for entry in tmp_path.iterdir() if entry.name.startswith(".")]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--ops", "vaddr", "--pid", "5"], "pid: 5: the simulated machine has no such process"),
        (["--pid", "5"], "--pid: 5: is for --ops vaddr or fvaddr"),
        (["--ops", "vaddr", "--region", "0-4096"], "--region: 1: --ops vaddr follows the process"),
        (["--ops", "fvaddr"], "--ops: fvaddr: needs ranges to monitor; give --region"),
        (["--region", "8192-4096"], "region: 8192-4096: is empty"),
        (["--sample-us", "200000"], "sample_interval: 200000 us: is above aggr_interval, 100000 us"),
        (["--min-nr-regions", "2"], "min_nr_regions: 2: is too small"),
        (["--module", "reclaim", "--ops", "paddr"], "--ops, --pid, --region: are not for modules"),
        (["--module", "nope"], "module: 'nope': is unknown"),
        (["--events", "damos_nope"], "event: 'damos_nope': is unknown; give one of damon_aggregated"),
        (["-o", "."], "--output: '.': is not a file"),
        (["-o", "nowhere/x"], "--output: 'nowhere/x': "),
    ],
)
def test_refused_before_anything_is_touched(
    damon: Damon, tmp_path: Path, small: str, monkeypatch: pytest.MonkeyPatch, words: list[str], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "damon.data").write_text("mine")
    outcome = damon(["record", "--sim", small, *words])
    assert outcome.code == 2
    assert re.fullmatch(rf"damon: {re.escape(message)}.*\n", outcome.err)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["damon.data", "small.yaml"]
    assert (tmp_path / "damon.data").read_text() == "mine"


def test_other_files_are_no_records(damon: Damon, small: str) -> None:
    outcome = damon(["report", small])
    assert outcome.code == 2
    assert "holds no records" in outcome.err
    outcome = damon(["report", "/nowhere"])
    remedy = "give one of `damon record`, or directories of `damon run --out`"
    assert outcome.err == f"damon: file: '/nowhere': is not a file; {remedy} (EINVAL)\n"


def test_a_damaged_file_is_shown_as_far_as_it_goes(damon: Damon, tmp_path: Path, small: str) -> None:
    path = tmp_path / "damon.data"
    damon(["record", "--sim", small, "--ops", "vaddr", "-o", str(path), "--quiet", "--flush", "0.3"])
    path.write_bytes(path.read_bytes()[:-2000])
    outcome = damon(["report", str(path)])
    assert outcome.code == 1
    assert "snapshots in" in outcome.out
    assert outcome.err.endswith("is damaged or ends too early; this is what came before\n")
