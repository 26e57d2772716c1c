# SPDX-License-Identifier: GPL-2.0-only
"""The processes of the native program beside each other: when they wake, and how they share their output."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path

import pytest

from damon.native import WORKLOAD_PROGRAM
from damon.workload.load import parse_workload
from damon.workload.plan import Options, compile_plan
from damon.workload.tracefile.form import TracedArea
from tests.waiting import until
from tests.workload.native import next_report, started, virtual_time
from tests.workload.traces import MS, Window, write


def test_a_process_without_memory_seldom_wakes(tmp_path: Path) -> None:
    """Until something is mapped; that is in time, by a phase and by a trace."""
    trace = [Window(n * 100 * MS, (n + 1) * 100 * MS, [(0, 1, 100.0, 1.0)]) for n in range(10)]
    area = TracedArea("heap", 0, 0, 1, mapped=((412 * MS, 1000 * MS),))
    write(tmp_path / "t.trace", [("web", 1, trace)], [area], 1000 * MS)
    data = {
        "areas": {
            "late": {"size": 4096, "process": "late", "mapped": False}, "always": {"size": 4096},
            "traced": {"trace": str(tmp_path / "t.trace"), "process": "traced"},
        },
        "phases": [
            {"duration": "405ms"},
            {"duration": "595ms", "mmap": ["late"], "access": [{"area": "late", "rate": 1000}]},
        ],
    }  # fmt: skip
    env = {**virtual_time(), "VIRTUAL_SLEEPS": str(tmp_path / "sleeps")}
    plan = compile_plan(parse_workload(data), Options(duration_us=1_000_000))
    done = subprocess.run([WORKLOAD_PROGRAM], input=plan, capture_output=True, text=True, check=True, env=env)
    ends = {
        report["process"]: report for report in map(json.loads, done.stdout.splitlines()) if report["event"] == "end"
    }
    sleeps = {name: (tmp_path / f"sleeps.{end['pid']}").stat().st_size for name, end in ends.items()}
    touches = {area["name"]: area["touches"] for end in ends.values() for area in end["areas"]}
    assert 900 < sleeps["main"] <= 1000
    assert 500 < sleeps["late"] < 630
    assert 500 < sleeps["traced"] < 630
    assert touches["late"] == pytest.approx(595, abs=2)
    assert touches["traced.heap"] == pytest.approx(588, abs=2)


def test_long_lines_of_several_processes_do_not_mix() -> None:
    """Each has 60 areas: a pipe does not take such a line at once."""
    data = {
        "areas": {f"{name}{n}": {"size": 4096, "process": name} for name in ("one", "two", "three") for n in range(60)},
        "phases": [{"duration": "60s"}],
    }
    with started(data, virtual_time(), report_us=1000) as (process, first):
        assert len(json.dumps(first[0])) > 4096
        found = [next_report(process) for _ in range(300)]
    assert {report["process"] for report in found} == {"one", "two", "three"}
    assert {len(report["areas"]) for report in found} == {60}


def test_a_process_that_is_killed_in_the_middle_of_a_line_ends_it() -> None:
    """The others go on, and their lines are whole."""
    data = {
        "areas": {f"{name}{n}": {"size": 4096, "process": name} for name in ("one", "two") for n in range(200)},
        "phases": [{"duration": "60s"}],
    }
    with started(data, virtual_time(), report_us=1000) as (process, first):
        assert process.stdout is not None
        (other,) = {"one", "two"} - {first[0]["process"]}
        until(lambda: _waits(first[0]["pid"]))  # in write(), or for its turn
        os.kill(first[0]["pid"], signal.SIGKILL)
        lines = [process.stdout.readline() for _ in range(100)]
    whole = [json.loads(line)["process"] for line in lines if line.endswith("]}\n")]
    assert len(whole) >= 98
    assert whole[-20:] == [other] * 20


def _waits(pid: int) -> bool:
    """In virtual time a process sleeps for its output only."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"
