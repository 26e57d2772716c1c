# SPDX-License-Identifier: GPL-2.0-only
"""What stands for many areas and phases, written out as such: all changes of all processes on one axis of time.

Rhythms, moving hot spots, growth, and processes that come and go change independently. Their times are merged, and
between two of them is one phase. Areas of which only parts are hot or mapped become one area for each part.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from itertools import accumulate, pairwise
from typing import Final

from damon.quoting import listed
from damon.workload.arrivals import Life
from damon.workload.fields import access_of
from damon.workload.generators import RhythmFields
from damon.workload.model import Access, Area, Event, Pattern, ProcessSpec, Workload
from damon.workload.movement import Budget, Growth, Hot, generator, parse_growth, parse_hot
from damon.workload.quantities import MAX_RATE, refusal
from damon.workload.rhythm import Rhythm, parse_rhythm
from damon.workload.schema import AccessFields, AreaFields, FileFields, check_name, convert
from damon.workload.templates import MAX_AREAS, Process, parse_instance, parse_programs

MAX_PHASES: Final = 20_000  #: of a file, after expansion
_CLOSING_US: Final = 1000


@dataclass
class Stream:
    """Accesses to one area of the file over some time."""

    access: Access  #: ``rate`` is that of the whole area, or of all but the hot spot
    begin: int
    end: int
    place: str
    rhythm: Rhythm | None = None
    hot: Hot | None = None
    path: list[tuple[int, int]] = field(default_factory=list)  #: times and offsets of the hot spot


@dataclass
class Mapping:
    """An area of the file, how it grows, and the times at which it is there: those of its process."""

    area: Area
    growth: Growth | None
    lives: tuple[Life, ...]
    late: bool
    sizes: list[tuple[int, int]] = field(default_factory=list)  #: times, and bytes that are mapped from each on
    cuts: set[int] = field(default_factory=set)


@dataclass
class Parts:
    """Everything of a file, before it is put on the axis of time."""

    total_us: int
    mappings: dict[str, Mapping]
    streams: list[Stream]
    specs: tuple[ProcessSpec, ...]


def is_expanded(raw: FileFields) -> bool:
    """Does a file have anything that ``expand`` writes out?"""
    phases = raw.phases if isinstance(raw.phases, list) else []
    accesses = (access for phase in phases for access in phase.access)
    areas = raw.areas.values() if isinstance(raw.areas, dict) else ()
    return (
        bool(raw.access or raw.rhythms or raw.programs or raw.instances)
        or any(access.hot is not None or access.rhythm for access in accesses)
        or any(isinstance(area, dict) and area.get("grow") is not None for area in areas)
    )


def gather(raw: FileFields, plain: Workload) -> Parts:
    """What the file describes.

    Args:
        raw: its fields.
        plain: its areas, and its phases as they stand there.

    Raises:
        InvalidInput: path, value and remedy.
    """
    total = sum(phase.duration_us for phase in plain.phases)
    rhythms = {
        check_name(name, "rhythms"): parse_rhythm(name, convert(one, RhythmFields, f"rhythms.{name}"))
        for name, one in raw.rhythms.items()
    }
    # With repeat, what a round has started and mapped goes in a moment at its end.
    closing = total - min(_CLOSING_US, total // 2) if raw.repeat else total
    processes = _processes(raw, plain, closing)
    budget = Budget()
    mappings = _mappings(raw, plain, processes, closing, budget)
    streams = []
    for access, fields, place, life in _accesses(raw, plain, processes, total):
        stream = Stream(access, life.begin, life.end, place)
        if fields.rhythm:
            stream.rhythm = _rhythm(fields.rhythm, rhythms, place, total)
        mapping = mappings[access.area]
        if fields.hot is not None:
            _move(stream, parse_hot(fields.hot, f"{place}.hot", mapping.area.size), mapping, budget, raw.seed)
        if access.pattern not in (Pattern.RANDOM, Pattern.SEQUENTIAL) and (mapping.growth or stream.hot):
            why = "is for an area as a whole, and this one is accessed in parts; give random or sequential"
            raise refusal(f"{place}.pattern", access.pattern.value, why)
        _check_rate(stream)
        streams.append(stream)
    _check_overlaps(streams)
    specs = (*plain.process_specs, *(process.spec for process in processes))
    return Parts(total, mappings, streams, specs)


def _processes(raw: FileFields, plain: Workload, closing: int) -> list[Process]:
    """Those of all instances."""
    programs, found = parse_programs(raw.programs), list[Process]()
    for i, one in enumerate(raw.instances):
        found += parse_instance(one, f"instances[{i}]", programs, closing, raw.seed, len(plain.machine.nodes))
    taken = set(plain.processes)
    for process in found:
        if process.spec.name in taken:
            raise refusal("instances", process.spec.name, "is the name of two processes; give each instance a name")
        taken.add(process.spec.name)
    return found


def _rhythm(name: str, known: dict[str, Rhythm], place: str, total: int) -> Rhythm:
    if name not in known:
        raise refusal(f"{place}.rhythm", name, f"is not a rhythm; known are {listed(known) or 'none'}")
    rhythm = known[name]
    if rhythm.count(total) > 2 * MAX_PHASES:
        raise refusal(f"rhythms.{name}", name, f"makes more than {MAX_PHASES} phases; give longer steps")
    return rhythm


def _move(stream: Stream, hot: Hot, mapping: Mapping, budget: Budget, seed: int) -> None:
    stream.hot, area = hot, mapping.area
    path = hot.path(stream.end - stream.begin, budget, generator(seed, "hot", area.name, stream.begin))
    stream.path = [(stream.begin + t, offset) for t, offset in path]
    for offset in {offset for _, offset in path}:
        mapping.cuts |= {offset, offset + hot.size} - {0, area.size}


def _check_rate(stream: Stream) -> None:
    most = max(stream.access.rate, stream.hot.rate if stream.hot else 0.0)
    if stream.rhythm is not None and most * max(stream.rhythm.factors) > MAX_RATE:
        raise refusal(f"{stream.place}.rhythm", most, "is a rate that becomes more than 10G at the peak; give less")


def _mappings(
    raw: FileFields, plain: Workload, processes: Iterable[Process], closing: int, budget: Budget
) -> dict[str, Mapping]:
    given = raw.areas if isinstance(raw.areas, dict) else {}
    comes = {spec.name for spec in plain.process_specs if spec.late}
    rows: list[tuple[Area, AreaFields, str, tuple[Life, ...], bool]] = []
    for area in plain.areas:
        fields, place = convert(given[area.name], AreaFields), f"areas.{area.name}"
        if fields.grow is not None:
            _check_grows_alone(area, fields, place, plain, comes)
        rows.append((area, fields, place, (Life(0, closing),), False))
    rows += [(*row, process.lives, process.spec.late) for process in processes for row in process.areas]
    found: dict[str, Mapping] = {}
    for area, fields, place, lives, late in rows:
        if area.name in found:
            raise refusal("instances", area.name, "is the name of two areas; give the instance another name")
        growth = None if fields.grow is None else parse_growth(fields.grow, f"{place}.grow", area.size)
        found[area.name] = mapping = Mapping(area, growth, lives, late)
        if growth is not None or late:
            initial = growth.initial if growth is not None else area.size
            budget.take(len(lives), len(lives), "instances")
            for life in lives:
                mapping.sizes.append((life.begin, initial))
                if growth is not None:
                    sizes = growth.sizes(life.end - life.begin, budget)
                    mapping.sizes += [(life.begin + t, size) for t, size in sizes]
            if raw.repeat and not late:
                mapping.sizes.append((closing, initial))
            mapping.cuts = {size for _, size in mapping.sizes} - {0, area.size}
    return found


def _check_grows_alone(area: Area, fields: AreaFields, place: str, plain: Workload, late: set[str]) -> None:
    if not fields.mapped or area.process in late:
        raise refusal(f"{place}.grow", area.name, "grows from the start; leave out mapped: false and late: true")
    for i, phase in enumerate(plain.phases):
        for event in phase.events:
            if event.name == area.name and event.event is not Event.EXIT:
                field = f"phases[{i}].{event.event.value}"
                raise refusal(field, area.name, "grows, which maps and unmaps it; leave it out")


def _accesses(
    raw: FileFields, plain: Workload, processes: Iterable[Process], total: int
) -> Iterator[tuple[Access, AccessFields, str, Life]]:
    """Each access of the file with its fields, their path, and its time."""
    areas = {area.name: area for area in plain.areas}
    for i, fields in enumerate(raw.access):
        place = f"access[{i}]"
        yield access_of(fields, place, areas), fields, place, Life(0, total)
    if isinstance(raw.phases, list):
        ends = list(accumulate(phase.duration_us for phase in plain.phases))
        for n, (phase, given) in enumerate(zip(plain.phases, raw.phases, strict=True)):
            for i, (access, fields) in enumerate(zip(phase.accesses, given.access, strict=True)):
                yield access, fields, f"phases[{n}].access[{i}]", Life(ends[n] - phase.duration_us, ends[n])
    for process in processes:
        for life in process.lives:
            for access, fields, place in process.accesses:
                yield access, fields, place, life


def _check_overlaps(streams: list[Stream]) -> None:
    by_area: dict[str, list[Stream]] = {}
    for stream in streams:
        by_area.setdefault(stream.access.area, []).append(stream)
    for several in by_area.values():
        for before, after in pairwise(sorted(several, key=lambda one: one.begin)):
            if after.begin < before.end:
                why = f"is accessed by {before.place} at the same time; an area has one pattern at a time"
                raise refusal(f"{after.place}.area", after.access.area, why)


def cut(mapping: Mapping) -> list[tuple[int, Area]]:
    """The parts of an area, each with its offset: the area itself where there is one only."""
    area = mapping.area
    edges = [0, *sorted(mapping.cuts), area.size]
    width = len(str(len(edges) - 2))
    initial = mapping.growth.initial if mapping.growth is not None else area.size
    parts = []
    for n, (begin, end) in enumerate(pairwise(edges)):
        mapped = area.mapped_at_start and not mapping.late and begin < initial
        part = replace(area, size=end - begin, mapped_at_start=mapped)
        if len(edges) > 2:
            part = replace(part, name=check_name(f"{area.name}.{n:0{width}}", "areas"), part_of=area.name)
        parts.append((begin, part))
    return parts


def cut_all(parts: Parts) -> dict[str, list[tuple[int, Area]]]:
    """The parts of all areas.

    Raises:
        InvalidInput: too many, or two with one name.
    """
    count = sum(len(mapping.cuts) + 1 for mapping in parts.mappings.values())
    if count > MAX_AREAS:
        why = f"parts of areas are more than {MAX_AREAS}; give hot spots bigger steps, or growth bigger ones"
        raise refusal("areas", count, why)
    found = {name: cut(mapping) for name, mapping in parts.mappings.items()}
    taken: set[str] = set()
    for pieces in found.values():
        for _, area in pieces:
            if area.name in taken:
                raise refusal("areas", area.name, "is the name of two areas or of parts of them; rename one")
            taken.add(area.name)
    return found
