# SPDX-License-Identifier: GPL-2.0-only
"""Reads a run and gathers what reports show of it; its size does not grow with the run's duration."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from damon.report import asked, curves, distributions, expected
from damon.report.actions import Actions, actions
from damon.report.curves import Chart
from damon.report.heat import Grid, Intervals, Kept, Scanned, scan
from damon.report.measured import measured
from damon.report.space import Floats, Named, Space
from damon.results.arrays import Arrays, snapshots, whole
from damon.results.run import Run
from damon.workload.model import Area

#: Snapshots from which the distribution of idle times is made, about.
_IDLE_SNAPSHOTS: Final = 1000
#: Of the axis: what is smaller has no name at its side.
_LEAST_NAMED: Final = 0.004
_MAX_NAMED: Final = 200


@dataclass(frozen=True)
class Limits:
    """How much of a run is kept: cells of time and address, and regions."""

    times: int = 1536
    addresses: int = 640
    regions: int = 150_000


@dataclass
class Map:
    """The heatmap of one context. Times are s; ``truth`` is None where it is not known, and ``why`` why."""

    context: asked.Context
    grid: Grid
    kept: Sequence[Arrays]
    named: Sequence[Named]
    actions: Actions
    truth: Floats | None = None
    why: str = ""
    share: Floats = field(init=False)
    every: int = 1  #: one in so many snapshots is there region by region

    def __post_init__(self) -> None:
        self.share = self.grid.share


@dataclass
class Gathered:
    """What is shown of a run; ``seconds`` is its duration as recorded."""

    name: str
    run: Run
    seconds: float
    contexts: Mapping[int, asked.Context]
    charts: Sequence[Chart]
    maps: Sequence[Map]
    wss: tuple[curves.Curve, ...]
    idle: tuple[curves.Curve, ...]


def gather(run: Run, name: str, limits: Limits | None = None) -> Gathered:
    """All that is shown of ``run``, which is called ``name``.

    Raises:
        InvalidInput: it was changed.
        OSError: it cannot be read.
    """
    limits = limits or Limits()
    end = curves.end_ns(run)
    known = asked.contexts(run)
    contexts = whole(run, "contexts", "time_ns", "context", "sample_us", "aggr_us", "accessed_bytes")
    maps, idle = _maps(run, known, contexts, limits)
    wss = [
        curve
        for number in np.unique(contexts["context"]).tolist()[: asked.MAX_CONTEXTS]
        for curve in distributions.working_set(
            f"context {int(number)}" if len(known) > 1 else "",
            contexts["accessed_bytes"][contexts["context"] == number].astype(np.float64),
        )
    ]
    charts = curves.charts(run, known, end)
    return Gathered(name, run, end / 1e9, known, charts, maps, tuple(wss), tuple(idle))


def _maps(
    run: Run, known: Mapping[int, asked.Context], contexts: Mapping[str, Any], limits: Limits
) -> tuple[list[Map], list[curves.Curve]]:
    parts: dict[int, _Part] = {}
    scanned = scan(run)
    for number, one in scanned.items():
        context = known.get(number) or asked.Context(number, "?", 1, (), (), (5000, 100_000))
        mine = contexts["context"] == number
        times, sample, aggr = (contexts[name][mine] for name in ("time_ns", "sample_us", "aggr_us"))
        intervals = Intervals(times.astype(np.int64), sample.astype(np.float64), aggr.astype(np.float64))
        parts[number] = _Part(run, context, one, intervals, limits)
    for snapshot in snapshots(run):
        if snapshot.context in parts:
            parts[snapshot.context].add(snapshot)
    maps = [part.map(run) for part in parts.values()]
    idle = [
        curve
        for number, part in parts.items()
        for curve in part.idle.curve(f"context {number}" if len(parts) > 1 else "")
    ]
    return maps, idle


class _Part:
    """What is made of a context's snapshots."""

    def __init__(
        self, run: Run, context: asked.Context, scanned: Scanned, intervals: Intervals, limits: Limits
    ) -> None:
        self.context, self._intervals = context, intervals
        self.places = expected.places(run, context.addr_unit)
        ranges = scanned.ranges
        if context.ops == "paddr" and self.places.times:
            ranges = {target: expected.used(pieces, self.places) or pieces for target, pieces in ranges.items()}
        space = Space(ranges)
        self.grid = Grid(space, scanned, intervals, (limits.times, limits.addresses), _stride(run, context.number))
        self.kept = Kept(space.targets, limits.regions)
        self.idle = distributions.Idle(context.addr_unit)
        self._every = max(len(scanned.times) // _IDLE_SNAPSHOTS, 1)
        self._numbers: dict[int, int] = {}

    def add(self, snapshot: Arrays) -> None:
        self.grid.add(snapshot)
        self.kept.add(snapshot)
        number = self._numbers.get(snapshot.target, 0)
        self._numbers[snapshot.target] = number + 1
        if number % self._every == 0:
            self.idle.add(snapshot, self._intervals.at(snapshot.time_ns)[1])

    def map(self, run: Run) -> Map:
        """The heatmap, after the last snapshot."""
        grid, context = self.grid, self.context
        played = asked.played(run)
        found = Map(context, grid, self.kept.snapshots, (), actions(run, context, grid), every=self.kept.stride)
        if isinstance(played, str):
            found.why = played
            found.named = _of_mappings(context, grid.space)
            found.truth = measured(run, context.number, grid)
            return found
        lost = asked.lost_trace(played.workload)
        if lost is not None:
            found.why = lost
            return found
        sample_us = float(np.median(self._intervals.sample_us)) if len(self._intervals.times) else 5000.0
        if context.ops.startswith("paddr"):
            if not self.places.times:
                found.why = "where areas were in physical memory was not recorded"
                return found
            found.named = _of_places(self.places, grid.space)
            found.truth = expected.physical(played.workload, self.places, grid.space, grid.edges, grid.times, sample_us)
        else:
            targets = _targets(played, context)
            found.named = _of_areas(played, targets, grid.space)
            found.truth = expected.virtual(
                played.workload, played.starts, targets, grid.space, grid.edges, grid.times, sample_us
            )
        found.truth[np.isnan(found.share)] = np.nan
        return found


def _stride(run: Run, context: int) -> int:
    found = run.strides.get(str(context), 1)
    return found if type(found) is int and 1 <= found < 1 << 32 else 1


def _targets(played: asked.Played, context: asked.Context) -> dict[str, int]:
    """The target that each process is; of those with another number, such as one that was started again, none."""
    pids = {pid: target for target, pid in enumerate(context.pids)}
    return {name: pids[pid] for name, pid in played.pids.items() if pid in pids}


def _of_areas(played: asked.Played, targets: Mapping[str, int], space: Space) -> list[Named]:
    found = []
    several = len(targets) > 1
    for area in played.workload.areas:
        if area.process in targets:
            start = played.starts[area.name]
            low, high = space.at(targets[area.process], [start, start + area.size]).tolist()
            found.append(Named(asked.label(_area_name(area, several)), low, high))
    return _large(found, space)


def _of_mappings(context: asked.Context, space: Space) -> list[Named]:
    """What an imported record had beside it; neighbours of the same name are one."""
    found: list[Named] = []
    for target, start, end, name in sorted(context.mappings):
        if target not in space.targets:
            continue
        low, high = space.at(target, [start, end]).tolist()
        if found and found[-1].name == name and low - found[-1].high <= space.gap:
            found[-1] = Named(name, found[-1].low, high)
        elif low < high:
            found.append(Named(name, low, high))
    return _large(found, space)


def _area_name(area: Area, several: bool) -> str:
    return f"{area.process}: {area.name}" if several else area.name


def _of_places(places: expected.Places, space: Space) -> list[Named]:
    """What is where at first, by the area that has the most of each block."""
    most: dict[tuple[int, int], tuple[float, str]] = {}
    for area, start, end, share in places.rows[0]:
        most[start, end] = max(most.get((start, end), (0.0, "")), (share, area))
    found: list[Named] = []
    for (start, end), (_, area) in sorted(most.items()):
        low, high = space.at(0, [start, end]).tolist()
        name = asked.label(area)
        if found and found[-1].name == name and low - found[-1].high <= space.gap:
            found[-1] = Named(name, found[-1].low, high)
        else:
            found.append(Named(name, low, high))
    return _large(found, space)


def _large(named: list[Named], space: Space) -> list[Named]:
    large = [one for one in named if one.high - one.low >= _LEAST_NAMED * space.size]
    return large[:_MAX_NAMED]
