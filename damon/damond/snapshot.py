# SPDX-License-Identifier: GPL-2.0-only
"""What damond's workers do at one moment, as plain records: for ``damon top``, metrics, and other readers.

Sizes and addresses are in core address units; times the kernel's files have, with their unit in the name. Records
cross the control socket as JSON (``as_object``, ``from_object``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from heapq import nlargest
from itertools import islice
from typing import Any, Final

from damon import format_version
from damon.core.priority import damon_mvsum, left_window_bp
from damon.core.probes import damon_probe_hits_mvsum
from damon.errors import InvalidInput
from damon.library.results import Region
from damon.model.arrays import ROW, DamonRegion
from damon.model.context import DamonCtx
from damon.model.scheme import Damos, DamosQuota, DamosQuotaGoal, DamosStat

#: Of one context, and of one scheme: what is above is counted and left out.
MAX_SCHEMES: Final = 1000
MAX_GOALS: Final = 16
_MET_BP: Final = 10000


@dataclass(frozen=True, slots=True)
class Goal:
    """``target_value`` and ``current_value`` are in the metric's own unit (us, or 1/10000)."""

    metric: str
    target_value: int
    current_value: int
    nid: int

    @property
    def score_bp(self) -> int:
        """10000: it is met (DAMON spec, damos 6.2)."""
        return self.current_value * _MET_BP // self.target_value if self.target_value else 0


@dataclass(frozen=True, slots=True)
class Quota:
    """``ms``, ``sz``: as set, 0 is off. ``esz``: the limit in force; ``charged_sz``: used of it in this window.

    ``reset_interval`` is the window in ms. ``goals`` are the first ``MAX_GOALS``.
    """

    ms: int
    sz: int
    reset_interval: int
    esz: int
    charged_sz: int
    goals: tuple[Goal, ...]

    @property
    def is_set(self) -> bool:
        """Is there any limit? Without one ``esz`` is 0 as well."""
        return bool(self.esz or self.sz or self.ms or self.goals)

    @property
    def score_bp(self) -> int | None:
        """The best of the goals, which the quota follows; None without goals."""
        return max((goal.score_bp for goal in self.goals), default=None)


@dataclass(frozen=True, slots=True)
class Watermarks:
    """Marks in per mille of free memory. ``activated`` is true where ``metric`` is ``none``."""

    metric: str
    high: int
    mid: int
    low: int
    activated: bool


@dataclass(frozen=True, slots=True)
class Scheme:
    """``action`` is the kernel's keyword, or the name of an action of one's own; ``stat`` counts since its creation."""

    action: str
    stat: DamosStat
    quota: Quota
    wmarks: Watermarks


@dataclass(frozen=True, slots=True)
class Target:
    """``pid``: of a process; None: physical memory. ``regions``: by address, ``nr_accesses`` and ``probe_hits`` over
    the last aggregation interval up to now, as ``tried_regions`` has them."""

    pid: int | None
    nr_regions: int
    regions: tuple[Region, ...] = ()


@dataclass(frozen=True, slots=True)
class Context:
    """``max_nr_accesses`` are the samples of an aggregation interval, ``nr_schemes`` counts those left out too.

    ``monitored_sz``, ``working_set_sz``: all regions, and those with an access in the last aggregation interval.
    ``regions_age_s``: how old (real seconds) what comes from the regions is; None: the worker has never answered.
    """

    operations: str
    addr_unit: int
    sample_us: int
    aggr_us: int
    update_us: int
    min_nr_regions: int
    max_nr_regions: int
    nr_regions: int
    max_nr_accesses: int
    pause: bool
    nr_schemes: int
    schemes: tuple[Scheme, ...]
    targets: tuple[Target, ...]
    monitored_sz: int = 0
    working_set_sz: int = 0
    regions_age_s: float | None = None


@dataclass(frozen=True, slots=True)
class Kdamond:
    """A worker. ``name``: its number in ``kdamonds/``, or its module's name; ``cpu_s``: processor seconds of its
    thread, None when it has never answered; ``error``: what ended it. ``contexts`` stay after its end, without
    targets."""

    name: str
    module: str | None
    running: bool
    pid: int
    cpu_s: float | None
    error: str | None
    contexts: tuple[Context, ...]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One damond. ``engine``: whose DAMON; ``now_ns`` is the machine's clock; ``virtual``: time is simulated."""

    pid: int
    mount: str
    machine: str
    version: str
    engine: str
    engine_version: str
    virtual: bool
    now_ns: int
    free_bytes: int
    total_bytes: int
    kdamonds: tuple[Kdamond, ...]
    format: int = format_version.SNAPSHOT


@dataclass(frozen=True, slots=True)
class Rows:
    """The regions of a context as a worker copied them: native rows of each target, to be read afterwards."""

    rows: tuple[bytes, ...]
    left_bp: int
    nr_probes: int

    def region(self, row: DamonRegion) -> Region:
        """``row`` as a record, with its counts over the last aggregation interval."""
        hits = tuple(damon_probe_hits_mvsum(row, probe, self.left_bp) for probe in range(self.nr_probes))
        return Region(row.start, row.end, damon_mvsum(row, self.left_bp), row.age, hits)


def _unpacked(rows: bytes) -> Iterable[DamonRegion]:
    return (DamonRegion * (len(rows) // ROW)).from_buffer_copy(rows)


def copy_rows(ctx: DamonCtx) -> Rows:
    """Called in the worker, between two samplings: one copy of memory for each target."""
    return Rows(tuple(target.regions.snapshot() for target in ctx.targets), left_window_bp(ctx), len(ctx.probes))


def read_context(ctx: DamonCtx) -> Context:
    """Parameters and numbers of ``ctx`` as they are now, without regions.

    In the worker they are all of one moment. In another thread each is true by itself.
    """
    attrs, schemes = ctx.attrs, list(islice(ctx.schemes, MAX_SCHEMES))
    return Context(
        operations=ctx.ops.id,
        addr_unit=ctx.addr_unit,
        sample_us=attrs.sample_interval,
        aggr_us=attrs.aggr_interval,
        update_us=attrs.ops_update_interval,
        min_nr_regions=attrs.min_nr_regions,
        max_nr_regions=attrs.max_nr_regions,
        nr_regions=ctx.nr_regions(),
        max_nr_accesses=attrs.max_nr_accesses(),
        pause=ctx.pause,
        nr_schemes=len(ctx.schemes),
        schemes=tuple(map(_scheme, schemes)),
        targets=tuple(
            Target(target.pid if target.space is not None else None, target.regions.nr) for target in list(ctx.targets)
        ),
    )


def _scheme(scheme: Damos) -> Scheme:
    marks = scheme.wmarks
    return Scheme(
        action=scheme.action.value,
        stat=replace(scheme.stat),
        quota=_quota(scheme.quota),
        wmarks=Watermarks(marks.metric.value, marks.high, marks.mid, marks.low, marks.activated),
    )


def _quota(quota: DamosQuota) -> Quota:
    goals = tuple(map(_goal, list(islice(quota.goals, MAX_GOALS))))
    return Quota(quota.ms, quota.sz, quota.reset_interval, quota.esz, quota.charged_sz, goals)


def _goal(goal: DamosQuotaGoal) -> Goal:
    return Goal(goal.metric.value, goal.target_value, goal.current_value, goal.nid)


def with_regions(context: Context, rows: Rows, age_s: float, most: int) -> Context:
    """``context`` with what ``rows`` have, and at most ``most`` regions: those accessed most, then the oldest."""
    found = [(index, row) for index, target in enumerate(rows.rows) for row in _unpacked(target)]
    kept = found
    if len(found) > most:
        kept = nlargest(most, found, key=lambda one: (damon_mvsum(one[1], rows.left_bp), one[1].age, one[1].size))
    of_target: list[list[Region]] = [[] for _ in rows.rows]
    for index, row in kept:
        of_target[index].append(rows.region(row))
    targets = context.targets
    if len(targets) == len(of_target):  # else it was committed since
        targets = tuple(
            replace(target, regions=tuple(sorted(regions, key=lambda one: one.start)))
            for target, regions in zip(targets, of_target, strict=True)
        )
    return replace(
        context,
        targets=targets,
        monitored_sz=sum(row.size for _, row in found),
        working_set_sz=sum(row.size for _, row in found if damon_mvsum(row, rows.left_bp)),
        regions_age_s=age_s,
    )


def as_object(snapshot: Snapshot) -> dict[str, Any]:
    """For JSON."""
    import msgspec

    found: dict[str, Any] = msgspec.to_builtins(snapshot)
    return found


def from_object(data: Mapping[str, Any]) -> Snapshot:
    """What ``as_object`` made of one, in a damond of this or an earlier version.

    Raises:
        InvalidInput: it is of a later version, or is none.
    """
    import msgspec

    later = format_version.refusal(data, format_version.SNAPSHOT)
    if later is not None:
        raise InvalidInput(f"snapshot: {later}")
    try:
        return msgspec.convert(data, Snapshot)
    except (msgspec.ValidationError, UnicodeError) as error:
        raise InvalidInput(f"snapshot: {error}; use a damond of this version") from None
