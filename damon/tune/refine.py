# SPDX-License-Identifier: GPL-2.0-only
"""The last stage of a search: what lies next to the best configurations, so that where it ends is a property of the
study and not of the way that the search took."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations, product
from typing import Final

from damon.tune.analysis import near, ranked
from damon.tune.domain import Domain, Point
from damon.tune.search import Search

#: The least share of importance of a parameter that is looked at again.
MATTERS: Final = 0.1
#: So many parameters are moved at once: less memory monitored exactly may want a greater age.
_TOGETHER: Final = 2


def refine(search: Search, trials: int, shares: Mapping[str, float]) -> None:
    """Evaluate the neighbours of all configurations that are nearly as good as the best, those of the best at first;
    while none keeps the constraints, of those that lack least.

    Neighbours differ by one step in one or two of the parameters that matter, and have the best configuration's values
    of all others. It ends when all are known, or after ``trials`` configurations. None is given up for its objective.

    Args:
        search: it has run.
        shares: importance of each free parameter by its label; empty: all matter.
    """
    domains = search.study.space.free
    moved = [
        nr
        for nr, domain in enumerate(domains)
        if domain.ordered and (not shares or shares.get(domain.label, 0.0) >= MATTERS)
    ]
    looked: set[Point] = set()
    while trials > 0:
        configs = list(search.configs.values())
        found = near(search.study, configs) or ranked(search.study, configs)
        best = found[0].point if found else None
        centres = [_placed(config.point, best, moved) for config in found if config.point is not None and best]
        centre = next((point for point in centres if point not in looked), None)
        if centre is None:
            return
        looked.add(centre)
        points = [point for point in _neighbours(centre, domains, moved) if point not in search.configs]
        search.add(points[:trials])
        trials -= len(points)


def _placed(point: Point, best: Point, moved: Sequence[int]) -> Point:
    """``point`` with the values of ``best`` of all parameters that are not moved."""
    return tuple(point[nr] if nr in moved else value for nr, value in enumerate(best))


def _neighbours(centre: Point, domains: Sequence[Domain], moved: Sequence[int]) -> Iterator[Point]:
    for nr in range(_TOGETHER + 1):
        for places in combinations(moved, nr):
            for moves in product((-1, 1), repeat=nr):
                point = list(centre)
                for place, move in zip(places, moves, strict=True):
                    point[place] += move
                if all(0 <= point[place] < len(domains[place].values) for place in places):
                    yield tuple(point)
