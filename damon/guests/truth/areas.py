# SPDX-License-Identifier: GPL-2.0-only
"""The areas of a process over time, from its ``/proc/PID/maps``."""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Final

_LINE: Final = re.compile(
    r"([0-9a-f]{1,16})-([0-9a-f]{1,16}) [rwxps-]{4} [0-9a-f]+ ([0-9a-f]+:[0-9a-f]+) ([0-9]+) *(.*)", re.ASCII
)
_PAGE: Final = 4096
_MAX_AREAS: Final = 100_000
#: Shared memory: what leaves it goes to swap.
_ANON: Final = ("/dev/shm/", "/memfd:", "/SYSV", "/dev/zero")
_LONGEST: Final = 32


@dataclass(eq=False)
class Area:
    """A mapping, as far as it ever reached. Pages are those of its process's addresses."""

    name: str
    kind: str
    low: int
    high: int
    periods: list[tuple[int, int]] = field(default_factory=list)  #: when it was there, guest ns, ascending
    since: int | None = None  #: it is there, since
    owners: dict[int, int] = field(default_factory=dict)  #: by page
    into: Area | None = None  #: it has become a part of this one

    def whole(self) -> Area:
        """The area that it is a part of, or itself."""
        area = self
        while area.into is not None:
            area = area.into
        return area

    def end(self, at: int) -> None:
        """It is there no more."""
        if self.since is None:
            return
        begin = self.since
        if self.periods and self.periods[-1][1] >= begin:
            begin = self.periods.pop()[0]
        if begin < at:
            self.periods.append((begin, at))
        self.since = None


class Areas:
    """Those of one process; ``begin``, ``add`` for each line, ``end`` with each list."""

    def __init__(self) -> None:
        self.all: list[Area] = []
        self.looked = 0  #: when the list before was made
        self._same: dict[tuple[str, str, str], list[Area]] = {}
        self._now: list[tuple[int, int, Area]] = []
        self._starts: list[int] = []

    def begin(self, now: int) -> None:
        """A new list; ``now`` is guest time in ns."""
        self._now = []

    def add(self, line: str) -> None:
        """A line of it.

        Raises:
            ValueError: it is none.
        """
        found = _LINE.fullmatch(line)
        if found is None:
            raise ValueError
        low, high = int(found[1], 16) // _PAGE, int(found[2], 16) // _PAGE
        if low >= high or (self._now and low < self._now[-1][1]):
            raise ValueError
        path = found[5]
        if path == "[vsyscall]":
            return
        key = (path, found[3], found[4])
        alike = self._same.setdefault(key, [])
        touching = [area for area in alike if area.low <= high and low <= area.high]
        if touching:
            area = touching[0]
            for other in touching[1:]:
                _join(area, other)
                alike.remove(other)
            area.low, area.high = min(area.low, low), max(area.high, high)
        else:
            if len(self.all) >= _MAX_AREAS:
                raise ValueError
            anon = found[4] == "0" or path.startswith(_ANON)
            area = Area(_name(path), "anon" if anon else "file", low, high)
            alike.append(area)
            self.all.append(area)
        self._now.append((low, high, area))

    def end(self, now: int) -> None:
        """The list is whole; it was made at ``now``."""
        self._now = [(low, high, area.whole()) for low, high, area in self._now]
        self._starts = [low for low, _, _ in self._now]
        there = {id(area) for _, _, area in self._now}
        for area in self.all:
            if area.into is not None:
                continue
            if id(area) not in there:
                area.end(now)
            elif area.since is None:
                area.since = self.looked

    def close(self, now: int) -> None:
        """The process is gone."""
        for area in self.all:
            area.end(now)
        self._now, self._starts = [], []

    def at(self, page: int) -> Area | None:
        """The area of a page now."""
        number = bisect_right(self._starts, page) - 1
        if number < 0 or page >= self._now[number][1]:
            return None
        return self._now[number][2].whole()


def _join(area: Area, other: Area) -> None:
    """``other`` becomes a part of ``area``."""
    other.into = area
    area.low, area.high = min(area.low, other.low), max(area.high, other.high)
    area.owners.update(other.owners)
    times = [one.since for one in (area, other) if one.since is not None]
    area.since = min(times) if times else None
    merged: list[tuple[int, int]] = []
    for begin, end in sorted([*area.periods, *other.periods]):
        if merged and begin <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((begin, end))
    area.periods = merged


def _name(path: str) -> str:
    """Letters, digits and ``_.-`` of what is mapped."""
    base = path.removesuffix(" (deleted)").rpartition("/")[2]
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", base).strip("_.-")[:_LONGEST] or "anon"
