# SPDX-License-Identifier: GPL-2.0-only
"""How a run on the command's own machine ended: lines on stderr, and the exit code."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from damon.mm.sim import Kill


def in_words(error: BaseException | None) -> str | None:
    """``ZeroDivisionError: broken``, in one line."""
    return None if error is None else " ".join("".join(traceback.format_exception_only(error)).split())


def report(error: BaseException | None, kills: Sequence[Kill] = ()) -> int:
    """Print on stderr what went wrong; the exit code. Call it before any output: the reader of stdout may have left."""
    for kill in kills:
        print(f"damon: process {kill.pid} was {kill}", file=sys.stderr)
    if error is not None:
        traceback.print_exception(error)
        print(f"damon: a monitoring worker ended: {in_words(error)}", file=sys.stderr)
    return 1 if kills or error is not None else 0
