# SPDX-License-Identifier: GPL-2.0-only
"""A workload touch by touch, as the documentation of workload files has it, and optimal reclaim of such a trace."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise
from random import Random
from typing import NamedTuple

from damon.workload.model import Access, Area, Event, Pattern, Workload

PAGE = 4096


class Page(NamedTuple):
    """``points``: when it is touched while it is mapped, and when it is populated. ``end``: when it is unmapped."""

    points: list[float]
    end: float


class Run(NamedTuple):
    """Passes at one rate: from when on, from which touch of a pass on, and how many touches there were."""

    access: Access
    stride: int
    since: float
    base: int
    done: int


class Gap(NamedTuple):
    """An idle time: seconds, and whether a touch ends it, which is a refault if the page was out meanwhile."""

    seconds: float
    cost: int


def trace(workload: Workload, seconds: float, rnd: Random) -> list[Page]:
    """Every page of every mapping."""
    mapped: dict[str, list[list[float]]] = {}
    cursors: dict[str, Run] = {}
    done: list[Page] = []
    areas = {area.name: area for area in workload.areas}
    now, number = 0.0, 0

    def map_area(area: Area) -> None:
        mapped[area.name] = [[now] if area.populate else [] for _ in range(area.size // PAGE)]

    def unmap(name: str) -> None:
        done.extend(Page(points, now) for points in mapped.pop(name, []))
        cursors.pop(name, None)

    for area in workload.areas:
        if area.mapped_at_start:
            map_area(area)
    while now < seconds:
        phase = workload.phases[number % len(workload.phases)]
        last = not workload.repeat and number >= len(workload.phases) - 1
        length = seconds - now if last else min(phase.duration_us / 1e6, seconds - now)
        for event in phase.events:
            if event.event is Event.MMAP:
                map_area(areas[event.name])
            elif event.event is Event.MUNMAP:
                unmap(event.name)
            else:
                for name in [name for name in mapped if areas[name].process == event.name]:
                    unmap(name)
        accesses = {access.area: access for access in phase.accesses}
        for name, pages in mapped.items():
            if name in accesses:
                _touch(areas[name], accesses[name], pages, now, length, cursors, rnd)
            else:
                cursors.pop(name, None)
        now, number = now + length, number + 1
    for name in list(mapped):
        unmap(name)
    return done


def _touch(
    area: Area, access: Access, pages: list[list[float]], now: float, length: float,
    cursors: dict[str, Run], rnd: Random,
) -> None:  # fmt: skip
    if access.pattern in (Pattern.SEQUENTIAL, Pattern.STRIDED):
        stride = access.stride if access.pattern is Pattern.STRIDED else PAGE
        period = -(-area.size // stride)
        run = cursors.get(area.name)
        if run is None or run.access != access:  # else it goes on as if there were no new phase
            base = (run.base + run.done) % period if run is not None and run.stride == stride else 0
            run = Run(access, stride, now, base, 0)
        due = int((now + length - run.since) * access.rate)
        for touch in range(run.done, due):
            pages[(run.base + touch) % period * stride // PAGE].append(run.since + (touch + 1) / access.rate)
        cursors[area.name] = run._replace(done=due)
        return
    cursors.pop(area.name, None)
    skew = access.skew if access.pattern is Pattern.ZIPF else 0.0
    weights = [(rank + 1) ** -skew for rank in range(len(pages))]
    at = rnd.expovariate(access.rate)
    while at < length:
        rnd.choices(pages, weights)[0].append(now + at)
        at += rnd.expovariate(access.rate)


def gaps(pages: Sequence[Page]) -> Iterator[Gap]:
    for points, end in pages:
        for before, after in pairwise(points):
            yield Gap(after - before, 1)
        if points:
            yield Gap(end - points[-1], 0)


def fewest(found: Sequence[Gap], saved: float) -> int:
    """Refaults of the best choice of whole idle times that last ``saved`` page-seconds: by trying all."""
    free = sum(gap.seconds for gap in found if not gap.cost)
    paid = [gap.seconds for gap in found if gap.cost]
    for number in range(len(paid) + 1):
        if any(free + sum(some) >= saved - 1e-9 for some in combinations(paid, number)):
            return number
    raise AssertionError("so much cannot be saved")


def relaxed(found: Sequence[Gap], saved: float) -> float:
    """The same, when a part of an idle time costs a part of a refault: the longest first."""
    left = saved - sum(gap.seconds for gap in found if not gap.cost)
    refaults = 0.0
    for seconds in sorted((gap.seconds for gap in found if gap.cost and gap.seconds > 0.0), reverse=True):
        if left <= 0.0:
            break
        refaults += min(left / seconds, 1.0)
        left -= seconds
    return refaults


def belady(pages: Sequence[Page], room: int) -> tuple[int, float]:
    """Refaults, and page-seconds out of memory, of MIN with ``room`` pages of memory: when another one has to come, the
    page that is touched last, or never, leaves. All pages are mapped from 0 on and stay."""
    touches = sorted((at, number) for number, page in enumerate(pages) for at in page.points if at > 0.0)
    present = {number for number, page in enumerate(pages) if page.points[:1] == [0.0]}
    out: dict[int, float] = {}
    refaults, saved = 0, 0.0

    def next_touch(number: int, now: float) -> float:
        return next((at for at in pages[number].points if at > now), float("inf"))

    def shrink(now: float) -> None:
        while len(present) > room:
            victim = max(present, key=lambda number: (next_touch(number, now), number))
            present.remove(victim)
            out[victim] = now

    shrink(0.0)
    for now, number in touches:
        if number in out:
            refaults += 1
            saved += now - out.pop(number)
        present.add(number)
        shrink(now)
    return refaults, saved + sum(pages[number].end - since for number, since in out.items())
