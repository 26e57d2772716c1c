# SPDX-License-Identifier: GPL-2.0-only
"""What a run is measured by: counts of the simulated machine over time, and figures by name that follow from them.

A figure compares a run with one of the same workload and seed without any module.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import msgspec

from damon.errors import InvalidInput
from damon.model.machine import PAGE_SIZE
from damon.quoting import quoted
from damon.units import size

if TYPE_CHECKING:
    from damon.mm.sim import SimulatedMachine
    from damon.model.context import DamonCtx

#: The working set is what is touched within so many microseconds.
WSS_WINDOW_US: Final = 120_000_000


class Measured(msgspec.Struct, frozen=True):
    """Counts since the run's start.

    Attributes:
        seconds: of the machine's time.
        resident_byte_s: memory of all processes, summed over time.
        wss_byte_s: working set, summed over time.
        refaults: pages that came back.
        stall_us: time that the process waited that waited most.
        psi_us: time in which any process waited.
        samples: pages that were checked for accesses.
        kills: processes that were killed for want of memory.
    """

    seconds: float
    resident_byte_s: float
    wss_byte_s: float
    refaults: int
    stall_us: int
    psi_us: int
    samples: float
    kills: int


class Meter:
    """Measures a machine from its start on. ``look()`` at moments of a grid, and at least as often as ``read()``."""

    def __init__(self, machine: SimulatedMachine) -> None:
        self._machine = machine
        self._last_ns = machine.clock.now_ns()
        self._resident = self._wss = self._samples = 0.0
        self._sets: dict[int, float] = {}  # by the phase's identity
        self._traced = [area.name for area in machine.workload.areas if area.replay is not None]

    def look(self, ctxs: Sequence[DamonCtx] = ()) -> None:
        """Add the time since the last look, with what is there now; ``ctxs`` are those whose workers run."""
        now = self._machine.clock.now_ns()
        seconds, self._last_ns = (now - self._last_ns) / 1e9, now
        state = self._machine.state
        pages = sum(row.nr_present for row in state.process.rows[: state.m.nr_process])
        self._resident += pages * PAGE_SIZE * seconds
        self._wss += self._working_set() * seconds
        for ctx in ctxs:
            regions = sum(len(target.regions) for target in ctx.targets)
            self._samples += regions * seconds * 1e6 / max(ctx.attrs.sample_interval, 1)

    def _working_set(self) -> float:
        """Bytes that are touched within the window, as the running phase goes on, or the trace at this time."""
        phase = self._machine.phase
        if id(phase) not in self._sets:
            self._sets[id(phase)] = sum(self._touched(access.area) for access in phase.accesses)
        return self._sets[id(phase)] + sum(map(self._touched, self._traced))

    def _touched(self, area: str) -> float:
        return self._machine.truth(area, WSS_WINDOW_US) * int(self._machine.row(area).nr_pages) * PAGE_SIZE

    def read(self) -> Measured:
        """All counts now."""
        processes = self._machine.processes()
        return Measured(
            seconds=self._last_ns / 1e9, resident_byte_s=self._resident, wss_byte_s=self._wss,
            refaults=sum(process.refaults for process in processes),
            stall_us=max((process.stall_us for process in processes), default=0),
            psi_us=self._machine.psi_some_us(), samples=self._samples, kills=len(self._machine.kills()),
        )  # fmt: skip


@dataclass(frozen=True)
class Figure:
    """One figure: ``of(run, base)``, both at the same moment. ``unit``: ``bytes``, ``share`` or empty."""

    name: str
    unit: str
    what: str
    of: Callable[[Measured, Measured], float]


def _figures() -> Sequence[Figure]:
    def saved(run: Measured, base: Measured) -> float:
        return (base.resident_byte_s - run.resident_byte_s) / run.seconds

    def refaulted(run: Measured, base: Measured) -> float:
        return run.refaults * PAGE_SIZE / max(base.wss_byte_s, 1.0) * 60

    return (
        Figure("saved_bytes", "bytes", "memory that is not resident, and is without a module, on average", saved),
        Figure("saved", "share", "... as a share of what is resident without a module",
               lambda run, base: saved(run, base) * run.seconds / max(base.resident_byte_s, 1.0)),
        Figure("resident_bytes", "bytes", "resident memory, on average",
               lambda run, base: run.resident_byte_s / run.seconds),
        Figure("refaults_per_s", "", "pages that came back a second", lambda run, base: run.refaults / run.seconds),
        Figure("refaulted_wss_per_min", "share", "memory that came back a minute, as a share of the working set",
               refaulted),
        Figure("psi_some", "share", "share of the time in which any process waited",
               lambda run, base: run.psi_us / 1e6 / run.seconds),
        Figure("slowdown", "", "time that the slowest process takes, by that with all its memory present",
               lambda run, base: 1.0 + run.stall_us / 1e6 / run.seconds),
        Figure("samples_per_s", "", "pages that are checked a second: what monitoring costs grows with it",
               lambda run, base: run.samples / run.seconds),
    )  # fmt: skip


#: By name.
FIGURES: Final[Mapping[str, Figure]] = {figure.name: figure for figure in _figures()}
_OBJECTIVE: Final = re.compile(r"(maximi[sz]e|minimi[sz]e) +([A-Za-z_]{1,40})")
_CONSTRAINT: Final = re.compile(r"([A-Za-z_]{1,40}) *(<=|<|>=|>) *([0-9.eE+]{1,30}) ?(%|[A-Za-z]{1,3})?")


class Objective(msgspec.Struct, frozen=True):
    """A figure to be as large or as small as can be."""

    figure: str
    maximize: bool

    def __str__(self) -> str:
        return f"{'maximize' if self.maximize else 'minimize'} {self.figure}"


class Constraint(msgspec.Struct, frozen=True):
    """A bound that each run has to keep. ``op``: ``<``, ``<=``, ``>`` or ``>=``."""

    figure: str
    op: str
    bound: float

    def __str__(self) -> str:
        return f"{self.figure} {self.op} {show(self.figure, self.bound)}"

    def excess(self, value: float) -> float:
        """By how much ``value`` is beyond the bound, by the bound (absolute where that is 0); at most 0 when kept."""
        over = value - self.bound if self.op[0] == "<" else self.bound - value
        if over == 0 and len(self.op) == 1:
            return 1e-12
        return over / (abs(self.bound) or 1.0)


def _figure(name: str, field: str) -> Figure:
    if name not in FIGURES:
        raise InvalidInput(f"{field}: {quoted(name)}: is not a figure; give one of {', '.join(FIGURES)}")
    return FIGURES[name]


def read_objective(text: str, field: str) -> Objective:
    """Of ``maximize saved_bytes``."""
    match = _OBJECTIVE.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{field}: {quoted(text)}: is not an objective; give e.g. maximize saved_bytes")
    return Objective(_figure(match[2], field).name, match[1].startswith("max"))


def read_constraint(text: str, field: str) -> Constraint:
    """Of ``refaulted_wss_per_min <= 0.2%``."""
    match = _CONSTRAINT.fullmatch(text.strip())
    if match is None:
        raise InvalidInput(f"{field}: {quoted(text)}: is not a constraint; give e.g. slowdown < 1.02")
    figure, unit = _figure(match[1], field), match[4] or ""
    bound: float | None = None
    if figure.unit == "bytes":
        exact = size(match[3] + unit)
        bound = None if exact is None else float(exact)
    elif unit in ("", "%" if figure.unit == "share" else ""):
        try:
            bound = float(match[3]) / (100 if unit else 1)
        except ValueError:
            bound = None
    if bound is None or not bound < 1e18:
        wanted = {"bytes": "bytes, e.g. 64M", "share": "a share, e.g. 0.2% or 0.002"}.get(figure.unit, "a number")
        raise InvalidInput(f"{field}: {quoted(match[3] + unit)}: is not a bound of {figure.name}; give {wanted}")
    return Constraint(figure.name, match[2], bound)


def show(figure: str, value: float, spread: float | None = None) -> str:
    """``value`` of the figure for people, with its ``spread`` if there is one: ``130.0±1.1 MiB``."""
    unit = FIGURES[figure].unit
    factor, form, end = {"share": (100.0, ".3f", "%"), "bytes": (1 / (1 << 20), ".1f", " MiB")}.get(
        unit, (1.0, ".5g", "")
    )
    beside = "" if spread is None else f"\N{PLUS-MINUS SIGN}{spread * factor:{form}}"
    return f"{value * factor:{form}}{beside}{end}"
