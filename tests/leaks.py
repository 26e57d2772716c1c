# SPDX-License-Identifier: GPL-2.0-only
"""What a piece of work has left on the machine: processes, mounts, sockets, files. Only what is its own counts."""

from __future__ import annotations

import contextlib
import gc
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

#: What ends by itself may take so long, on a machine that is busy: no more than a guard.
PATIENCE_S = 60.0
LOOK_S = 0.02
#: Started by the standard library for the rest of the process's life.
HELPERS = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")
#: Where programs leave files that do not ask for ``TMPDIR``, and how the names of ours begin.
SHARED = (Path("/tmp"), Path("/var/tmp"), Path("/dev/shm"), Path("/run"))
NAMES = ("vmtest", "damon", "pydamon")
#: Programs of this project, in a command line.
PROGRAMS = ("damond", "vmtest", "damon.", "damon-workload", "pytest")


@dataclass(frozen=True)
class Found:
    """One thing: ``key`` is the same as long as it is the same thing, ``shown`` describes it."""

    key: tuple[str, ...]
    shown: str


def _shown(process: psutil.Process) -> str:
    try:
        words = " ".join(process.cmdline()) or process.name()
        return f"process {process.pid} ({process.status()}): {words[:200]}"
    except psutil.Error:
        return f"process {process.pid}"


def _environment(pid: int) -> bytes:
    """While a process is in execve() the kernel shows none of it, although whoever started it has gone on. Threads of
    the kernel and processes that have ended have no memory."""
    with contextlib.suppress(OSError):
        for _ in range(100):
            data = Path(f"/proc/{pid}/environ").read_bytes()
            if data or Path(f"/proc/{pid}/cmdline").read_bytes() or Path(f"/proc/{pid}/statm").read_text()[:2] == "0 ":
                return data
            time.sleep(0.01)
    return b""


def processes(word: str) -> Iterator[psutil.Process]:
    """Descendants of this process: its children's children, and whoever has the word in the environment."""
    mine = os.getpid()
    below = {child.pid for child in psutil.Process().children(recursive=True)}
    for process in psutil.process_iter():
        if process.pid == mine or (process.pid not in below and word.encode() not in _environment(process.pid)):
            continue
        with contextlib.suppress(psutil.Error):
            if not any(helper in part for part in process.cmdline() for helper in HELPERS):
                yield process


def strangers(word: str) -> bool:
    """Whether programs of this project run that are none of this run's."""
    ours = {os.getpid(), *(process.pid for process in psutil.Process().parents())}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            line = " ".join(process.cmdline())
            known = process.pid in ours or word.encode() in _environment(process.pid)
            if not known and any(name in line for name in PROGRAMS):
                return True
    return False


def shared() -> set[Path]:
    """Files in the directories that all programs share, by our names, and of this user."""
    found = set()
    for directory in SHARED:
        with contextlib.suppress(OSError):
            found |= {
                Path(entry.path)
                for entry in os.scandir(directory)
                if entry.name.startswith(NAMES) and entry.stat(follow_symlinks=False).st_uid == os.getuid()
            }
    return found


def _mounts(below: tuple[Path, ...]) -> Iterator[Found]:
    for line in Path("/proc/self/mountinfo").read_text().splitlines():
        words = line.split()
        point = words[4].encode().decode("unicode_escape")
        if any(Path(point).is_relative_to(directory) for directory in below):
            yield Found(("mount", words[0], point), f"mount {point} ({words[words.index('-') + 1]})")


def _sockets() -> Iterator[Found]:
    connections = {connection.fd: connection for connection in psutil.Process().net_connections("all")}
    for entry in os.scandir("/proc/self/fd"):
        with contextlib.suppress(OSError):
            target = os.readlink(entry.path)
            if target.startswith("socket:"):
                known = connections.get(int(entry.name))
                if known and known.family == socket.AF_UNIX and not known.laddr and "distributed" in sys.modules:
                    continue  # Dask keeps the event loop of its thread, whose unnamed pair this is
                where = f", {known.laddr or 'no name'} {known.status}" if known else ""
                yield Found(("socket", target), f"{target} (descriptor {entry.name}{where})")


def _files(directories: tuple[Path, ...]) -> Iterator[Found]:
    for directory in directories:
        for path in directory.iterdir():
            if path.name.startswith("pytest-of-"):
                continue  # of a pytest that a test runs: it keeps the last three, as always
            if path.name == ".rustup":
                continue  # a kernel's build asks for rustc, and rustup's makes this whatever RUSTUP_HOME says
            yield Found(("file", str(path)), f"{path}{'/' if path.is_dir() else ''}")


class Watch:
    """From now on: what of a test process's own comes and does not go.

    Args:
        word: what descendants of the process carry in their environment.
        directories: nothing stays in any of them.
        others: mounts do not stay below it, files may.
    """

    def __init__(self, word: str, directories: tuple[Path, ...], others: Path) -> None:
        self._word, self._directories, self._others = word, directories, others
        self._before = set(self._look())

    def _look(self) -> Iterator[Found]:
        for process in processes(self._word):
            with contextlib.suppress(psutil.Error):
                yield Found(("process", str(process.pid), str(process.create_time())), _shown(process))
        yield from _mounts((*self._directories, self._others))
        yield from _sockets()
        yield from _files(self._directories)

    def _new(self) -> list[Found]:
        known = {found.key for found in self._before}
        return [found for found in self._look() if found.key not in known]

    def left(self, patience: float | None = None) -> list[str]:
        """What is new and does not end by itself."""
        if self._new():
            gc.collect()  # what only a cycle refers to is not left
        deadline = time.monotonic() + (PATIENCE_S if patience is None else patience)
        while (new := self._new()) and time.monotonic() < deadline:
            time.sleep(LOOK_S)
        return [found.shown for found in new]

    def clear(self) -> None:
        """End the new processes and undo the new mounts, so that later modules begin without them."""
        new = self._new()
        for found in new:
            if found.key[0] == "process":
                with contextlib.suppress(psutil.Error):
                    psutil.Process(int(found.key[1])).kill()
            if found.key[0] == "mount":
                subprocess.run(["umount", "-l", found.key[2]], check=False, capture_output=True)
