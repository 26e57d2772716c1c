# SPDX-License-Identifier: GPL-2.0-only
"""A simulated run held against the same run on real memory: memory, refaults and pressure over time."""

from __future__ import annotations

import statistics
from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any, Final

from damon.errors import InvalidInput
from damon.results.conditions import Checked, Condition
from damon.results.figures import Figure
from damon.results.run import Run

PAGE: Final = 4096
#: Fewer refaults a second are taken as so many: of a handful of pages a factor says nothing.
FEW_PER_S: Final = 1.0


@dataclass(frozen=True)
class Measured:
    """What a run directory says of the workload.

    Attributes:
        seconds: times of the run at equal intervals, from 0 on; whole seconds, unless asked for others.
        resident: bytes of its areas in memory at each of them.
        reclaimed: bytes of it that had left memory by then.
        refaults: pages that had come back by then.
        psi_some: share of the time in which a process waited for memory.
        slowdown: as in the result.
        aggregation_s: mean interval between aggregations; None: no scheme ran.
    """

    seconds: Sequence[float]
    resident: Sequence[int]
    reclaimed: Sequence[int]
    refaults: Sequence[int]
    psi_some: float
    slowdown: float
    aggregation_s: float | None

    def until(self, rows: int) -> Measured:
        """The first ``rows`` times of the series; the rest is of the whole run."""
        series = {name: getattr(self, name)[:rows] for name in ("seconds", "resident", "reclaimed", "refaults")}
        return replace(self, **series)

    def as_object(self) -> dict[str, Any]:
        """For JSON: the series, and what they end in."""
        return {
            "mean_resident_bytes": round(statistics.fmean(self.resident)), "refaults": self.refaults[-1],
            "reclaimed_bytes": self.reclaimed[-1], "psi_some": round(self.psi_some, 6),
            "slowdown": self.slowdown, "aggregation_s": self.aggregation_s,
            "over_time": {
                "seconds": list(self.seconds), "resident_bytes": list(self.resident),
                "reclaimed_bytes": list(self.reclaimed), "refaults": list(self.refaults),
            },
        }  # fmt: skip


def _at(times: Sequence[int], values: Sequence[int], asked: Sequence[int]) -> list[int]:
    """The values at the times ``asked``, in a straight line from one row to the next; all in ns.

    Rows of a guest are a little further apart than they should be: the last one would be up to an interval old.
    """
    found = []
    for time_ns in asked:
        after = bisect_right(times, time_ns)
        if after in (0, len(times)):
            found.append(values[0 if after == 0 else -1])
            continue
        start, end = times[after - 1], times[after]
        found.append(round(values[after - 1] + (values[after] - values[after - 1]) * (time_ns - start) / (end - start)))
    return found


def measured(run: Run, of: Collection[str], every_ns: int = 10**9, since_ns: int = 0) -> Measured:
    """Of the areas ``of`` in a run directory. Refaults are of them where they are known by area, else of all.

    Args:
        run: the directory, whose rows are no further apart than ``every_ns``.
        of: names of areas.
        every_ns: interval of the series.
        since_ns: leave out what was before.

    Raises:
        InvalidInput: it has no rows, or no result.
    """
    machine, areas = run.table("machine").columns, run.table("areas").columns
    if run.result is None or not areas["time_ns"] or max(machine["time_ns"], default=-1) < since_ns:
        raise InvalidInput(f"{run.name}: has no result and no rows; give a run that ended by itself")
    by_time: dict[int, dict[str, int]] = {}  # a time may come twice, when the run ends at it
    came: dict[int, dict[str, int | None]] = {}
    columns = (areas[name] for name in ("time_ns", "area", "resident_bytes", "refaults"))
    for time_ns, area, here, back in zip(*columns, strict=True):
        if area in of:
            by_time.setdefault(time_ns, {})[area] = here
            came.setdefault(time_ns, {})[area] = back
    times = list(machine["time_ns"])
    asked = range(since_ns, times[-1] + 1, every_ns)
    resident = _at(list(by_time), [sum(one.values()) for one in by_time.values()], asked)
    counts = [[back for back in one.values() if back is not None] for one in came.values()]
    known = all(len(row) == len(one) for row, one in zip(counts, came.values(), strict=True))
    refaults = _at(list(came), [sum(row) for row in counts], asked) if known else (
        _at(times, machine["refaults"], asked)
    )  # fmt: skip
    refaults = [count - refaults[0] for count in refaults]
    stalls = [us or 0 for us in machine["psi_some_us"]]
    stalled = stalls[-1] - _at(times, stalls, [since_ns])[0]
    passed = [time_ns - since_ns for time_ns in asked]
    seconds = [time_ns // 10**9 if time_ns % 10**9 == 0 else time_ns / 1e9 for time_ns in passed]
    return Measured(
        seconds, resident, [resident[0] - here + PAGE * back for here, back in zip(resident, refaults, strict=True)],
        refaults, stalled / 1e6 / max((times[-1] - max(times[0], since_ns)) / 1e9, 1e-9), _slowdown(run),
        _aggregation_s(run),
    )  # fmt: skip


def _slowdown(run: Run) -> float:
    """Of the run alone where waits are known, else as in the result."""
    rows = run.table("processes").columns
    waits: dict[str, list[tuple[int, int]]] = {}
    for process, time_ns, stall_us in zip(*(rows[name] for name in ("process", "time_ns", "stall_us")), strict=True):
        waits.setdefault(process, []).append((time_ns, stall_us))
    if not waits:
        return float((run.result or {}).get("slowdown") or 1.0)
    return max(1 + (us[-1][1] - us[0][1]) * 1e3 / max(us[-1][0] - us[0][0], 1) for us in waits.values())


def mean_of(runs: Sequence[Measured]) -> Measured:
    """The mean of runs that differ by chance, at each time, and of what they end in."""
    seconds = min((run.seconds for run in runs), key=len)
    known = [run.aggregation_s for run in runs if run.aggregation_s is not None]

    def at(of: Callable[[Measured], Sequence[int]]) -> list[int]:
        return [round(statistics.fmean(row)) for row in zip(*map(of, runs), strict=False)]

    return Measured(
        seconds, at(lambda run: run.resident), at(lambda run: run.reclaimed), at(lambda run: run.refaults),
        statistics.fmean(run.psi_some for run in runs), statistics.fmean(run.slowdown for run in runs),
        statistics.fmean(known) if known else None,
    )  # fmt: skip


def _aggregation_s(run: Run) -> float | None:
    schemes = run.table("schemes").columns
    if not schemes["time_ns"]:
        return None
    first, last = ((schemes["time_ns"][at], schemes["nr_snapshots"][at]) for at in (0, -1))
    return (last[0] - first[0]) / 1e9 / (last[1] - first[1]) if last[1] > first[1] else None


def _factor(one: float, other: float, least: float) -> float:
    """By how much the larger is more, both at least ``least``."""
    low, high = sorted((max(one, least), max(other, least)))
    return high / low if low else 1.0


def refaults_range(runs: Sequence[Measured]) -> tuple[int, int]:
    """The fewest and the most refaults that one of the runs had: what is chance."""
    found = [run.refaults[-1] for run in runs]
    return min(found), max(found)


def _rss(one: Measured, other: Measured) -> float:
    pairs = zip(one.resident, other.resident, strict=False)
    return statistics.fmean(abs(mine - its) / max(its, PAGE) for mine, its in pairs)


@dataclass(frozen=True)
class Compared:
    """One policy, predicted and measured: runs of several seeds, and those on real memory.

    All are as long as the shortest: rows of a guest come late, and a workload that starts over at the end of a run
    faults as much in that second as in many others.
    """

    runs: Sequence[Measured]
    guests: Sequence[Measured]

    def __post_init__(self) -> None:
        rows = min(len(run.seconds) for run in (*self.runs, *self.guests))
        for name in ("runs", "guests"):
            object.__setattr__(self, name, [run.until(rows) for run in getattr(self, name)])

    @cached_property
    def predicted(self) -> Measured:
        """The mean of the simulated runs."""
        return mean_of(self.runs)

    @cached_property
    def measured(self) -> Measured:
        """The mean of the runs on real memory."""
        return mean_of(self.guests)

    @property
    def itself(self) -> float | None:
        """How far real memory is from itself: ``rss`` of each of its runs and the mean of the others; None of one."""
        if len(self.guests) < 2:
            return None
        one_out = [[*self.guests[:at], *self.guests[at + 1 :]] for at in range(len(self.guests))]
        pairs = zip(self.guests, one_out, strict=True)
        return statistics.fmean(_rss(mean_of(others), one) for one, others in pairs)

    @property
    def rss(self) -> float:
        """The difference of resident memory, by that measured: the mean over time of its size."""
        return _rss(self.predicted, self.measured)

    @property
    def mean_rss(self) -> float:
        """The difference of the mean of resident memory over time, by that measured."""
        mine, its = (statistics.fmean(one.resident) for one in (self.predicted, self.measured))
        return abs(mine - its) / max(its, PAGE)

    @property
    def refaults(self) -> float:
        """The factor between the refaults, of at least ``FEW_PER_S`` a second."""
        return _factor(
            self.predicted.refaults[-1], self.measured.refaults[-1], FEW_PER_S * max(self.measured.seconds[-1], 1)
        )

    @property
    def reclaimed(self) -> float:
        """The factor between the reclaimed bytes, of at least ``FEW_PER_S`` pages a second."""
        least = FEW_PER_S * PAGE * max(self.measured.seconds[-1], 1)
        return _factor(self.predicted.reclaimed[-1], self.measured.reclaimed[-1], least)

    @property
    def psi(self) -> float:
        """The difference of the shares of time under pressure."""
        return abs(self.predicted.psi_some - self.measured.psi_some)

    def as_object(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "predicted": {**self.predicted.as_object(), "refaults_range": list(refaults_range(self.runs))},
            "measured": {**self.measured.as_object(), "refaults_range": list(refaults_range(self.guests))},
            "rss": round(self.rss, 6), "mean_rss": round(self.mean_rss, 6), "refaults": round(self.refaults, 6),
            "reclaimed": round(self.reclaimed, 6), "psi": round(self.psi, 6),
            "rss_itself": None if self.itself is None else round(self.itself, 6),
        }  # fmt: skip


def rank_correlation(one: Sequence[float], other: Sequence[float]) -> float | None:
    """Spearman's, from -1 to 1; equal values share their ranks. None: one of both does not vary."""
    ranks = [_ranks(one), _ranks(other)]
    if len(one) < 2 or any(len(set(own)) == 1 for own in ranks):
        return None
    return statistics.correlation(*ranks)


def _ranks(values: Sequence[float]) -> list[float]:
    ordered = sorted(values)
    return [ordered.index(value) + (ordered.count(value) - 1) / 2 for value in values]


def leveled(values: Sequence[float], tie: float, least: float) -> list[float]:
    """Values of which neighbours that differ by less than a factor are one, so that chance ranks nothing.

    Args:
        values: above 0, or 0.
        tie: the factor.
        least: less counts as so much.
    """
    level: dict[float, float] = {}
    last = first = 0.0
    for value in sorted(max(value, least) for value in values):
        first = first if last and value <= last * tie else value
        level[value], last = first, value
    return [level[max(value, least)] for value in values]


def spearman(rows: Sequence[Compared], by: str) -> float | None:
    """The rank correlation of what is predicted and measured; None where one of both does not vary."""
    ranked = RANKED[by]
    least = ranked.least_per_s * max(rows[0].measured.seconds[-1], 1)
    sides = [
        [ranked.of(one) for one in side] for side in ([row.predicted for row in rows], [row.measured for row in rows])
    ]
    return rank_correlation(*(leveled(side, ranked.tie, least) for side in sides))


@dataclass(frozen=True)
class Ranked:
    """What policies are ranked by: neighbours closer than the factor ``tie`` share a rank."""

    of: Callable[[Measured], float]
    tie: float
    least_per_s: float


#: What policies are ranked by.
RANKED: Final[Mapping[str, Ranked]] = {
    "resident": Ranked(lambda one: statistics.fmean(one.resident), 1.02, 0.0),
    "refaults": Ranked(lambda one: float(one.refaults[-1]), 1.25, FEW_PER_S),
}
#: What ``--require`` takes: of the policy where it is worst, and for all policies. No single run has them.
FIGURES: Final[Mapping[str, Figure]] = {
    name: Figure(name, unit, what, lambda counts: None)
    for name, unit, what in (
        ("rss", "share", "difference of resident memory, mean over time"),
        ("mean_rss", "share", "difference of the mean of resident memory"),
        ("refaults", "", "factor between refaults"),
        ("reclaimed", "", "factor between reclaimed bytes"),
        ("psi", "share", "difference of the shares of time under memory pressure"),
        ("spearman", "", "rank correlation over the policies, by resident memory or refaults, whichever is less"),
    )
}


def summary(rows: Sequence[Compared]) -> dict[str, float | None]:
    """The figures of ``FIGURES``: those of the worst policy, and the lesser rank correlation (None: nothing varies)."""
    found = [value for value in (spearman(rows, by) for by in RANKED) if value is not None]
    worst = {
        name: max(getattr(row, name) for row in rows) for name in ("rss", "mean_rss", "refaults", "reclaimed", "psi")
    }
    return {**worst, "spearman": min(found) if found else None}


def checked(conditions: Sequence[Condition], figures: Mapping[str, float | None]) -> list[Checked]:
    """Each condition with its value."""
    return [Checked(one, figures[one.figure.name], one.holds(figures[one.figure.name])) for one in conditions]
