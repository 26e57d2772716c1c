# SPDX-License-Identifier: GPL-2.0-only
"""A workload that runs in a guest with a module beside it, and the kernel's view of its pages."""

from __future__ import annotations

import json
import queue
import shlex
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from damon.native import WORKLOAD_PROGRAM
from damon.workload.load import load_workload
from damon.workload.plan import Options, TlbFlush, compile_plan
from tests.waiting import HANG_S, until
from vmtest import Guest
from vmtest.ssh.process import Process

ROOT = Path(__file__).parents[2]
PROJECT = "/opt/project"
PYTHON = "python3"
#: Of what is measured by a guest's clock: that counts 4 ns an instruction, and so is the same on a busy host. Each goes
#: on from a snapshot, as if it had just booted; they share one. Where nothing runs the clock goes on to the next timer.
COUNTED = {"icount": 2, "cpus": 2, "snapshot": True, "skip_idle": True}
#: workloads/hot-cold.yaml at a fifth of its pace: what is touched and what is not is the same, and an emulated
#: processor has little to do. The whole pace is ``test_workload.py``'s.
HOT_COLD = ROOT / "tests/vm/suites/hot-cold-slow.yaml"
#: Sampled every 5 ms; its hot pages are touched in each round.
ACCURACY = ROOT / "workloads/accuracy.yaml"
#: Rounds of a workload's touches: one is shorter than a quarter of the time between two touches of a hot page, or has
#: several of them. Each flushes the TLB, which slows down all that runs in the guest.
ROUND_US = {HOT_COLD: 5000, ACCURACY: 2500}


class Helper:
    """A program of the guest that answers each line with a line: it starts once, and an answer costs no start."""

    def __init__(self, guest: Guest, words: Sequence[str]) -> None:
        self._said: queue.SimpleQueue[bytes] = queue.SimpleQueue()
        self._process = guest.popen(words, input=iter(self._said.get, b""))
        self._asked = 0

    def ask(self, line: str) -> str:
        """Its answer to one line."""
        self._said.put(line.encode() + b"\n")
        self._asked += 1
        until(lambda: self._process.stdout.count(b"\n") >= self._asked or self._process.poll() is not None)
        assert self._process.poll() is None, self._process.stderr.decode()
        return self._process.stdout.splitlines()[-1].decode()

    def close(self) -> None:
        """Ends its input, and with it the program."""
        self._said.put(b"")
        self._process.wait(timeout=HANG_S)


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
    _looking: Helper | None = field(default=None, init=False)

    def reports(self) -> list[dict[str, Any]]:
        """Every JSON line so far; one comes each second."""
        return _reports(self.process)

    def rate(self, seconds: float) -> float:
        """Touches a second over ``seconds`` from its next report on, by its own count and its own clock."""
        before = len(self.reports())
        until(lambda: len(self.reports()) > before)
        first = self.reports()[before]
        until(lambda: self.reports()[-1]["seconds"] >= first["seconds"] + seconds)
        last = self.reports()[-1]
        return float((last["touches"] - first["touches"]) / (last["seconds"] - first["seconds"]))

    def truth(self, began: float, ended: float) -> dict[str, float]:
        """Of each area: the share of sampling intervals in which one of its pages was touched, from ``began`` to
        ``ended`` (``/proc/uptime``), to within a second.

        Not since the start: how late a guest wakes depends on its host's load, and so does what it touches in time.
        """
        before = len(self.reports())
        said = self.guest.run(f"kill -USR1 {self.pid} && cat /proc/uptime", timeout=HANG_S).check().text
        until(lambda: len(self.reports()) > before)
        offset = float(said.split()[0]) - self.reports()[before]["seconds"]
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

    def look(self, *, after: float = 0, lists: bool = False) -> tuple[float, dict[str, dict[str, int]]]:
        """The guest's uptime, and of each area: present and swapped pages by pagemap; with ``lists`` active and
        inactive by kpageflags. ``after`` so many seconds of the guest's."""
        if self._looking is None:
            words = [PYTHON, f"{PROJECT}/tests/vm/guest/pages.py", str(self.pid), *map(self.span, self.areas)]
            self._looking = Helper(self.guest, words)
        answer = json.loads(self._looking.ask(json.dumps({"after": after, "lists": lists})))
        return answer["uptime"], dict(zip(self.areas, answer["areas"], strict=True))

    def pages(self, *, after: float = 0, lists: bool = False) -> dict[str, dict[str, int]]:
        """The areas at one look."""
        return self.look(after=after, lists=lists)[1]

    def close(self) -> None:
        """Ends what looks at it, and the workload."""
        if self._looking is not None:
            self._looking.close()
        self.process.terminate()
        self.process.wait(timeout=HANG_S)


def uptime(guest: Guest) -> float:
    """Seconds by the guest's clock."""
    return float(guest.run(["cat", "/proc/uptime"], timeout=HANG_S).check().text.split()[0])


def pause(guest: Guest, seconds: float) -> None:
    """Let time pass in the guest."""
    guest.run(["sleep", f"{seconds:g}"], timeout=HANG_S).check()


@contextmanager
def workload(guest: Guest, path: Path, *, tlb_flush: TlbFlush = "auto") -> Iterator[RunningWorkload]:
    """Run a workload file in the guest until the block ends.

    The plan is compiled here: for the file an emulated processor takes 4 s. ``damon-workload`` as a whole is
    ``test_workload.py``'s.
    """
    options = Options(round_us=ROUND_US.get(path, Options.round_us), tlb_flush=tlb_flush)
    plan = compile_plan(load_workload(path), options)
    program = f"{PROJECT}/{WORKLOAD_PROGRAM.relative_to(ROOT)}"
    process = guest.popen([program], input=plan.encode())
    try:
        until(lambda: _reports(process) or process.poll() is not None)
        assert process.poll() is None, f"the workload did not start: {process.stderr.decode()}"
        event = _reports(process)[0]
        assert event["event"] == "ready", event
        areas = {area["name"]: (area["start"], area["end"]) for area in event["areas"]}
        running = RunningWorkload(guest, process, event["pid"], areas)
    except BaseException:
        process.terminate()
        raise
    with closing(running):
        yield running


def start_damond(guest: Guest, *words: str) -> None:
    """A damond on the guest's own memory; it logs to ``/tmp/damond.log``."""
    script = (
        f"cd {PROJECT} && {PYTHON} -m damon.cli.damond --linux {shlex.join(words)} >/tmp/damond.log 2>&1 & "
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
