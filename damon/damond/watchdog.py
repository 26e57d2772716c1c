# SPDX-License-Identifier: GPL-2.0-only
"""A service that was asked to end does end: by force, when the orderly way takes too long."""

from __future__ import annotations

import logging
import os
import signal
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final

log = logging.getLogger("damon.damond")

SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
#: For the orderly end.
PATIENCE_S: Final = 4.0
#: The time without a processor does not count, up to so many times ``PATIENCE_S``.
BUSY: Final = 10
#: For ``abandon``; both together are less than the 5 s that a service manager or a user counts on.
ABANDON_S: Final = 0.8
#: Of a process that was ended by force.
FORCED: Final = 1


def waited_s() -> float:
    """Seconds, added up, in which a process of this machine was ready to run and had no processor.

    The pressure on processors counts all processes: the end may wait for another one, such as the one that unmounts.
    Where the kernel does not count it, the delays of this process's threads stand in for it. The time that a
    hypervisor took away (``steal``) is part of neither.
    """
    steal = 0.0
    with suppress(OSError, ValueError, IndexError):
        steal = int(Path("/proc/stat").read_text().split(None, 9)[8]) / os.sysconf("SC_CLK_TCK")
    try:
        return steal + int(Path("/proc/pressure/cpu").read_text().partition("total=")[2].split()[0]) / 1e6
    except (OSError, ValueError, IndexError):  # built without, or turned off
        return steal + sum(map(_run_delay_s, Path("/proc/self/task").iterdir()))


def _run_delay_s(task: Path) -> float:
    with suppress(OSError, ValueError, IndexError):  # the thread has ended, or the kernel does not count
        return int((task / "schedstat").read_text().split()[1]) / 1e9
    return 0.0


class Watchdog:
    """From entering to leaving it, SIGTERM or SIGINT starts a time in which it has to be left.

    The signals are seen in a thread of its own, through a pipe that the interpreter's C handler writes to: it does not
    matter what the main thread does. Their Python handlers are set elsewhere.

    Args:
        abandon: removes what the process has made that would outlive it, without waiting for anything. It runs in
            another thread while all others go on, and the process ends right after.
        patience_s: the time.
    """

    def __init__(self, abandon: Callable[[], None], patience_s: float = PATIENCE_S) -> None:
        self._abandon, self._patience_s = abandon, patience_s
        self._left = threading.Event()
        self._read, self._write = os.pipe()
        os.set_blocking(self._write, False)
        self._thread = threading.Thread(target=self._wait, name="damond-watchdog", daemon=True)
        self._before = -1

    def __enter__(self) -> Watchdog:
        """In the main thread."""
        self._before = signal.set_wakeup_fd(self._write, warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(self, *exc: object) -> None:
        self._left.set()
        signal.set_wakeup_fd(self._before)
        os.close(self._write)  # ends the read
        self._thread.join()
        os.close(self._read)

    def _wait(self) -> None:
        while numbers := os.read(self._read, 64):
            if any(number in SIGNALS for number in numbers) and not self._left_in_time():
                self._force()

    def _left_in_time(self) -> bool:
        before, granted = waited_s(), 0.0
        if self._left.wait(self._patience_s):
            return True
        while granted < BUSY * self._patience_s:
            more = waited_s() - before - granted
            if more < 0.01 * self._patience_s:
                break
            granted += more
            if self._left.wait(more):
                return True
        return False

    def _force(self) -> None:
        log.error("ending takes longer than %g s: workers are left where they are", self._patience_s)
        helper = threading.Thread(target=self._try_abandon, daemon=True)
        with suppress(RuntimeError):  # no thread can be started
            helper.start()
            helper.join(ABANDON_S)
        os._exit(FORCED)

    def _try_abandon(self) -> None:
        try:
            self._abandon()
        except Exception:
            log.exception("something may be left behind")
