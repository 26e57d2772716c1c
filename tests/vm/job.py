# SPDX-License-Identifier: GPL-2.0-only
"""The main job in a guest: a workload that runs for real, a module beside it, and what the kernel says of the pages."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from vmtest import Guest

PROJECT = "/opt/project"
PYTHON = "python3"


@dataclass
class RunningWorkload:
    """``damon-workload`` in the guest: where its areas are, and what it has reported."""

    guest: Guest
    process: Any
    pid: int
    areas: dict[str, tuple[int, int]]

    def reports(self) -> list[dict[str, Any]]:
        """Every JSON line so far."""
        lines = self.guest.run(["cat", "/tmp/workload.out"]).text.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("}")]

    def touches(self) -> int:
        """Touches by now."""
        self.guest.run(["kill", "-USR1", str(self.pid)]).check()
        time.sleep(0.3)
        return int(self.reports()[-1]["touches"])

    def truth(self) -> dict[str, float]:
        """Of each area: the share of sampling intervals in which one of its pages was touched."""
        return {area["name"]: area["share"] for area in self.reports()[-1]["areas"]}

    def span(self, area: str) -> str:
        """``START:END`` of an area."""
        start, end = self.areas[area]
        return f"{start}:{end}"

    def pages(self, *, lists: bool = False) -> dict[str, dict[str, int]]:
        """Of each area: present and swapped pages by pagemap; with ``lists`` active and inactive by kpageflags."""
        words = [PYTHON, f"{PROJECT}/tests/vm/guest/pages.py", *(["--lists"] if lists else []), str(self.pid)]
        words += map(self.span, self.areas)
        return dict(zip(self.areas, json.loads(self.guest.run(words, timeout=120).check().text), strict=True))


@contextmanager
def workload(guest: Guest, path: str, *options: str) -> Iterator[RunningWorkload]:
    """Run a workload file in the guest until the block ends."""
    process = guest.popen(f"{PYTHON} -m damon.workload.runner --json {' '.join(options)} {path} > /tmp/workload.out")
    try:
        deadline = time.monotonic() + 90
        ready: list[dict[str, Any]] = []
        while not ready:
            if time.monotonic() > deadline or process.poll() is not None:
                raise AssertionError(f"the workload did not start: {process.stderr.decode()}")
            time.sleep(0.5)
            out = guest.run(["cat", "/tmp/workload.out"]).text
            ready = [json.loads(line) for line in out.splitlines() if '"ready"' in line and line.endswith("}")]
        event = ready[0]
        areas = {area["name"]: (area["start"], area["end"]) for area in event["areas"]}
        yield RunningWorkload(guest, process, event["pid"], areas)
    finally:
        process.terminate()
        process.wait(timeout=30)


def start_damond(guest: Guest) -> None:
    """A damond on the guest's own memory; it logs to ``/tmp/damond.log``."""
    script = (
        f"cd {PROJECT} && {PYTHON} -m damon.cli.damond --linux >/tmp/damond.log 2>&1 & "
        "for i in $(seq 400); do grep -q 'mounted at' /tmp/damond.log && exit 0; sleep 0.2; done; "
        "cat /tmp/damond.log; exit 1"
    )
    guest.run(["sh", "-c", script], timeout=120).check()


def damon_run(*modules: Sequence[str], duration: float, out: str = "/tmp/run.json") -> list[str]:
    """The command line of ``damon run`` on the guest's own memory."""
    words = [PYTHON, "-m", "damon.cli.main", "run", "--linux", "--duration", str(duration), "--quiet", "--json", out]
    for module in modules:
        words += ["--module", *module]
    return words


def share(pages: dict[str, int], what: str) -> float:
    """Of an area's pages, the share that is ``what``."""
    return pages[what] / pages["pages"]
