# SPDX-License-Identifier: GPL-2.0-only
"""Waiting for what will happen: a test waits for a condition, and its limits only guard against a hang."""

from __future__ import annotations

import time
from collections.abc import Callable

#: A limit for what ends by itself in moments: beyond it something hangs, on any machine.
HANG_S = 1500.0
LOOK_S = 0.01


def until(
    condition: Callable[[], object], otherwise: str | Callable[[], str] = "it never happened", look_s: float = LOOK_S
) -> None:
    """Returns when the condition holds; ``look_s`` is the pause between looks, for those that cost something.

    Raises:
        AssertionError: it did not in ``HANG_S``; the words, or what is said then.
    """
    deadline = time.monotonic() + HANG_S
    while not condition():
        assert time.monotonic() < deadline, otherwise() if callable(otherwise) else otherwise
        time.sleep(look_s)
