# SPDX-License-Identifier: GPL-2.0-only
"""A context as files of the kernel's sysfs tree, in the order in which they are written."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from damon.errors import InvalidInput, MissingCapability
from damon.host.files import put, read
from damon.model.context import DamonCtx
from damon.model.probe import DamonFilterType, DamonProbe
from damon.model.scheme import (
    NODE_MEMCG_METRICS,
    NODE_METRICS,
    Damos,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
)


class Line(NamedTuple):
    """One file: path below its context, what is written, and what kernels without that file do."""

    path: str
    value: object
    absent: object = None

    @property
    def text(self) -> str:
        """As the kernel shows it."""
        return show(self.value)


def show(value: object) -> str:
    """A value as a file has it."""
    return ("Y" if value else "N") if isinstance(value, bool) else str(value)


#: The path of a cgroup by what ``memcg_id`` of a filter or goal is.
Cgroups = Callable[[int], str]


def write(context: Path, lines: Iterator[Line]) -> None:
    """Writes what differs from what is there.

    Args:
        context: the directory of a context that was just made, or one that was written before.
        lines: in order.

    Raises:
        MissingCapability: this kernel's DAMON has no such file, and would do something else.
        DamonError: the kernel refuses a value.
    """
    for line in lines:
        path = context / line.path
        if not path.exists():
            if line.absent is not None and show(line.absent) == line.text:
                continue
            raise MissingCapability(
                f"{line.path}: {line.text}: this kernel's DAMON has no such file; use a newer kernel, or another value"
            )
        if read(path) != line.text:
            put(path, line.text)


def context(ctx: DamonCtx, schemes: Sequence[Damos], has: Callable[[str], bool], cgroups: Cgroups) -> Iterator[Line]:
    """A context's files.

    Args:
        ctx: its attributes and targets.
        schemes: its schemes, and others after them.
        has: whether the kernel has a file of that path below the context, at the time when it is its turn.
        cgroups: paths by ids.

    Raises:
        InvalidInput: a part that only runs in Python.
    """
    yield Line("operations", ctx.ops.id)
    yield Line("addr_unit", ctx.addr_unit, 1)
    yield Line("pause", ctx.pause, False)
    yield from _attrs(ctx)
    yield from _probes(ctx.probes, cgroups)
    yield Line("targets/nr_targets", len(ctx.targets))
    for index, target in enumerate(ctx.targets):
        place = f"targets/{index}"
        if ctx.ops.has_pid:
            yield Line(f"{place}/pid_target", target.pid)
        yield Line(f"{place}/obsolete_target", target.obsolete, False)
        ranges = [(region.start, region.end) for region in target.regions]
        yield Line(f"{place}/regions/nr_regions", len(ranges))
        for number, (start, end) in enumerate(ranges):
            yield Line(f"{place}/regions/{number}/start", start)
            yield Line(f"{place}/regions/{number}/end", end)
    yield Line("schemes/nr_schemes", len(schemes))
    for index, scheme in enumerate(schemes):
        yield from _scheme(f"schemes/{index}", scheme, has, cgroups)


def goals(index: int, quota: DamosQuota, cgroups: Cgroups) -> Iterator[Line]:
    """The goals of the scheme ``index``."""
    yield from _goals(f"schemes/{index}/quotas", quota, cgroups)


def filters(index: int, scheme: Damos, has: Callable[[str], bool], cgroups: Cgroups) -> Iterator[Line]:
    """The filters of the scheme ``index``: in two lists, or where the kernel has no ``core_filters``, in one."""
    yield from _filters(f"schemes/{index}", scheme, has, cgroups)


def _attrs(ctx: DamonCtx) -> Iterator[Line]:
    attrs, place = ctx.attrs, "monitoring_attrs"
    yield Line(f"{place}/intervals/sample_us", attrs.sample_interval)
    yield Line(f"{place}/intervals/aggr_us", attrs.aggr_interval)
    yield Line(f"{place}/intervals/update_us", attrs.ops_update_interval)
    for name in ("access_bp", "aggrs", "min_sample_us", "max_sample_us"):
        yield Line(f"{place}/intervals/intervals_goal/{name}", getattr(attrs.intervals_goal, name), 0)
    yield Line(f"{place}/nr_regions/min", attrs.min_nr_regions)
    yield Line(f"{place}/nr_regions/max", attrs.max_nr_regions)


def _probes(probes: Sequence[DamonProbe], cgroups: Cgroups) -> Iterator[Line]:
    yield Line("monitoring_attrs/probes/nr_probes", len(probes), 0)
    for index, probe in enumerate(probes):
        place = f"monitoring_attrs/probes/{index}"
        yield Line(f"{place}/weight", probe.weight, 0)
        yield Line(f"{place}/preps/nr_preps", len(probe.preps), 0)
        for number, prep in enumerate(probe.preps):
            yield Line(f"{place}/preps/{number}/prep_action", prep.action.value)
        yield Line(f"{place}/filters/nr_filters", len(probe.filters))
        for number, wanted in enumerate(probe.filters):
            yield Line(f"{place}/filters/{number}/type", wanted.type.value)
            yield Line(f"{place}/filters/{number}/matching", wanted.matching)
            yield Line(f"{place}/filters/{number}/allow", wanted.allow)
            if wanted.type is DamonFilterType.MEMCG:
                yield Line(f"{place}/filters/{number}/path", cgroups(wanted.memcg_id))
            elif wanted.type is DamonFilterType.HUGEPAGE_SIZE:
                yield Line(f"{place}/filters/{number}/min", wanted.range_min)
                yield Line(f"{place}/filters/{number}/max", wanted.range_max)


def _scheme(place: str, scheme: Damos, has: Callable[[str], bool], cgroups: Cgroups) -> Iterator[Line]:
    if not isinstance(scheme.action, DamosAction):
        raise InvalidInput(f"{place}/action: {scheme.action}: it runs in Python only; give one of the kernel's")
    yield Line(f"{place}/action", scheme.action.value)
    yield Line(f"{place}/apply_interval_us", scheme.apply_interval_us, 0)
    yield Line(f"{place}/target_nid", scheme.target_nid, -1)
    pattern = scheme.pattern
    for name, kernels in (("sz", "sz_region"), ("nr_accesses", "nr_accesses"), ("age", "age_region")):
        for edge in ("min", "max"):
            yield Line(f"{place}/access_pattern/{name}/{edge}", getattr(pattern, f"{edge}_{kernels}"))
    yield from _quota(f"{place}/quotas", scheme.quota, cgroups)
    marks = scheme.wmarks
    yield Line(f"{place}/watermarks/metric", marks.metric.value)
    yield Line(f"{place}/watermarks/interval_us", marks.interval)
    for name in ("high", "mid", "low"):
        yield Line(f"{place}/watermarks/{name}", getattr(marks, name))
    yield from _filters(place, scheme, has, cgroups)
    yield Line(f"{place}/dests/nr_dests", len(scheme.migrate_dests), 0)
    for number, dest in enumerate(scheme.migrate_dests):
        yield Line(f"{place}/dests/{number}/id", dest.node_id)
        yield Line(f"{place}/dests/{number}/weight", dest.weight)
    yield Line(f"{place}/stats/max_nr_snapshots", scheme.max_nr_snapshots, 0)


def _quota(place: str, quota: DamosQuota, cgroups: Cgroups) -> Iterator[Line]:
    yield Line(f"{place}/ms", quota.ms)
    yield Line(f"{place}/bytes", quota.sz)
    yield Line(f"{place}/reset_interval_ms", quota.reset_interval)
    yield Line(f"{place}/goal_tuner", quota.goal_tuner.value, "consist")
    yield Line(f"{place}/fail_charge_num", quota.fail_charge_num, 0)
    yield Line(f"{place}/fail_charge_denom", quota.fail_charge_denom, 0)
    yield Line(f"{place}/weights/sz_permil", quota.weight_sz)
    yield Line(f"{place}/weights/nr_accesses_permil", quota.weight_nr_accesses)
    yield Line(f"{place}/weights/age_permil", quota.weight_age)
    yield from _goals(place, quota, cgroups)


def _goals(place: str, quota: DamosQuota, cgroups: Cgroups) -> Iterator[Line]:
    yield Line(f"{place}/goals/nr_goals", len(quota.goals), 0)
    for number, goal in enumerate(quota.goals):
        yield from _goal(f"{place}/goals/{number}", goal, cgroups)


def _goal(place: str, goal: DamosQuotaGoal, cgroups: Cgroups) -> Iterator[Line]:
    if not isinstance(goal.metric, DamosQuotaGoalMetric):
        raise InvalidInput(f"{place}/target_metric: {goal.metric}: it runs in Python only; give one of the kernel's")
    yield Line(f"{place}/target_metric", goal.metric.value, "user_input")
    yield Line(f"{place}/target_value", goal.target_value)
    yield Line(f"{place}/current_value", goal.current_value)
    if goal.metric in NODE_METRICS:
        yield Line(f"{place}/nid", goal.nid)
    if goal.metric in NODE_MEMCG_METRICS:
        yield Line(f"{place}/path", cgroups(goal.memcg_id))


def _filters(place: str, scheme: Damos, has: Callable[[str], bool], cgroups: Cgroups) -> Iterator[Line]:
    core, operations = (list(_kernels(place, part)) for part in (scheme.core_filters, scheme.ops_filters))
    if has(f"{place}/core_filters"):
        lists = {"core_filters": core, "ops_filters": operations, "filters": []}
    else:  # the kernel sorts them itself
        lists = {"filters": [*core, *operations]}
    for name, filters in lists.items():
        yield Line(f"{place}/{name}/nr_filters", len(filters))
        for number, wanted in enumerate(filters):
            yield from _filter(f"{place}/{name}/{number}", wanted, cgroups)


def _kernels(place: str, filters: Sequence[object]) -> Iterator[DamosFilter]:
    for wanted in filters:
        if not isinstance(wanted, DamosFilter):
            raise InvalidInput(f"{place}/filters: {wanted}: it runs in Python only; give one of the kernel's")
        yield wanted


def _filter(place: str, wanted: DamosFilter, cgroups: Cgroups) -> Iterator[Line]:
    yield Line(f"{place}/type", wanted.type.value)
    yield Line(f"{place}/matching", wanted.matching)
    # Kernels without it reject what matches.
    yield Line(f"{place}/allow", wanted.allow, False)
    if wanted.type is DamosFilterType.MEMCG:
        yield Line(f"{place}/memcg_path", cgroups(wanted.memcg_id))
    elif wanted.type is DamosFilterType.ADDR:
        yield Line(f"{place}/addr_start", wanted.addr_start)
        yield Line(f"{place}/addr_end", wanted.addr_end)
    elif wanted.type is DamosFilterType.TARGET:
        yield Line(f"{place}/damon_target_idx", wanted.target_idx)
    elif wanted.type is DamosFilterType.HUGEPAGE_SIZE:
        yield Line(f"{place}/min", wanted.sz_min)
        yield Line(f"{place}/max", wanted.sz_max)
    elif wanted.type is DamosFilterType.PROBE_HITS_WSUM:
        yield Line(f"{place}/min", wanted.range_min)
        yield Line(f"{place}/max", wanted.range_max)
