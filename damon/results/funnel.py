# SPDX-License-Identifier: GPL-2.0-only
"""How many bytes a scheme could act on at each aggregation, and at which stage the others were left out.

On a simulated machine the bytes of the first stages are those in memory that fit the scheme in truth (the expectation
of ``damon.workload.truth``). On a real one nothing of that is known: these stages are bytes of regions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from damon.core.trace import TraceEvent
from damon.mm.sim.census import census
from damon.mm.sim.machine import SimulatedMachine
from damon.mm.sim.spaces import SimulatedProcess
from damon.model.context import DamonCtx
from damon.model.machine import PAGE_SIZE
from damon.model.regions import align_down
from damon.model.scheme import Damos, DamosFilter, DamosFilterType
from damon.workload.truth import Truth

if TYPE_CHECKING:
    from damon.model.arrays import DamonRegion
    from damon.model.target import DamonTarget

#: The stages in order; each has at most the bytes of the one before, up to ``tried``.
STAGES: Final = (
    *("eligible", "monitored", "active", "observed", "old_enough", "right_size", "in_quota", "tried"),
    *("ops_passed", "applied", "came_back"),
)
#: More of another kind than this share makes a region a mixed one.
_MIXED: Final = 0.05
#: Areas that are named at most.
_NAMES: Final = 4
Row = Mapping[str, int | str | None]


@dataclass
class _Piece:
    """One region, for one scheme."""

    target: int
    start: int
    end: int
    present: float  #: bytes in memory
    kept: float = 0.0  #: eligible bytes that got as far as ``right_size``
    allowed: float = 1.0  #: the share that core filters let pass


@dataclass
class _Notes:
    """What explains the stages."""

    mixed: float = 0.0  #: eligible bytes in regions with the wrong frequency and much else in them
    largest_mixed: int = 0  #: bytes of the largest such region
    areas: Counter[str] = field(default_factory=Counter)  #: what is in them
    outside: Counter[str] = field(default_factory=Counter)  #: eligible bytes that are in no region
    oldest_us: int = 0  #: the highest age of a region with memory and the wanted frequency

    def mixes(self, areas: Mapping[str, int], fits: float, size: int) -> None:
        self.mixed += fits
        self.largest_mixed = max(self.largest_mixed, size)
        self.areas.update(areas)

    def row(self) -> dict[str, int | str | None]:
        mixed, outside = (
            "+".join(name for name, count in areas.most_common(_NAMES) if count) for areas in (self.areas, self.outside)
        )
        return {
            "mixed": round(self.mixed), "largest_mixed": self.largest_mixed, "mixed_areas": mixed,
            "outside_areas": outside, "oldest_us": self.oldest_us,
        }  # fmt: skip


@dataclass
class _Pass:
    """What is known of one scheme at one aggregation, before it acts."""

    time_ns: int
    sums: dict[str, float]
    pieces: list[_Piece]
    stat: tuple[int, int]  #: bytes that passed filters, and that the action applied to, before it
    refaults: int
    more: dict[str, int | str | None]
    tried: list[tuple[int, int, int]] = field(default_factory=list)


class Funnel:
    """The rows of one context's schemes.

    Args:
        ctx: whose schemes; ``look()`` has to be called before they act, ``take()`` at each ``damos_before_apply``.
        append: gets each row.
        epoch_ns: of the machine's clock; the rows' times count from it.
    """

    def __init__(self, ctx: DamonCtx, append: Callable[[Row], None], epoch_ns: int = 0) -> None:
        self._ctx, self._append, self._epoch_ns = ctx, append, epoch_ns
        machine = ctx.machine
        self._machine = machine if isinstance(machine, SimulatedMachine) else None
        self._truth = Truth(machine.workload) if isinstance(machine, SimulatedMachine) else None
        self._passes: dict[int, _Pass] = {}

    def take(self, event: TraceEvent) -> None:
        """A scheme is about to act on a range."""
        _, scheme, target, _, start, end, *_ = event.fields
        if scheme in self._passes:
            self._passes[scheme].tried.append((target, start, end))

    def look(self) -> None:
        """An aggregation has ended: finish the rows of the one before, and begin those of this one."""
        self.finish()
        ctx = self._ctx
        places = [self._areas(target) for target in ctx.targets]
        for number, scheme in enumerate(ctx.schemes):
            self._passes[number] = self._pass(scheme, places)

    def finish(self) -> None:
        """The rows of the last aggregation; the schemes have acted."""
        for number, done in self._passes.items():
            self._append(self._row(number, done))
        self._passes.clear()

    # -- before schemes act

    def _areas(self, target: DamonTarget) -> list[dict[str, int]] | None:
        """Bytes of each area in each region of ``target``, and in none; None: it is not known."""
        machine, unit = self._machine, self._ctx.addr_unit
        if machine is None:
            return None
        space = getattr(target, "space", None)
        ranges = [(row.start * unit, row.end * unit) for row in target.regions]
        return census(machine, ranges, space.index if isinstance(space, SimulatedProcess) else None)

    def _pass(self, scheme: Damos, places: Sequence[list[dict[str, int]] | None]) -> _Pass:
        ctx, unit = self._ctx, self._ctx.addr_unit
        now = ctx.machine.clock.now_ns()
        share = self._shares(scheme, now)
        sums = dict.fromkeys(STAGES, 0.0)
        pieces: list[_Piece] = []
        notes = _Notes()
        for index, (target, areas) in enumerate(zip(ctx.targets, places, strict=True)):
            if areas is not None:
                sums["eligible"] += _eligible(areas[-1], share)
                notes.outside.update({name: round(count * share[name]) for name, count in areas[-1].items()})
            for at, region in enumerate(target.regions):
                here, size = areas[at] if areas is not None else {}, region.size * unit
                present = float(sum(here.values()) if areas is not None else size)
                fits = _eligible(here, share) if areas is not None else float(size)
                reached = _reached(region, scheme)
                for stage in STAGES[: reached + 1]:
                    sums[stage] += fits
                piece = _Piece(index, region.start, region.end, present)
                pieces.append(piece)
                if STAGES[reached] == "right_size":
                    piece.kept = fits
                    piece.allowed = allowed_share(ctx, index, region.start, region.end, scheme)
                if STAGES[reached] == "active" and fits and present - fits > _MIXED * present:
                    notes.mixes(here, fits, size)
                elif reached >= STAGES.index("observed") and present:
                    notes.oldest_us = max(notes.oldest_us, region.age * ctx.attrs.aggr_interval)
        stat = scheme.stat
        counts = stat.sz_ops_filter_passed, stat.sz_applied
        more = notes.row() | {"esz": scheme.quota.esz, "min_score": scheme.quota.min_score}
        return _Pass(now, sums, pieces, counts, self._refaults(), more)

    def _shares(self, scheme: Damos, now_ns: int) -> dict[str, float]:
        """Of each area, the share that fits ``scheme``'s pattern of accesses and age in truth."""
        if self._truth is None:
            return dict.fromkeys(self._machine.state.placed, 1.0) if self._machine is not None else {}
        attrs, pattern, now = self._ctx.attrs, scheme.pattern, now_ns / 1000
        most, age = attrs.max_nr_accesses(), pattern.min_age_region * attrs.aggr_interval
        found = {}
        for name in self._truth.areas:
            if not pattern.max_nr_accesses:
                found[name] = self._truth.idle_share(name, now, max(age, attrs.aggr_interval))
                continue
            counts = attrs.sample_interval, most, pattern.min_nr_accesses, pattern.max_nr_accesses
            found[name] = min(
                self._truth.count_share(name, now, *counts), self._truth.count_share(name, max(now - age, 0), *counts)
            )
        return found

    def _refaults(self) -> int:
        return sum(area.refaults for area in self._machine.areas()) if self._machine is not None else 0

    # -- after they have acted

    def _row(self, number: int, done: _Pass) -> Row:
        scheme = self._ctx.schemes[number] if number < len(self._ctx.schemes) else Damos()
        sums, tried_present = done.sums, 0.0
        by_target: dict[int, list[tuple[int, int]]] = {}
        for target, start, end in done.tried:
            by_target.setdefault(target, []).append((start, end))
        for piece in done.pieces:
            share = _overlap(by_target.get(piece.target, ()), piece.start, piece.end)
            tried_present += share * piece.present
            sums["tried"] += share * piece.kept
            sums["in_quota"] += min(share + 1.0 - piece.allowed, 1.0) * piece.kept
        stat = scheme.stat
        sums["ops_passed"] = max(stat.sz_ops_filter_passed - done.stat[0], 0)
        sums["applied"] = max(stat.sz_applied - done.stat[1], 0)
        sums["came_back"] = (self._refaults() - done.refaults) * PAGE_SIZE
        known = self._truth is not None
        row: dict[str, int | str | None] = {"time_ns": done.time_ns - self._epoch_ns, "scheme": number}
        row |= {name: round(value) for name, value in sums.items()}
        if not known:
            row["eligible"] = None
        if self._machine is None:
            row["came_back"] = None
        row["in_use"] = round(max(tried_present - sums["tried"], 0)) if known else None
        row["tried_present"] = round(tried_present)
        return row | done.more


def _reached(region: DamonRegion, scheme: Damos) -> int:
    """The last of ``STAGES`` that a region gets to before quotas and filters."""
    pattern = scheme.pattern
    if not scheme.wmarks.activated:
        stage = "monitored"
    elif not pattern.min_nr_accesses <= region.nr_accesses <= pattern.max_nr_accesses:
        stage = "active"
    elif not pattern.min_age_region <= region.age <= pattern.max_age_region:
        stage = "observed"
    elif not pattern.min_sz_region <= region.size <= pattern.max_sz_region:
        stage = "old_enough"
    else:
        stage = "right_size"
    return STAGES.index(stage)


def _eligible(areas: Mapping[str, int], share: Mapping[str, float]) -> float:
    return sum(count * share[name] for name, count in areas.items())


def _overlap(ranges: Sequence[tuple[int, int]], start: int, end: int) -> float:
    """The share of ``[start, end)`` that is in ``ranges``."""
    covered = sum(max(min(high, end) - max(low, start), 0) for low, high in ranges)
    return min(covered / (end - start), 1.0)


def allowed_share(ctx: DamonCtx, target: int, start: int, end: int, scheme: Damos) -> float:
    """The share of a region that the core filters let pass; 1 where a filter is Python's."""
    left, allowed = [(start, end)], 0
    for wanted in scheme.core_filters:
        if not isinstance(wanted, DamosFilter):
            return 1.0
        hit: list[tuple[int, int]] = []
        rest: list[tuple[int, int]] = []
        for low, high in left:
            inside, outside = _parts(ctx, target, low, high, wanted)
            hit += inside if wanted.matching else outside
            rest += outside if wanted.matching else inside
        if wanted.allow:
            allowed += sum(high - low for low, high in hit)
        left = rest
    if not scheme.core_filters_default_reject:
        allowed += sum(high - low for low, high in left)
    return allowed / (end - start)


def _parts(
    ctx: DamonCtx, target: int, low: int, high: int, wanted: DamosFilter
) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """What of ``[low, high)`` a filter's test is true for, and the rest."""
    if wanted.type is DamosFilterType.ADDR:
        first, last = (align_down(at, ctx.min_region_sz) for at in (wanted.addr_start, wanted.addr_end))
        inside = [(max(low, first), min(high, last))]
        outside = [(low, min(high, first)), (max(low, last), high)]
        return [one for one in inside if one[0] < one[1]], [one for one in outside if one[0] < one[1]]
    whole = [(low, high)]
    return (whole, []) if wanted.type is DamosFilterType.TARGET and wanted.target_idx == target else ([], whole)
