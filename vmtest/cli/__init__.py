# SPDX-License-Identifier: GPL-2.0-only
"""The ``vmtest`` command: run one command in a guest, run suites, build what guests boot, report what is missing here.

A file a command, each with ``add(commands)``; ``main.py`` puts them together.
"""

from .main import main, parser

__all__ = ["main", "parser"]
