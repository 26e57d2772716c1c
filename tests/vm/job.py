# SPDX-License-Identifier: GPL-2.0-only
"""The main job in a guest: a workload that runs for real, a module beside it, and what the kernel says of the pages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.waiting import HANG_S, until
from vmtest import Guest
from vmtest.process import Process

PROJECT = "/opt/project"
PYTHON = "python3"
#: Of what is measured by a guest's clock: that counts 4 ns an instruction, and so is the same on a busy host. Each goes
#: on from a snapshot, as if it had just booted; they share one.
COUNTED = {"icount": 2, "cpus": 2, "snapshot": True}
#: workloads/hot-cold.yaml at a fifth of its pace: what is touched and what is not is the same, and an emulated
#: processor has little to do. The whole pace is ``test_workload.py``'s.
HOT_COLD = f"{PROJECT}/tests/vm/suites/hot-cold-slow.yaml"


def _reports(process: Process) -> list[dict[str, Any]]:
    """The whole JSON lines among what has come: nothing is asked of the guest, which each command costs dearly."""
    return [json.loads(line) for line in process.stdout.splitlines(keepends=True) if line.endswith(b"}\n")]


@dataclass
class RunningWorkload:
    """``damon-workload`` in the guest: where its areas are, and what it has reported."""

    guest: Guest
    process: Process
    pid: int
    areas: dict[str, tuple[int, int]]

    def reports(self) -> list[dict[str, Any]]:
        """Every JSON line so far."""
        return _reports(self.process)

    def report(self) -> dict[str, Any]:
        """A report of now: ``touches`` and ``seconds``, and of each area."""
        before = len(self.reports())
        self.guest.run(["kill", "-USR1", str(self.pid)]).check()
        until(lambda: len(self.reports()) > before)
        return self.reports()[-1]

    def rate(self, seconds: float) -> float:
        """Touches a second over the next ``seconds``, by its own count and its own clock."""
        first = self.report()
        pause(self.guest, seconds)
        last = self.report()
        return float((last["touches"] - first["touches"]) / (last["seconds"] - first["seconds"]))

    def truth(self, began: float, ended: float) -> dict[str, float]:
        """Of each area: the share of sampling intervals in which one of its pages was touched, from ``began`` to
        ``ended`` (``/proc/uptime``), to within a second.

        Not since the start: how late a guest wakes depends on its host's load, and so does what it touches in time.
        """
        now = self.report()["seconds"]
        offset = uptime(self.guest) - now
        reports = [one for one in self.reports() if began - 1 <= one["seconds"] + offset <= ended + 1]
        first, last = reports[0], reports[-1]
        seconds = last["seconds"] - first["seconds"]
        return {
            area["name"]: (area["share"] * last["seconds"] - before["share"] * first["seconds"]) / seconds
            for before, area in zip(first["areas"], last["areas"], strict=True)
        }

    def span(self, area: str) -> str:
        """``START:END`` of an area."""
        start, end = self.areas[area]
        return f"{start}:{end}"

    def pages(self, *, lists: bool = False) -> dict[str, dict[str, int]]:
        """Of each area: present and swapped pages by pagemap; with ``lists`` active and inactive by kpageflags."""
        words = [PYTHON, f"{PROJECT}/tests/vm/guest/pages.py", *(["--lists"] if lists else []), str(self.pid)]
        words += map(self.span, self.areas)
        return dict(zip(self.areas, json.loads(self.guest.run(words, timeout=HANG_S).check().text), strict=True))


def uptime(guest: Guest) -> float:
    """Seconds by the guest's clock."""
    return float(guest.run(["cat", "/proc/uptime"], timeout=HANG_S).check().text.split()[0])


def pause(guest: Guest, seconds: float) -> None:
    """Let time pass in the guest."""
    guest.run(["sleep", f"{seconds:g}"], timeout=HANG_S).check()


@contextmanager
def workload(guest: Guest, path: str, *options: str) -> Iterator[RunningWorkload]:
    """Run a workload file in the guest until the block ends."""
    process = guest.popen([PYTHON, "-m", "damon.workload.runner", "--json", *options, path])
    try:
        until(lambda: _reports(process) or process.poll() is not None)
        assert process.poll() is None, f"the workload did not start: {process.stderr.decode()}"
        event = _reports(process)[0]
        assert event["event"] == "ready", event
        areas = {area["name"]: (area["start"], area["end"]) for area in event["areas"]}
        yield RunningWorkload(guest, process, event["pid"], areas)
    finally:
        process.terminate()
        process.wait(timeout=HANG_S)


def start_damond(guest: Guest) -> None:
    """A damond on the guest's own memory; it logs to ``/tmp/damond.log``."""
    script = (
        f"cd {PROJECT} && {PYTHON} -m damon.cli.damond --linux >/tmp/damond.log 2>&1 & "
        "pid=$!; until grep -q 'mounted at' /tmp/damond.log; do kill -0 $pid || break; sleep 0.2; done; "
        "grep -q 'mounted at' /tmp/damond.log || { cat /tmp/damond.log; exit 1; }"
    )
    guest.run(["sh", "-c", script], timeout=HANG_S).check()


def damon_run(*modules: Sequence[str], duration: float, out: str = "/tmp/run.json") -> list[str]:
    """The command line of ``damon run`` on the guest's own memory."""
    words = [PYTHON, "-m", "damon.cli.main", "run", "--linux", "--duration", str(duration), "--quiet", "--json", out]
    for module in modules:
        words += ["--module", *module]
    return words


def share(pages: dict[str, int], what: str) -> float:
    """Of an area's pages, the share that is ``what``."""
    return pages[what] / pages["pages"]
