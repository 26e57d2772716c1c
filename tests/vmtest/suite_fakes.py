# SPDX-License-Identifier: GPL-2.0-only
"""Jobs and outcomes for tests that boot nothing."""

from __future__ import annotations

from pathlib import Path

from vmtest.results.job import FileRef, Job
from vmtest.results.outcome import Expected, Outcome


def job(folder: Path, test: str = "t", kernel: str = "k", machine: str = "m", **fields: object) -> Job:
    """A job whose files are there and are no kernel."""
    for name in ("bzImage", "root"):
        if not (folder / name).exists():
            (folder / name).write_text(name)
    values: dict[str, object] = {
        "kernel": FileRef(str(folder / "bzImage"), "0" * 64),
        "rootfs": FileRef(str(folder / "root"), "1" * 64),
        "machine_args": {"memory": "256M", "cpus": 1},
        "command": "true",
        **fields,
    }
    return Job(suite="s", kernel_name=kernel, machine_name=machine, workload_name="w", test_name=test, **values)  # type: ignore[arg-type]


def outcome(test: str, verdict: str, kernel: str = "k", machine: str = "m", **fields: object) -> Outcome:
    """An outcome; ``expected`` may be a pair."""
    if isinstance(fields.get("expected"), tuple):
        fields["expected"] = Expected(*fields["expected"])  # type: ignore[misc]
    name = f"{kernel}/{machine}/w/{test}"
    values: dict[str, object] = {"timings": {"boot": 2.0, "command": 1.0}, **fields}
    return Outcome(name=name, kernel=kernel, machine=machine, workload="w", test=test, verdict=verdict, **values)  # type: ignore[arg-type]
