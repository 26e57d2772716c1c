# SPDX-License-Identifier: GPL-2.0-only
"""A workload that is performed for real beside something else: the native program as a child, and what it reports."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final

from damon.errors import InvalidInput, MissingCapability
from damon.workload.model import Workload
from damon.workload.plan import Options, compile_plan

#: Where cgroups of version 2 are.
_CGROUPS: Final = Path("/sys/fs/cgroup")
#: A shell enters a cgroup and becomes the program: what it allocates from the first page on is charged there.
_ENTER: Final = 'echo $$ >"$0" && exec "$@"'
#: A guard: a program that runs answers within moments, also on an emulated processor.
_PATIENCE_S: Final = 600.0


def start_program(plan: str, *, own_session: bool = False, cgroup: Path | None = None) -> subprocess.Popen[str]:
    """The native program at work on ``plan``; its JSON lines come on ``stdout``. It ends when its output has no reader.

    Args:
        plan: from :func:`damon.workload.plan.compile_plan`.
        own_session: a Ctrl-C at the terminal is not for it.
        cgroup: directory of the cgroup that it starts in; None: this process's.

    Raises:
        MissingCapability: the program is not built.
    """
    program, file = workload_program(), plan_file(plan)
    enter = [] if cgroup is None else ["sh", "-c", _ENTER, str(cgroup / "cgroup.procs")]
    try:
        return subprocess.Popen(
            [*enter, str(program)], stdin=file, stdout=subprocess.PIPE, text=True, start_new_session=own_session
        )
    finally:
        os.close(file)


def workload_program() -> Path:
    """The native program.

    Raises:
        MissingCapability: it is not built.
    """
    from damon.native import WORKLOAD_PROGRAM

    if not WORKLOAD_PROGRAM.exists():
        raise MissingCapability(f"program: {WORKLOAD_PROGRAM.name}: is not built; run `pip install .` or `make build`")
    return WORKLOAD_PROGRAM


def plan_file(plan: str) -> int:
    """A descriptor of ``plan``, for the program's standard input."""
    file = os.memfd_create("plan")
    with open(file, "w", closefd=False) as writer:
        writer.write(plan)
    os.lseek(file, 0, os.SEEK_SET)
    return file


@dataclass(frozen=True)
class Report:
    """The report of one process. ``areas`` are addresses, start and end; both 0 of one that is not mapped."""

    pid: int
    seconds: float
    phase: str
    touches: int
    dropped: int  #: touches that could not be made in time
    areas: dict[str, tuple[int, int]] = field(default_factory=dict)
    #: Of each area: the share of sampling intervals since the start in which one of its pages was touched.
    shares: dict[str, float] = field(default_factory=dict)
    ended: bool = False
    partial: bool = False  #: only of areas that have been mapped or unmapped since the last one

    @classmethod
    def parse(cls, line: str) -> tuple[str, Report]:
        """The process's name and its report, of one of the program's lines."""
        report: dict[str, Any] = json.loads(line)
        areas = {area["name"]: (area["start"], area["end"]) for area in report["areas"]}
        shares = {area["name"]: area["share"] for area in report["areas"]}
        return report["process"], cls(
            report["pid"], report["seconds"], report["phase"], report["touches"], report["dropped"], areas, shares,
            report["event"] == "end", report["event"] == "areas",
        )  # fmt: skip

    def after(self, before: Report | None) -> Report:
        """All areas: what a partial report leaves out is as it was."""
        if before is None or not self.partial or before.pid != self.pid:
            return self
        areas, shares = {**before.areas, **self.areas}, {**before.shares, **self.shares}
        return replace(self, areas=areas, shares=shares)

    def shares_since(self, before: Report) -> dict[str, float]:
        """As ``shares``, since ``before``: an earlier report of this process, with the same areas mapped."""
        spent = self.seconds - before.seconds
        return {
            name: (share * self.seconds - before.shares[name] * before.seconds) / spent
            for name, share in self.shares.items()
        }


def cgroup_of(workload: Workload, root: Path = _CGROUPS) -> Path | None:
    """The directory of the cgroup that a workload with limits runs in; None: it has no limits.

    Args:
        workload: all its areas are of one cgroup.
        root: where the cgroup file system is.

    Raises:
        InvalidInput: it has several cgroups, between which its pages would have to be separated.
        MissingCapability: there is no such cgroup on this machine, whose limits are not this program's to set.
    """
    if not workload.cgroups:
        return None
    names = dict.fromkeys(workload.memcg(area) for area in workload.areas)
    if len(names) > 1:
        shown = ", ".join(name or "none" for name in names)
        raise InvalidInput(f"cgroups: {shown}: a workload with limits is performed in one; give it to --sim")
    (name,) = names
    if not (root / name / "cgroup.procs").exists():
        raise MissingCapability(f"cgroup: {name}: does not exist below {root}; make it, and set its limits")
    return root / name


class Performed:
    """``workload`` at work, from here until ``close()`` or the end of a ``with`` block. All its areas are there.

    Raises:
        InvalidInput, MissingCapability: see ``cgroup_of``; or the native program is not built.
        ChildProcessError: it did not start.
    """

    def __init__(self, workload: Workload, options: Options | None = None) -> None:
        self.workload = workload
        self._changed = threading.Condition()
        self._latest: dict[str, Report] = {}
        self._number: dict[str, int] = dict.fromkeys(workload.processes, 0)
        self._over = False
        plan = compile_plan(workload, options or Options())
        self._program = start_program(plan, own_session=True, cgroup=cgroup_of(workload))
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        try:
            at_once = [name for name in workload.processes if not workload.process_spec(name).late]
            self._wait(lambda: all(self._number[name] for name in at_once))
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Performed:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self) -> None:
        assert self._program.stdout is not None
        for line in self._program.stdout:
            if not line.endswith("]}\n"):
                continue  # its process was killed while it wrote, which the program says
            name, report = Report.parse(line)
            with self._changed:
                self._latest[name] = report.after(self._latest.get(name))
                self._number[name] += not report.partial
                self._changed.notify_all()
        with self._changed:
            self._over = True
            self._changed.notify_all()

    def _wait(self, happened: Callable[[], bool]) -> None:
        with self._changed:
            if not self._changed.wait_for(lambda: self._over or happened(), _PATIENCE_S):
                raise TimeoutError(
                    errno.ETIMEDOUT, "workload: its processes do not answer; continue one that is stopped (SIGCONT)"
                )
            if not happened():
                code = self._program.wait()
                raise ChildProcessError(errno.ECHILD, f"workload: {self.workload.name}: it ended with code {code}")

    def reports(self) -> dict[str, Report]:
        """A report of now of each process that has not ended, by its name.

        Raises:
            ChildProcessError: the program has ended.
            TimeoutError: a process does not answer.
        """
        with self._changed:
            before = dict(self._number)
        if self._program.poll() is None:
            self._program.send_signal(signal.SIGUSR1)

        def answered() -> bool:
            return all(self._number[name] > before[name] or report.ended for name, report in self._latest.items())

        self._wait(answered)
        with self._changed:
            return {name: report for name, report in self._latest.items() if not report.ended}

    def latest(self) -> dict[str, Report]:
        """The last report of each process that has not ended, which none is asked for: no process wakes up for it.

        They are up to a second old, but where areas are in memory is of now, with ``Options.announce``.

        Raises:
            ChildProcessError: the program has ended.
        """
        self._wait(lambda: not self._over)
        with self._changed:
            return {name: report for name, report in self._latest.items() if not report.ended}

    def close(self) -> None:
        """End its processes. Safe to call twice."""
        if self._program.poll() is None:
            self._program.terminate()
        self._program.wait()
        self._reader.join()
        if self._program.stdout is not None:
            self._program.stdout.close()
