# SPDX-License-Identifier: GPL-2.0-only
"""Contexts of the library on the kernel's C: requests, commits, walks, events, errors."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

import damon
from damon import (
    DamonCallControl,
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosCustomAction,
    DamosWalkControl,
    InvalidInput,
)
from damon.core.trace import TraceEvent
from damon.kernel.engine import KernelDamon
from damon.mm.sim import SimulatedMachine
from damon.modules.sysfs import Admin, File
from damon.workload.load import load_workload
from tests.contexts import new_ctx
from tests.kernel.trees import built
from tests.refusals import refused


@pytest.fixture
def kernel() -> Iterator[KernelDamon]:
    with SimulatedMachine(load_workload("hot-cold"), 1) as machine:
        engine = KernelDamon(machine, built(), seed=1)
        yield engine
        engine.close()
        assert engine.warnings == []
        assert engine.lib.shim_leaks() == 0
        assert not len(engine.spaces)


def _cold() -> Damos:
    return Damos(DamosAccessPattern(max_nr_accesses=0, min_age_region=5), DamosAction.PAGEOUT)


def test_results_requests_and_commits(kernel: KernelDamon) -> None:
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "vaddr")
    damon.add_process(ctx, 1000)
    ctx.schemes.append(_cold())
    with damon.running(kernel, ctx):
        found = next(damon.aggregations(kernel, ctx))
        assert found.max_nr_accesses == 20
        assert sum(region.size for region in found.regions)
        kernel.machine.clock.sleep_us(5_000_000)
        kernel.call(ctx, DamonCallControl(lambda ctx: None))
        assert ctx.schemes[0].stat.sz_applied > 0
        with damon.changes(kernel, ctx) as wanted:
            wanted.attrs.sample_interval = 10_000
            wanted.attrs.aggr_interval = 200_000
        assert ctx.attrs.sample_interval == 10_000
        with refused(errno.EINVAL), damon.changes(kernel, ctx) as wanted:
            wanted.attrs.min_nr_regions = 2
        seen: list[int] = []
        kernel.walk(ctx, DamosWalkControl(lambda ctx, t, region, scheme, passed: seen.append(region.size)))
    assert not kernel.is_running(ctx)
    with refused(errno.ECANCELED):
        kernel.call(ctx, DamonCallControl(lambda ctx: None))


def _user_goal(target: int) -> damon.DamosQuota:
    goal = damon.DamosQuotaGoal(damon.DamosQuotaGoalMetric.USER_INPUT, target, target // 2)
    return damon.DamosQuota(reset_interval=100, goals=[goal])


def _targets_of_goals(kernel: KernelDamon, ctx: damon.DamonCtx) -> list[int]:
    """Those that the C has, not its mirror."""
    (scheme,) = kernel.mirror.schemes(kernel.c_ctx(ctx))
    return [goal.target_value for goal in kernel.mirror.read_scheme(scheme).quota.goals]


def test_goals_alone_are_committed_to_the_c(kernel: KernelDamon) -> None:
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    ctx.schemes.append(replace(_cold(), quota=_user_goal(1000)))

    def commit(target: int) -> Callable[[damon.DamonCtx], None]:
        return lambda ctx: damon.commit_scheme_goals(ctx, 0, _user_goal(target))

    with damon.running(kernel, ctx):
        kernel.call(ctx, DamonCallControl(commit(300)))
        assert _targets_of_goals(kernel, ctx) == [300]
        with refused(errno.EINVAL):
            kernel.call(ctx, DamonCallControl(commit(0)))


def test_the_trees_command_commits_goals_to_the_c(kernel: KernelDamon) -> None:
    admin = Admin(kernel)
    context, goals = "kdamonds/0/contexts/0", "kdamonds/0/contexts/0/schemes/0/quotas/goals"

    def write(path: str, text: str) -> None:
        file = admin.find(path)
        assert isinstance(file, File)
        file.write(text.encode())

    for path, text in (
        ("kdamonds/nr_kdamonds", "1"), ("kdamonds/0/contexts/nr_contexts", "1"), (f"{context}/operations", "paddr"),
        (f"{context}/targets/nr_targets", "1"), (f"{context}/targets/0/regions/nr_regions", "1"),
        (f"{context}/targets/0/regions/0/end", "1048576"), (f"{context}/schemes/nr_schemes", "1"),
        (f"{goals}/nr_goals", "1"), (f"{goals}/0/target_value", "1000"), ("kdamonds/0/state", "on"),
        (f"{goals}/0/target_value", "300"), ("kdamonds/0/state", "commit_schemes_quota_goals"),
    ):  # fmt: skip
        write(path, text)
    ctx = admin.kdamonds[0].ctx
    assert ctx is not None
    assert _targets_of_goals(kernel, ctx) == [300]


def test_what_a_request_raises_reaches_its_caller(kernel: KernelDamon) -> None:
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)

    def fail(ctx: damon.DamonCtx) -> None:
        raise KeyError("mine")

    with damon.running(kernel, ctx):
        with pytest.raises(KeyError, match="mine"):
            kernel.call(ctx, DamonCallControl(fail))
        assert kernel.is_running(ctx)
    kernel.start([ctx])
    kernel.call(ctx, DamonCallControl(fail, repeat=True))
    kernel.machine.clock.sleep_us(1_000_000)
    assert not kernel.is_running(ctx)
    assert isinstance(ctx.error, KeyError)


def test_python_parts_are_refused(kernel: KernelDamon) -> None:
    ctx = kernel.new_ctx()
    kernel.select_ops(ctx, "paddr")
    damon.add_memory(ctx)
    ctx.schemes.append(Damos(action=DamosCustomAction("mine", on_region=lambda ctx, target, region: 0)))
    with pytest.raises(InvalidInput, match="action: 'mine': the kernel's C cannot run it"):
        kernel.start([ctx])


def test_what_a_version_lacks_is_refused() -> None:
    with SimulatedMachine(load_workload("hot-cold"), 1) as machine:
        kernel = KernelDamon(machine, built("linux-source-6.12"), seed=1)
        ctx = kernel.new_ctx()
        kernel.select_ops(ctx, "vaddr")
        damon.add_process(ctx, 1000)
        ctx.schemes.append(Damos(action=DamosAction.COLLAPSE))
        with pytest.raises(InvalidInput, match=r"DAMOS_COLLAPSE: linux-source-6\.12 .* does not have it"):
            kernel.start([ctx])
        ctx.schemes[:] = [_cold()]
        with damon.running(kernel, ctx):  # no damon_call() there: requests run after a sampling
            machine.clock.sleep_us(4_000_000)
            kernel.call(ctx, DamonCallControl(lambda ctx: None))
            assert ctx.schemes[0].stat.sz_applied > 0


def _into(found: list[tuple[int, str, str]]) -> Callable[[TraceEvent], None]:
    return lambda event: found.extend((event.time_ns, event.name, text) for text in event.texts())


def test_events_are_those_of_the_tree(kernel: KernelDamon) -> None:
    own = damon.Damon(SimulatedMachine(load_workload("hot-cold"), 1), seed=1)
    texts = []
    for one in (kernel, own):
        found: list[tuple[int, str, str]] = []

        def note(event: TraceEvent, found: list[tuple[int, str, str]] = found) -> None:
            found.extend((event.time_ns, event.name, text) for text in event.texts())

        one.trace.subscribe(note)
        ctx = one.new_ctx()
        one.select_ops(ctx, "paddr")
        damon.add_memory(ctx)
        ctx.schemes.append(_cold())
        with damon.running(one, ctx):
            one.machine.clock.sleep_us(2_000_000)
        texts.append(found)
    assert len(texts[0]) > 100
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    "workers",
    [
        [("paddr", 5000), ("paddr", 5000)],
        [("paddr", 5000), ("vaddr", 5000), ("paddr", 3000)],
    ],
    ids=len,
)
def test_workers_take_turns_as_ours_do(kernel: KernelDamon, workers: list[tuple[str, int]]) -> None:
    """Each has its own intervals, and all act: who is due first runs first, whether time passes in C or in Python."""
    own = damon.Damon(SimulatedMachine(load_workload("hot-cold"), 1), seed=1)
    texts = []
    for one in (kernel, own):
        found: list[tuple[int, str, str]] = []
        one.trace.subscribe(_into(found))
        ctxs = []
        for ops, sample in workers:
            ctx = one.new_ctx()
            one.select_ops(ctx, ops)
            damon.set_attrs(ctx, damon.DamonAttrs(sample_interval=sample, aggr_interval=20 * sample))
            damon.add_process(ctx, 1000) if ops == "vaddr" else damon.add_memory(ctx)
            ctx.schemes.append(_cold())
            ctxs.append(ctx)
        with damon.running(one, *ctxs):
            one.machine.clock.sleep_us(3_000_000)
        texts.append(found)
    assert len(texts[0]) > 200
    assert texts[0] == texts[1]


@pytest.mark.parametrize("kind", ["pgidle_unset", "pgidle_set", "hugepage_size"])
def test_what_the_tree_lacks_is_refused(kernel: KernelDamon, kind: str) -> None:
    """What is merged for a later release."""
    filters = damon.DamonProbe(0, [damon.DamonFilter(kind, True, range_max=1)])  # type: ignore[arg-type]
    for probe in (filters, damon.DamonProbe(preps=[damon.DamonPrep()])):
        with pytest.raises(InvalidInput, match="does not have it") as caught:
            kernel.start([new_ctx(kernel, probes=[probe])])
        assert caught.value.errno == errno.EINVAL
    scheme = damon.Damos()
    scheme.add_filter(damon.DamosFilter(damon.DamosFilterType.PROBE_HITS_WSUM, True))
    with pytest.raises(InvalidInput, match=r"PROBE_HITS_WSUM: .* does not have it"):
        kernel.start([new_ctx(kernel, scheme)])
    assert kernel.nr_running_ctxs == 0
