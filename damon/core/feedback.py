# SPDX-License-Identifier: GPL-2.0-only
"""The proportional feedback function that quota and interval tuning share (DAMON spec, damos 6.1)."""

from __future__ import annotations

from typing import Final

from damon.model.attrs import ULONG_MAX

TARGET_SCORE: Final = 10000
_FLOOR: Final = 10000


def damon_feed_loop_next_input(last_input: int, score: int) -> int:
    """The next input: less when ``score`` is above 10000, more when below; never under 10000, at most twice."""
    if score == TARGET_SCORE:
        return last_input
    if score >= 2 * TARGET_SCORE:
        return _FLOOR
    distance = abs(score - TARGET_SCORE)
    if last_input * distance <= ULONG_MAX:
        change = last_input * distance // TARGET_SCORE
    else:
        change = last_input // TARGET_SCORE * distance
    if score > TARGET_SCORE:
        return max(last_input - change, _FLOOR)
    return min(last_input + change, ULONG_MAX)
