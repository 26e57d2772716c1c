# SPDX-License-Identifier: GPL-2.0-only
"""Where every command starts: with Ctrl-C in hand, before anything is imported that takes long.

``vmtest.command`` is a link to this directory, because neither package imports the other. ``process.py`` is what
happens next, ``parser.py`` how command lines are read.
"""

import os

try:
    import signal
except KeyboardInterrupt:
    os._exit(130)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

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


def _run(name: str, module: str) -> "NoReturn":
    take_interrupts()
    from .process import run

    run(name, module)


def damon() -> "NoReturn":
    _run("damon", "damon.cli.main")


def damond() -> "NoReturn":
    _run("damond", "damon.cli.damond")


def damon_workload() -> "NoReturn":
    _run("damon-workload", "damon.workload.runner")


def vmtest() -> "NoReturn":
    _run("vmtest", "vmtest.cli.main")
