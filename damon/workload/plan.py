# SPDX-License-Identifier: GPL-2.0-only
"""A workload as the native program reads it: one statement a line (``native/src/workload/plan.h``)."""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Final, Literal

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.workload.model import Event, Kind, Pattern, Workload

_PATTERNS: Final = {Pattern.SEQUENTIAL: 0, Pattern.STRIDED: 1, Pattern.RANDOM: 2, Pattern.ZIPF: 3}
TlbFlush = Literal["auto", "on", "off"]
_FLUSH: Final[tuple[TlbFlush, ...]] = ("off", "on", "auto")
_EVENTS: Final = (Event.MMAP, Event.MUNMAP, Event.EXIT)


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


def _options_line(options: Options, repeat: bool) -> str:
    return (
        f"options {options.seed & (1 << 64) - 1} {options.interval_us} {options.duration_us} {options.report_us} "
        f"{options.round_us} {_FLUSH.index(options.tlb_flush)} {options.huge_pages:d} {repeat:d} {options.directory}"
    )


def compile_plan(workload: Workload, options: Options = Options()) -> str:
    """The plan of ``workload``, text.

    Raises:
        InvalidInput: it replays a trace.
    """
    for area in workload.areas:
        if area.replay is not None:
            raise InvalidInput(
                f"trace: {quoted(area.replay.path)}: is replayed by simulated machines only; give it to --sim"
            )
    processes = {name: index for index, name in enumerate(workload.processes)}
    areas = {area.name: index for index, area in enumerate(workload.areas)}
    lines = [
        _options_line(options, workload.repeat),
        *(f"process {name}" + " late" * workload.process_spec(name).late for name in processes),
        *(
            f"area {processes[area.process]} {area.kind is Kind.FILE:d} {area.size} {area.populate:d} "
            f"{area.mapped_at_start:d} {area.name}"
            for area in workload.areas
        ),
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
    options = Options(seed, interval, duration, report, a_round, tlb_flush, bool(huge), directory)
    assert given.keys() <= {field.name for field in fields(Options)}
    return f"{_options_line(replace(options, **given), bool(repeat))}\n{rest}"
