# SPDX-License-Identifier: GPL-2.0-only
"""A workload as the native program reads it: one statement a line (``native/src/workload/plan.h``)."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Final, Literal

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.workload.model import Event, Kind, Pattern, Workload
from damon.workload.tracefile.form import Level
from damon.workload.tracefile.mapping import area_of, turns
from damon.workload.tracefile.reader import Trace

_PATTERNS: Final = {Pattern.SEQUENTIAL: 0, Pattern.STRIDED: 1, Pattern.RANDOM: 2, Pattern.ZIPF: 3}
TlbFlush = Literal["auto", "on", "off"]
_FLUSH: Final[tuple[TlbFlush, ...]] = ("off", "on", "auto")
_EVENTS: Final = (Event.MMAP, Event.MUNMAP, Event.EXIT)

#: The line after the options, if they have it.
_ANNOUNCE: Final = "announce\n"


@dataclass(frozen=True)
class Options:
    """How the program performs, beyond what the workload describes. Times in microseconds, 0 is off."""

    seed: int = 0
    interval_us: int = 5000  #: sampling interval of the truth
    duration_us: int = 0  #: 0: until it is stopped
    report_us: int = 1_000_000
    round_us: int = 1000  #: touches are made in rounds of it, and the TLB is flushed once in each
    tlb_flush: TlbFlush = "auto"  #: auto: where the processor is emulated
    huge_pages: bool = False
    directory: str = "/var/tmp"  #: of the files behind file areas
    announce: bool = False  #: areas that are mapped or unmapped are reported at once, and not in the next second


def _options_lines(options: Options, repeat: bool) -> Iterator[str]:
    yield (
        f"options {options.seed & (1 << 64) - 1} {options.interval_us} {options.duration_us} {options.report_us} "
        f"{options.round_us} {_FLUSH.index(options.tlb_flush)} {options.huge_pages:d} {repeat:d} {options.directory}"
    )
    if options.announce:
        yield _ANNOUNCE.rstrip()


def compile_plan(workload: Workload, options: Options = Options()) -> str:
    """The plan of ``workload``, text.

    Raises:
        InvalidInput: a trace of it cannot be used.
    """
    processes = {name: index for index, name in enumerate(workload.processes)}
    areas = {area.name: index for index, area in enumerate(workload.areas)}
    lines = [
        *_options_lines(options, workload.repeat),
        *(f"process {name}" + " late" * workload.process_spec(name).late for name in processes),
        *(
            f"area {processes[area.process]} {area.kind is Kind.FILE:d} {area.size} {area.populate:d} "
            f"{area.mapped_at_start:d} {area.locked:d} {area.name}"
            for area in workload.areas
        ),
        *_replays(workload),
    ]
    for phase in workload.phases:
        lines.append(f"phase {phase.duration_us} {phase.name}")
        for event in phase.events:
            names = processes if event.event is Event.EXIT else areas
            lines.append(f"event {_EVENTS.index(event.event)} {names[event.name]}")
        lines += (
            f"access {areas[access.area]} {_PATTERNS[access.pattern]} {access.rate!r} "
            f"{access.write_share!r} {access.stride} {access.skew!r}"
            for access in phase.accesses
        )
    return "\n".join(lines) + "\n"


def _replays(workload: Workload) -> Iterator[str]:
    """The trace files, and what areas replay of them."""
    traces: dict[str, tuple[int, Trace]] = {}
    for number, area in enumerate(workload.areas):
        if area.replay is None:
            continue
        replay = area.replay
        if replay.path not in traces:
            traces[replay.path] = len(traces), Trace(Path(replay.path))
            yield f"trace {_place(replay.path)}"
        file, trace = traces[replay.path]
        traced = area_of(trace, replay.area)
        space = trace.description.spaces[traced.space]
        level = space.levels[0] if space.levels else Level(0, 0)
        yield (
            f"replay {number} {file} {traced.first} {traced.nr_pages} {space.nr_pages} {replay.begin_ns} "
            f"{replay.end_ns - replay.begin_ns} {replay.loop:d} {replay.time_scale!r} {replay.size_scale!r} "
            f"{level.offset} {level.nr}"
        )
        yield from (f"turn {at} {mapped:d}" for at, mapped in turns(replay, traced))


def _place(path: str) -> str:
    """The absolute path of a trace file, as a line of a plan can have it."""
    place = os.path.abspath(path)
    if len(os.fsencode(place)) > 4095 or "\n" in place or place != place.strip():
        raise InvalidInput(f"trace: {quoted(path)}: has a path that a plan cannot have; rename it")
    return place


def change_options(plan: str, **given: Any) -> str:
    """``plan`` with those of its options (names as in ``Options``) that are ``given``.

    Raises:
        InvalidInput: its first line is not an ``options`` statement.
    """
    line, _, rest = plan.partition("\n")
    words = line.split(" ", 9)
    try:
        *numbers, directory = words[1:]
        seed, interval, duration, report, a_round, flush, huge, repeat = map(int, numbers)
        tlb_flush = _FLUSH[flush]
    except (ValueError, IndexError):
        raise InvalidInput(
            f"plan: {quoted(line)}: the first line is not an options statement; make one with --print-plan"
        ) from None
    options = Options(
        seed, interval, duration, report, a_round, tlb_flush, bool(huge), directory, rest.startswith(_ANNOUNCE)
    )
    assert given.keys() <= {field.name for field in fields(Options)}
    head = "\n".join(_options_lines(replace(options, **given), bool(repeat)))
    return f"{head}\n{rest.removeprefix(_ANNOUNCE)}"
