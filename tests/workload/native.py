# SPDX-License-Identifier: GPL-2.0-only
"""Running the native program for a test, in virtual time where rates and shares are looked at.

In virtual time a process never waits and is never late, so that a second of it is the same on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

from damon.native import WORKLOAD_PROGRAM
from damon.workload.load import parse_workload
from damon.workload.plan import Options, compile_plan

Report = dict[str, Any]
BUILT = Path(__file__).parents[2] / "build/tests"


def one(pattern: str, rate: float, pages: int = 256, duration: str = "60s", **more: Any) -> dict[str, Any]:
    """A workload of one area."""
    access = {"area": "a", "rate": rate, "pattern": pattern, **more}
    return {"areas": {"a": {"size": pages * 4096}}, "phases": [{"duration": duration, "access": [access]}]}


@cache
def virtual_time() -> dict[str, str]:
    """The environment in which the program runs in virtual time; each of its processes in its own."""
    source = Path(__file__).with_name("virtual_clock.c")
    built = BUILT / f"virtual_clock-{hashlib.sha256(source.read_bytes()).hexdigest()[:16]}.so"
    if not built.exists():
        BUILT.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=BUILT) as made:
            library = Path(made) / built.name
            compiler = os.environ.get("CC") or shutil.which("gcc") or "cc"
            subprocess.run([compiler, "-O2", "-shared", "-fPIC", "-o", library, source], check=True)
            library.rename(built)
    return {**os.environ, "LD_PRELOAD": str(built)}


def perform_plan(plan: str) -> list[Report]:
    """Every line of a whole run, in virtual time."""
    result = subprocess.run(
        [WORKLOAD_PROGRAM], input=plan, capture_output=True, text=True, check=False, env=virtual_time()
    )
    assert (result.returncode, result.stderr) == (0, "")
    return [json.loads(line) for line in result.stdout.splitlines()]


def perform(data: dict[str, Any], seconds: float = 1.0, **options: Any) -> list[Report]:
    """Every line of a whole run of so many virtual seconds."""
    return perform_plan(compile_plan(parse_workload(data), Options(duration_us=int(seconds * 1e6), **options)))


@contextmanager
def started(
    data: dict[str, Any], env: dict[str, str] | None = None, **options: Any
) -> Iterator[tuple[subprocess.Popen[str], list[Report]]]:
    """The program while it runs, and the ``ready`` line of each process; in real time unless ``env`` changes that."""
    workload = parse_workload(data)
    plan = compile_plan(workload, Options(**options))
    pipe = subprocess.PIPE
    with subprocess.Popen([WORKLOAD_PROGRAM], stdin=pipe, stdout=pipe, text=True, env=env) as process:
        assert process.stdin is not None
        try:
            process.stdin.write(plan)
            process.stdin.close()
            process.stdin = None
            yield process, [next_report(process) for _ in workload.processes]
        finally:
            process.kill()


def next_report(process: subprocess.Popen[str]) -> Report:
    """The next line of a program that runs."""
    assert process.stdout is not None
    report: Report = json.loads(process.stdout.readline())
    return report


def alive(pid: int) -> bool:
    """Is there such a process, and no zombie?"""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def present(report: Report) -> set[int]:
    """Indices of the pages of the first area that have memory."""
    area = report["areas"][0]
    with open(f"/proc/{report['pid']}/pagemap", "rb") as file:
        raw = os.pread(file.fileno(), (area["end"] - area["start"]) // 512, area["start"] // 512)
    return {index for index in range(len(raw) // 8) if raw[index * 8 + 7] & 0xC0}
