# SPDX-License-Identifier: GPL-2.0-only
"""damo reads recordings, and reports what the tracepoints had. Here it gets files only."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from damon.core import Damon, set_attrs
from damon.core.events import AGGREGATED
from damon.core.trace import TraceEvent
from damon.mm.sim import SimulatedMachine
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.target import DamonTarget
from damon.records.environment import SimEnvironment
from damon.records.heatmap import report as summed_up
from damon.records.recorder import Recorder
from damon.trace.install import install_perf
from damon.workload.load import load_workload
from tests.contexts import selected

MIB = 1 << 20
_COLORS = re.compile(r"\x1b\[[\d;]*m")


@dataclass
class Recorded:
    """A recording, and what the tracepoint said meanwhile: time, then start, end, count and age of each region."""

    path: Path
    truth: list[tuple[int, list[tuple[int, int, int, int]]]]
    hot: tuple[int, int]
    total: int
    perf: Path


def _record(directory: Path, form: str, goal: DamonIntervalsGoal | None = None, name: str = "damon.data") -> Recorded:
    machine = SimulatedMachine(load_workload("workloads/hot-cold.yaml"), 3)
    damon = Damon(machine, seed=3)
    ctx = selected(damon, "vaddr")
    ctx.targets += [DamonTarget(space=machine.open_process(pid)) for pid in machine.pids.values()]
    set_attrs(ctx, DamonAttrs() if goal is None else DamonAttrs(intervals_goal=goal))
    recorder = Recorder(damon, directory / name, SimEnvironment(machine), output_type=form, events=["damon_aggregated"])
    truth: list[tuple[int, list[tuple[int, int, int, int]]]] = []

    def note(event: TraceEvent) -> None:
        truth.append((event.time_ns, [row[:4] for row in event.regions()]))

    damon.trace.subscribe(note, [AGGREGATED])
    damon.start([ctx])
    recorder.watch(ctx)
    for _ in range(60):
        machine.clock.sleep_us(100_000)
        recorder.poll()
    recorder.refresh()
    damon.stop([ctx])
    recorder.finish()
    areas = {area.name: area for area in machine.areas()}
    hot = areas["hot"].start, areas["hot"].start + areas["hot"].size_bytes
    (directory / "bin").mkdir()
    perf = install_perf(directory / "bin")
    for tool in ("file", "which", "uname", "ps"):  # and nothing else, in particular no perf of this machine
        found = shutil.which(tool)
        assert found is not None, f"{tool} is not installed"
        (directory / "bin" / tool).symlink_to(found)
    pager = directory / "bin" / "less"  # --RAW-CONTROL-CHARS --no-init FILE
    pager.write_text(f'#!/bin/sh\nexec {shutil.which("cat")} "$3"\n')
    pager.chmod(0o755)
    machine.close()
    return Recorded(directory / name, truth, hot, sum(area.size_bytes for area in areas.values()), perf)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Recorded:
    return _record(tmp_path_factory.mktemp("damo"), "json_compressed")


def _damo(recorded: Recorded, *words: str) -> str:
    directory = recorded.path.parent
    damo = Path(sys.executable).with_name("damo")
    environment = {"HOME": str(directory), "PATH": str(recorded.perf.parent), "TERM": "dumb"}
    done = subprocess.run(
        [sys.executable, str(damo), "report", *words], cwd=directory, env=environment, text=True, capture_output=True,
        timeout=600, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    return _COLORS.sub("", done.stdout)


def _number(text: Any) -> int:
    return int(str(text).replace(",", ""))


def _regions(text: str) -> list[tuple[int, list[tuple[int, ...]]]]:
    """Of damo's JSON."""
    (record,) = json.loads(text)

    def row(r: Any) -> tuple[int, ...]:
        return tuple(map(_number, (r["start"], r["end"], r["nr_accesses"]["samples"], r["age"]["aggr_intervals"])))

    return [(_number(one["end_time"]), [row(region) for region in one["regions"]]) for one in record["snapshots"]]


ACCESS = ("access", "--json", "--raw_number", "--dont_merge_regions", "--input_file", "damon.data")


def test_access(recorded: Recorded) -> None:
    said = _regions(_damo(recorded, *ACCESS))
    assert len(said) == len(recorded.truth) >= 58
    assert said == recorded.truth


def test_access_as_text(recorded: Recorded) -> None:
    text = _damo(recorded, "access", "--input_file", "damon.data", "--snapshot_idx", "50", "50")
    assert "sample 5 ms aggr 100 ms (max access hz 200)" in text
    rows = re.findall(r"addr (\S+ \S+)\s+size (\S+ \S+)\s+access (\d+) hz\s+age (\S.*?)\s*$", text, re.MULTILINE)
    assert rows
    hot = [int(hz) for _, _, hz, _ in rows]
    assert max(hot) > 100
    assert min(hot) == 0


def test_heatmap(recorded: Recorded) -> None:
    start, end = recorded.hot
    (vmas,) = json.loads(recorded.path.with_name("damon.data.vmas").read_text())
    areas = [(vma["start"], vma["end"]) for vma in vmas["procvmas"][0]["vmas"]]
    lowest, highest = min(areas)[0], max(areas)[1]
    cell = (highest - lowest) // 36
    words = ["heatmap", "--input", "damon.data", "--output", "stdout", "--resol", "6", "36"]
    text = _damo(recorded, *words, "--address_range", str(lowest), str(lowest + 36 * cell))
    rows = [line.strip() for line in text.splitlines() if re.fullmatch(r"\d{36}\s*", line)]
    assert len(rows) == 6
    first, last = -(-(start - lowest) // cell), (end - lowest) // cell
    assert last - first >= 3
    for row in rows:
        heat = [int(digit) for digit in row]
        assert min(heat[first:last]) >= 7
        assert set(heat[: first - 1] + heat[last + 1 :]) <= {0}


def test_wss(recorded: Recorded) -> None:
    text = _damo(recorded, "wss", "--input", "damon.data", "--raw_number")
    percentiles = {int(a): int(b) for a, b in re.findall(r"^\s*(\d+)\s+(\d+) \|", text, re.MULTILINE)}
    wss = sorted(sum(end - start for start, end, count, _ in rows if count) for _, rows in recorded.truth)
    # damo puts two snapshots into one, of the higher counts each, and leaves out 20
    assert wss[0] <= percentiles[50] <= 2 * wss[-1]
    assert percentiles[50] < recorded.total / 2
    (ours,) = summed_up(recorded.path, 2, 2).targets
    assert ours.percentiles(ours.wss)[2] == wss[(len(wss) - 1) // 2]


def test_footprints_and_the_rest(recorded: Recorded) -> None:
    text = _damo(recorded, "footprints", "rss", "--input", "damon.data.mem_footprint", "--raw_number")
    assert int(re.findall(r"^\s*100\s+(\d+)", text, re.MULTILINE)[0]) == pytest.approx(recorded.total, rel=0.05)
    text = _damo(recorded, "nr_regions", "--input", "damon.data")
    numbers = sorted(len(rows) for _, rows in recorded.truth)
    assert int(re.findall(r"^100\s+(\d+)", text, re.MULTILINE)[0]) == numbers[-1]
    text = _damo(recorded, "record_info", "--input", "damon.data", "--raw_numbers")
    assert "kdamond_idx: 0" in text
    regions = [tuple(map(int, pair)) for pair in re.findall(r"region\s+\d+: \[(\d+), (\d+)\)", text)]
    assert any(start <= recorded.hot[0] and recorded.hot[1] <= end for start, end in regions)


def test_holistic(recorded: Recorded) -> None:
    text = _damo(recorded, "holistic", "--access_pattern", "damon.data")
    assert "No profile was recorded" in text
    rss = re.search(r"^ +rss +(.*)$", text, re.MULTILINE)
    assert rss is not None
    assert rss[1].count("256.000 MiB") >= 4


def test_trace_by_way_of_the_perf_stand_in(recorded: Recorded) -> None:
    shutil.copy(recorded.path.with_name("damon.data.trace"), recorded.path.with_name("events"))
    text = _damo(recorded, "trace", "--input", "events", "--event", "all", "--max_cols", "1000")
    lines = [line.split() for line in text.splitlines()]
    assert {tuple(line[1:3]) for line in lines} == {("kdamond.0/0", "damon:damon_aggregated")}
    assert len(lines) == sum(len(rows) for _, rows in recorded.truth)
    times = {line[0] for line in lines}
    assert times == {f"{ns // 10**9}.{ns % 10**9 // 1000:06}" for ns, _ in recorded.truth}


def test_text_and_json(tmp_path: Path) -> None:
    (tmp_path / "script").mkdir()
    script = _record(tmp_path / "script", "perf_script")
    (record,) = json.loads(_damo(script, *ACCESS))
    said = _regions(json.dumps([record]))
    assert [rows for _, rows in said] == [rows for _, rows in script.truth]
    assert all(abs(a - b) < 1000 for (a, _), (b, _) in zip(said, script.truth, strict=True))  # damo reads floats
    plain = _record(tmp_path, "json")
    kind = subprocess.check_output(["file", "-b", str(plain.path)], text=True).strip()
    if kind == "JSON data":  # what damo looks for; later versions of file say "JSON text data"
        assert _regions(_damo(plain, *ACCESS)) == plain.truth
    else:
        assert kind == "JSON text data"
    assert _regions(plain.path.read_text()) == plain.truth


def test_tuned_intervals(tmp_path: Path) -> None:
    """Rates and ages are those of the intervals in use, although damo knows only the first ones."""
    tuned = _record(tmp_path, "json_compressed", DamonIntervalsGoal(4000, 2, 5000, 40000))
    (record,) = json.loads(_damo(tuned, *ACCESS))
    samples = [snapshot["sample_interval_us"] for snapshot in record["snapshots"]]
    assert len(set(samples)) > 2
    assert record["intervals"]["sample_us"] == "5000"
    last = record["snapshots"][-1]
    for region in last["regions"]:
        assert float(region["nr_accesses"]["percent"]) == int(region["nr_accesses"]["samples"]) * 5
