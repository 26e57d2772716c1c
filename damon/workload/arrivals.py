# SPDX-License-Identifier: GPL-2.0-only
"""When the processes of a program start and stop."""

from __future__ import annotations

import heapq
import math
import random
from dataclasses import dataclass
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
    slots: list[list[Life]] = []
    running: list[tuple[int, int]] = []  # ends and slots
    free: list[int] = []
    limit = raw.most if raw.most is not msgspec.UNSET else MAX_STARTS
    arrival = start
    for number in range(min(count, MAX_STARTS)):
        if raw.arrivals == "poisson":
            arrival += _milliseconds(-math.log(1.0 - rng.random()) * gap)
        elif number:
            arrival += gap
        begin = max(arrival, running[0][0]) if len(running) >= limit and running else arrival
        if begin >= total_us:
            break
        while running and running[0][0] <= begin:
            heapq.heappush(free, heapq.heappop(running)[1])
        slot = heapq.heappop(free) if free else len(slots)
        if slot == len(slots):
            slots.append([])
        length = least if least == most else least + _milliseconds(rng.random() * (most - least))
        end = min(begin + length, total_us)
        slots[slot].append(Life(begin, end))
        heapq.heappush(running, (end, slot))
    return slots


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
