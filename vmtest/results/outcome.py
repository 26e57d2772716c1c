# SPDX-License-Identifier: GPL-2.0-only
"""What a job ended with. A lost guest, a failed test and a harness that could not start are three things."""

from __future__ import annotations

from enum import Enum

import msgspec

from ..errors import Verdict

GUEST_VERDICTS = frozenset(verdict.value for verdict in Verdict)
#: The version of the format of ``results.json``.
FORMAT = 1
PASS, FAIL, SKIP = "pass", "fail", "skip"
COMMAND_TIMEOUT, TOTAL_TIMEOUT, WORKLOAD_FAILED = "command-timeout", "total-timeout", "workload-failed"
#: The harness could not do its part: no QEMU, no memory, a build that failed, a defect of its own.
MACHINE_LACKS, HARNESS_ERROR = "machine-lacks", "harness-error"
NOT_RUN = "not-run"


class Status(Enum):
    """What a verdict means for the run."""

    PASS = "pass"
    SKIP = "skip"
    EXPECTED = "expected"
    FAIL = "fail"
    UNEXPECTED_PASS = "unexpected-pass"
    LOST = "lost"
    ERROR = "error"
    NOT_RUN = "not-run"

    @property
    def good(self) -> bool:
        """Whether a run with nothing worse is green."""
        return self in {Status.PASS, Status.SKIP, Status.EXPECTED}


class Subtest(msgspec.Struct, frozen=True):
    """One result line of a test that prints TAP or KTAP; ``status``: "pass", "fail", "skip" or "expected"."""

    name: str
    status: str
    message: str = ""


class Expected(msgspec.Struct, frozen=True):
    """The verdict that a job is known to end with, and why."""

    verdict: str
    reason: str


class Outcome(msgspec.Struct, kw_only=True):
    """One job's end.

    Attributes:
        name: ``kernel/machine/workload/test``.
        verdict: "pass", "fail", "skip", "command-timeout", "total-timeout", "workload-failed", a guest's verdict
            ("panic", "oom", ...), "machine-lacks", "harness-error" or "not-run".
        message: one line.
        exit_code: the test's, when it ended.
        excerpt: the console lines with the reason, their addresses with file and line when the kernel has symbols.
        timings: seconds by phase.
        directory: its artifacts, relative to the run's directory.
    """

    name: str
    kernel: str
    machine: str
    workload: str
    test: str
    verdict: str
    message: str = ""
    exit_code: int | None = None
    expected: Expected | None = None
    excerpt: str = ""
    warnings: list[str] = []
    subtests: list[Subtest] = []
    timings: dict[str, float] = {}
    started: str = ""
    host: str = ""
    directory: str = msgspec.field(default="", name="folder")  # as version 1 of the format has it

    @property
    def status(self) -> Status:
        """What the verdict means, expectations considered."""
        if self.verdict == NOT_RUN:
            return Status.NOT_RUN
        if self.expected is not None and self.verdict not in {MACHINE_LACKS, HARNESS_ERROR}:
            if self.verdict == self.expected.verdict:
                return Status.EXPECTED
            if self.verdict == PASS:
                return Status.UNEXPECTED_PASS
        if self.verdict == PASS:
            return Status.PASS
        if self.verdict == SKIP:
            return Status.SKIP
        if self.verdict in GUEST_VERDICTS:
            return Status.LOST
        if self.verdict in {MACHINE_LACKS, HARNESS_ERROR}:
            return Status.ERROR
        return Status.FAIL

    @property
    def seconds(self) -> float:
        """All phases together."""
        return sum(self.timings.values())

    @property
    def line(self) -> str:
        """A summary in one line; empty for a pass."""
        status = self.status
        if status is Status.PASS:
            return ""
        if status is Status.EXPECTED:
            assert self.expected is not None
            return f"{self.verdict}, as expected: {self.expected.reason}"
        if status is Status.UNEXPECTED_PASS:
            assert self.expected is not None
            return f"passed, but expected was {self.expected.verdict}: {self.expected.reason}"
        return f"{self.verdict}: {self.message}" if self.message else self.verdict


class Run(msgspec.Struct, kw_only=True):
    """All of a run: what ``results.json`` holds."""

    format: int = FORMAT
    suite: str
    started: str
    seconds: float
    versions: dict[str, str]
    outcomes: list[Outcome]

    def count(self, status: Status) -> int:
        """Jobs with that status."""
        return sum(outcome.status is status for outcome in self.outcomes)

    @property
    def exit_code(self) -> int:
        """0 when all is well, 125 when a guest was lost, 3 when the harness could not do its part, else 1."""
        found = {outcome.status for outcome in self.outcomes}
        if Status.LOST in found:
            return 125
        if Status.ERROR in found:
            return 3
        return 0 if all(status.good for status in found) else 1
