# SPDX-License-Identifier: GPL-2.0-only
"""The spaces and areas of a trace, of what processes mapped: only pages that were there at some time have a number."""

from __future__ import annotations

from array import array
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from damon.errors import InvalidInput
from damon.guests.truth.areas import Area
from damon.guests.truth.maps import Maps, Process
from damon.workload.tracefile.form import MAX_AREAS, MAX_SPACES, TracedArea

_PAGE: Final = 4096
#: An area is split where so many of its pages never were there, into so many parts at most.
_GAP: Final = 64
_MOST_PARTS: Final = 64


@dataclass(frozen=True)
class Space:
    """The pages of one process."""

    name: str
    pid: int
    nr_pages: int


@dataclass(frozen=True)
class Layout:
    """Where everything is.

    Args:
        spaces: processes, in order of their first look.
        areas: as in the trace file, with periods in guest time.
        space_of: of each owner of ``Maps.owners``; -1: of a process that is left out.
        page_of: of each owner, in its space.
        left_out: processes.
    """

    spaces: list[Space]
    areas: list[TracedArea]
    space_of: array[int]
    page_of: array[int]
    left_out: int


def lay_out(maps: Maps) -> Layout:
    """The layout of all that ``maps`` has read.

    Raises:
        InvalidInput: no process had a page, or there are too many areas.
    """
    nr = len(maps.owners)
    layout = Layout([], [], array("h", [-1]) * nr, array("I", [0]) * nr, 0)
    names: dict[str, int] = {}
    left_out = 0
    for process in maps.processes:
        parts = [part for area in process.areas.all if area.into is None for part in _parts(area)]
        if not parts:
            continue
        if len(layout.spaces) == MAX_SPACES:
            left_out += 1
            continue
        number = names[process.name] = names.get(process.name, 0) + 1
        _add(layout, process, process.name if number == 1 else f"{process.name}-{number}", sorted(parts, key=_low))
    if not layout.spaces:
        raise InvalidInput("truth: no process had memory when it was looked at; record for longer, or look more often")
    if len(layout.areas) > MAX_AREAS:
        raise InvalidInput(f"truth: {len(layout.areas)} areas: are more than {MAX_AREAS}; record it with --only")
    return Layout(layout.spaces, layout.areas, layout.space_of, layout.page_of, left_out)


_Part = tuple[int, int, Area, list[int]]  # first page, end, its pages


def _low(part: _Part) -> int:
    return part[0]


def _parts(area: Area) -> list[_Part]:
    """An area without the pages that never were there, as far as these are many in a row."""
    pages = sorted(area.owners)
    if not pages:
        return []
    gaps = sorted((after - before, number) for number, (before, after) in enumerate(pairwise(pages), 1))
    cuts = sorted(number for gap, number in gaps[-_MOST_PARTS + 1 :] if gap > _GAP)
    return [
        (pages[begin], pages[end - 1] + 1, area, pages[begin:end])
        for begin, end in pairwise([0, *cuts, len(pages)])
    ]  # fmt: skip


def _add(layout: Layout, process: Process, name: str, parts: list[_Part]) -> None:
    space, at = len(layout.spaces), 0
    seen: dict[str, int] = {}
    for low, high, area, pages in parts:
        number = seen[area.name] = seen.get(area.name, 0) + 1
        shown = f"{name}.{area.name}" if number == 1 else f"{name}.{area.name}-{number}"
        periods = tuple(area.periods)
        layout.areas.append(TracedArea(shown, space, at, high - low, area.kind, low * _PAGE, periods))
        for page in pages:
            owner = area.owners[page]
            layout.space_of[owner], layout.page_of[owner] = space, at + page - low
        at += high - low
    layout.spaces.append(Space(name, process.pid, at))
