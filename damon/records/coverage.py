# SPDX-License-Identifier: GPL-2.0-only
"""Which addresses a target had when, as areas: pages that came and went together."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from damon.records.names import Mapping

_PAGE: Final = 4096
#: Areas of one target, and changes of its ranges; of more, neighbours are taken together.
MAX_AREAS: Final = 500
_MAX_STEPS: Final = 2048
_MAX_NAMED: Final = 10_000  # mappings
_NAME: Final = re.compile(r"[^A-Za-z0-9_.-]+")

Ranges = list[tuple[int, int]]


def joined(ranges: Iterable[tuple[int, int]]) -> Ranges:
    """Ranges in order, with those that touch or overlap as one."""
    found: Ranges = []
    for start, end in ranges:
        if found and start <= found[-1][1]:
            found[-1] = found[-1][0], max(found[-1][1], end)
        else:
            found.append((start, end))
    return found


def common(ours: Ranges, theirs: Ranges) -> Ranges:
    """What lies in both."""
    found, at = [], 0
    for start, end in ours:
        while at < len(theirs) and theirs[at][1] <= start:
            at += 1
        number = at
        while number < len(theirs) and theirs[number][0] < end:
            found.append((max(start, theirs[number][0]), min(end, theirs[number][1])))
            number += 1
    return found


@dataclass
class Covered:
    """Pages that belonged to a target from and to the same times."""

    start: int  #: page
    end: int
    periods: list[tuple[int, int]]
    name: str = ""


@dataclass
class Coverage:
    """The ranges of a target over time, in pages; a step is a time from which on others are there."""

    steps: list[tuple[int, Ranges]] = field(default_factory=list)

    def add(self, t: int, ranges: Iterable[tuple[int, int]]) -> None:
        """From ``t`` on, which is not before the last one, the target has ``ranges``, bytes in order."""
        pages = joined((start // _PAGE, -(-end // _PAGE)) for start, end in ranges)
        if self.steps and self.steps[-1][1] == pages:
            return
        self.steps.append((t, pages))
        if len(self.steps) > 2 * _MAX_STEPS:
            pairs = zip(self.steps[::2], self.steps[1::2], strict=False)
            self.steps = [(first[0], joined(sorted(first[1] + second[1]))) for first, second in pairs]

    def areas(self, end: int, known: Sequence[Mapping]) -> list[Covered]:
        """All areas by address. ``end``: when the last step's ranges go; ``known``: mappings with names, between which
        nothing was mapped."""
        mapped = joined(sorted((start // _PAGE, -(-stop // _PAGE)) for start, stop, _ in known if start < stop))
        steps = [(t, common(ranges, mapped)) for t, ranges in self.steps]
        if not any(ranges for _, ranges in steps):
            steps, known = self.steps, ()
        edges = {edge for _, ranges in steps for piece in ranges for edge in piece}
        named = edges | {edge // _PAGE for start, stop, _ in known for edge in (start, stop)}
        areas = _areas(steps, sorted(named if len(named) <= MAX_AREAS else edges), end)
        if len(areas) > MAX_AREAS:
            areas = _coarser(steps, sorted(edges), end)
        for area in areas if len(known) <= _MAX_NAMED else ():
            area.name = _name(area, known)
        return _alike(areas)


def _areas(steps: Sequence[tuple[int, Ranges]], edges: Sequence[int], end: int) -> list[Covered]:
    """The pieces between ``edges``, as far as they ever were there."""
    index = {edge: number for number, edge in enumerate(edges)}
    pieces: list[list[tuple[int, int]]] = [[] for _ in edges]
    for number, (t, ranges) in enumerate(steps):
        until = steps[number + 1][0] if number + 1 < len(steps) else end
        if t >= until:
            continue
        for low, high in ranges:
            for piece in pieces[index[low] : index[high]]:
                if piece and piece[-1][1] == t:
                    piece[-1] = piece[-1][0], until
                else:
                    piece.append((t, until))
    return [Covered(edges[number], edges[number + 1], periods) for number, periods in enumerate(pieces[:-1]) if periods]


def _coarser(steps: Sequence[tuple[int, Ranges]], edges: Sequence[int], end: int) -> list[Covered]:
    """As few areas as are kept: edges that are near each other are taken for one."""
    grain = 2
    while True:
        kept = sorted({*(edge // grain * grain for edge in edges), *(-(-edge // grain) * grain for edge in edges)})
        wide = [
            (t, joined((low // grain * grain, -(-high // grain) * grain) for low, high in ranges))
            for t, ranges in steps
        ]  # fmt: skip
        areas = _areas(wide, kept, end)
        if len(areas) <= MAX_AREAS:
            return areas
        grain *= 4


def _name(area: Covered, known: Sequence[Mapping]) -> str:
    """The file, or [heap] and the like, that most of an area is of."""
    best, name = 0, ""
    for start, end, what in known:
        overlap = min(end, area.end * _PAGE) - max(start, area.start * _PAGE)
        if overlap > best and what.strip("0"):
            best, name = overlap, what
    return _NAME.sub("", Path(name).name if name.startswith("/") else name)[:40].strip(".-")


def _alike(areas: list[Covered]) -> list[Covered]:
    """Neighbours with the same times and name as one."""
    found: list[Covered] = []
    for area in areas:
        last = found[-1] if found else None
        if last is not None and (last.end, last.periods, last.name) == (area.start, area.periods, area.name):
            last.end = area.end
        else:
            found.append(area)
    return found
