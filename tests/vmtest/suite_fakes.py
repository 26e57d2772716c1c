# SPDX-License-Identifier: GPL-2.0-only
"""Jobs and outcomes for tests that boot nothing."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from vmtest.results.job import FileRef, Job
from vmtest.results.outcome import Expected, Outcome, Run, Subtest


def job(directory: Path, test: str = "t", kernel: str = "k", machine: str = "m", **fields: Any) -> Job:
    """A job whose files exist, and hold their names."""
    for name in ("bzImage", "root"):
        if not (directory / name).exists():
            (directory / name).write_text(name)
    values: dict[str, Any] = {
        "kernel": FileRef(str(directory / "bzImage"), "0" * 64),
        "rootfs": FileRef(str(directory / "root"), "1" * 64),
        "machine_args": {"memory": "256M", "cpus": 1},
        "command": "true",
        **fields,
    }
    return Job(suite="s", kernel_name=kernel, machine_name=machine, workload_name="w", test_name=test, **values)


def outcome(test: str, verdict: str, kernel: str = "k", machine: str = "m", **fields: Any) -> Outcome:
    """An outcome; ``expected`` may be a pair."""
    if isinstance(fields.get("expected"), tuple):
        fields["expected"] = Expected(*fields["expected"])
    name = f"{kernel}/{machine}/w/{test}"
    values: dict[str, Any] = {"timings": {"boot": 2.0, "command": 1.0}, **fields}
    return Outcome(name=name, kernel=kernel, machine=machine, workload="w", test=test, verdict=verdict, **values)


EXCERPT = "[ 1.0] Kernel panic - not syncing: <&> \x00 x"
#: One outcome of each kind.
OUTCOMES = [
    outcome("good", "pass"),
    outcome("bad", "fail", message="exit code 3: no # hash", exit_code=3, directory="guests/bad"),
    outcome("lost", "panic", message="it crashed", excerpt=EXCERPT),
    outcome("known", "fail", expected=("fail", "since ever")),
    outcome("healed", "pass", expected=("fail", "since ever")),
    outcome("other", "oops", expected=("fail", "since ever")),
    outcome("absent", "skip", message="no such file"),
    outcome("slow", "command-timeout", message="too slow"),
    outcome("lacking", "machine-lacks", message="no memory"),
    outcome("never", "not-run"),
    outcome(
        "many",
        "fail",
        message="not ok: b",
        subtests=[Subtest("a", "pass"), Subtest("b", "fail", "why"), Subtest("c", "skip", "not here")],
    ),
]


def run_of(outcomes: list[Outcome]) -> Run:
    return Run(suite="s", started="2026-01-01T00:00:00+00:00", seconds=3.0, versions={"qemu": "7"}, outcomes=outcomes)


class Heard:
    """A listener that keeps the names of jobs that began and ended."""

    def __init__(self) -> None:
        self.began: list[str] = []
        self.ended: list[str] = []

    def begins(self, job: Job, where: str) -> None:
        self.began.append(job.test_name)

    def phase(self, job: Job, phase: str) -> None:
        pass

    def ends(self, job: Job, result: Outcome) -> None:
        self.ended.append(job.test_name)
