# SPDX-License-Identifier: GPL-2.0-only
"""Performs one job: boots its guest, starts the workload, runs the test, keeps the evidence, returns how it ended."""

from __future__ import annotations

import contextlib
import platform
import re
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

from .. import patterns
from ..errors import CommandTimeout, GuestLost, HarnessError
from ..guest import Guest
from ..patience import patient
from ..plug_schedule import Schedule
from ..qemu import dump
from ..results import evidence, ktap, manifest, outcome, symbols
from ..results.job import Job
from ..results.outcome import Outcome
from ..ssh.process import Process

#: Of each stream of a test this much is kept.
KEPT_BYTES = 64 << 20
EXCERPT_LINES = 20
MESSAGE_CHARS = 300
WORKLOAD_OUTPUT = "/run/vmtest/workload.out"
WORKLOAD_ERRORS = "/run/vmtest/workload.err"
PROBE_SECONDS = 4.5


class Stopped(Exception):
    """The run was ended before the job was."""


class Watch:
    """Follows a job for its caller, and ends it early."""

    def __init__(self, on_phase: Callable[[str], object] = lambda _phase: None) -> None:
        self._on_phase = on_phase
        self._guard = threading.Lock()
        self._guest: Guest | None = None
        self.stopped = False

    def phase(self, name: str) -> None:
        """A phase begins."""
        if self.stopped:
            raise Stopped
        self._on_phase(name)

    def guest(self, guest: Guest | None) -> None:
        """The job's guest, while it lives."""
        with self._guard:
            self._guest = guest

    def stop(self) -> None:
        """Ends the job; what waits for its guest wakes up."""
        with self._guard:
            self.stopped = True
            if self._guest is not None:
                self._guest.close()


def perform(job: Job, directory: Path, watch: Watch | None = None) -> Outcome:
    """Runs a job to its end; every failure of guest or host becomes an outcome.

    Args:
        job: what to do.
        directory: for the artifacts; made when it is not there.
        watch: gets the phases.
    """
    directory.mkdir(parents=True, exist_ok=True)
    return _Performance(job, directory, watch or Watch()).run()


class _Kept:
    """A stream of the test, in a file of the artifacts up to a size."""

    def __init__(self, path: Path) -> None:
        self._stream: BinaryIO = path.open("wb", buffering=0)
        self._left = KEPT_BYTES
        self.tail = b""

    def write(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-4096:]
        part = data[: self._left]
        self._left -= len(part)
        with contextlib.suppress(OSError, ValueError):  # disk full, or written after the end
            self._stream.write(part)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.close()


class _Performance:
    def __init__(self, job: Job, directory: Path, watch: Watch) -> None:
        self._job = job
        self._directory = directory
        self._watch = watch
        self._began = time.monotonic()
        self._guest: Guest | None = None
        self._plugged: list[str] = []
        started = datetime.now(UTC).isoformat(timespec="seconds")
        self.outcome = job.outcome(outcome.NOT_RUN, started=started, host=platform.node(), directory=job.directory)

    def run(self) -> Outcome:
        try:
            self._in_guest()
        except GuestLost as lost:
            said = lost.summary.partition(": ")[2]
            self._end(lost.verdict.value, patterns.message(said), lost.excerpt)
        except Stopped:
            self._end(outcome.NOT_RUN, "the run was ended before")
        except HarnessError as error:
            lines = str(error).splitlines()
            self._end(outcome.MACHINE_LACKS if error.exit_code == 3 else outcome.HARNESS_ERROR, lines[0])
        except Exception as error:  # a defect here costs one job, not the run
            self._end(outcome.HARNESS_ERROR, f"{type(error).__name__}: {error}")
        if self._watch.stopped:
            self._end(outcome.NOT_RUN, "the run was ended before")
        try:
            self._keep()
        finally:
            self._watch.guest(None)
            if self._guest:
                self._guest.close()
        return self.outcome

    def _end(self, verdict: str, message: str = "", excerpt: str = "") -> None:
        self.outcome.verdict, self.outcome.message = verdict, message.strip()[:MESSAGE_CHARS]
        self.outcome.excerpt = excerpt

    @contextmanager
    def _phase(self, name: str) -> Iterator[None]:
        self._watch.phase(name)
        began = time.monotonic()
        try:
            yield
        finally:
            self.outcome.timings[name] = round(time.monotonic() - began, 3)

    def _limit(self, seconds: float) -> float:
        """A phase's limit, shortened when the job's own comes first."""
        return max(0.1, min(seconds, self._began + self._job.limits.total - time.monotonic()))

    def _in_guest(self) -> None:
        self._watch.phase("boot")
        self._guest = guest = Guest(self._job.config, artifacts=self._directory, most_dumps=dump.MOST)
        self._watch.guest(guest)
        began = time.monotonic()
        try:
            guest.start()
            self.outcome.timings.update({name: round(value, 3) for name, value in guest.timings.items()})
        except HarnessError:
            self.outcome.timings["boot"] = round(time.monotonic() - began, 3)
            raise
        with self._phase("workload"):
            workload = self._start_workload(guest)
        if self.outcome.verdict != outcome.NOT_RUN:
            return
        if workload is None:
            del self.outcome.timings["workload"]
        with self._phase("command"):
            self._test(guest)
        if workload is not None and self.outcome.verdict == outcome.PASS and workload.poll() not in {None, 0}:
            code = workload.poll()
            self._end(outcome.WORKLOAD_FAILED, f"workload ended with code {code}: {self._workload_errors(guest)}")

    # A workload is waited for by its output, never by a time.
    def _start_workload(self, guest: Guest) -> Process | None:
        job = self._job
        if not job.workload:
            return None
        shell = f"exec >{WORKLOAD_OUTPUT} 2>{WORKLOAD_ERRORS}; {job.workload}"
        process = guest.popen(shell, cwd=job.cwd)
        deadline = time.monotonic() + self._limit(job.limits.ready)
        ready = re.compile(job.ready, re.MULTILINE)
        while True:
            ended = process.poll()
            said = guest.run(f"cat {WORKLOAD_OUTPUT} 2>/dev/null").text
            if ready.search(said):
                return process
            if ended is not None:
                self._end(outcome.WORKLOAD_FAILED, f"ended with code {ended}: {self._workload_errors(guest)}")
                return process
            if time.monotonic() > deadline:
                what = f"did not print {job.ready!r} within {job.limits.ready:g} s: {self._workload_errors(guest)}"
                guest.machine.dump_tasks()
                self._end(outcome.WORKLOAD_FAILED, what)
                return process
            time.sleep(0.1)

    @staticmethod
    def _workload_errors(guest: Guest) -> str:
        return guest.run(f"tail -n 3 {WORKLOAD_ERRORS}").text.strip()

    def _test(self, guest: Guest) -> None:
        job = self._job
        out, errors = _Kept(self._directory / "stdout"), _Kept(self._directory / "stderr")
        env = {"VMTEST_WORKLOAD": job.workload_name, "VMTEST_WORKLOAD_OUTPUT": WORKLOAD_OUTPUT}
        limit = self._limit(job.limits.command)
        try:
            with Schedule(guest, self._plugged.append):
                process = guest.popen(job.command, cwd=job.cwd, env=env, stdout=out.write, stderr=errors.write)
                try:
                    code = process.wait(limit).returncode
                except CommandTimeout as error:
                    self._timed_out(guest, process, limit, str(error))
                    return
            # What the kernel printed before the end is read before the verdict.
            guest.settle()
        finally:
            out.close()
            errors.close()
        self.outcome.exit_code = code
        self._set_verdict(code, (errors.tail or out.tail).decode(errors="replace"))

    def _timed_out(self, guest: Guest, process: Process, limit: float, message: str) -> None:
        guest.commands.probe(patient(PROBE_SECONDS))  # raises GuestLost for a guest that no longer answers
        guest.settle()  # likewise, when its kernel has reported something meanwhile
        process.kill()
        total = limit < self._job.limits.command
        self._end(outcome.TOTAL_TIMEOUT if total else outcome.COMMAND_TIMEOUT, message)

    def _set_verdict(self, code: int, said: str) -> None:
        job = self._job
        problems: list[str] = []
        if job.output != "text":
            parsed = ktap.parse((self._directory / "stdout").read_text("utf-8", errors="replace"))
            self.outcome.subtests = parsed.subtests
            problems = parsed.problems + [f"not ok: {subtest.name}" for subtest in parsed.failed]
            if not parsed.subtests:
                problems.append("no results in its output")
        if job.skip_exit is not None and code == job.skip_exit != job.exit:
            self._end(outcome.SKIP, _last_line(said))
        elif code != job.exit:
            what = f"exit code {code}" + (f", expected {job.exit}" if job.exit else "")
            self._end(outcome.FAIL, "; ".join([f"{what}: {_last_line(said)}".rstrip(": "), *problems]))
        elif problems:
            self._end(outcome.FAIL, "; ".join(problems))
        else:
            self._end(outcome.PASS)

    def _keep(self) -> None:
        """The evidence. It never changes what the outcome is."""
        job, guest = self._job, self._guest
        began = time.monotonic()
        with contextlib.suppress(Stopped):
            self._watch.phase("evidence")
        vmlinux = Path(job.vmlinux.path) if job.vmlinux else None
        if self.outcome.excerpt and vmlinux is not None and vmlinux.is_file():
            self.outcome.excerpt = symbols.decode(self.outcome.excerpt, vmlinux)
        vmcore = guest.dumps.kept() if guest else None
        with contextlib.suppress(OSError):
            if self.outcome.excerpt:
                (self._directory / "excerpt.txt").write_text(self.outcome.excerpt + "\n", encoding="utf-8")
            evidence.keep_kernel_config(self._directory, Path(job.kernel_config.path) if job.kernel_config else None)
            if guest:
                self.outcome.warnings = list(guest.warnings)
                evidence.keep_command_line(guest, self._directory, Path(job.kernel.path), Path(job.rootfs.path))
            self.outcome.timings["evidence"] = round(time.monotonic() - began, 3)
            manifest.write(
                manifest.Manifest(
                    job=job,
                    outcome=self.outcome,
                    kernel_release=evidence.kernel_release(guest.console_text) if guest else "",
                    accelerator=guest.accelerator if guest else "",
                    qemu=guest.command_line if guest else [],
                    versions=evidence.versions([job.arch]),
                    arch=job.arch.name,
                    host=platform.node(),
                    memory=self._plugged,
                    dump=vmcore.name if vmcore else "",
                ),
                self._directory,
            )


def _last_line(text: str) -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines[-1] if lines else ""
