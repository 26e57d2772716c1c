# SPDX-License-Identifier: GPL-2.0-only
"""Where every command starts: with Ctrl-C in hand, before anything is imported that takes long.

``vmtest.command`` is a link to this directory, because neither package imports the other. ``interrupts.py`` has
Ctrl-C, ``process.py`` is what happens next, ``parser.py`` how command lines are read.
"""

import os

try:
    from .interrupts import take_interrupts
except KeyboardInterrupt:
    os._exit(130)

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


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
