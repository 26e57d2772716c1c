# SPDX-License-Identifier: GPL-2.0-only
"""How often each part of a workload's memory is touched when: what ``damon workload`` shows."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final

from damon.workload.model import Area, Event, Workload
from damon.workload.quantities import PAGE

#: Levels of a picture are factors of the square root of ten.
LEVELS: Final = 9


@dataclass
class Band:
    """A part of an area over time: ``rates[n]`` is touches a page and second in the n-th part of the time, None while
    it is not mapped."""

    area: Area
    offset: int  #: in the area of the file
    rates: list[float | None] = field(default_factory=list)

    @property
    def title(self) -> str:
        """The area of the file that it belongs to."""
        return _title(self.area)


@dataclass(frozen=True)
class Span:
    """A phase: what is mapped in it, and the touches a second of each area."""

    begin_us: int
    end_us: int
    mapped: frozenset[str]
    rates: dict[str, float]


def spans(workload: Workload) -> Iterator[Span]:
    """The phases one after the other, once."""
    areas = {area.name: area for area in workload.areas}
    mapped = {area.name for area in workload.areas if area.mapped_at_start}
    begin, there = 0, frozenset(mapped)
    for phase in workload.phases:
        for event in phase.events:
            if event.event is Event.MMAP:
                mapped.add(event.name)
            elif event.event is Event.MUNMAP:
                mapped.discard(event.name)
            else:
                mapped -= {name for name in mapped if areas[name].process == event.name}
        there = frozenset(mapped) if phase.events else there
        end = begin + phase.duration_us
        yield Span(begin, end, there, {access.area: access.rate for access in phase.accesses})
        begin = end


def total_us(workload: Workload) -> int:
    """The time of all phases."""
    return sum(phase.duration_us for phase in workload.phases)


def bands(workload: Workload, columns: int) -> list[Band]:
    """The rates of all areas, in the file's order, means over each of ``columns`` parts of the time."""
    total, offsets = total_us(workload), dict[str, int]()
    found = []
    for area in workload.areas:
        title = _title(area)
        found.append(Band(area, offsets.get(title, 0)))
        offsets[title] = offsets.get(title, 0) + area.size
    sums = {area.name: [0.0] * columns for area in workload.areas}
    weights = {area.name: [0] * columns for area in workload.areas}
    edges = [total * n // columns for n in range(columns + 1)]
    for span in spans(workload):
        for column in range(bisect_right(edges, span.begin_us) - 1, bisect_left(edges, span.end_us)):
            length = min(edges[column + 1], span.end_us) - max(edges[column], span.begin_us)
            for name in span.mapped:
                weights[name][column] += length
                sums[name][column] += length * span.rates.get(name, 0.0)
    for band in found:
        pages = band.area.size // PAGE
        pairs = zip(sums[band.area.name], weights[band.area.name], strict=True)
        band.rates = [total / weight / pages if weight else None for total, weight in pairs]
    return found


def level(rate: float, top: float) -> int:
    """0 (never) to 9 (``top``); each step down is a factor of the square root of ten, and 1 is everything below."""
    if rate <= 0:
        return 0
    number = LEVELS
    while number > 1 and rate * 10 ** ((LEVELS - number) / 2) * 10**0.25 < top:
        number -= 1
    return number


@dataclass
class AreaSummary:
    """An area of the file, all parts of it together; rates are touches a second."""

    name: str
    process: str
    kind: str
    size: int = 0
    parts: int = 0
    mapped: float = 0.0  #: share of its bytes and of the time
    mean_rate: float = 0.0
    peak_rate: float = 0.0


@dataclass(frozen=True)
class Summary:
    """A workload as a whole; sizes in bytes, rates in touches a second."""

    seconds: float
    most_mapped: int  #: at a time
    most_mapped_at: float  #: seconds, the first time
    mean_rate: float
    peak_rate: float
    areas: list[AreaSummary]


def summary(workload: Workload) -> Summary:
    """What all phases come to, once."""
    total, titles = total_us(workload), {area.name: _title(area) for area in workload.areas}
    found: dict[str, AreaSummary] = {}
    for area in workload.areas:
        one = found.setdefault(_title(area), AreaSummary(_title(area), area.process, area.kind.value))
        one.size += area.size
        one.parts += 1
    mean = peak = 0.0
    for span in spans(workload):
        share = (span.end_us - span.begin_us) / total
        rates = dict.fromkeys(found, 0.0)
        for name, rate in span.rates.items():
            rates[titles[name]] += rate
        for title, rate in rates.items():
            found[title].mean_rate += rate * share
            found[title].peak_rate = max(found[title].peak_rate, rate)
        now = sum(rates.values())
        mean, peak = mean + now * share, max(peak, now)
    there = _mapped_us(workload)
    for area in workload.areas:
        one = found[titles[area.name]]
        one.mapped += area.size / one.size * there[area.name] / total
    most, at = most_mapped(workload)
    return Summary(total / 1e6, most, at / 1e6, mean, peak, list(found.values()))


def _changes(workload: Workload) -> Iterator[tuple[int, frozenset[str], frozenset[str]]]:
    """When areas come and go: the time, those that come, those that go."""
    before: frozenset[str] = frozenset()
    for span in spans(workload):
        if span.mapped is not before:
            yield span.begin_us, span.mapped - before, before - span.mapped
            before = span.mapped


def _mapped_us(workload: Workload) -> dict[str, int]:
    """How long each area is mapped."""
    found = dict.fromkeys((area.name for area in workload.areas), 0)
    since: dict[str, int] = {}
    for t, come, gone in _changes(workload):
        for name in gone:
            found[name] += t - since.pop(name)
        for name in come:
            since[name] = t
    total = total_us(workload)
    for name, t in since.items():
        found[name] += total - t
    return found


def _title(area: Area) -> str:
    return area.part_of or area.name


def most_mapped(workload: Workload) -> tuple[int, int]:
    """The most bytes that are mapped at a time, and the first time (microseconds) at which they are."""
    sizes = {area.name: area.size for area in workload.areas}
    now, most, at = 0, 0, 0
    for t, come, gone in _changes(workload):
        for name in come:
            now += sizes[name]
        for name in gone:
            now -= sizes[name]
        if now > most:
            most, at = now, t
    return most, at
