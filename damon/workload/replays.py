# SPDX-License-Identifier: GPL-2.0-only
"""Trace files in workloads: the areas that they stand for, and a whole workload of one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import msgspec

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.workload.model import Area, Event, Kind, MachineSpec, Phase, Replay, Swap, Workload
from damon.workload.quantities import MAX_SIZE, PAGE, parse_duration, refusal
from damon.workload.schema import TraceFields, check_memcg, check_name, convert
from damon.workload.tracefile.change import scaled_page
from damon.workload.tracefile.form import TRUTH, Description, TracedArea
from damon.workload.tracefile.mapping import areas_of
from damon.workload.tracefile.reader import Trace

#: Memory of a machine that nothing else is said of.
_LEAST: Final = 1 << 30
_STEP: Final = 64 << 20


def is_replay(spec: Any) -> bool:
    """Does an entry of ``areas`` stand for those of a trace file?"""
    return isinstance(spec, Mapping) and "trace" in spec


def replayed_areas(name: str, spec: Any, directory: Path) -> list[Area]:
    """The areas that the entry ``name`` of ``areas`` stands for: ``name.AREA``.

    Raises:
        InvalidInput: the entry or the file is wrong.
    """
    field = f"areas.{name}"
    raw = convert(spec, TraceFields, field)
    check_name(name, "areas")
    process = check_name(raw.process, f"{field}.process") if raw.process else ""
    memcg = check_memcg(raw.memcg, f"{field}.memcg")
    path = directory / raw.trace
    try:
        trace = Trace(path)
    except InvalidInput as error:
        raise InvalidInput(f"{field}.trace: {error.strerror}") from None
    what = trace.description
    begin, end = _part(raw, field, what.duration_ns)
    replay = Replay(str(path), 0, begin, end, _loops(raw, what), raw.time_scale, raw.size_scale)
    names = {one.process for one in what.spaces}
    populate = _populated(raw, what)
    areas = [
        _area(
            f"{name}.{area.name}", process or (name if len(names) == 1 else f"{name}.{_process(what, area)}"),
            memcg, populate, number, area, replay,
        )
        for number, area in enumerate(areas_of(trace))
        if _is_mapped(area, begin, end)
    ]  # fmt: skip
    if not areas:
        raise refusal(f"{field}.from", begin / 1e9, "is where nothing is mapped; give another part of the trace")
    for area in areas:
        check_name(area.name, f"{field}: its area")
        check_name(area.process, f"{field}: its process")
    return areas


def _part(raw: TraceFields, field: str, duration_ns: int) -> tuple[int, int]:
    begin, end = 0, duration_ns
    if raw.begin is not msgspec.UNSET and raw.begin not in (0, "0"):
        begin = parse_duration(raw.begin, f"{field}.from") * 1000
    if raw.end is not msgspec.UNSET:
        end = parse_duration(raw.end, f"{field}.to") * 1000
    if end > duration_ns:
        raise refusal(
            f"{field}.to", raw.end, f"is after the trace's end; give up to {duration_ns // 1000} (microseconds)"
        )
    if begin >= end:
        raise refusal(f"{field}.from", raw.begin, f"is not before {end // 1000} microseconds; give an earlier time")
    return begin, end


def _loops(raw: TraceFields, what: Description) -> bool:
    return what.loop if raw.loop is msgspec.UNSET else raw.loop


def _populated(raw: TraceFields, what: Description) -> bool:
    return what.origin != TRUTH if raw.populate is msgspec.UNSET else raw.populate


def _process(what: Description, area: TracedArea) -> str:
    return what.spaces[area.space].process


def _is_mapped(area: TracedArea, begin: int, end: int) -> bool:
    return any(since < end and to > begin for since, to in area.mapped)


def _area(
    name: str, process: str, memcg: str, populate: bool, number: int, area: TracedArea, replay: Replay
) -> Area:  # fmt: skip
    size = max(scaled_page(area.nr_pages, replay.size_scale), 1) * PAGE
    if size > MAX_SIZE:
        raise refusal("size_scale", replay.size_scale, f"makes area {name} of {size} bytes; give less")
    at_start = any(since <= replay.begin_ns < to for since, to in area.mapped)
    return Area(name, size, Kind(area.kind), process, populate, at_start, memcg, replay=replace(replay, area=number))


def check_apart(traced: Sequence[Area], written: Workload) -> None:
    """Refuse areas of traces that a file's instances have, too, or whose process one of them ends."""
    names = {area.name for area in written.areas}
    ended = {event.name for phase in written.phases for event in phase.events if event.event is Event.EXIT}
    for area in traced:
        if area.name in names:
            raise refusal("areas", area.name, "is there already; give one of the two another name")
        if area.process in ended:
            raise refusal("areas", area.process, "is a process of a trace, and exits; give the trace another process")


def memory_for(areas: Sequence[Area]) -> int:
    """Bytes of a machine that holds ``areas`` with a quarter to spare."""
    needed = sum(area.size for area in areas) * 5 // 4
    return max(-(-needed // _STEP) * _STEP, _LEAST)


def own_phase(areas: Sequence[Area]) -> Phase:
    """The phase of a workload that has nothing but traces: as long as the longest of them."""
    return Phase("trace", max(area.replay.duration_us for area in areas if area.replay is not None))


def workload_of(path: Path, options: Mapping[str, Any] = {}) -> Workload:
    """The workload that a trace file is: its processes, on a machine that holds them.

    Args:
        path: of the file.
        options: as in an entry of ``areas`` with ``trace``.

    Raises:
        InvalidInput: it is no trace, an option is wrong, or nothing is mapped then.
    """
    raw = convert({"trace": str(path), **options}, TraceFields, "trace")
    trace = Trace(path)
    what = trace.description
    begin, end = _part(raw, "trace", what.duration_ns)
    replay = Replay(str(path), 0, begin, end, _loops(raw, what), raw.time_scale, raw.size_scale)
    areas = tuple(
        _area(area.name, raw.process or _process(what, area), raw.memcg, _populated(raw, what), number, area, replay)
        for number, area in enumerate(areas_of(trace))
        if _is_mapped(area, begin, end)
    )
    if not areas:
        raise InvalidInput(f"trace: {quoted(str(path))}: maps no area; import another recording, or take another part")
    for area in areas:
        check_name(area.name, "area")
        check_name(area.process, "process")
    memory = memory_for(areas)
    return Workload(path.stem, areas, (own_phase(areas),), machine=MachineSpec(memory=memory, swap=Swap(memory)))


def end_us(workload: Workload) -> int:
    """When a workload is over that has nothing but traces that end; 0: it is not."""
    ends = [0 if area.replay is None or area.replay.loop else area.replay.duration_us for area in workload.areas]
    return max(ends) if all(ends) else 0
