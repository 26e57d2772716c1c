# SPDX-License-Identifier: GPL-2.0-only
"""The idle times of areas that replay a trace: pages at even distances stand for all, each with its rates over time."""

from __future__ import annotations

from collections import Counter
from typing import Final

from damon.results.best.idle import Rates
from damon.results.best.pages import Idle
from damon.workload.tracefile.sampled import Sampled

#: Pages times stretches that are looked at for each threshold, about, of all areas together.
_EFFORT: Final = 60_000
#: Of an area: pages at least.
_LEAST: Final = 32
#: Rounds of a trace that are taken one by one.
_FEW: Final = 3


def add_traced(idle: Idle, area: Sampled, populate: bool, seconds: float, areas: int) -> None:
    """All idle times of an area in the first ``seconds``.

    Args:
        populate: are its pages accessed when they are mapped?
        areas: how many there are.
    """
    nr = max(_EFFORT // areas // max(len(area.edges), 1), _LEAST)
    some = area.fewer(nr)
    lives = list(some.lives(seconds))
    if lives == [(0.0, seconds)] and some.loop and seconds > _FEW * some.seconds:
        times = int(seconds / some.seconds)
        for page in range(len(some.rates)):
            cycle = tuple(some.stretches(page, 0.0, some.seconds))
            tail = tuple(some.stretches(page, 0.0, seconds - times * some.seconds))
            idle.add(Rates((), cycle, times, tail, populate), some.weight)
        return
    # Lives at the same time of a round are alike.
    alike = Counter((round(low % some.seconds, 9) if some.loop else low, round(high - low, 9)) for low, high in lives)
    for (low, length), times in alike.items():
        for page in range(len(some.rates)):
            rates = tuple(some.stretches(page, low, low + length))
            idle.add(Rates(rates, touched_first=populate), some.weight * times)
