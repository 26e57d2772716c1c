# SPDX-License-Identifier: GPL-2.0-only
"""A simulated run that is more like the one in a guest: its pace, and the memory of other programs."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from damon.errors import InvalidInput
from damon.quoting import quoted
from damon.workload.model import Access, Area, Event, Kind, MachineSpec, Pattern, Phase, Workload
from damon.workload.quantities import PAGE, parse_rate, parse_size

if TYPE_CHECKING:
    from damon.mm.frames import FrameRun
    from damon.mm.sim.placing import Places
    from damon.results.frames import Frames
    from damon.results.sim_to_real import Measured


@dataclass(frozen=True)
class Policy:
    """One policy, its command line, and that as the modules of ``damon run``."""

    name: str
    line: str
    arguments: argparse.Namespace


#: Names that no area or process of a workload file has.
_OTHERS: Final = ("programs before", "programs after")
_BESIDE: Final = "beside the workload"
_TABLES: Final = "tables of"
#: Bytes of the program's tables for each page of an area: when it was touched last, and for zipf its share of touches.
_LAST, _SHARES = 4, 8


#: What is beside a workload is found in each guest.
MEASURED: Final = "measured"


def others(text: str) -> tuple[int, float] | str | None:
    """Bytes and page accesses a second of ``48M@40k``; ``none``: None; ``measured``."""
    if text in ("none", MEASURED):
        return None if text == "none" else MEASURED
    size, _, rate = text.partition("@")
    try:
        return parse_size(size, "--others"), parse_rate(rate, "--others")
    except InvalidInput:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}: is not memory and a rate; give SIZE@RATE, e.g. 48M@40k, measured or none"
        ) from None


def beside(workload: Workload, more: tuple[int, float] | None) -> Workload:
    """With what is beside the workload's areas in a guest, and is accessed: it decides which regions are cold.

    Args:
        workload: to be simulated.
        more: memory of other programs, two thirds of it there before the workload; None: nothing is beside it.
    """
    if more is None:
        return workload
    size, rate = more
    first = size * 2 // 3 // PAGE * PAGE
    before, after = (Area(name, part, process=name) for name, part in zip(_OTHERS, (first, size - first), strict=True))
    # A process that starts later has none here: it would have to exit with its areas.
    lasting = [name for name in workload.processes if not workload.process_spec(name).late]
    exiting = {event.name for phase in workload.phases for event in phase.events if event.event is Event.EXIT}
    tables = [_tables(workload, process) for process in lasting if process not in exiting]
    phases = tuple(
        replace(phase, accesses=(
            *phase.accesses, *(Access(area.name, rate / 2) for area in (before, after)),
            *(Access(area.name, busy) for area in tables if (busy := _rate(workload, phase, area.process))),
        ))
        for phase in workload.phases
    )  # fmt: skip
    return replace(workload, areas=(before, *workload.areas, *tables, after), phases=phases)


def files_in_memory(workload: Workload) -> Workload:
    """As a guest has it, which has no disk: files are anonymous memory.

    A file system in memory reads its pages from swap eight at a time, and a process's major faults count one of them.
    """
    return replace(workload, areas=tuple(
        replace(area, kind=Kind.ANON) if area.kind is Kind.FILE else area for area in workload.areas
    ))  # fmt: skip


#: What the worker of an emulated guest's kernel takes where an instruction takes 1 ns, microseconds: fitted to the
#: intervals of some traced runs (docs/explanation/sim-to-real.md). ``wake_us``: each sample takes so much whatever it
#: is of.
_WORKER: Final = {"check_us": 2.7, "wake_us": 10.0, "scan_us": 3.0, "reclaim_us": 12.0}
#: What the worker does: it takes longer where it waits for the processor meanwhile.
_WORK: Final = ("check_us", "scan_us", "reclaim_us")


def as_emulated(workload: Workload, icount: int | None) -> Workload:
    """With what the worker of an emulated guest's kernel takes, but for what the file gives itself.

    Args:
        workload: to be simulated.
        icount: an instruction takes ``2**icount`` ns; None: the guest is not emulated.
    """
    if icount is None:
        return workload
    own = MachineSpec()
    costs = {
        name: us * 2**icount for name, us in _WORKER.items() if getattr(workload.machine, name) == getattr(own, name)
    }
    return replace(workload, machine=replace(workload.machine, **costs))


def as_found(workload: Workload, frames: Frames) -> tuple[Workload, Places]:
    """With what a guest had beside the workload, as often accessed, and the page frames of all of it.

    Args:
        workload: to be simulated.
        frames: what was found in the guest.
    """
    from damon.mm.sim.placing import Places

    alike: dict[tuple[float, bool, bool, int], list[FrameRun]] = {}
    for one in frames.beside:
        alike.setdefault((one.rate, one.charged, one.locked, max(one.mapped, 1)), []).append(one)
    memcg = workload.memcg(workload.areas[0])
    areas: list[Area] = []
    accesses: list[Access] = []
    places: dict[str, Sequence[tuple[int, int, int]]] = dict(frames.areas)
    mapped: dict[str, int] = {}
    for (rate, charged, locked, processes), runs in sorted(alike.items()):
        name, rows, page = f"{_BESIDE} {len(areas)}", [], 0
        for one in runs:
            rows.append((page, one.pfn, one.nr))
            page += one.nr
        areas.append(Area(name, page * PAGE, process=_BESIDE, memcg=memcg if charged else "", locked=locked))
        places[name] = rows
        if processes > 1:
            mapped[name] = processes
        if rate:
            accesses.append(Access(name, rate * page))
    phases = tuple(replace(phase, accesses=(*phase.accesses, *accesses)) for phase in workload.phases)
    own = workload.machine
    work = {name: getattr(own, name) * (1 + frames.run_delay) for name in _WORK}
    machine = replace(own, wake_us=own.wake_us + frames.late_us, **work)
    return replace(workload, areas=(*areas, *workload.areas), phases=phases, machine=machine), Places(
        places, frames.free, mapped
    )  # fmt: skip


def _rate(workload: Workload, phase: Phase, process: str) -> float:
    own = {area.name for area in workload.areas if area.process == process}
    return sum(access.rate for access in phase.accesses if access.area in own)


def _tables(workload: Workload, process: str) -> Area:
    """What ``damon-workload`` looks up for each touch of a process."""
    own = {area.name: area for area in workload.areas if area.process == process}
    zipf = {one.area for phase in workload.phases for one in phase.accesses if one.pattern is Pattern.ZIPF}
    size = sum(area.size // PAGE * (_LAST + _SHARES * (area.name in zipf)) for area in own.values())
    first = next(iter(own.values()))
    name = f"{_TABLES} {process}"
    return Area(name, -(-size // PAGE) * PAGE, process=process, memcg=workload.memcg(first), locked=True)


def slowed(policy: Policy, workload: Workload, measured: Measured, result: dict[str, Any]) -> tuple[Policy, Workload]:
    """With accesses as rarely, and intervals as long, as they were in the guest.

    A worker sleeps for its sampling interval after its work: where aggregations are not counted, intervals are longer
    by the processor time of it.
    """
    cpu, seconds = sum(result["timing"]["kdamond_cpu_seconds"].values()), policy.arguments.duration
    stretch = seconds / max(seconds - cpu, seconds / 10)
    phases = tuple(
        replace(phase, accesses=tuple(replace(one, rate=one.rate / measured.slowdown) for one in phase.accesses))
        for phase in workload.phases
    )
    modules = [_stretched(name, words, measured.aggregation_s, stretch) for name, *words in policy.arguments.module]
    changed = argparse.Namespace(**{**vars(policy.arguments), "module": modules})
    return replace(policy, arguments=changed), replace(workload, phases=phases)


_TIMES: Final = ("sample_interval", "aggr_interval")


def _stretched(name: str, words: Sequence[str], aggregation_s: float | None, stretch: float) -> list[str]:
    """A module and its parameters, with intervals as long as the guest's if they were longer.

    Args:
        name: of the module.
        words: its parameters.
        aggregation_s: mean time between two aggregations, if they are counted.
        stretch: factor of the intervals, if not.
    """
    from damon.modules.loader import find_module

    now = {spec.name: int(str(spec.default)) for spec in find_module(name).specs() if spec.name in _TIMES}
    if len(now) < len(_TIMES):
        return [name, *words]
    given = dict(word.partition("=")[::2] for word in words)
    now |= {one: int(given[one], 0) for one in _TIMES if one in given}
    if aggregation_s is not None:
        stretch = max(aggregation_s * 1e6 / now["aggr_interval"], 1.0)
    longer = [f"{one}={round(value * stretch)}" for one, value in now.items()]
    return [name, *(word for word in words if word.partition("=")[0] not in _TIMES), *longer]
