# SPDX-License-Identifier: GPL-2.0-only
"""What monitoring should have seen: the share of sampling intervals with an access, from the workload's rates.

Of virtual memory by the area's address, page by page where pages differ; of physical memory by what the areas had there
(the table ``placement``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from damon.mm.sim.arithmetic import power_sum
from damon.mm.sim.phases import segment, truth
from damon.model.machine import PAGE_SIZE
from damon.records.heatmap import close_gaps, joined
from damon.report.space import Floats, Space, spread
from damon.results.arrays import chunks
from damon.results.run import Run
from damon.workload.model import Access, Pattern, Workload
from damon.workload.rates import spans
from damon.workload.tracefile.sampled import Sampled, Traces

#: Points at which the share of a zipf area's pages is computed.
_POINTS: Final = 1 << 16
#: Times of the table ``placement`` that are used.
_MAX_TIMES: Final = 256


@dataclass
class Timeline:
    """When each area is accessed how: ``used[area][access]`` is the time (ns) until the end of each phase."""

    workload: Workload
    ends: Floats = field(init=False)  #: of the phases, ns
    used: dict[str, dict[Access, Floats]] = field(init=False)

    def __post_init__(self) -> None:
        lasting = np.array([phase.duration_us * 1000.0 for phase in self.workload.phases])
        self.ends = np.append(0.0, np.cumsum(lasting))
        found: dict[str, dict[Access, list[int]]] = {}
        for number, (phase, span) in enumerate(zip(self.workload.phases, spans(self.workload), strict=True)):
            for access in phase.accesses:
                if access.area in span.mapped:
                    found.setdefault(access.area, {}).setdefault(access, []).append(number)
        self.used = {area: {} for area in found}
        for area, accesses in found.items():
            for access, numbers in accesses.items():
                own = np.zeros(len(lasting))
                own[numbers] = lasting[numbers]
                self.used[area][access] = np.append(0.0, np.cumsum(own))

    def shares(self, used: Floats, edges_ns: Floats) -> Floats:
        """The share of each cell of time in which the access of ``used`` goes on."""
        period, total = self.ends[-1], used[-1]
        if self.workload.repeat:
            rounds = np.floor(edges_ns / period)
            until = rounds * total + np.interp(edges_ns - rounds * period, self.ends, used)
        else:  # the last phase goes on
            last = 1.0 if used[-1] > used[-2] else 0.0
            until = np.interp(edges_ns, self.ends, used) + last * np.maximum(edges_ns - period, 0.0)
        found: Floats = np.diff(until) / np.maximum(np.diff(edges_ns), 1.0)
        return found


def _profile(access: Access, size: int, sample_us: float) -> tuple[Floats, Floats]:
    """Points of an area (shares of its size, ascending), and the share of intervals with an access between them."""
    if access.pattern is not Pattern.ZIPF:
        mean = truth(segment(access, size, 0), size // PAGE_SIZE, round(sample_us * 1000))
        return np.array([0.0, 1.0]), np.array([mean])
    nr = size // PAGE_SIZE
    edges = np.unique(np.floor(np.geomspace(1, nr + 1, min(nr + 1, _POINTS)))) - 1
    ranks = (edges[:-1] + edges[1:] + 1) / 2
    touches = access.rate * sample_us / 1e6 / power_sum(nr, access.skew)
    return edges / nr, 1.0 - np.exp(-touches * ranks**-access.skew)


def replayed(traced: Sampled, edges_ns: Floats, sample_us: float) -> Floats:
    """Of an area that replays a trace, the share of each of the pages that stand for it, by cells of time.

    Raises:
        InvalidInput: the trace is not there any more, or was changed.
    """
    at, rounds = edges_ns / 1e9, np.zeros(len(edges_ns))
    if traced.loop:
        rounds, at = np.floor(at / traced.seconds), at % traced.seconds
    touches = np.stack([np.interp(at, traced.edges, one) + rounds * one[-1] for one in traced.sums], axis=1)
    rates = np.diff(touches, axis=0) / np.maximum(np.diff(edges_ns)[:, None] / 1e9, 1e-9)
    found: Floats = 1.0 - np.exp(-np.maximum(rates, 0.0) * sample_us / 1e6)
    return found


def of_areas(workload: Workload, edges_ns: Floats, sample_us: float) -> dict[str, Floats]:
    """The share of each area by cells of time: the mean of its pages."""
    timeline, traces = Timeline(workload), Traces(workload.areas)
    sizes = {area.name: area.size for area in workload.areas}
    found = {
        area.name: replayed(traces.sampled(area), edges_ns, sample_us).mean(axis=1)
        if area.replay is not None
        else np.zeros(len(edges_ns) - 1)
        for area in workload.areas
    }
    for area, accesses in timeline.used.items():
        for access, used in accesses.items():
            mean = truth(segment(access, sizes[area], 0), sizes[area] // PAGE_SIZE, round(sample_us * 1000))
            found[area] += timeline.shares(used, edges_ns) * mean
    return found


def virtual(
    workload: Workload, starts: Mapping[str, int], targets: Mapping[str, int], space: Space, edges: Floats,
    edges_ns: Floats, sample_us: float,
) -> Floats:  # fmt: skip
    """The cells of virtual memory.

    Args:
        workload: what was played.
        starts: addresses of its areas.
        targets: the target that each process is, by name.
        space: the address axis; ``edges`` are those of its cells.
        edges_ns: the edges of the cells of time.
        sample_us: the sampling interval.
    """
    timeline, traces = Timeline(workload), Traces(workload.areas)
    cells = np.zeros((len(edges_ns) - 1, len(edges) - 1))
    width = np.diff(edges)
    for area in workload.areas:
        if area.replay is not None and area.process in targets:
            times = replayed(traces.sampled(area), edges_ns, sample_us)
            ends = np.floor(np.linspace(0.0, area.size, times.shape[1] + 1)).astype(np.uint64)
            at = space.at(targets[area.process], starts[area.name] + ends)
            cells += np.stack([spread(at[:-1], at[1:], shares, edges) for shares in times]) / width
        if area.process not in targets or area.name not in timeline.used:
            continue
        for access, used in timeline.used[area.name].items():
            points, shares = _profile(access, area.size, sample_us)
            addresses = starts[area.name] + np.floor(points * area.size).astype(np.uint64)
            at = space.at(targets[area.process], addresses)
            column = spread(at[:-1], at[1:], shares, edges) / width
            cells += np.outer(timeline.shares(used, edges_ns), column)
    return np.minimum(cells, 1.0)


@dataclass(frozen=True)
class Places:
    """Where areas were: at each of ``times`` (ns) the ``rows``: area, start, end, share of it that is the area's."""

    times: Sequence[int]
    rows: Sequence[Sequence[tuple[str, int, int, float]]]


def places(run: Run, unit: int) -> Places:
    """The table ``placement``; addresses in units of ``unit`` bytes. Of more than 256 times the first ones."""
    times: list[int] = []
    rows: list[list[tuple[str, int, int, float]]] = []
    for chunk in chunks(run, "placement"):
        names = ("time_ns", "area", "start", "end", "resident_bytes")
        for time_ns, area, start, end, resident in zip(*(chunk[name].tolist() for name in names), strict=True):
            if not times or times[-1] != time_ns:
                if len(times) == _MAX_TIMES:
                    return Places(times, rows)
                times.append(time_ns)
                rows.append([])
            if start < end:
                rows[-1].append((area, start // unit, -(-end // unit), min(resident / (end - start), 1.0)))
    return Places(times, rows)


def used(pieces: Sequence[tuple[int, int]], found: Places) -> list[tuple[int, int]]:
    """The parts of the monitored ``pieces`` that an area ever had; small gaps between them are left."""
    rows = sorted({(start, end) for one in found.rows for _, start, end, _ in one})
    return [
        (max(low, start), min(high, end))
        for low, high in close_gaps(joined(rows))
        for start, end in pieces
        if max(low, start) < min(high, end)
    ]


def physical(
    workload: Workload, found: Places, space: Space, edges: Floats, edges_ns: Floats, sample_us: float
) -> Floats:
    """The cells of physical memory; see ``virtual()``. Memory that no area has is not accessed."""
    shares = of_areas(workload, edges_ns, sample_us)
    middle = (edges_ns[:-1] + edges_ns[1:]) / 2
    which = np.maximum(np.searchsorted(np.array(found.times, np.float64), middle, side="right") - 1, 0)
    cells = np.zeros((len(middle), len(edges) - 1))
    width = np.diff(edges)
    for number, rows in enumerate(found.rows):
        mine = np.flatnonzero(which == number)
        if not len(mine):
            continue
        for area, share in shares.items():
            own = [row for row in rows if row[0] == area]
            if own and share[mine].any():
                cells[mine] += np.outer(share[mine], _coverage(own, space, edges) / width)
    return np.minimum(cells, 1.0)


def _coverage(rows: Sequence[tuple[str, int, int, float]], space: Space, edges: Floats) -> Floats:
    """The bytes in each cell of address that are the area's."""
    ordered = sorted((start, end, share) for _, start, end, share in rows)
    low = space.at(0, [start for start, _, _ in ordered])
    high = space.at(0, [end for _, end, _ in ordered])
    return spread(low, high, np.array([share for _, _, share in ordered]), edges)
