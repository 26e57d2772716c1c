# SPDX-License-Identifier: GPL-2.0-only
"""Runs one step of a build: output to a log, progress shown, killed with its children when the build is given up.

``vmtest/steps.py`` is a link to this file, as neither package imports the other.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Sequence
from pathlib import Path
from threading import Thread

from .errors import BuildFailed, MissingCapability
from .progress import Progress

LOG_TAIL_LINES = 15
# A build must not depend on its caller: make's own variables leak from a calling make, locale changes tools' output.
DROPPED_ENVIRONMENT = frozenset(
    ("MAKEFLAGS", "MFLAGS", "MAKELEVEL", "ARCH", "CROSS_COMPILE", "KCONFIG_CONFIG", "KBUILD_OUTPUT", "LC_ALL")
)


def jobs() -> int:
    """Number of parallel jobs: the CPUs this process may use."""
    return len(os.sched_getaffinity(0))


def found(name: str, package: str) -> str:
    """Full path of a program.

    Raises:
        MissingCapability: it is not installed; the message names Debian's package of it.
    """
    # Administrators' programs are not on every user's PATH.
    path = shutil.which(name) or shutil.which(name, path="/usr/sbin:/sbin:/usr/bin:/bin")
    if path is None:
        raise MissingCapability(f"program: {name!r}: is not installed; install it with: apt-get install {package}")
    return path


def run(
    command: Sequence[str | Path],
    log: Path,
    progress: Progress,
    note: str | Callable[[str], str | None],
    *,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
) -> None:
    """Runs a command to its end.

    Args:
        command: program and arguments.
        log: file that both output streams are appended to.
        progress: where the note is shown.
        note: a fixed text, or a function from one line of output to a text (None: unchanged).
        cwd: working directory.
        env: added to the environment.

    Raises:
        BuildFailed: it ended with another code than 0; the message has the end of the log.
        MissingCapability: there is no such program.
    """
    child = _start([str(word) for word in command], cwd, env or {})
    output = _Output(child, log, note)
    try:
        while True:
            try:
                child.wait(timeout=0.5)
                break
            except subprocess.TimeoutExpired:
                progress.update(output.note)
        output.join(timeout=10)
    except BaseException:
        _kill(child)
        raise
    if code := child.returncode:
        tail = "\n".join(log.read_text(errors="replace").splitlines()[-LOG_TAIL_LINES:])
        what = " ".join(str(word) for word in command[:3])
        raise BuildFailed(f"{progress.label}: step '{what}': ended with code {code}; its last lines:\n{tail}")


def _start(command: list[str], cwd: Path | None, env: dict[str, str]) -> subprocess.Popen[bytes]:
    environment = {name: value for name, value in os.environ.items() if name not in DROPPED_ENVIRONMENT}
    environment.update(LC_ALL="C", **env)
    # setpriv: a builder that is killed outright takes its children along.
    return subprocess.Popen(
        [found("setpriv", "util-linux"), "--pdeathsig", "TERM", "--", *command],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


class _Output(Thread):
    """Reads what a command writes, into its log; ``note`` is the text to show."""

    def __init__(self, child: subprocess.Popen[bytes], log: Path, note: str | Callable[[str], str | None]) -> None:
        super().__init__(daemon=True)
        self._child, self._log = child, log
        self._note_of = None if isinstance(note, str) else note
        self.note = note if isinstance(note, str) else ""
        self.start()

    def run(self) -> None:
        assert self._child.stdout is not None
        with self._log.open("ab") as sink:
            for line in self._child.stdout:
                sink.write(line)
                if self._note_of is not None:
                    self.note = self._note_of(line.decode(errors="replace").rstrip()) or self.note


def _kill(child: subprocess.Popen[bytes]) -> None:
    """Ends a command and its children; by force after 10 s. One that was waited for is gone, and its number free."""
    if child.returncode is not None:
        return
    with contextlib.suppress(ProcessLookupError):  # waited for, when the interrupt came before that was noted
        os.killpg(child.pid, signal.SIGTERM)
    try:
        child.wait(timeout=10)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()
