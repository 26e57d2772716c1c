# SPDX-License-Identifier: GPL-2.0-only
"""The pages of an area in classes that are accessed alike, and the idle times of each class.

Pages of a zipf area whose rates differ by little are a class, with their mean rate. Of a sequential or strided pass,
some pages at even distances stand for all, each with its exact times. The more there is, the less finely (``Detail``).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from itertools import pairwise
from math import ceil, exp, floor, log
from typing import Final

from damon.results.best.idle import Rate, Rates
from damon.results.best.lives import Life, Stretch
from damon.workload.model import Access, Area, Pattern

PAGE: Final = 4096
_PASSES: Final = (Pattern.SEQUENTIAL, Pattern.STRIDED)
#: Classes times stretches that are looked at one by one, about.
_EFFORT: Final = 40_000
_GOLDEN: Final = 0.6180339887498949


@dataclass
class Idle:
    """Idle times, in pages: those of random touches by their rates, and those that are certain by their seconds."""

    random: Counter[Rates] = field(default_factory=Counter)
    certain: Counter[float] = field(default_factory=Counter)
    endless: float = 0.0  #: pages x seconds without a touch up to the end

    def add(self, rates: Rates, pages: float) -> None:
        """One more of each of ``pages``."""
        if any(rate for part in (rates.head, rates.cycle, rates.tail) for _, rate in part):
            self.random[rates] += pages  # type: ignore[assignment]
        elif rates.touched_first and rates.touched_last:
            self.certain[rates.seconds] += pages  # type: ignore[assignment]
        elif rates.touched_first:
            self.endless += pages * rates.seconds


@dataclass(frozen=True)
class Detail:
    """How finely pages are distinguished."""

    few: int = 256  #: pages that stand for an area with passes
    alike: float = 0.2  #: by which the logarithms of the rates of a class differ

    @classmethod
    def of(cls, lives: Iterable[tuple[Area, Life]]) -> Detail:
        """As finely as is quick for all of ``lives``."""
        passes = zipf = 0.0
        for area, life in lives:
            accesses = life.accesses()
            skew = max((access.skew for access in accesses if access.pattern is Pattern.ZIPF), default=0.0)
            if any(access.pattern in _PASSES for access in accesses):
                passes += sum(len(stretches) for stretches, _ in _alike(area, life))
            zipf += life.stretches() * min(skew * log(area.size // PAGE + 1), area.size // PAGE)
        return cls(max(4, min(256, int(_EFFORT / max(passes, 1.0)))), max(0.2, min(1.0, 5.0 * zipf / _EFFORT)))


@dataclass(frozen=True)
class _Class:
    page: int  #: one of them
    first: int
    end: int  #: those that it stands for, by which its zipf rate is taken
    pages: float


def add_life(idle: Idle, area: Area, life: Life, times: int, detail: Detail = Detail()) -> None:
    """All idle times of the pages of ``area`` in ``times`` lives."""
    accesses, nr_pages = life.accesses(), area.size // PAGE
    passes = any(access.pattern in _PASSES for access in accesses)
    parts = _alike(area, life) if passes else []
    for one in _classes(nr_pages, accesses, detail.few if passes else 0, detail.alike):
        reached = [_add_page(idle, area, part, one, times * weight) for part, weight in parts]
        if not any(reached):
            rates = {access: _rate(access, one, nr_pages) for access in accesses}
            head, cycle, tail = (_rates(part, rates) for part in (life.head, life.cycle, life.tail))
            idle.add(Rates(head, cycle, life.times, tail, area.populate), one.pages * times)


def _rates(part: Sequence[Stretch], rates: dict[Access, float]) -> tuple[Rate, ...]:
    return tuple((seconds, 0.0 if access is None else rates[access]) for seconds, access in part)


def _alike(area: Area, life: Life) -> list[tuple[Sequence[Stretch], float]]:
    """Its stretches one by one; of many rounds some, and how often: each further one adds what the last one did."""
    seconds = sum(duration for duration, _ in life.cycle)
    slowest = max(
        (-(-area.size // _stride(one)) / one.rate for one in life.accesses() if one.pattern in _PASSES), default=0.0
    )
    some = 2 + ceil(2.0 * slowest / seconds) if life.times else 0
    if life.times <= 3 * some:
        return [(life.unrolled(), 1.0)]
    more = (life.times - 2 * some) / some
    return [
        (replace(life, times=2 * some).unrolled(), 1.0 + more),
        (replace(life, times=some).unrolled(), -more),
    ]


def _add_page(idle: Idle, area: Area, stretches: Sequence[Stretch], one: _Class, times: float) -> bool:
    """A page that passes touch: each of its touches by one parts its time. False: none touches it, nothing is added."""
    nr_pages, pages = area.size // PAGE, one.pages * times
    since: list[Rate] = []
    reached = False
    touched, cursor, stride = area.populate, 0, 0
    for seconds, access in stretches:
        if access is None or access.pattern not in _PASSES:
            since.append((seconds, 0.0 if access is None else _rate(access, one, nr_pages)))
            stride = 0
            continue
        turn = _Pass(area, access, cursor if stride == _stride(access) else 0)
        stride, cursor = _stride(access), turn.cursor(seconds)
        found = turn.touches(one.page, seconds)
        if found is None:
            since.append((seconds, 0.0))
            continue
        first, last, gaps = found
        reached = True
        idle.add(Rates((*since, (first, 0.0)), touched_first=touched, touched_last=True), pages)
        for gap, number in gaps:
            idle.certain[gap] += pages * number  # type: ignore[assignment]
        since, touched = [(seconds - last, 0.0)], True
    if reached:
        idle.add(Rates(tuple(since), touched_first=touched), pages)
    return reached


def _stride(access: Access) -> int:
    return access.stride if access.pattern is Pattern.STRIDED else PAGE


class _Pass:
    """An area's passes in one stretch, from touch number ``base`` of the first on."""

    def __init__(self, area: Area, access: Access, base: int) -> None:
        self._rate, self._stride, self._base = access.rate, _stride(access), base
        self._period = -(-area.size // self._stride)

    def cursor(self, seconds: float) -> int:
        """The next touch of a pass, after ``seconds``."""
        return (self._base + int(seconds * self._rate)) % self._period

    def touches(self, page: int, seconds: float) -> tuple[float, float, tuple[tuple[float, int], ...]] | None:
        """When a page is touched first and last in ``seconds``, and the idle times between with their number."""
        begin, end = (-(-at * PAGE // self._stride) for at in (page, page + 1))
        end, period, base = min(end, self._period), self._period, self._base
        first = max(base, begin) if base < end else period + begin
        rounds, at = divmod(base + int(seconds * self._rate) - 1, period)
        last = rounds * period + min(at, end - 1) if at >= begin else (rounds - 1) * period + end - 1
        if begin >= end or last < first:
            return None
        passes = last // period - first // period
        hits = last - first + 1 - passes * (period - (end - begin))
        times = ((number + 1 - base) / self._rate for number in (first, last))
        gaps = ((period - (end - begin) + 1, passes), (1, hits - 1 - passes))
        return next(times), next(times), tuple((gap / self._rate, number) for gap, number in gaps if number)


def _rate(access: Access, one: _Class, nr_pages: int) -> float:
    """Touches a second of one page, on average of its class, at random."""
    if access.pattern in _PASSES:
        return 0.0
    if access.pattern is Pattern.RANDOM:
        return access.rate / nr_pages
    share = power_sum(one.first, one.end, access.skew) / power_sum(0, nr_pages, access.skew)
    return access.rate * share / (one.end - one.first)


@cache
def power_sum(first: int, end: int, skew: float) -> float:
    """The sum of r ** -skew for r = first + 1 .. end: term by term, then by Euler and Maclaurin."""
    head = min(end, max(first + 8, 32))
    total = sum(rank**-skew for rank in range(first + 1, head + 1))
    if head == end:
        return float(total)
    a, b = float(head + 1), float(end)
    x = (1.0 - skew) * log(b / a)
    integral = a ** (1.0 - skew) * log(b / a) * ((exp(x) - 1.0) / x if abs(x) > 1e-6 else 1.0 + x / 2.0)
    low, high = a**-skew, b**-skew
    return float(total + integral + (low + high) / 2.0 + skew * (low / a - high / b) / 12.0)


def _classes(nr_pages: int, accesses: set[Access], few: int, alike: float) -> Iterator[_Class]:
    """Of all pages. ``few``: how many stand for a pass; 0: there is none."""
    skews = [access.skew for access in accesses if access.pattern is Pattern.ZIPF]
    strides = {_stride(access) for access in accesses if access.pattern in _PASSES}
    if len(strides) == 1 and not skews and min(strides) > PAGE:
        yield from _strided(nr_pages, strides.pop(), few)
        return
    cuts = {0, nr_pages, *(nr_pages * number // few for number in range(few) if few)}
    if skews:
        cuts.update(_zipf_cuts(nr_pages, alike / max(skews)))
    ends = sorted(cuts)
    for number, (first, end) in enumerate(pairwise(ends)):
        # Not always the middle where strides differ: all of these could be pages that one of them passes over.
        where = 0.5 if len(strides) < 2 and max(strides, default=0) <= PAGE else (number * _GOLDEN) % 1.0
        yield _Class(first + floor((end - first) * where), first, end, float(end - first))


def _zipf_cuts(nr_pages: int, grow: float) -> Iterator[int]:
    at = 0
    while at < nr_pages:
        yield at
        at = max(at + 1, min(ceil((at + 1) * exp(min(grow, 40.0))) - 1, nr_pages))


def _strided(nr_pages: int, stride: int, few: int) -> Iterator[_Class]:
    """The pages that a stride of more than one touches, and one for the others."""
    period = -(-nr_pages * PAGE // stride)
    few = min(few, period)
    for number in range(few):
        touch = int((number + 0.5) * period / few)
        yield _Class(touch * stride // PAGE, 0, nr_pages, period / few)
    if period < nr_pages:
        untouched = (page for page in range(nr_pages) if -(-page * PAGE // stride) == -(-(page + 1) * PAGE // stride))
        yield _Class(next(untouched), 0, nr_pages, float(nr_pages - period))
