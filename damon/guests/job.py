# SPDX-License-Identifier: GPL-2.0-only
"""One run of modules in a guest: the workload is performed there, and ``damon run`` reports its figures."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from damon.command.process import interrupt, raise_interrupts
from damon.guests.engine import GuestEngine, GuestFailed
from damon.guests.machine import harness_errors
from damon.guests.result import MOST, parse
from damon.guests.staging import PYTHON
from damon.quoting import cut
from damon.workload.load import load_workload
from vmtest import Guest, GuestConfig, Result
from vmtest.patience import patient
from vmtest.ssh.process import Enough

#: What ``damon run`` itself takes of a guest's memory: it is left free beside what the workload's machine has free.
MONITOR_BYTES: Final = 48 << 20
#: A guard: so many seconds of this machine's for one of the guest's, and for all else.
_SLOWEST: Final = 60.0
_SET_UP_S: Final = 600.0
_LINES: Final = 20
#: Where the workload's file is in the guest.
_RUN: Final = Path("/run")
#: The run directory in the guest.
_OUT: Final = "/run/damon-out"
#: Takes the memory that the workload's machine has reserved, as huge pages, which are on no list and never free, and
#: becomes the command. Its first argument is how much is to be free then, in KiB.
_RESERVE: Final = """
free=0; page=0; got=0
while read -r name value _; do
    case $name in MemFree:) free=$value;; Hugepagesize:) page=$value;; esac
done </proc/meminfo
wanted=$(( page ? (free - $1) / page : 0 ))
if [ $wanted -gt 0 ]; then
    echo $wanted >/proc/sys/vm/nr_hugepages
    got=$(cat /proc/sys/vm/nr_hugepages)
    [ $got -ge $wanted ] || echo "$(( (wanted - got) * page / 1024 )) MiB could not be reserved, and are free" >&2
fi
shift
exec "$@"
"""


class Running(Protocol):
    """A command in a guest."""

    def wait(self, timeout: float | None = None) -> Result: ...


class Machine(Protocol):
    """What is asked of a guest."""

    @property
    def warnings(self) -> list[str]: ...

    def __enter__(self) -> Machine: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def put(self, host: Path, guest: str) -> None: ...

    def get(self, guest: str, host: Path) -> None: ...

    def popen(
        self, command: Sequence[str], *, stdout: Callable[[bytes], object], stderr: Callable[[bytes], object]
    ) -> Running: ...


@dataclass(frozen=True)
class Job:
    """What is to be run, and where.

    Args:
        engine: whose DAMON.
        config: the guest, from :func:`damon.guests.machine.prepare`.
        workload: the file.
        reserved: bytes of memory that its machine has reserved.
        words: modules, as options of ``damon run``.
        seconds: of the guest's time, from when the modules are loaded.
        seed: of every random choice.
        place: a run directory to be written; None: none.
        every_s: interval between its rows.
        frames: with ``place``: what lies where in physical memory is looked at first.
        files: areas of kind file are anonymous memory.
    """

    engine: GuestEngine
    config: GuestConfig
    workload: Path
    reserved: int
    words: Sequence[str]
    seconds: float
    seed: int
    place: Path | None = None
    every_s: float = 1.0
    frames: bool = False
    files: bool = False

    def command(self, workload: str, reserve: bool = True) -> list[str]:
        """Of the whole run in the guest, with the workload's file there. ``reserve``: its memory is not taken yet."""
        # Of all memory, not of what the guest's kernel counts: its own image is part of what is reserved.
        free = (self.config.memory_bytes - max(self.reserved - MONITOR_BYTES, 0)) // 1024
        damon = [PYTHON, "-m", "damon", "run", "--linux", "--engine", self.engine.engine, "--workload", workload]
        damon += ["--duration", f"{self.seconds:.6f}", "--seed", str(self.seed), "--json", "-", *self.words]
        damon += ["--files-in-memory"] if self.files else []
        if self.place is not None:
            damon += ["--out", _OUT, "--every", f"{self.every_s:g}s", "--out-form", "jsonl"]
            damon += ["--frames"] if self.frames else []
        return ["sh", "-c", _RESERVE, "sh", str(free), *damon] if reserve else damon


class _Answer:
    """Standard output, up to a size."""

    def __init__(self) -> None:
        self.data = bytearray()

    def write(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > MOST:
            raise Enough


class _Lines:
    """Standard error: each line is reported, and the last ones are kept."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._rest = say, b""
        self.last: list[str] = []

    def write(self, data: bytes) -> None:
        *lines, rest = (self._rest + data).split(b"\n")
        self._rest = rest[-4096:]
        for line in lines:
            text = cut(line.decode(errors="replace"))
            self.last = [*self.last, text][-_LINES:]
            self._say(text)


def run(job: Job, say: Callable[[str], None], boot: Callable[[GuestConfig], Machine] | None = None) -> dict[str, Any]:
    """Boot a guest, run ``job`` in it, and end it, whatever happens. The result is that of ``damon run``.

    Args:
        job: what to run.
        say: called with what goes on, a line each time, from any thread.
        boot: makes a guest, not yet started; default vmtest's.

    Raises:
        GuestFailed: there is no result.
        MissingCapability: this machine lacks something.
        KeyboardInterrupt: on SIGINT, SIGTERM and SIGHUP, when the guest is gone.
    """
    (result,) = run_all([job], say, boot)
    return result


def run_all(
    jobs: Sequence[Job], say: Callable[[str], None], boot: Callable[[GuestConfig], Machine] | None = None
) -> list[dict[str, Any]]:
    """As ``run``, of several jobs one after the other in one guest: of one engine, configuration and workload."""
    first = jobs[0]
    results = []
    with harness_errors(str(first.engine)), _interrupts():
        say("booting")
        with (boot or Guest)(first.config) as guest:
            inside = _stage(guest, first.workload)
            for number, job in enumerate(jobs):
                say(
                    "the workload starts" if len(jobs) == 1 else f"run {number + 1} of {len(jobs)}: the workload starts"
                )
                results.append(_perform(job, guest, job.command(inside, reserve=not number), say))
                if job.place is not None:
                    guest.get(_OUT, job.place)
                    _quietly(guest, ["rm", "-r", _OUT])
    return results


def _stage(guest: Machine, workload: Path) -> str:
    """Copy a workload's file into the guest, and the traces that it replays; where the file is there."""
    inside = f"{_RUN}/workload{workload.suffix}"
    guest.put(workload, inside)
    text = workload.read_bytes()
    for path in dict.fromkeys(area.replay.path for area in load_workload(workload).areas if area.replay is not None):
        trace = Path(path)
        if trace == workload:
            continue
        named = trace.is_absolute() and bytes(trace) in text
        place = (
            trace if named or not trace.is_relative_to(workload.parent) else _RUN / trace.relative_to(workload.parent)
        )
        _quietly(guest, ["mkdir", "-p", str(place.parent)])
        guest.put(trace, str(place))
    return inside


def _perform(job: Job, guest: Machine, command: Sequence[str], say: Callable[[str], None]) -> dict[str, Any]:
    answer, lines = _Answer(), _Lines(say)
    process = guest.popen(command, stdout=answer.write, stderr=lines.write)
    done = process.wait(patient(_SET_UP_S + _SLOWEST * job.seconds))
    warnings = [cut(line) for line in guest.warnings[:_LINES]]
    return _result(job, done.returncode, bytes(answer.data), lines.last, warnings)


def _quietly(guest: Machine, command: Sequence[str]) -> None:
    guest.popen(command, stdout=lambda data: None, stderr=lambda data: None).wait(patient(_SET_UP_S))


def _result(job: Job, code: int, data: bytes, said: Sequence[str], warnings: Sequence[str]) -> dict[str, Any]:
    if code or len(data) > MOST:
        why = said[-1] if said else "it printed nothing"
        what = f"{job.engine}: damon run in the guest ended with code {code}: {why}"
        raise GuestFailed(what, code if code in (2, 3) else 1)
    try:
        found = parse(data)
    except ValueError as error:
        raise GuestFailed(f"{job.engine}: the guest's result: is not one of damon run: {cut(str(error))}") from error
    about = {"kernel": job.engine.kernel, "counted": job.config.icount is not None, "warnings": list(warnings)}
    return {**found, "guest": about}


@contextmanager
def _interrupts() -> Iterator[None]:
    """SIGINT, SIGTERM and SIGHUP raise KeyboardInterrupt here, so that the guest ends first."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    raise_interrupts()
    taken = [number for number in (signal.SIGTERM, signal.SIGHUP) if signal.getsignal(number) == signal.SIG_DFL]
    for number in taken:
        signal.signal(number, interrupt)
    try:
        yield
    finally:
        for number in taken:
            signal.signal(number, signal.SIG_DFL)
