# SPDX-License-Identifier: GPL-2.0-only
"""However the native program ends: a last report, and nothing left."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from typing import Any

import pytest

from damon.native import WORKLOAD_PROGRAM
from damon.workload.load import parse_workload
from damon.workload.plan import compile_plan
from tests.waiting import HANG_S, until
from tests.workload.native import alive, next_report, one, started

TWO: dict[str, Any] = {
    "areas": {"a": {"size": 1 << 20}, "b": {"size": 1 << 20, "process": "other"}},
    "phases": [{"duration": "60s", "access": [{"area": "a", "rate": 1000}, {"area": "b", "rate": 1000}]}],
}


def _until_gone(pids: list[int]) -> None:
    until(lambda: not any(alive(pid) for pid in pids), f"one of {pids} is still there")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_all_processes_with_a_last_report(number: int) -> None:
    with started(TWO) as (process, ready):
        assert {(r["event"], r["process"]) for r in ready} == {("ready", "main"), ("ready", "other")}
        assert all(alive(r["pid"]) for r in ready)
        process.send_signal(number)
        assert process.stdout is not None
        last = [json.loads(line) for line in process.stdout]
        assert process.wait(timeout=HANG_S) == 0
    assert {(r["event"], r["process"]) for r in last if r["event"] == "end"} == {("end", "main"), ("end", "other")}
    _until_gone([r["pid"] for r in ready])


def test_a_signal_right_at_the_start_is_not_lost() -> None:
    """Blocked while processes are made; whenever it comes, the program ends."""
    areas = TWO["areas"] | {f"x{i}": {"size": 4096, "process": f"p{i}"} for i in range(8)}
    plan = compile_plan(parse_workload(TWO | {"areas": areas}))
    for delay in range(40):
        with subprocess.Popen(
            [WORKLOAD_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True
        ) as process:
            try:
                assert process.stdin is not None
                process.stdin.write(plan)
                process.stdin.close()
                for _ in range(delay * 20):
                    os.sched_yield()
                process.send_signal(signal.SIGTERM)
                assert process.wait(timeout=HANG_S) in (
                    0,
                    -signal.SIGTERM,
                )  # before it has read its plan, there is no process
            finally:
                process.kill()


def test_sigusr1_asks_for_a_report() -> None:
    with started(TWO, report_us=0) as (process, ready):
        process.send_signal(signal.SIGUSR1)  # to the parent: of all processes
        assert {next_report(process)["process"] for _ in ready} == {"main", "other"}
        os.kill(ready[0]["pid"], signal.SIGUSR1)  # to one
        report = next_report(process)
        assert (report["event"], report["pid"]) == ("report", ready[0]["pid"])
        assert process.poll() is None


def test_a_killed_parent_leaves_no_process_behind() -> None:
    with started(TWO, report_us=0) as (process, ready):  # without reports they do not notice that the reader is gone
        process.kill()
        process.wait()
    _until_gone([r["pid"] for r in ready])


def test_a_process_that_is_killed_does_not_take_the_others_along() -> None:
    with started(TWO, report_us=50_000) as (process, ready):
        victim, other = ready
        os.kill(victim["pid"], signal.SIGKILL)
        _until_gone([victim["pid"]])
        assert any(next_report(process)["pid"] == other["pid"] for _ in range(5))
        process.send_signal(signal.SIGTERM)
        process.communicate(timeout=HANG_S)
        assert process.returncode == 1


def test_without_a_reader_it_ends() -> None:
    with started(one("random", 1000), report_us=50_000) as (process, (ready,)):
        assert process.stdout is not None
        process.stdout.close()
        assert process.wait(timeout=HANG_S) == 0
    _until_gone([ready["pid"]])
