# SPDX-License-Identifier: GPL-2.0-only
"""Monitoring attributes: validation, installing, rescaling, intervals auto-tuning (DAMON spec, core 2.6, 7, 8)."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from damon.core.goals import damon_feed_loop_next_input
from damon.core.trace import trace_intervals_tune
from damon.errors import InvalidInput
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.model.scheme import Damos

_TUNE_BASE: Final = 100_000_000


def check_attrs(attrs: DamonAttrs) -> None:
    """Refuse attributes that the kernel refuses (EINVAL), in its order."""
    goal = attrs.intervals_goal
    if goal.aggrs:
        if goal.min_sample_us > goal.max_sample_us:
            raise InvalidInput(
                f"intervals_goal.min_sample_us: {goal.min_sample_us}: is above max_sample_us, {goal.max_sample_us}; "
                "lower it, or raise max_sample_us"
            )
        if not goal.min_sample_us <= attrs.sample_interval <= goal.max_sample_us:
            raise InvalidInput(
                f"sample_interval: {attrs.sample_interval} us: is outside of intervals_goal, "
                f"{goal.min_sample_us}..{goal.max_sample_us} us; change one of them"
            )
    if attrs.min_nr_regions < 3:
        raise InvalidInput(f"min_nr_regions: {attrs.min_nr_regions}: is too small; give at least 3")
    if attrs.min_nr_regions > attrs.max_nr_regions:
        raise InvalidInput(
            f"min_nr_regions: {attrs.min_nr_regions}: is above max_nr_regions, {attrs.max_nr_regions}; "
            "lower it, or raise max_nr_regions"
        )
    if attrs.sample_interval > attrs.aggr_interval:
        raise InvalidInput(
            f"sample_interval: {attrs.sample_interval} us: is above aggr_interval, {attrs.aggr_interval} us; "
            "lower it, or raise aggr_interval"
        )


def arm_deadlines(ctx: DamonCtx) -> None:
    """Next aggregation and operations update, counted from now."""
    attrs, passed = ctx.attrs, ctx.passed_sample_intervals
    ctx.next_aggregation_sis = passed + attrs.samples(attrs.aggr_interval)
    ctx.next_ops_update_sis = passed + attrs.samples(attrs.ops_update_interval)


def damos_set_next_apply_sis(ctx: DamonCtx, scheme: Damos) -> None:
    """``scheme`` is due one apply interval from now."""
    interval = scheme.apply_interval_us or ctx.attrs.aggr_interval
    scheme.next_apply_sis = ctx.passed_sample_intervals + ctx.attrs.samples(interval)


def set_attrs(ctx: DamonCtx, attrs: DamonAttrs) -> None:
    """Install a copy of ``attrs``; monitoring results so far are rescaled to them.

    Raises:
        InvalidInput: names the field; nothing has changed.
    """
    check_attrs(attrs)
    new = attrs.copy()
    if not new.aggr_samples:
        new.aggr_samples = new.aggr_interval // max(new.sample_interval, 1)
    aggregating = ctx.passed_sample_intervals < ctx.next_aggregation_sis
    old, ctx.attrs = ctx.attrs, new
    arm_deadlines(ctx)
    damon_update_monitoring_results(ctx, old, new, aggregating)
    for scheme in ctx.schemes:
        damos_set_next_apply_sis(ctx, scheme)


def damon_nr_samples_for_new_attrs(nr_accesses: int, max_old: int, max_new: int) -> int:
    """A count out of ``max_old`` samples as a count out of ``max_new`` (core 7)."""
    return nr_accesses * 10000 // max_old * max_new // 10000


def damon_update_monitoring_results(ctx: DamonCtx, old: DamonAttrs, new: DamonAttrs, aggregating: bool) -> None:
    if not all((old.sample_interval, old.aggr_interval, new.sample_interval, new.aggr_interval)):
        return
    counts = old.max_nr_accesses(), new.max_nr_accesses()
    for target in ctx.targets:
        for region in target.regions:
            region.age = region.age * old.aggr_interval // new.aggr_interval
            region.last_nr_accesses = damon_nr_samples_for_new_attrs(region.last_nr_accesses, *counts)
            region.nr_accesses = 0 if aggregating else damon_nr_samples_for_new_attrs(region.nr_accesses, *counts)
            for index in range(len(ctx.probes)):  # what removed probes left behind stays
                last, hits = region.last_probe_hits, region.probe_hits
                last[index] = damon_nr_samples_for_new_attrs(last[index], *counts) & 0xFF
                hits[index] = 0 if aggregating else damon_nr_samples_for_new_attrs(hits[index], *counts) & 0xFF


def damon_get_intervals_adaptation_bp(score: int) -> int:
    """By how many basis points the intervals change for ``score`` (10000 is on target): 5000..20000 (core 8 step 2)."""
    multiplier = damon_feed_loop_next_input(_TUNE_BASE, score) // 10000
    return multiplier if multiplier > 10000 else 5000 + multiplier // 2


def kdamond_tune_intervals(ctx: DamonCtx) -> None:
    """Move the intervals towards the wanted access ratio of the window that just ended (core 8)."""
    attrs, goal = ctx.attrs, ctx.attrs.intervals_goal
    got = most = 0
    for target in ctx.targets:
        for region in target.regions:
            got += region.size * region.nr_accesses
            most += region.size * attrs.aggr_samples
    wanted = max(most * goal.access_bp // 10000, 1)
    multiplier = damon_get_intervals_adaptation_bp(got * 10000 // wanted)
    if multiplier == 10000:
        return
    sample = attrs.sample_interval * multiplier // 10000
    sample = max(goal.min_sample_us, min(goal.max_sample_us, sample))
    trace_intervals_tune(ctx, sample)
    set_attrs(ctx, replace(attrs, sample_interval=sample, aggr_interval=sample * attrs.aggr_samples))
