# SPDX-License-Identifier: GPL-2.0-only
"""A run, held against the best possible one."""

from __future__ import annotations

from typing import Any

from damon.results.best.curve import best_reclaim
from damon.workload.model import Workload


def held_against_best(workload: Workload, seconds: float, saved: float, refaults: int) -> dict[str, Any]:
    """The field ``best`` of a result.

    Args:
        workload: that was played.
        seconds: for how long.
        saved: bytes x seconds that had left memory and were not back.
        refaults: pages that came back.

    Returns:
        ``saved_byte_seconds`` and ``refaults`` of the run; ``possible_byte_seconds``, the most that could be saved at
        as many refaults; ``necessary_refaults``, the fewest for as much saved; ``of_possible`` and ``regret``, the
        run's by these; None where that would be a division by 0.
    """
    best = best_reclaim(workload, seconds)
    possible = best.byte_seconds(refaults)
    necessary = best.refaults(min(saved, best.most_byte_seconds))
    if necessary < 1e-6:  # what rounding leaves of none
        necessary = 0.0
    return {
        "saved_byte_seconds": saved,
        "refaults": refaults,
        "possible_byte_seconds": possible,
        "necessary_refaults": necessary,
        "of_possible": saved / possible if possible else None,
        "regret": refaults / necessary if necessary else None if refaults else 1.0,
    }


def sentence(best: dict[str, Any]) -> str:
    """The field ``best`` for people: ``61 % of what could be reclaimed, 3.2 times the necessary refaults``."""
    share, regret, refaults = best["of_possible"], best["regret"], best["refaults"]
    reclaimed = "nothing could be reclaimed" if share is None else f"{100 * share:.3g} % of what could be reclaimed"
    if not refaults:
        return f"{reclaimed}, no refault"
    if regret is None:
        return f"{reclaimed}, {refaults} refaults where none was necessary"
    return f"{reclaimed}, {regret:.3g} times the necessary refaults"
