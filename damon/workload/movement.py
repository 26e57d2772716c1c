# SPDX-License-Identifier: GPL-2.0-only
"""Areas that change: a hot spot that moves within one, and one that grows and shrinks."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from damon.workload.generators import GrowFields, HotFields
from damon.workload.quantities import parse_duration, parse_offset, parse_rate, parse_size, refusal

MAX_PLACES: Final = 2000  #: of one hot spot
MAX_CHANGES: Final = 100_000  #: of all hot spots and growing areas of a file


def generator(seed: int, *what: Any) -> random.Random:
    """Random numbers for one purpose, the same on any machine. Only ``random()`` of it is stable between versions."""
    return random.Random("/".join(map(str, (seed, *what))))


class Budget:
    """How many changes a file may still make."""

    def __init__(self) -> None:
        self._left = MAX_CHANGES

    def take(self, count: int, value: Any, field: str) -> None:
        """Refuse ``field`` if it makes too many."""
        self._left -= count
        if self._left < 0:
            raise refusal(field, value, f"makes more than {MAX_CHANGES} changes with what is above; give a longer time")


@dataclass(frozen=True)
class Hot:
    """A hot spot of ``size`` bytes with ``rate`` touches a second, that moves to the next place ``every_us``."""

    size: int
    rate: float
    every_us: int
    move: str
    places: tuple[int, ...]  #: offsets in the area
    raw: HotFields
    field: str

    def path(self, length_us: int, budget: Budget, rng: random.Random) -> list[tuple[int, int]]:
        """Times from the beginning, below ``length_us``, and the offset from each on."""
        if len(self.places) == 1:
            return [(0, self.places[0])]
        budget.take(length_us // self.every_us + 1, self.raw.every, f"{self.field}.every")
        count, last = -(-length_us // self.every_us), len(self.places) - 1
        if self.move == "bounce":
            turns = [*range(last), *range(last, 0, -1)]
            order = [turns[n % len(turns)] for n in range(count)]
        elif self.move == "walk":
            order = _walk(count, last, rng)
        else:
            order = [n % (last + 1) for n in range(count)]
        return [(n * self.every_us, self.places[index]) for n, index in enumerate(order)]


def _walk(count: int, last: int, rng: random.Random) -> list[int]:
    """From any index to a neighbour, and again; at the ends back."""
    at = int(rng.random() * (last + 1))
    order = []
    for _ in range(count):
        order.append(at)
        at = abs(at + (1 if rng.random() < 0.5 else -1))
        at = at if at <= last else last - 1
    return order


def parse_hot(raw: HotFields, field: str, area_size: int) -> Hot:
    """The hot spot of an access at ``field`` (``....hot``).

    Raises:
        InvalidInput: path, value and remedy.
    """
    size = parse_size(raw.size, f"{field}.size")
    if size > area_size:
        raise refusal(f"{field}.size", raw.size, f"is more than the area has; give at most {area_size} bytes")
    room = area_size - size
    if raw.move == "jump":
        if not raw.at or raw.step is not msgspec.UNSET:
            raise refusal(f"{field}.at", raw.at, "goes with move: jump, instead of step; give at least one offset")
        places = [parse_offset(at, f"{field}.at[{i}]") for i, at in enumerate(raw.at)]
        for i, at in enumerate(places):
            if at > room:
                raise refusal(f"{field}.at[{i}]", raw.at[i], f"leaves no room for the hot spot; give at most {room}")
    else:
        if raw.at:
            raise refusal(f"{field}.at", raw.at, "is for move: jump; give that, or step instead")
        step = size if raw.step is msgspec.UNSET else parse_size(raw.step, f"{field}.step")
        if room > step * (MAX_PLACES - 1):
            raise refusal(f"{field}.step", raw.step, f"makes more than {MAX_PLACES} places; give a bigger one")
        places = [*range(0, room, step), room]
    rate, every = parse_rate(raw.rate, f"{field}.rate"), parse_duration(raw.every, f"{field}.every")
    return Hot(size, rate, every, raw.move, tuple(places), raw, field)


@dataclass(frozen=True)
class Growth:
    """``initial`` bytes are mapped at first, ``by`` more ``every_us`` up to ``size``, then what ``then`` names."""

    size: int
    initial: int
    by: int
    every_us: int
    then: str
    raw: GrowFields
    field: str

    def sizes(self, length_us: int, budget: Budget) -> list[tuple[int, int]]:
        """Times from the beginning, in (0, ``length_us``), and the bytes that are mapped from each on."""
        up = [*range(self.initial + self.by, self.size, self.by), self.size]
        down = up[-2::-1] if self.then == "shrink" else []
        circle = up if self.then == "stay" else [*up, *down, self.initial]
        count = -(-length_us // self.every_us) - 1
        if self.then == "stay":
            count = min(count, len(up))
        budget.take(count, self.raw.every, f"{self.field}.every")
        return [((n + 1) * self.every_us, circle[n % len(circle)]) for n in range(count)]


def parse_growth(raw: GrowFields, field: str, size: int) -> Growth:
    """The growth of an area at ``field`` (``....grow``).

    Raises:
        InvalidInput: path, value and remedy.
    """
    initial, by = parse_offset(raw.initial, f"{field}.initial"), parse_size(raw.by, f"{field}.by")
    if initial >= size:
        raise refusal(f"{field}.initial", raw.initial, f"leaves nothing to grow; give less than {size} bytes")
    if size - initial > by * MAX_PLACES:
        raise refusal(f"{field}.by", raw.by, f"makes more than {MAX_PLACES} parts; give more")
    return Growth(size, initial, by, parse_duration(raw.every, f"{field}.every"), raw.then, raw, field)
