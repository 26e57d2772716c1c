# SPDX-License-Identifier: GPL-2.0-only
"""A process that outlives the one that uses the kernel's DAMON, and restores it when that one was killed."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from pathlib import Path

# The guardian is a new process, which the engine waits for: what only the engine needs is imported where it does.
TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from typing import Final

READY: Final = b"ready\n"
DISMISSED: Final = b"bye\n"
_START: Final = "import sys; sys.path.insert(0, sys.argv.pop()); from damon.host.guardian import main; main()"


def spawn(state: Path, lock: int) -> subprocess.Popen[bytes]:
    """A guardian of this process; it is at work when this returns.

    Args:
        state: where the journal is.
        lock: descriptor of the lock that marks the kernel's DAMON as in use; the guardian holds it as well.

    Raises:
        MissingCapability: it did not start.
    """
    import subprocess

    from damon.errors import MissingCapability

    root = str(Path(__file__).resolve().parents[2])
    words = [sys.executable, "-I", "-S", "-c", _START, str(os.getpid()), str(state), root]
    # In a session of its own: Ctrl-C and a group that is killed do not reach it.
    process = subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, pass_fds=(lock,), start_new_session=True, cwd="/"
    )
    assert process.stdout is not None
    if process.stdout.read(len(READY)) != READY:
        process.kill()
        process.wait()
        raise MissingCapability(
            "guardian: did not start: it would restore the kernel's DAMON after a kill; see the error above"
        )
    return process


def dismiss(process: subprocess.Popen[bytes]) -> None:
    """Ends a guardian: there is nothing to restore any more."""
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(BrokenPipeError):  # it was killed
        process.stdin.write(DISMISSED)
        process.stdin.flush()
    process.wait()
    for stream in (process.stdin, process.stdout):
        with contextlib.suppress(BrokenPipeError):
            stream.close()


def main() -> None:
    """``PID STATE``: waits for the end of the parent ``PID``, or to be dismissed."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    parent, state = int(sys.argv[1]), Path(sys.argv[2])
    # Out of memory it would be no help to end this one; without the right to exempt it, it is as any other.
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("-1000")
    watched = None
    with contextlib.suppress(ProcessLookupError):
        watched = os.pidfd_open(parent)
    if os.getppid() != parent:
        watched = None  # it has ended before: the id may be another process's by now
    with contextlib.suppress(BrokenPipeError):
        os.write(1, READY)
    if watched is not None and _dismissed(watched):
        return
    from damon.host.journal import repair

    for line in repair(state):
        with contextlib.suppress(OSError):
            os.write(2, f"damon: {line}\n".encode(errors="replace"))


def _dismissed(watched: int) -> bool:
    """Waits; True when the parent dismisses it, False when that has ended. All its system calls have ended then."""
    waiting = select.poll()
    waiting.register(watched, select.POLLIN)
    waiting.register(0, select.POLLIN)
    received = b""
    while True:
        ready = {descriptor for descriptor, _ in waiting.poll()}
        if 0 in ready:
            part = os.read(0, 64)
            received += part
            if received == DISMISSED:
                return True
            if not part:
                waiting.unregister(0)
        if watched in ready:
            return False
