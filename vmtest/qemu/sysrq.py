# SPDX-License-Identifier: GPL-2.0-only
"""Magic SysRq through the serial line: it works when no command does any more, and shows why a guest hangs."""

from __future__ import annotations

import contextlib
import time

from ..patience import patient
from .console import Console
from .monitor import Monitor, MonitorError

#: Blocked tasks, all processors, all tasks.
HANG_KEYS = "wlt"
# A break while the kernel still handles the last one cancels it: the next waits for what the last one writes. A guest
# that has stopped writes nothing.
BETWEEN_SECONDS = 0.3
REACTION_SECONDS = 1.0
DUMP_SECONDS = 4.0
QUIET_SECONDS = 0.6


def press(monitor: Monitor, console: Console, letters: str) -> None:
    """Presses keys one after the other.

    Raises:
        MonitorError: QEMU is gone.
    """
    for number, letter in enumerate(letters):
        if number:
            time.sleep(BETWEEN_SECONDS)
        before = console.last_byte
        monitor.command("chardev-send-break", id="console")
        console.type(letter.encode())
        deadline = time.monotonic() + patient(REACTION_SECONDS)
        while console.last_byte == before and time.monotonic() < deadline:
            time.sleep(0.02)


def dump_tasks(monitor: Monitor, console: Console) -> None:
    """Has the kernel write its tasks to the console; returns when it falls silent, or after a few seconds."""
    with contextlib.suppress(MonitorError, OSError):
        press(monitor, console, HANG_KEYS)
        deadline = time.monotonic() + DUMP_SECONDS
        while time.monotonic() < deadline and time.monotonic() - console.last_byte < QUIET_SECONDS:
            time.sleep(0.1)
