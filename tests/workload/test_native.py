# SPDX-License-Identifier: GPL-2.0-only
"""The native program, for real and briefly: rates, the truth it reports, events, a clean end."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from damon.native import WORKLOAD_PROGRAM
from damon.workload.load import load_workload, parse_workload
from damon.workload.plan import Options, compile_plan

SHIPPED = Path(__file__).parents[2] / "workloads"


def _perform(data: dict[str, Any], seconds: float = 1.0, **options: Any) -> list[dict[str, Any]]:
    plan = compile_plan(parse_workload(data), Options(duration_us=int(seconds * 1e6), **options))
    result = subprocess.run([WORKLOAD_PROGRAM], input=plan, capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stderr
    return [json.loads(line) for line in result.stdout.splitlines()]


def _one(pattern: str, rate: float, pages: int = 256, **more: Any) -> dict[str, Any]:
    access = {"area": "a", "rate": rate, "pattern": pattern, **more}
    return {"areas": {"a": {"size": pages * 4096}}, "phases": [{"duration": "60s", "access": [access]}]}


def _zipf_share(pages: int, rate: float, skew: float, interval: float) -> float:
    weights = [(i + 1) ** -skew for i in range(pages)]
    total = sum(weights)
    return sum(1 - math.exp(-rate * interval * w / total) for w in weights) / pages


@pytest.mark.parametrize(
    ("data", "share"),
    [
        (_one("sequential", 256 * 50), 0.25),  # a sweep every 20 ms
        (_one("sequential", 256 * 400), 1.0),
        (_one("strided", 256 * 25, stride=8192), 0.125),  # half of the pages, each every 20 ms
        (_one("random", 256 * 100), 1 - math.exp(-0.5)),
        (_one("zipf", 20000, skew=1.0), _zipf_share(256, 20000, 1.0, 0.005)),
        (_one("random", 256 * 100, write=0), 1 - math.exp(-0.5)),
    ],
    ids=["sequential", "fast", "strided", "random", "zipf", "reads"],
)
def test_rate_and_truth(data: dict[str, Any], share: float) -> None:
    """The reported share is what the pattern and rate say (a busy machine may drop touches; those it says)."""
    reports = _perform(data, 2.0)
    end = reports[-1]
    rate = data["phases"][0]["access"][0]["rate"]
    wanted = rate * end["seconds"]
    assert end["event"] == "end"
    assert end["touches"] + end["dropped"] == pytest.approx(wanted, rel=0.05)
    if end["dropped"] < 0.02 * wanted:
        assert end["areas"][0]["share"] == pytest.approx(share, rel=0.08)


def test_events_map_unmap_and_exit() -> None:
    workload = load_workload(SHIPPED / "phases.yaml")
    plan = compile_plan(workload, Options(duration_us=1_600_000, report_us=100_000))
    plan = plan.replace("phase 5000000", "phase 500000")
    result = subprocess.run([WORKLOAD_PROGRAM], input=plan, capture_output=True, text=True, timeout=60, check=True)
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    buffer = [(r["phase"], r["areas"][1]["start"] != 0) for r in reports if r["process"] == "main" and r["phase"]]
    assert set(buffer) == {("start", False), ("burst", True), ("calm", False)}
    helper = [r for r in reports if r["process"] == "helper"]
    assert helper[-1]["event"] == "end"
    assert helper[-1]["seconds"] == pytest.approx(1.0, abs=0.3)


def test_ready_says_where_the_areas_are_and_they_are_there() -> None:
    plan = compile_plan(parse_workload(_one("random", 100)), Options())
    with subprocess.Popen([WORKLOAD_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(plan)
        process.stdin.close()
        ready = json.loads(process.stdout.readline())
        area = ready["areas"][0]
        assert ready["event"] == "ready"
        assert area["end"] - area["start"] == 256 * 4096
        maps = Path(f"/proc/{ready['pid']}/smaps").read_text()
        assert any(int(line.split("-")[0], 16) <= area["start"] for line in maps.splitlines() if "-" in line.split()[0])
        process.send_signal(signal.SIGTERM)
        end = json.loads(process.stdout.readlines()[-1])
        assert end["event"] == "end"
        assert process.wait(timeout=10) == 0
    assert not Path(f"/proc/{ready['pid']}").exists()


def test_a_killed_parent_leaves_nobody_behind() -> None:
    plan = compile_plan(parse_workload(_one("random", 100)), Options())
    with subprocess.Popen([WORKLOAD_PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(plan)
        process.stdin.close()
        child = json.loads(process.stdout.readline())["pid"]
        process.kill()
        process.wait()
    deadline = time.monotonic() + 5
    while Path(f"/proc/{child}/mem").exists() and time.monotonic() < deadline:
        try:
            os.kill(child, 0)
        except ProcessLookupError:
            break
        time.sleep(0.02)
    else:
        state = Path(f"/proc/{child}/stat").read_text().split()[2] if Path(f"/proc/{child}").exists() else "gone"
        assert state in ("Z", "gone")


@pytest.mark.parametrize("text", ["", "nonsense\n", "options 1 5000 0 0 0 0 0 /tmp\n", "area 0 0 4096 1 1 a\n"])
def test_a_bad_plan_is_refused(text: str) -> None:
    result = subprocess.run([WORKLOAD_PROGRAM], input=text, capture_output=True, text=True, timeout=10, check=False)
    assert (result.returncode, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("words", "code", "message"),
    [
        (["/nowhere.yaml"], 2, "cannot be read"),
        ([], 2, "workload file or --plan"),
        (["--duration", "0", "x.yaml"], 2, "--duration"),
        (["--interval", "soon", "x.yaml"], 2, "--interval"),
        (["--plan", "/nowhere"], 2, "No such file"),
    ],
)
def test_command_line_refusals(words: list[str], code: int, message: str) -> None:
    result = subprocess.run(
        [sys.executable, "-m", "damon.workload.runner", *words], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == code
    assert message in result.stderr


def test_plans_run_with_the_standard_library_alone() -> None:
    """A guest may have no msgspec: ``--plan`` imports nothing of the kind."""
    code = (
        "import sys; sys.modules['msgspec'] = None; sys.modules['yaml'] = None\n"
        "from damon.workload.runner import main\n"
        "sys.exit(main(['--plan', '/dev/stdin', '--print-plan']))\n"
    )
    plan = compile_plan(parse_workload(_one("random", 100)))
    result = subprocess.run([sys.executable, "-c", code], input=plan, capture_output=True, text=True, check=False)
    assert (result.returncode, result.stdout) == (0, plan)
