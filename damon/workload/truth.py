# SPDX-License-Identifier: GPL-2.0-only
"""What is known of a workload's accesses before it runs: shares of an area's pages that are idle, or accessed so often.

Expectations by the rates of the phases. An area counts as a whole for uniformly random accesses, and in blocks of ranks
for Zipf's law. Of areas that replay a trace some pages stand for all.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import exp
from typing import Final

from damon.workload.model import Access, Area, Event, Pattern, Workload
from damon.workload.tracefile.sampled import Sampled, Traces

_PAGE: Final = 4096
_HEAD: Final = 64
_GROWTH: Final = 1.25
#: A share of pages that is as good as none.
_NONE: Final = 1e-9
#: Pages of an area that replays a trace.
_TRACED: Final = 128


@lru_cache(maxsize=256)
def _classes(nr_pages: int, skew: float | None) -> list[tuple[float, float]]:
    """Shares of an area's pages, and the share of its accesses that one page of them gets."""
    if skew is None:
        return [(1.0, 1.0 / nr_pages)]
    blocks: list[tuple[int, float]] = []
    first = 1
    while first <= nr_pages:
        last = first if first < _HEAD else min(int(first * _GROWTH), nr_pages)
        blocks.append((last - first + 1, (first * last) ** (-skew / 2)))
        first = last + 1
    total = sum(nr * weight for nr, weight in blocks)
    return [(nr / nr_pages, weight / total) for nr, weight in blocks]


class Truth:
    """The accesses of ``workload``'s areas over time, from its start on."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._areas = {area.name: area for area in workload.areas}
        self._accesses = [{access.area: access for access in phase.accesses} for phase in workload.phases]
        self._mapped = [
            {event.name for event in phase.events if event.event is Event.MMAP} for phase in workload.phases
        ]
        self._whole_us = sum(phase.duration_us for phase in workload.phases)
        traces = Traces(workload.areas)
        self._traced = {
            area.name: traces.sampled(area).fewer(_TRACED) for area in workload.areas if area.replay is not None
        }

    def _spans(self, begin_us: float, end_us: float) -> Iterator[tuple[int, float]]:
        """The phases in ``[begin_us, end_us)``: number, and us of it."""
        phases = self._workload.phases
        at = max(begin_us, 0.0)
        while at < end_us:
            within = at % self._whole_us if self._workload.repeat else at
            number, edge = 0, float(phases[0].duration_us)
            while within >= edge and number < len(phases) - 1:
                number += 1
                edge += phases[number].duration_us
            last = number == len(phases) - 1 and not self._workload.repeat
            span = end_us - at if last else min(edge - within, end_us - at)
            yield number, span
            at += max(span, 1e-3)

    def access(self, area: str, at_us: float) -> Access | None:
        """How ``area`` is accessed in the phase of that time; None: not at all, or by a trace."""
        number = next((number for number, _ in self._spans(at_us, at_us + 1)), 0)
        return self._accesses[number].get(area)

    def idle_share(self, area: str, now_us: float, idle_us: float) -> float:
        """The expected share of ``area``'s pages that nothing accesses in the ``idle_us`` before ``now_us``.

        Of an area that is not populated it is a share of the pages that have come by then. An area is accessed when it
        is mapped; it is 0 if that was later.
        """
        if area in self._traced:
            return _idle_share(self._traced[area], now_us / 1e6, idle_us / 1e6, self._areas[area].populate)
        begin = now_us - idle_us
        if begin < 0 or self._mapped_us(area, begin, now_us) > begin:
            return 0.0
        untouched = self._untouched(area, begin, now_us)
        if self._areas[area].populate:
            return untouched
        never = self._untouched(area, self._mapped_us(area, 0.0, begin), now_us)
        return (untouched - never) / (1.0 - never) if never < 1.0 else 0.0

    def _mapped_us(self, area: str, begin_us: float, end_us: float) -> float:
        """When it was mapped for the last time in ``(begin_us, end_us)``; else ``begin_us``."""
        found = at = begin_us
        for number, span in self._spans(begin_us, end_us):
            if at > begin_us and area in self._mapped[number]:
                found = at
            at += span
        return found

    def _untouched(self, area: str, begin_us: float, end_us: float) -> float:
        """The expected share of ``area``'s pages without an access in that time."""
        nr, share = self._areas[area].size // _PAGE, 1.0
        for number, span in self._spans(begin_us, end_us):
            access = self._accesses[number].get(area)
            if access is not None:
                share *= _untouched(access, nr, access.rate * span / 1e6)
            if share < _NONE:
                return 0.0
        return share

    def count_share(self, area: str, now_us: float, sample_us: float, most: int, low: int, high: int) -> float:
        """The expected share of ``area``'s pages whose ``nr_accesses`` is in ``[low, high]``.

        Args:
            sample_us: the sampling interval.
            most: samples in an aggregation interval.
        """
        if area in self._traced:
            traced = self._traced[area]
            each = [traced.rate(page, now_us / 1e6) * sample_us / 1e6 for page in range(len(traced.rates))]
            return sum(low - 0.5 <= (1.0 - exp(-one)) * most <= high + 0.5 for one in each) / len(each)
        access, nr = self.access(area, now_us), self._areas[area].size // _PAGE
        if access is None:
            return float(low <= 0 <= high)
        touches = access.rate * sample_us / 1e6
        skew = access.skew if access.pattern is Pattern.ZIPF else None
        if access.pattern in (Pattern.SEQUENTIAL, Pattern.STRIDED):
            count = (1.0 - _untouched(access, nr, touches)) * most
            return float(low - 0.5 <= count <= high + 0.5)
        return sum(
            share
            for share, part in _classes(nr, skew)
            if low - 0.5 <= (1.0 - exp(-touches * part)) * most <= high + 0.5
        )

    def accesses_per_page(self, area: str, now_us: float, interval_us: float) -> float:
        """The mean number of accesses to a page of ``area`` in ``interval_us``."""
        if area in self._traced:
            traced = self._traced[area]
            rates = [traced.rate(page, now_us / 1e6) for page in range(len(traced.rates))]
            return sum(rates) / len(rates) * interval_us / 1e6
        access = self.access(area, now_us)
        return access.rate * interval_us / 1e6 / (self._areas[area].size // _PAGE) if access is not None else 0.0

    @property
    def areas(self) -> dict[str, Area]:
        return self._areas


def _idle_share(traced: Sampled, now: float, idle: float, populated: bool) -> float:
    """As ``Truth.idle_share``, times in seconds. Unless it is ``populated``: of the pages that are there by now."""
    begin = now - idle
    mapped = next((low for low, high in traced.lives(now) if low <= begin and now <= high), None)
    if begin < 0 or mapped is None:
        return 0.0
    there = untouched = 0.0
    for page in range(len(traced.rates)):
        lately, before = traced.touches(page, begin, now), traced.touches(page, mapped, begin)
        there += 1.0 if populated else 1.0 - traced.missed(before + lately)
        untouched += traced.missed(lately) * (1.0 if populated else 1.0 - traced.missed(before))
    return untouched / there if there else 0.0


def _untouched(access: Access, nr_pages: int, touches: float) -> float:
    """The expected share of pages without one of so many accesses."""
    if access.pattern is Pattern.ZIPF:
        return sum(share * exp(-touches * part) for share, part in _classes(nr_pages, access.skew))
    if access.pattern is Pattern.RANDOM:
        return exp(-touches / nr_pages)
    stride = access.stride if access.pattern is Pattern.STRIDED else _PAGE
    period = -(-nr_pages * _PAGE // stride)
    covered = min(period, nr_pages)
    return 1.0 - covered / nr_pages * min(touches / period, 1.0)
