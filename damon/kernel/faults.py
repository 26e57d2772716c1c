# SPDX-License-Identifier: GPL-2.0-only
"""Faults of the kernel's code end a process of their own, and are reported with file and line.

``shim/fault.c`` writes what happened and where in the library; here the places become functions and lines.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

#: How the process ends after a fault (``EXIT_FAULT`` of ``shim/fault.c``).
EXIT_FAULT: Final = 86
#: Seconds of processor time without any progress of the machine's time that are an endless loop.
LOOP_S: Final = 20
_PR_SET_PDEATHSIG: Final = 1
_MOST: Final = 1 << 16


@dataclass(frozen=True)
class Place:
    """One frame: ``function()`` at ``file:line``; the file relative to its tree."""

    function: str
    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}, {self.function}()"


@dataclass(frozen=True)
class Fault:
    """What ended the kernel's code; ``places`` from the innermost frame on."""

    what: str
    places: tuple[Place, ...] = ()

    def __str__(self) -> str:
        where = f" at {self.places[0]}" if self.places and " at " not in self.what else ""
        callers = ", ".join(f"{place.function}() {place.file}:{place.line}" for place in self.places[1:5])
        return f"{self.what}{where}" + (f"; called by {callers}" if callers else "")


def _places(library: str, offsets: list[str], tree: Path) -> tuple[Place, ...]:
    """Functions and lines of offsets in a library, inlined frames among them; without addr2line there are none."""
    tool = shutil.which("addr2line")
    if tool is None or not offsets:
        return ()
    words = [tool, "-e", library, "-f", "-i", *offsets]
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=60)
    lines = done.stdout.splitlines()
    found = []
    for function, place in zip(lines[::2], lines[1::2], strict=False):
        file, _, line = place.partition(" ")[0].rpartition(":")
        path = Path(file)
        if function.startswith("shim_") or "/shim/" in file or not line.isdigit():
            continue
        shown = str(path.relative_to(tree)) if path.is_relative_to(tree) else path.name
        found.append(Place(function, shown, int(line)))
    return tuple(found)


def read(report: str, library: Path, tree: Path) -> Fault | None:
    """The fault that ``shim/fault.c`` wrote; ``library``: as it was built, with its debugging information."""
    what, offsets = None, []
    for line in report.splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "fault":
            what = rest
        elif kind == "at" and rest.isalnum():
            offsets.append(f"0x{rest}")
    if what is None:
        return None
    return Fault(what.replace(f"{tree}/", ""), _places(str(library), offsets, tree))


def supervised(work: Callable[[int], int], library: Path, tree: Path, tell: Callable[[Fault], int]) -> int:
    """Do ``work`` in a process of its own and return its exit code; after a fault what ``tell`` returns.

    ``work`` is called with the descriptor for ``shim_catch_faults()``. Call this before any thread is started. Ctrl-C
    reaches both processes; the other one ends first. It ends with this one, too.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    reader, writer = os.pipe()
    child = os.fork()
    if not child:
        os.close(reader)
        _work(lambda writer: _tied(work, writer), writer)
    os.close(writer)
    old = {number: signal.signal(number, _forward(child)) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        report = _read_all(reader)
        status = _wait(child)
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)
        os.close(reader)
    fault = read(report, library, tree)
    if fault is not None:
        return tell(fault)
    if os.WIFSIGNALED(status):
        return tell(
            Fault(f"the process with the kernel's code was ended by {signal.Signals(os.WTERMSIG(status)).name}")
        )
    return os.waitstatus_to_exitcode(status)


class Reporter:
    """A process beside a service, which reports what broke in the kernel's code when that has ended the service.

    Make it before any thread is started. ``tell`` is called in that process, which lives until this one ends or calls
    :meth:`close`. A signal to the process group does not end it: it has to see the end of the service.
    """

    def __init__(self, tell: Callable[[Fault], object]) -> None:
        sys.stdout.flush()
        sys.stderr.flush()
        reader, self._writer = os.pipe()
        self._pid = os.fork()
        if not self._pid:
            os.close(self._writer)
            _work(lambda reader: _tell_of(reader, tell), reader)
        os.close(reader)

    def watch(self, library: Path, tree: Path) -> int:
        """The descriptor for ``shim_catch_faults()`` of a library built from ``tree``."""
        os.write(self._writer, f"{library}\n{tree}\n".encode())
        return self._writer

    def close(self) -> None:
        """Nothing of the kernel's code runs any more."""
        os.close(self._writer)
        _wait(self._pid)


def _tell_of(reader: int, tell: Callable[[Fault], object]) -> int:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    library, _, rest = _read_all(reader).partition("\n")
    tree, _, report = rest.partition("\n")
    fault = read(report, Path(library), Path(tree))
    if fault is not None:
        tell(fault)
    return 0


def _forward(child: int) -> Callable[[int, object], None]:
    def forward(number: int, frame: object) -> None:
        if number == signal.SIGTERM:
            os.kill(child, number)

    return forward


def _read_all(descriptor: int) -> str:
    """Until the other process has ended, at most so much; it is that process's word, not to be trusted."""
    data = b""
    while len(data) < _MOST and (part := os.read(descriptor, _MOST)):
        data += part
    return data.decode(errors="replace")


def _wait(child: int) -> int:
    while True:
        try:
            return os.waitpid(child, 0)[1]
        except InterruptedError:
            continue


def _tied(work: Callable[[int], int], writer: int) -> int:
    """``work``, as long as the parent lives."""
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
    return work(writer)


def _work(work: Callable[[int], int], descriptor: int) -> None:
    """In the child; does not return."""
    code = 1
    try:
        code = work(descriptor)
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else 1
    except KeyboardInterrupt:
        code = 130
    except BaseException:
        import traceback

        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        except OSError:
            code = code or 1
        os._exit(code)
