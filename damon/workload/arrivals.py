# SPDX-License-Identifier: GPL-2.0-only
"""When the processes of a program start and stop."""

from __future__ import annotations

import heapq
import math
import random
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Final

import msgspec

from damon.workload.generators import InstanceFields
from damon.workload.quantities import parse_duration, parse_time, refusal

MAX_STARTS: Final = 10_000  #: of the processes of one entry


@dataclass(frozen=True)
class Life:
    """One process from its start to its end, in microseconds of the file's time."""

    begin: int
    end: int


def parse_lives(raw: InstanceFields, field: str, total_us: int, rng: random.Random) -> list[list[Life]]:
    """For each slot the lives of its processes, one after the other. A process gets the lowest slot that is free.

    Args:
        raw: one of the file's ``instances``.
        field: its path.
        total_us: the file's time.
        rng: for random gaps and lifetimes.

    Raises:
        InvalidInput: path, value and remedy.
    """
    start = parse_time(raw.start, f"{field}.start")
    if start >= total_us:
        raise refusal(f"{field}.start", raw.start, "is after the end of the workload; give less")
    gap = 0 if raw.every is msgspec.UNSET else parse_duration(raw.every, f"{field}.every")
    if raw.arrivals == "poisson" and not gap:
        raise refusal(f"{field}.arrivals", raw.arrivals, "has no mean time between arrivals; give every")
    count = raw.count if raw.count is not msgspec.UNSET else MAX_STARTS + 1 if gap else 1
    if count > MAX_STARTS and total_us - start > gap * MAX_STARTS:
        raise refusal(
            f"{field}.every", raw.every, f"makes more than {MAX_STARTS} starts; give a longer time or a count"
        )
    least, most = _lifetime(raw.lifetime, f"{field}.lifetime", total_us)
    limit = raw.most if raw.most is not msgspec.UNSET else MAX_STARTS
    slots = _Slots()
    for arrival in islice(_arrivals(raw, start, gap, rng), min(count, MAX_STARTS)):
        begin = slots.room(arrival, limit)
        if begin >= total_us:
            break
        length = least if least == most else least + _milliseconds(rng.random() * (most - least))
        slots.start(Life(begin, min(begin + length, total_us)))
    return slots.lives


def _arrivals(raw: InstanceFields, start: int, gap: int, rng: random.Random) -> Iterator[int]:
    arrival = start
    while True:
        if raw.arrivals == "poisson":
            arrival += _milliseconds(-math.log(1.0 - rng.random()) * gap)
        yield arrival
        if raw.arrivals == "regular":
            arrival += gap


class _Slots:
    """Who runs where: lives by slot, and the slots that are taken or free."""

    def __init__(self) -> None:
        self.lives: list[list[Life]] = []
        self._running: list[tuple[int, int]] = []  # ends and slots
        self._free: list[int] = []

    def room(self, arrival: int, limit: int) -> int:
        """When one that arrives then can start."""
        return max(arrival, self._running[0][0]) if len(self._running) >= limit else arrival

    def start(self, life: Life) -> None:
        """In the lowest slot that is free."""
        while self._running and self._running[0][0] <= life.begin:
            heapq.heappush(self._free, heapq.heappop(self._running)[1])
        slot = heapq.heappop(self._free) if self._free else len(self.lives)
        if slot == len(self.lives):
            self.lives.append([])
        self.lives[slot].append(life)
        heapq.heappush(self._running, (life.end, slot))


def _lifetime(raw: Any, field: str, total_us: int) -> tuple[int, int]:
    if raw is msgspec.UNSET:
        return total_us, total_us
    if not isinstance(raw, list):
        return (parse_duration(raw, field),) * 2
    if len(raw) != 2:
        raise refusal(field, raw, "is not a range; give the shortest and the longest")
    least, most = (parse_duration(one, f"{field}[{i}]") for i, one in enumerate(raw))
    if least > most:
        raise refusal(field, raw, "is not a range; give the shortest first")
    return least, most


def _milliseconds(us: float) -> int:
    """Whole ones, so that the last bits of a logarithm do not matter; in microseconds, at least one."""
    return max(round(us / 1000), 1) * 1000
