# SPDX-License-Identifier: GPL-2.0-only
"""A workload as the native program reads it: one statement a line (``native/src/workload/plan.h``)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from damon.workload.model import Event, Kind, Pattern, Workload

_PATTERNS: Final = (Pattern.SEQUENTIAL, Pattern.STRIDED, Pattern.RANDOM, Pattern.ZIPF)
_FLUSH: Final = {"off": 0, "on": 1, "auto": 2}
_EVENTS: Final = (Event.MMAP, Event.MUNMAP, Event.EXIT)


@dataclass(frozen=True)
class Options:
    """How the program performs, beyond what the workload says. Times in microseconds, 0 is off."""

    seed: int = 0
    interval_us: int = 5000  #: sampling interval of the truth
    duration_us: int = 0  #: 0: until it is told to stop
    report_us: int = 1_000_000
    tlb_flush: Literal["auto", "on", "off"] = "auto"  #: auto: where the processor is emulated
    huge_pages: bool = False
    directory: str = "/var/tmp"  #: of the files behind file areas


def compile_plan(workload: Workload, options: Options = Options()) -> str:
    """The plan of ``workload``, text."""
    processes, areas = workload.processes, [area.name for area in workload.areas]
    lines = [
        f"options {options.seed & (1 << 64) - 1} {options.interval_us} {options.duration_us} {options.report_us} "
        f"{_FLUSH[options.tlb_flush]} {options.huge_pages:d} {workload.repeat:d} {options.directory}",
        *(f"process {name}" for name in processes),
        *(
            f"area {processes.index(area.process)} {area.kind is Kind.FILE:d} {area.size} {area.populate:d} "
            f"{area.mapped_at_start:d} {area.name}"
            for area in workload.areas
        ),
    ]
    for phase in workload.phases:
        lines.append(f"phase {phase.duration_us} {phase.name[:64]}")
        for event in phase.events:
            names = processes if event.event is Event.EXIT else areas
            lines.append(f"event {_EVENTS.index(event.event)} {names.index(event.name)}")
        lines += (
            f"access {areas.index(access.area)} {_PATTERNS.index(access.pattern)} {access.rate!r} "
            f"{access.write_share!r} {access.stride} {access.skew!r}"
            for access in phase.accesses
        )
    return "\n".join(lines) + "\n"
