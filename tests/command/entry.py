# SPDX-License-Identifier: GPL-2.0-only
"""Entry points of commands, started as their installed scripts start them."""

from __future__ import annotations

import sys

#: What pip writes for an entry point.
_SCRIPT = "import sys; from {module} import {function}; sys.argv[0] = '{function}'; sys.exit({function}())"


def words(command: str, prelude: str = "") -> list[str]:
    """The command line of ``MODULE:FUNCTION ARGUMENT ...``; ``prelude`` is code that runs first."""
    entry, *arguments = command.split()
    module, function = entry.split(":")
    return [sys.executable, "-c", prelude + _SCRIPT.format(module=module, function=function), *arguments]
