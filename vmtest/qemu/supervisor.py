# SPDX-License-Identifier: GPL-2.0-only
"""Owns one QEMU process and one run directory, and outlives its parent just long enough to remove both.

Run as a program of its own (standard library only, so that it starts fast):
``supervisor.py PARENT_PID RUN_DIRECTORY FD[,FD...] -- COMMAND...``. It ends QEMU and removes the directory when
something comes on its standard input or that is closed, or when its parent dies, by whatever signal. QEMU in turn dies
with it.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import subprocess
import sys
from pathlib import Path

EXIT_FILE = "qemu.exit"
LOG_FILE = "qemu.log"
PID_FILE = "qemu.pid"


def spawn(directory: Path, descriptors: tuple[int, ...], command: list[str]) -> subprocess.Popen[bytes]:
    """Starts a supervisor for a command; write to its standard input, or close it, to end both.

    Args:
        directory: the run directory that it removes at the end.
        descriptors: inherited by the command.
        command: program and arguments.
    """
    words = [
        sys.executable,
        "-I",
        "-S",
        __file__,
        str(os.getpid()),
        str(directory),
        ",".join(map(str, descriptors)),
        "--",
    ]
    # setpriv: should the supervisor be killed outright, its command goes with it.
    setpriv = shutil.which("setpriv", path="/usr/bin:/bin") or "setpriv"
    words += [setpriv, "--pdeathsig", "KILL", "--", *command]
    nothing = subprocess.DEVNULL
    return subprocess.Popen(
        words, stdin=subprocess.PIPE, stdout=nothing, stderr=nothing, pass_fds=descriptors, start_new_session=True
    )


def main(argv: list[str]) -> int:
    """Supervises; returns 0."""
    separator = argv.index("--")
    parent, directory, descriptors = argv[:separator]
    # A terminal's Ctrl-C is the parent's business: it ends us in order.
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    child = None
    try:
        poller = select.poll()
        parent_descriptor = os.pidfd_open(int(parent))
        if os.getppid() != int(parent):
            return 0
        poller.register(parent_descriptor, select.POLLIN)
        poller.register(0, select.POLLIN)
        passed = [int(text) for text in descriptors.split(",")]
        with (Path(directory) / LOG_FILE).open("wb") as log:
            words = argv[separator + 1 :]
            child = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=passed)
        (Path(directory) / PID_FILE).write_text(str(child.pid))
        # Only QEMU holds the other ends now: its death shows there as an end of file.
        for descriptor in passed:
            os.close(descriptor)
        child_descriptor = os.pidfd_open(child.pid)
        poller.register(child_descriptor, select.POLLIN)
        while True:
            ready = [descriptor for descriptor, _ in poller.poll()]
            if child_descriptor in ready:
                poller.unregister(child_descriptor)
                (Path(directory) / EXIT_FILE).write_text(str(child.wait()))
            if 0 in ready or parent_descriptor in ready:
                return 0
    except ProcessLookupError:  # the parent is gone already
        return 0
    finally:
        if child is not None and child.poll() is None:
            child.kill()
            child.wait()
        shutil.rmtree(directory, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
