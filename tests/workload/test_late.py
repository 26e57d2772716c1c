# SPDX-License-Identifier: GPL-2.0-only
"""Processes that start with their first area, also again after an exit: performed, and simulated."""

from __future__ import annotations

from typing import Any

import pytest

from damon.errors import DamonError, InvalidInput
from damon.mm.sim import SimulatedMachine
from damon.workload.load import parse_workload
from damon.workload.performed import Performed
from damon.workload.plan import Options, compile_plan
from tests.waiting import until
from tests.workload.native import Report, alive, perform_plan

#: A job of 2 s, every 5 s, beside a process that is always there; 10 s in all.
JOBS: dict[str, Any] = {
    "duration": "10s",
    "areas": {"a": {"size": "64K"}},
    "access": [{"area": "a", "rate": 1000}],
    "programs": {"job": {"areas": {"d": {"size": "64K"}}, "access": [{"area": "d", "rate": 500}]}},
    "instances": [{"program": "job", "start": "1s", "every": "5s", "lifetime": "2s"}],
}


def performed(data: dict[str, Any], seconds: int) -> dict[tuple[str, str], list[Report]]:
    """The reports of each kind and process, in order of time."""
    found: dict[tuple[str, str], list[Report]] = {}
    plan = compile_plan(parse_workload(data), Options(duration_us=seconds * 10**6, report_us=0))
    for report in sorted(perform_plan(plan), key=lambda report: report["seconds"]):
        found.setdefault((report["event"], report["process"]), []).append(report)
    return found


def test_each_start_is_a_process_of_its_own() -> None:
    reports = performed(JOBS, 10)
    ready, end = reports["ready", "job"], reports["end", "job"]
    assert [round(report["seconds"], 2) for report in ready] == [1, 6]
    assert [round(report["seconds"], 2) for report in end] == [3, 8]
    assert [report["pid"] for report in ready] == [report["pid"] for report in end]
    assert len({report["pid"] for report in (*ready, *reports["ready", "main"])}) == 3
    assert all(report["areas"][0]["start"] for report in ready)
    assert all(report["touches"] == pytest.approx(1000, rel=0.02) for report in end)
    assert reports["end", "main"][0]["touches"] == pytest.approx(10_000, rel=0.02)


@pytest.mark.parametrize("change", [{"repeat": True}, {"instances": [JOBS["instances"][0] | {"lifetime": "1h"}]}])
def test_rounds_and_processes_that_stay(change: dict[str, Any]) -> None:
    reports = performed(JOBS | change, 24)
    starts = [round(report["seconds"], 2) for report in reports["ready", "job"]] if "repeat" in change else []
    assert starts == ([1, 6, 11, 16, 21] if "repeat" in change else [])
    if not starts:
        assert [round(reports["ready", f"job.{n}"][0]["seconds"], 2) for n in range(2)] == [1, 6]
        assert [round(reports["end", f"job.{n}"][0]["seconds"], 2) for n in range(2)] == [24, 24]


def test_one_starts_in_the_phase_in_which_another_of_its_name_exits() -> None:
    data = JOBS | {"instances": [{"program": "job", "every": "2s", "lifetime": "2s", "most": 1}]}
    reports = performed(data, 10)
    assert [round(report["seconds"], 2) for report in reports["ready", "job"]] == [0, 2, 4, 6, 8]
    assert all(report["touches"] == pytest.approx(1000, rel=0.02) for report in reports["end", "job"])


def test_a_hot_spot_moves_for_real() -> None:
    data = {
        "duration": "4s", "areas": {"a": {"size": "16K"}},
        "access": [{"area": "a", "rate": 0, "hot": {"size": "4K", "rate": 1000, "every": "1s"}}],
    }  # fmt: skip
    (end,) = performed(data, 4)["end", "main"]
    assert {area["name"]: round(area["touches"], -2) for area in end["areas"]} == {f"a.{n}": 1000 for n in range(4)}


def test_the_ones_that_come_late_are_waited_for_by_nobody() -> None:
    data = JOBS | {"instances": [{"program": "job", "start": "100ms"}]}
    with Performed(parse_workload(data)) as work:
        assert set(work.reports()) <= {"main", "job"}
        until(lambda: "job" in work.reports(), "the job has not started")
        pids = [report.pid for report in work.reports().values()]
    assert len(pids) == 2
    assert not any(map(alive, pids))


def test_on_the_simulated_machine() -> None:
    pids = []
    with SimulatedMachine(parse_workload(JOBS), 1) as machine:
        for seconds, lives in ((0.5, False), (1, True), (1, True), (1, False), (3, True), (2, False)):
            machine.clock.sleep_us(round(seconds * 1e6))
            (job,) = [one for one in machine.processes() if one.name == "job"]
            assert job.alive is lives
            pids.append(job.pid)
            if lives:
                machine.open_process(job.pid)
            else:
                with pytest.raises(DamonError, match=r"no such process"):
                    machine.open_process(job.pid)
        assert machine.touches("job.d") == pytest.approx(2000, abs=2)
    assert pids[0] == 0
    assert pids[1] == pids[2] != pids[4]


def test_late_in_a_plain_file() -> None:
    data: dict[str, Any] = {
        "areas": {"a": {"size": 4096}, "b": {"size": 4096, "process": "x", "mapped": False}},
        "processes": {"x": {"late": True}},
        "phases": [{"duration": "1s"}, {"duration": "1s", "mmap": ["b"]}, {"duration": "1s", "exit": ["x"]}],
        "repeat": True,
    }
    assert [round(report["seconds"], 2) for report in performed(data, 6)["ready", "x"]] == [1, 4]
    with pytest.raises(InvalidInput, match=r"phases\[0\].exit: 'x': has exited already, or not yet started"):
        parse_workload(data | {"phases": [{"duration": "1s", "exit": ["x"]}]})
