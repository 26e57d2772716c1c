# SPDX-License-Identifier: GPL-2.0-only
"""A run while it happens: one line a guest on a terminal, one line an end elsewhere; and the table afterwards."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from ..terminal import output, visible
from .outcome import Outcome, Run, Status

if TYPE_CHECKING:
    from types import TracebackType

    from .job import Job

STYLES = {
    Status.PASS: "green",
    Status.SKIP: "cyan",
    Status.EXPECTED: "cyan",
    Status.FAIL: "red",
    Status.UNEXPECTED_PASS: "red",
    Status.LOST: "bold red",
    Status.ERROR: "magenta",
    Status.NOT_RUN: "yellow",
}
WORDS = {
    Status.PASS: "ok",
    Status.SKIP: "skip",
    Status.EXPECTED: "xfail",
    Status.FAIL: "FAIL",
    Status.UNEXPECTED_PASS: "XPASS",
    Status.LOST: "LOST",
    Status.ERROR: "ERROR",
    Status.NOT_RUN: "not run",
}


class Progress:
    """Shows a run's progress; a context manager. Without a terminal: a plain line for each job that ends."""

    def __init__(self, total: int, console: Console | None = None) -> None:
        self._console = console or output(stderr=True)
        self._total = total
        self._ended = 0
        self._bad = 0
        self._guard = threading.Lock()
        self._running: dict[str, tuple[float, str, str]] = {}
        self._live = Live(console=self._console, get_renderable=self._lines, refresh_per_second=4, transient=True)
        self._width = len(str(total))

    def __enter__(self) -> Progress:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live.is_started:
            self._live.stop()

    def begins(self, job: Job, where: str) -> None:
        """A job starts."""
        with self._guard:
            self._running[job.name] = (time.monotonic(), "starts", where)

    def phase(self, job: Job, phase: str) -> None:
        """It enters a phase."""
        with self._guard:
            if job.name in self._running:
                began, _, where = self._running[job.name]
                self._running[job.name] = (began, phase, where)

    def ends(self, job: Job, result: Outcome) -> None:
        """It ended."""
        with self._guard:
            began = self._running.pop(job.name, (time.monotonic(), "", ""))[0]
            self._ended += 1
            self._bad += not result.status.good
            number = f"{self._ended:>{self._width}}/{self._total}"
        style, word, seconds = STYLES[result.status], WORDS[result.status], time.monotonic() - began
        said = f"  {escape(visible(_one(result.line)))}" if result.line else ""
        self._console.print(f"{number} [{style}]{word:<7}[/] {seconds:6.1f} s  {escape(job.name)}{said}")

    def _lines(self) -> RenderableType:
        now = time.monotonic()
        with self._guard:
            lines = [
                Text.assemble(
                    (f"{now - began:6.1f} s  ", "dim"), f"{phase:<9}", name, (f"  on {where}" if where else "", "dim")
                )
                for name, (began, phase, where) in self._running.items()
            ]
            bad = f", {self._bad} bad" if self._bad else ""
            lines.append(Text(f"{self._ended} of {self._total} ended{bad}", style="bold"))
        return Group(*lines)


def _one(text: str) -> str:
    return " ".join(text.split())


def matrix(run: Run) -> RenderableType:
    """Workload and test down, kernel and machine across."""
    columns = list(dict.fromkeys((outcome.kernel, outcome.machine) for outcome in run.outcomes))
    rows = list(dict.fromkeys((outcome.workload, outcome.test) for outcome in run.outcomes))
    cells = {(o.kernel, o.machine, o.workload, o.test): o for o in run.outcomes}
    table = Table(title=f"{run.suite}: {summary(run)}", title_justify="left", header_style="")
    table.add_column("workload", overflow="fold")
    table.add_column("test", overflow="fold")
    for kernel, machine in columns:
        # A name may break; one that is cut off cannot be read.
        table.add_column(Text(f"{kernel}\n{machine}", overflow="fold"), justify="left")
    for workload, test in rows:
        row: list[RenderableType] = [workload, test]
        for kernel, machine in columns:
            outcome = cells.get((kernel, machine, workload, test))
            row.append(Text(cell(outcome), style=STYLES[outcome.status]) if outcome else "")
        table.add_row(*row)
    return table


def cell(outcome: Outcome) -> str:
    """An outcome in a table."""
    status = outcome.status
    if status is Status.PASS:
        return f"ok {outcome.seconds:.0f} s"
    if status is Status.EXPECTED:
        return f"{outcome.verdict} (expected)"
    if status is Status.UNEXPECTED_PASS:
        return "passed unexpectedly"
    return outcome.verdict


def summary(run: Run) -> str:
    """Counts in words."""
    parts = [_counted(run.count(status), *_COUNTED.get(status, (status.value,))) for status in Status]
    jobs = _counted(len(run.outcomes), "job", "jobs")
    return f"{jobs or 'no jobs'} in {run.seconds:.0f} s: {', '.join(part for part in parts if part)}"


_COUNTED = {
    Status.PASS: ("passed",),
    Status.SKIP: ("skipped",),
    Status.FAIL: ("failed",),
    Status.LOST: ("lost guest", "lost guests"),
    Status.ERROR: ("error", "errors"),
    Status.NOT_RUN: ("not run",),
    Status.UNEXPECTED_PASS: ("passed unexpectedly",),
}


def _counted(number: int, one: str, more: str = "") -> str:
    """A number with its word; nothing for none."""
    return f"{number} {one if number == 1 or not more else more}" if number else ""
