# SPDX-License-Identifier: GPL-2.0-only
"""What must hold of every running context at every sampling interval, and everything that a context is, as values."""

from __future__ import annotations

import ctypes
import dataclasses
import enum
import gc
import threading
from dataclasses import dataclass, field
from typing import Any
from weakref import WeakKeyDictionary

from damon.core import quota as quotas
from damon.core.kdamond import Kdamond
from damon.mm.sim.reserve import Reserve
from damon.model.arrays import Buffer, FolioArray, RegionArray
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.probe import has_weights
from damon.model.random import Random
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from tests.regions import Ranges, joined

#: Not the context's own, or without meaning between two samplings.
_LEFT_OUT = {
    "machine", "ops", "trace", "kdamond", "lock", "addrs", "accessed", "batch", "folios", "space", "call_controls",
    "walk_control", "walking", "sampled",
}  # fmt: skip


def dump(what: Any, targets: list[DamonTarget] | None = None) -> Any:
    """All of a context by value: regions byte for byte, schemes, statistics, quotas' insides, deadlines, generator.

    Equal dumps, equal contexts, on whatever machine: targets that something else points to are their positions.
    """
    if isinstance(what, DamonCtx):
        targets = what.targets
    if isinstance(what, RegionArray):
        return what.snapshot()
    if isinstance(what, Random):
        return what.state
    if isinstance(what, enum.Enum | None | int | str):
        return what
    if isinstance(what, list):
        return [dump(part, targets) for part in what]
    if dataclasses.is_dataclass(what):
        result = {}
        for part in dataclasses.fields(what):
            value = getattr(what, part.name)
            if part.name == "charge_target_from":
                result[part.name] = None if value is None else (targets or []).index(value)
            elif part.name not in _LEFT_OUT:
                result[part.name] = dump(value, targets)
        return result
    assert isinstance(what, BaseException), f"dump() knows nothing of {type(what).__name__}"
    return repr(what)


def identities(ctx: DamonCtx) -> list[int]:
    """Which objects a context is made of: a commit that is refused replaces none of them."""
    parts: list[object] = [
        *ctx.targets,
        *(target.regions for target in ctx.targets),
        *(target.space for target in ctx.targets),
    ]
    parts += [ctx.ops, ctx.attrs, ctx.rnd]
    for scheme in ctx.schemes:
        parts += [scheme, scheme.quota, scheme.stat, scheme.wmarks, scheme.pattern, *scheme.quota.goals]
        parts += [*scheme.core_filters, *scheme.ops_filters]
    return [id(part) for part in parts]


@dataclass
class _Window:
    """A quota window of a scheme as seen from outside: what the statistics were when it began."""

    charged_from: int = -1
    tried: int = 0
    applied: int = 0
    seen_tried: int = 0
    seen_applied: int = 0
    known: bool = False  # it was seen to begin
    mixed: bool = False  # what failures cost was changed meanwhile


@dataclass
class Watch:
    """Checks a context in every sampling interval, between merging and schemes; what fails ends its worker.

    Args:
        bounds: the ranges that a target's regions must stay in, if they are fixed.
        folio: bytes of the biggest folio that there can be.
    """

    bounds: Ranges | None = None
    folio: int = 4096
    aggregations: int = 0
    checks: int = 0
    windows: int = 0  #: quota windows that were looked at
    most_regions: int = 0
    _passed: int = 0
    _begin: int = 0  # of the window of samples
    _unit: int = 0
    _coverage: list[Ranges] | None = None
    _settled: bool = False  # the last aggregation had the same attributes and ranges
    _quotas: WeakKeyDictionary[Damos, _Window] = field(default_factory=WeakKeyDictionary)

    def control(self) -> DamonCallControl:
        return DamonCallControl(self.see, repeat=True)

    def changed(self) -> None:
        """Parameters were committed."""
        self._coverage, self._settled = None, False
        for window in self._quotas.values():
            window.mixed = True

    def see(self, ctx: DamonCtx) -> None:
        # The smallest so far: regions stay where they were cut when it grows.
        self._unit = min(self._unit or ctx.min_region_sz, ctx.min_region_sz)
        if ctx.passed_sample_intervals == self._passed:
            return  # waiting for activation, or paused
        if ctx.passed_sample_intervals < self._passed:  # started again
            self._begin = 0
            self.changed()
        self._passed = ctx.passed_sample_intervals
        self.checks += 1
        boundary = self._passed >= ctx.next_aggregation_sis
        self._quotas_hold(ctx)
        if boundary:
            self.aggregations += 1
            self.regions(ctx)
            self._counts(ctx, self._passed - self._begin)
            self._number(ctx)
            self._begin = self._passed
        if self._passed >= ctx.next_ops_update_sis:
            self._coverage, self._settled = None, False  # the operations set looks at its ranges after this

    def regions(self, ctx: DamonCtx) -> None:
        """Sorted, disjoint, inside, aligned; splitting and merging keep what is covered."""
        for target in ctx.targets:
            before = 0
            for region in target.regions:
                assert before <= region.start < region.end, f"{region} after {before:#x}"
                assert not region.start % self._unit, f"{region} is not aligned"
                assert not region.end % self._unit, f"{region} is not aligned"
                before = region.end
        coverage = [joined(target.regions) for target in ctx.targets]
        if self.bounds is not None:
            for ranges in coverage:
                for start, end in ranges:
                    assert any(low <= start and end <= high for low, high in self.bounds), f"{start:#x}-{end:#x}"
        if self._coverage is not None:
            assert coverage == self._coverage, "what is covered has changed"
        else:
            self._settled = False
        self._coverage = coverage

    def _counts(self, ctx: DamonCtx, samples: int) -> None:
        most = ctx.attrs.max_nr_accesses()
        for target in ctx.targets:
            for region in target.regions:
                assert region.nr_accesses <= samples, f"{region}: {samples} samples"
                assert region.last_nr_accesses <= most, f"{region}: last {region.last_nr_accesses} of {most}"

    def _number(self, ctx: DamonCtx) -> None:
        """Merging goes on up to the maximum, but never above the size limit: neighbours are bigger than it together,
        so there are less than two regions for each of ``min_nr_regions``, and one more in each range (core 5.3)."""
        number = ctx.nr_regions()
        self.most_regions = max(self.most_regions, number)
        if self._settled and not has_weights(ctx.probes):
            ranges = sum(len(part) for part in self._coverage or [])
            most = max(ctx.attrs.max_nr_regions, 2 * ctx.attrs.min_nr_regions + ranges)
            assert number <= most, f"{number} regions; {most} at most"
        self._settled = True

    def _quotas_hold(self, ctx: DamonCtx) -> None:
        """By the statistics, not by the quota's own counters: in one window no more than the effective size was
        tried, and no more than a folio on top was acted on."""
        for scheme in ctx.schemes:
            quota = scheme.quota
            if not quotas.damos_quota_is_set(quota) or not quota.reset_interval:
                self._quotas.pop(scheme, None)
                continue
            window = self._quotas.setdefault(scheme, _Window())
            if window.charged_from != quota.charged_from:
                # What was charged without any limit counts for the first window.
                window.known = window.charged_from > 0 or (not window.charged_from and not window.seen_tried)
                window.mixed = False
                window.charged_from = quota.charged_from
                window.tried, window.applied = window.seen_tried, window.seen_applied
                self.windows += 1
                new = quota.charged_from and window.known
                assert not (new and quota.sz) or quota.esz <= quota.sz, f"{quota.esz} allowed, not {quota.sz}"
            stat = scheme.stat
            if window.known:
                tried = None if window.mixed else stat.sz_tried - window.tried
                self._quota_holds(scheme, tried, stat.sz_applied - window.applied)
            window.seen_tried, window.seen_applied = stat.sz_tried, stat.sz_applied

    def _quota_holds(self, scheme: Damos, tried: int | None, applied: int) -> None:
        quota = scheme.quota
        assert applied <= quota.esz + self.folio, f"{applied} bytes applied, {quota.esz} allowed"
        if tried is not None and not quota.fail_charge_denom:
            assert tried <= quota.esz, f"{tried} bytes tried, {quota.esz} allowed"
            assert quota.charged_sz == tried, f"{tried} bytes tried, {quota.charged_sz} charged"


def live_arrays() -> dict[str, int]:
    """Native memory that is alive: objects by type, and the bytes of regions, folios and scratch arrays together."""
    gc.collect()
    alive: list[Any] = gc.get_objects()
    kinds = (RegionArray, Buffer, FolioArray, Reserve, DamonCtx, Kdamond)
    result = {kind.__name__: sum(type(thing) is kind for thing in alive) for kind in kinds}
    rows = [thing.rows for thing in alive if type(thing) in (Buffer, FolioArray)]
    rows += [thing._rows for thing in alive if type(thing) is RegionArray]
    return {**result, "bytes": sum(map(ctypes.sizeof, rows)), "threads": threading.active_count()}
