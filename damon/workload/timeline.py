# SPDX-License-Identifier: GPL-2.0-only
"""Phases from everything that changes: one between each two times at which something does."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Collection
from dataclasses import dataclass, replace
from itertools import accumulate, pairwise
from typing import Final

from damon.workload.expand import MAX_PHASES, Parts, Stream, cut_all, gather
from damon.workload.model import Access, Area, Event, Hotplug, Phase, PhaseEvent, Workload
from damon.workload.quantities import refusal
from damon.workload.schema import FileFields

MAX_ACCESSES: Final = 100_000  #: and events, of all phases, after expansion
_NAME: Final = 40  # characters of a phase's name; its time follows


def expand(raw: FileFields, plain: Workload) -> Workload:
    """The workload of a file with rhythms, moving hot spots, growth or instances.

    Args:
        raw: its fields.
        plain: what of it needs no expansion, checked: areas, phases, machine.

    Raises:
        InvalidInput: path, value and remedy.
    """
    parts = gather(raw, plain)
    return _Timeline(parts, plain).workload()


@dataclass(frozen=True)
class _Piece:
    """A part of an area of the file."""

    offset: int
    area: Area


class _Timeline:
    """The state of all areas while time passes."""

    def __init__(self, parts: Parts, plain: Workload) -> None:
        self._parts, self._plain = parts, plain
        self._pieces = {name: [_Piece(*row) for row in rows] for name, rows in cut_all(parts).items()}
        self._mapped = {one.area.name for one in self._all() if one.area.mapped_at_start}
        self._offsets = {name: [piece.offset for piece in pieces] for name, pieces in self._pieces.items()}
        #: How many parts are mapped, from the first on, of what grows or comes late.
        self._grown = {name: sum(one.area.mapped_at_start for one in pieces) for name, pieces in self._pieces.items()}
        self._versions = dict.fromkeys(self._pieces, 0)  # of what is mapped of each area
        self._dead = {spec.name for spec in parts.specs if spec.late}
        self._sizes: dict[int, list[tuple[str, int]]] = {}
        self._exits: dict[int, dict[str, None]] = {}
        seen: set[str] = set()
        for name, mapping in parts.mappings.items():
            for t, size in mapping.sizes:
                self._sizes.setdefault(t, []).append((name, size))
            if mapping.late and mapping.area.process not in seen:
                seen.add(mapping.area.process)
                for life in mapping.lives:
                    self._exits.setdefault(life.end, {})[mapping.area.process] = None
        ends = list(accumulate((phase.duration_us for phase in plain.phases), initial=0))
        self._phases = dict(zip(ends, range(len(plain.phases)), strict=False))
        self._cache: dict[int, tuple[tuple[float, int, int], tuple[Access, ...]]] = {}

    def _all(self) -> list[_Piece]:
        return [piece for pieces in self._pieces.values() for piece in pieces]

    def workload(self) -> Workload:
        """Everything, written out."""
        plain = self._plain
        areas = tuple(piece.area for piece in self._all())
        return replace(plain, areas=areas, phases=tuple(self._written()), process_specs=self._parts.specs)

    def _times(self) -> list[int]:
        total, streams = self._parts.total_us, self._parts.streams
        times = {0, total, *self._sizes, *self._exits, *self._phases}
        for rhythm in {stream.rhythm for stream in streams} - {None}:
            assert rhythm is not None
            times.update(rhythm.changes(total))
        for stream in streams:
            times.update((stream.begin, stream.end))
            times.update(t for t, _ in stream.path)
        if len(times) > MAX_PHASES + 1:
            why = f"phases are more than {MAX_PHASES}; give longer steps of rhythms, hot spots, growth or arrivals"
            raise refusal("phases", len(times) - 1, why)
        return sorted(times)

    def _written(self) -> list[Phase]:
        starts: dict[int, list[int]] = {}
        for index, stream in enumerate(self._parts.streams):
            starts.setdefault(stream.begin, []).append(index)
        active: list[int] = []
        phases: list[Phase] = []
        written, current, began = 0, 0, 0
        for t, end in pairwise(self._times()):
            events = self._events(t)
            active = sorted([index for index in active if self._parts.streams[index].end > t] + starts.get(t, []))
            accesses = tuple(access for index in active for access in self._accesses(index, t))
            hotplug: tuple[Hotplug, ...] = ()
            if t in self._phases:
                current, began = self._phases[t], t
                hotplug = self._plain.phases[current].hotplug
            elif phases and not events and accesses == phases[-1].accesses:
                phases[-1] = replace(phases[-1], duration_us=phases[-1].duration_us + end - t)
                continue
            written += len(accesses) + len(events)
            if written > MAX_ACCESSES:
                why = f"accesses and events of phases are more than {MAX_ACCESSES}; give longer steps, or fewer parts"
                raise refusal("phases", written, why)
            phases.append(Phase(self._title(current, t - began), end - t, accesses, events, hotplug))
        return phases

    def _title(self, index: int, t: int) -> str:
        name = self._plain.phases[index].name
        if not name:
            return clock(t)
        return f"{name[:_NAME]} {clock(t)}" if t else name

    def _events(self, t: int) -> tuple[PhaseEvent, ...]:
        plain = self._plain.phases[self._phases[t]].events if t in self._phases else ()
        gone = [piece for event in plain if event.event is Event.MUNMAP for piece in self._pieces[event.name]]
        exits = dict.fromkeys(event.name for event in plain if event.event is Event.EXIT)
        # One of which nothing was ever mapped has not started.
        exits |= {process: None for process in self._exits.get(t, ()) if process not in self._dead}
        come = [piece for event in plain if event.event is Event.MMAP for piece in self._pieces[event.name]]
        self._end(exits)
        for name, size in self._sizes.get(t, ()):
            mapping = self._parts.mappings[name]
            if mapping.area.process in self._dead and not mapping.late:
                continue
            now, then = self._grown[name], bisect_left(self._offsets[name], size)
            come += self._pieces[name][now:then]
            gone += self._pieces[name][then:now]
            self._grown[name] = then
        for piece in (*gone, *come):
            self._versions[piece.area.part_of or piece.area.name] += 1
        self._mapped -= {piece.area.name for piece in gone}
        self._mapped |= {piece.area.name for piece in come}
        self._dead -= {piece.area.process for piece in come}
        return (
            *(PhaseEvent(Event.MUNMAP, piece.area.name) for piece in gone),
            *(PhaseEvent(Event.EXIT, process) for process in exits),
            *(PhaseEvent(Event.MMAP, piece.area.name) for piece in come),
        )

    def _end(self, exits: Collection[str]) -> None:
        """Nothing of these processes is mapped any more."""
        self._dead |= set(exits)
        for name, pieces in self._pieces.items() if exits else ():
            if pieces[0].area.process in exits:
                self._mapped -= {piece.area.name for piece in pieces}
                self._grown[name] = 0
                self._versions[name] += 1

    def _accesses(self, index: int, t: int) -> tuple[Access, ...]:
        """Of one stream from ``t`` on; the same ones while nothing of it changes."""
        stream = self._parts.streams[index]
        factor = stream.rhythm.factor(t) if stream.rhythm is not None else 1.0
        offset = stream.path[bisect_right(stream.path, (t, 1 << 62)) - 1][1] if stream.path else 0
        key = factor, offset, self._versions[stream.access.area]
        known = self._cache.get(index)
        if known is None or known[0] != key:
            known = self._cache[index] = key, self._shared_out(stream, factor, offset)
        return known[1]

    def _shared_out(self, stream: Stream, factor: float, offset: int) -> tuple[Access, ...]:
        pieces = [one for one in self._pieces[stream.access.area] if one.area.name in self._mapped]
        hot, like = stream.hot, stream.access
        inside = {one.area.name for one in pieces if hot and offset <= one.offset < offset + hot.size}
        rest = sum(one.area.size for one in pieces if one.area.name not in inside)
        found = []
        for one in pieces:
            name, size = one.area.name, one.area.size
            rate = hot.rate * size / hot.size if hot and name in inside else stream.access.rate * size / rest
            if rate * factor > 0:
                found.append(Access(name, rate * factor, like.pattern, like.write_share, like.stride, like.skew))
        return tuple(found)


def clock(us: int) -> str:
    """A time as ``[hours:]minutes:seconds``, with a fraction if it has one."""
    minutes, rest = divmod(us, 60_000_000)
    seconds, fraction = divmod(rest, 1_000_000)
    tail = f".{fraction:06}".rstrip("0") if fraction else ""
    return f"{minutes // 60:02}:{minutes % 60:02}:{seconds:02}{tail}"
