# SPDX-License-Identifier: GPL-2.0-only
"""When the areas of a workload are mapped, and how they are accessed meanwhile: phases unrolled over a duration."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from damon.workload.model import Access, Area, Event, Phase, Workload

#: Seconds, and how the area is accessed in them.
Stretch = tuple[float, Access | None]


@dataclass(frozen=True)
class Life:
    """From when an area is mapped until it is unmapped, or until the end: ``head``, ``times`` rounds of ``cycle``,
    ``tail``."""

    head: tuple[Stretch, ...]
    cycle: tuple[Stretch, ...] = ()
    times: int = 0
    tail: tuple[Stretch, ...] = ()

    def unrolled(self) -> list[Stretch]:
        """All of it, one after the other; what goes on unchanged is one stretch, as on the machine."""
        return _joined([*self.head, *self.cycle * self.times, *self.tail])

    def stretches(self) -> int:
        """How many there are, those of the cycle once."""
        return len(self.head) + len(self.cycle) + len(self.tail)

    def accesses(self) -> set[Access]:
        """The different ones."""
        return {access for part in (self.head, self.cycle, self.tail) for _, access in part if access is not None}


def _joined(stretches: list[Stretch]) -> list[Stretch]:
    result: list[Stretch] = []
    for seconds, access in stretches:
        if result and result[-1][1] == access:
            result[-1] = (result[-1][0] + seconds, access)
        elif seconds > 0:
            result.append((seconds, access))
    return result


def lives(workload: Workload, seconds: float) -> Iterator[tuple[Area, Counter[Life]]]:
    """Of each area that phases access, its lives in the first ``seconds``, and how many are alike."""
    touched = {event.name for phase in workload.phases for event in phase.events}
    of_phase = [{access.area: access for access in phase.accesses} for phase in workload.phases]
    for area in workload.areas:
        if area.replay is not None:
            continue
        accesses = [found.get(area.name) for found in of_phase]
        if area.mapped_at_start and not touched & {area.name, area.process}:
            yield area, Counter([_whole(workload, accesses, seconds)])
        else:
            yield area, Counter(_mapped(workload, area, accesses, seconds))


def _whole(workload: Workload, accesses: list[Access | None], seconds: float) -> Life:
    """Of an area that is there all the time."""
    one_round = [(phase.duration_us / 1e6, access) for phase, access in zip(workload.phases, accesses, strict=True)]
    if len(set(accesses)) == 1:
        return Life(((seconds, accesses[0]),))
    length = sum(duration for duration, _ in one_round)
    if not workload.repeat:
        last = one_round[-1][1]
        return Life(tuple(_cut([*one_round, (max(seconds - length, 0.0), last)], seconds)))
    times = int(seconds / length)
    cycle = tuple(_joined(one_round))
    return Life((), cycle, times, tuple(_cut(one_round, seconds - times * length)))


def _cut(stretches: list[Stretch], seconds: float) -> list[Stretch]:
    """The first ``seconds`` of them."""
    result, left = [], seconds
    for duration, access in stretches:
        result.append((min(duration, left), access))
        left -= duration
        if left <= 0:
            break
    return _joined(result)


def _phases(workload: Workload, seconds: float) -> Iterator[tuple[int, Phase, float]]:
    """Number, phase and length, up to the end of the run."""
    left, number, last = seconds, 0, len(workload.phases) - 1
    while left > 0:
        phase = workload.phases[number]
        length = min(phase.duration_us / 1e6, left)
        if number == last and not workload.repeat:
            length = left
        yield number, phase, length
        left -= length
        number = (number + 1) % len(workload.phases)


def _mapped(workload: Workload, area: Area, accesses: list[Access | None], seconds: float) -> Iterator[Life]:
    """The lives of an area that comes and goes."""
    mapped, parts = area.mapped_at_start, list[Stretch]()
    for number, phase, length in _phases(workload, seconds):
        for event in phase.events:
            if event.event is Event.MMAP:
                mapped = mapped or event.name == area.name
                continue
            if event.name == (area.process if event.event is Event.EXIT else area.name):
                if parts:
                    yield Life(tuple(_joined(parts)))
                mapped, parts = False, []
        if mapped:
            parts.append((length, accesses[number]))
    if parts:
        yield Life(tuple(_joined(parts)))
