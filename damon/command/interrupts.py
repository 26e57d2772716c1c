# SPDX-License-Identifier: GPL-2.0-only
"""Ctrl-C from the start of a command until there is something to clean up: the process ends at once."""

import os
import signal

INTERRUPTED = 130


def leave_at_once(_number: int, _frame: object) -> None:
    """Ctrl-C while nothing has been started that would have to be stopped. No exception: it would pass through whatever
    is being imported, and be swallowed where Python runs callbacks."""
    os._exit(INTERRUPTED)


def take_interrupts() -> None:
    """Ctrl-C ends the process at once from here on; not where it is ignored, as under nohup."""
    try:
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
            signal.signal(signal.SIGINT, leave_at_once)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)
