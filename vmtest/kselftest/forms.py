# SPDX-License-Identifier: GPL-2.0-only
"""What came out of a kernel's own tests, in one of three forms, and a line a test while they run."""

from __future__ import annotations

import msgspec

from ..qemu import run_directory
from ..results import writers
from ..results.outcome import Outcome, Run, Status
from ..terminal import say

FORMS = ("ktap", "json", "junit")


def text(run: Run, form: str) -> str:
    """The run as ``ktap``, ``json`` (as ``vmtest run`` writes it) or ``junit``."""
    if form == "ktap":
        return writers.ktap(run)
    if form == "json":
        return msgspec.json.format(msgspec.json.encode(run), indent=1).decode() + "\n"
    with run_directory.temporary("junit") as directory:
        writers.junit(run, directory)
        return (directory / writers.JUNIT).read_text("utf-8")


class Progress:
    """A line on standard error for each test that has ended."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._done = 0

    def __call__(self, outcome: Outcome) -> None:
        self._done += 1
        word = {Status.PASS: "ok", Status.SKIP: "SKIP", Status.FAIL: "FAIL"}.get(outcome.status, "LOST")
        parts = [f"[{self._done}/{self._count}] {word:4} {outcome.test} {outcome.seconds:.1f} s"]
        if outcome.subtests:
            parts.append(f"{len(outcome.subtests)} subtests")
        if outcome.line:
            parts.append(outcome.line)
        say(", ".join(parts))
