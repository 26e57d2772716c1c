# SPDX-License-Identifier: GPL-2.0-only
"""Ends of aggregation intervals that need no Python: there is no subscriber, and no scheme tries a region with folios.

Most of them are like that. ``native/src/boundary.c`` does then what ``Kdamond._iteration`` does, from merging to
splitting, and returns to it before anything that it cannot do.
"""

from __future__ import annotations

import ctypes
import enum
from ctypes import c_uint32, c_uint64, c_void_p
from functools import cache
from typing import Final

from damon.core import quota as quotas
from damon.core.events import AGGREGATED, BEFORE_APPLY, ESZ, STAT
from damon.core.priority import DamosRates, DamosSpec, fill_pattern
from damon.core.regions import SplitState
from damon.model.context import DamonCtx
from damon.model.operations import Operations, Score
from damon.model.scheme import Damos, DamosAction
from damon.native import bind
from damon.native.layout import shared

_init = bind("damon_quiet_boundary", None, c_void_p)
#: Greater numbers are for Python, which has no greatest one.
_MOST: Final = 1 << 62


#: Fields of a quota and of statistics that C changes.
_KEPT: Final = ("esz", "charged_sz", "charged_from", "total_charged_sz", "total_charged_ns")
_COUNTED: Final = ("nr_tried", "sz_tried", "qt_exceeds", "nr_snapshots")
#: Of statistics, that it only keeps with results.
_APPLIED: Final = ("nr_applied", "sz_applied", "sz_ops_filter_passed")


class Stage(enum.IntEnum):
    """``enum damon_stage``."""

    SAMPLED = 0
    MERGED = 1
    APPLIED = 2  #: schemes have made their pass


@shared("damon_boundary")
class _Boundary(ctypes.Structure):
    _fields_ = (("reach", c_void_p),)


@shared("damos_quiet")
class _Scheme(ctypes.Structure):
    """``struct damos_quiet``."""

    _fields_ = (
        ("spec", DamosSpec),
        *((name, c_uint32) for name in ("limited", "scored", "acts", "ages")),
        *((name, c_uint64) for name in ("ms", "sz", "window_ticks", *_KEPT)),
        *((name, c_uint64) for name in ("resumes", "resume_target", "resume_addr", "next_apply", "apply_samples")),
        *((name, c_uint64) for name in (*_COUNTED, *_APPLIED)),
        ("position", c_uint64),
    )


@shared("damon_quiet")
class _Quiet(ctypes.Structure):
    """``struct damon_quiet``."""

    _fields_ = (
        ("boundary", _Boundary),
        *((name, c_void_p) for name in ("schemes", "due", "specs")),
        *((name, c_uint64) for name in ("nr_schemes", "acts")),
        *((name, c_uint64) for name in ("passed", "next_aggregation", "next_ops_update", "aggr_samples")),
        *((name, c_uint64) for name in ("min_region_sz", "min_nr_regions", "max_nr_regions", "sz_limit")),
        *((name, c_uint64) for name in ("max_threshold", "last_nr_regions", "rotation", "tick_ns", "first_tick")),
        ("rates", DamosRates),
        ("results", c_void_p),
        *((name, c_uint64) for name in ("done", "stage")),
    )


#: What is not asked at every boundary here.
_ASKED: Final = ("score", "scores", "target_valid", "idle_where_empty", "apply_scheme")


@cache
def _is_shipped(kind: type[Operations]) -> bool:
    """Is it of the class that lets C sample?"""
    owner = next(owner for owner in kind.__mro__ if "sample_ahead" in vars(owner))
    return all(getattr(kind, name) is getattr(owner, name) for name in _ASKED)


def _as_shipped(ops: Operations) -> bool:
    return _is_shipped(type(ops)) and not (ops.__dict__ and any(name in ops.__dict__ for name in _ASKED))


def _listens(ctx: DamonCtx, *events: str) -> bool:
    trace = ctx.trace
    return trace is not None and any(trace.points[event] for event in events)


class Quiet:
    """The boundaries of one worker's context.

    Args:
        split_state: what splitting remembers.
    """

    def __init__(self, ctx: DamonCtx, split_state: SplitState) -> None:
        self._ctx, self._split_state = ctx, split_state
        self._native = _Quiet()
        self._schemes = self._due = (_Scheme * 0)()
        self._specs = (DamosSpec * 0)()
        _init(ctypes.addressof(self._native))
        self.stage = Stage.SAMPLED  #: how far the boundary at hand has come

    def prepare(self, sz_limit: int, next_ops_update: int | None) -> int | None:
        """The address of the native record; None: the next boundary is Python's.

        Args:
            sz_limit: up to which regions may merge.
            next_ops_update: the sampling interval of the next update that does anything.
        """
        ctx = self._ctx
        attrs = ctx.attrs
        if (
            ctx.probes or ctx.pause or ctx.walk_control is not None or attrs.intervals_goal.aggrs
            or _listens(ctx, AGGREGATED, STAT) or not _as_shipped(ctx.ops)
            or any(control.results_only for control in ctx.call_controls)
            or max(attrs.max_nr_regions, attrs.aggr_interval, sz_limit) >= _MOST
        ):  # fmt: skip
            return None
        if not self._set_schemes():
            return None
        q, ticks = self._native, ctx.machine.clock.ticks
        q.acts = not _listens(ctx, BEFORE_APPLY, ESZ)
        q.passed, q.next_aggregation = ctx.passed_sample_intervals, ctx.next_aggregation_sis
        q.next_ops_update = _MOST if next_ops_update is None else min(next_ops_update, _MOST)
        q.aggr_samples = attrs.samples(attrs.aggr_interval)
        q.min_region_sz, q.min_nr_regions, q.max_nr_regions = (
            ctx.min_region_sz,
            attrs.min_nr_regions,
            attrs.max_nr_regions,
        )
        q.sz_limit, q.max_threshold = sz_limit, attrs.aggr_interval // max(attrs.sample_interval, 1)
        q.last_nr_regions, q.rotation = self._split_state.last_nr_regions, self._split_state.rotation
        q.tick_ns, q.first_tick = ticks.tick_ns, ticks.jiffies(0)
        q.rates.aggr_us, q.rates.left_bp, q.rates.max_nr_accesses = attrs.aggr_interval, 0, attrs.max_nr_accesses()
        q.results = ctx.results.prepare(ctx) if ctx.results is not None else None
        q.done = q.stage = 0
        return ctypes.addressof(q)

    def _set_schemes(self) -> bool:
        schemes, q = self._ctx.schemes, self._native
        if len(self._schemes) != len(schemes):
            self._schemes, self._due = (_Scheme * len(schemes))(), (_Scheme * len(schemes))()
            self._specs = (DamosSpec * len(schemes))()
            q.nr_schemes, q.schemes = len(schemes), ctypes.addressof(self._schemes)
            q.due, q.specs = ctypes.addressof(self._due), ctypes.addressof(self._specs)
        return all(self._set_scheme(row, scheme) for row, scheme in zip(self._schemes, schemes, strict=True))

    def _set_scheme(self, row: _Scheme, scheme: Damos) -> bool:
        """False: Python has to look at its regions."""
        ctx, quota = self._ctx, scheme.quota
        limited, kind = quotas.damos_quota_is_set(quota), ctx.ops.score(scheme)
        interval = scheme.apply_interval_us or ctx.attrs.aggr_interval
        if not scheme.wmarks.activated or scheme.core_filters or scheme.max_nr_snapshots or kind is Score.CUSTOM:
            return False
        if limited and not quota.total_charged_sz and not quota.charged_from:
            return False
        if not ctx.attrs.samples(interval):  # due again at once: a pass by C and one by Python would both count
            return False
        if max(interval, scheme.next_apply_sis, quota.esz >> 2, *self._numbers(scheme)) >= _MOST:
            return False
        row.resumes = quota.charge_target_from is not None
        if row.resumes:
            if quota.charge_target_from not in ctx.targets:
                return False
            row.resume_target = ctx.targets.index(quota.charge_target_from)
        row.resume_addr = quota.charge_addr_from
        fill_pattern(row.spec, scheme, kind)
        row.spec.min_score = quota.min_score
        row.limited, row.scored = limited, limited and ctx.ops.scores
        fixed = not quota.goals and not quota.fail_charge_denom and bool(quota.ms or quota.sz or not limited)
        row.acts, row.ages = fixed and ctx.ops.idle_where_empty(scheme), scheme.action is not DamosAction.STAT
        row.ms, row.sz = quota.ms, quota.sz
        row.window_ticks = ctx.machine.clock.ticks.ms_to_jiffies(quota.reset_interval)
        for name in _KEPT:
            setattr(row, name, getattr(quota, name))
        for name in (*_COUNTED, *_APPLIED):
            setattr(row, name, getattr(scheme.stat, name))
        row.next_apply, row.apply_samples = scheme.next_apply_sis, ctx.attrs.samples(interval)
        return True

    @staticmethod
    def _numbers(scheme: Damos) -> tuple[int, ...]:
        """What C counts on."""
        quota, stat = scheme.quota, scheme.stat
        return (
            quota.charged_sz, quota.charged_from, quota.total_charged_sz, quota.total_charged_ns,
            stat.nr_tried, stat.sz_tried, stat.qt_exceeds, stat.nr_snapshots,
        )  # fmt: skip

    def take_over(self) -> int:
        """What has happened since ``prepare()``; the limit up to which regions may merge now."""
        ctx, q = self._ctx, self._native
        self.stage = Stage(q.stage)
        if not q.done and self.stage is not Stage.APPLIED:
            return int(q.sz_limit)
        ctx.next_aggregation_sis = q.next_aggregation
        ctx.walking = None
        for row, scheme in zip(self._schemes, ctx.schemes, strict=True):
            if row.next_apply != scheme.next_apply_sis:
                self._passed(row, scheme)
        self._split_state.last_nr_regions, self._split_state.rotation = q.last_nr_regions, q.rotation
        return int(q.sz_limit)

    def _passed(self, row: _Scheme, scheme: Damos) -> None:
        """``scheme`` was due, once or more often."""
        quota = scheme.quota
        scheme.next_apply_sis, scheme.last_applied = row.next_apply, None
        for name in _KEPT:
            setattr(quota, name, getattr(row, name))
        for name in _COUNTED:
            setattr(scheme.stat, name, getattr(row, name))
        quota.charge_target_from = self._ctx.targets[row.resume_target] if row.resumes else None
        quota.charge_addr_from = row.resume_addr
        if row.scored:
            quota.min_score = row.spec.min_score
