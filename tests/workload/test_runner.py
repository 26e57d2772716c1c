# SPDX-License-Identifier: GPL-2.0-only
"""The command ``damon-workload``."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from damon.workload.load import parse_workload
from damon.workload.plan import compile_plan
from tests.waiting import HANG_S
from tests.workload.native import one

COMMAND = [sys.executable, "-m", "damon.workload.runner"]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "w.yaml"
    path.write_text(json.dumps(one("random", 25600)))
    return path


def _run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([*COMMAND, *words], capture_output=True, text=True, timeout=HANG_S, check=False)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["/nowhere.yaml"], "workload file: '/nowhere.yaml': No such file or directory"),
        ([], "a workload file, --replay FILE and --plan FILE"),
        (["x.yaml", "--plan", "x"], "a workload file, --replay FILE and --plan FILE"),
        (["x.yaml", "--replay", "x"], "a workload file, --replay FILE and --plan FILE"),
        (["x.yaml", "--time-scale", "2"], "--time-scale: belongs to --replay"),
        (["--replay", "x", "--size-scale", "0"], "'0': is not a number from 0.001 to 1000"),
        (["--replay", "/nowhere.trace"], "trace: /nowhere.trace: No such file or directory"),
        (["--duration", "0", "x.yaml"], "--duration: '0': is not a duration above 0"),
        (["--duration", "nan", "x.yaml"], "--duration"),
        (["--interval", "soon", "x.yaml"], "--interval: 'soon': is not a whole number"),
        (["--interval", "0", "x.yaml"], "--interval"),
        (["--seed", "-1", "x.yaml"], "--seed"),
        (["--tlb-flush", "perhaps", "x.yaml"], "--tlb-flush"),
        (["--round", "0", "x.yaml"], "--round: '0': is not a whole number from 1 to 10000"),
        (["--round", "10001", "x.yaml"], "--round: '10001': is not a whole number from 1 to 10000"),
        (["--format", "xml", "x.yaml"], "--format"),
        (["--masim-rate", "0", "x.cfg"], "--masim-rate: '0': is not a rate"),
        (["--directory", "/nowhere", "x.yaml"], "--directory: '/nowhere': is not a writable directory"),
        (["--plan", "/nowhere"], "plan: '/nowhere': No such file"),
        (["--plan", sys.executable], f"plan: '{sys.executable}': is not text"),
        (["--plan", os.devnull], "plan: '': the first line is not an options statement"),
    ],
)
def test_refusals(words: list[str], message: str) -> None:
    result = _run(*words)
    assert (result.returncode, result.stdout) == (2, "")
    assert message in result.stderr
    assert result.stderr.count("\n") == 1


def test_json_is_the_programs_own(file: Path) -> None:
    result = _run("--json", "--duration", "0.3", "--interval", "1000", file)
    reports = [json.loads(line) for line in result.stdout.splitlines()]
    assert (result.returncode, result.stderr) == (0, "")
    assert [report["event"] for report in reports] == ["ready", "end"]
    assert reports[0]["interval_us"] == 1000


def test_lines_as_text(file: Path) -> None:
    with subprocess.Popen([*COMMAND, "--tlb-flush", "on", file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        ready, report = process.stdout.readline().strip(), process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    end = rest.splitlines()[-1]
    assert ready.startswith("main ready, pid ")
    assert ready.endswith(", flushing the TLB in each round")
    assert "touches/s  share of intervals touched: a 0." in report
    assert "ended after " in end


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("form", [["--json"], []])
def test_a_signal_still_prints_the_end(file: Path, number: int, form: list[str]) -> None:
    with subprocess.Popen([*COMMAND, *form, file], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert "ready" in process.stdout.readline()
        process.send_signal(number)
        lines = process.stdout.read().splitlines()
        assert process.wait(timeout=HANG_S) == 0
    assert "end" in lines[-1]


def test_head_is_no_error(file: Path) -> None:
    with subprocess.Popen([*COMMAND, file], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert "ready" in process.stdout.readline()
        process.stdout.close()
        assert process.wait(timeout=HANG_S) == 0
        assert process.stderr.read() == ""


def test_masim_at_a_given_speed(tmp_path: Path) -> None:
    path = tmp_path / "w.cfg"
    path.write_text("a, 40960\n\nphase\n1000\na, 0, 4096, 1\n")
    assert "access 0 1 2000000.0 " in _run("--print-plan", path).stdout
    assert "access 0 1 5000.0 " in _run("--print-plan", "--masim-rate", "5k", path).stdout


def test_a_plan_runs_with_the_standard_library_alone() -> None:
    """A guest may have no msgspec: ``--plan`` imports nothing of the kind, and takes the options given with it."""
    code = (
        "import sys; sys.modules['msgspec'] = None; sys.modules['yaml'] = None\n"
        "from damon.workload.runner import main\n"
        "sys.exit(main(['--plan', '/dev/stdin', *sys.argv[1:]]))\n"
    )
    plan = compile_plan(parse_workload(one("random", 100)))
    checks: list[tuple[list[str], Callable[[str], bool]]] = [
        (["--print-plan"], lambda out: out == plan),
        (["--print-plan", "--seed", "5"], lambda out: out == plan.replace("options 0 ", "options 5 ")),
        (["--json", "--duration", "0.2"], lambda out: json.loads(out.splitlines()[-1])["event"] == "end"),
    ]
    for words, check in checks:
        result = subprocess.run(
            [sys.executable, "-c", code, *words],
            input=plan,
            capture_output=True,
            text=True,
            timeout=HANG_S,
            check=False,
        )
        assert (result.returncode, result.stderr) == (0, "")
        assert check(result.stdout)
