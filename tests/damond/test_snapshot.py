# SPDX-License-Identifier: GPL-2.0-only
"""Snapshots: what they read of a context, what crosses the socket, and that asking workers is bounded."""

from __future__ import annotations

import errno
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import pytest

from damon.core import Damon
from damon.damond import snapshot as records
from damon.damond.runner import DirectRunner
from damon.damond.snapshot import MAX_GOALS, MAX_SCHEMES, Rows, as_object, copy_rows, from_object, read_context
from damon.damond.workers import Worker, Workers
from damon.errors import DamonError, InvalidInput
from damon.library.results import Region
from damon.mm.sim import SimulatedMachine
from damon.model.attrs import ULONG_MAX
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.scheme import Damos, DamosAction, DamosQuota, DamosQuotaGoal, DamosQuotaGoalMetric, DamosStat
from damon.workload.load import load_workload
from tests.contexts import new_ctx
from tests.damond.conftest import WORKLOAD
from tests.damond.snapshots import CONTEXT, SNAPSHOT, with_context
from tests.fakes import FakeMachine, regions_of
from tests.waiting import HANG_S, until

GOAL = DamosQuotaGoal(DamosQuotaGoalMetric.SOME_MEM_PSI_US, 1000, 500)


def _scheme() -> Damos:
    scheme = Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(ms=5, sz=4096, reset_interval=1000, goals=[GOAL]))
    scheme.stat = DamosStat(1, 2, 3, 4, 5, 6, 7)
    scheme.quota.esz, scheme.quota.charged_sz = 2048, 1024
    return scheme


def _ctx(*schemes: Damos) -> DamonCtx:
    rows = regions_of((0, 4096, 3, 9, 5), (4096, 16384, 0, 0, 8), (16384, 20480, 1, 2, 1))
    return new_ctx(Damon(FakeMachine()), *schemes, regions=[rows, regions_of((0, 100, 1))])


def test_what_it_reads_of_a_context() -> None:
    ctx = _ctx(_scheme())
    context = read_context(ctx)
    assert (context.operations, context.sample_us, context.aggr_us) == ("paddr", 5000, 100_000)
    assert (context.nr_regions, context.max_nr_accesses, context.nr_schemes) == (4, 20, 1)
    (scheme,) = context.schemes
    assert (scheme.action, scheme.stat) == ("pageout", DamosStat(1, 2, 3, 4, 5, 6, 7))
    assert (scheme.quota.esz, scheme.quota.charged_sz, scheme.quota.score_bp) == (2048, 1024, 5000)
    ctx.schemes[0].stat.nr_tried = 99
    assert scheme.stat.nr_tried == 1, "a record is no view"
    assert context.regions_age_s is None


def test_regions_have_the_moving_sum_of_their_accesses() -> None:
    """As ``tried_regions``: the part of the last interval that the current one has not replaced yet counts too."""
    ctx = _ctx()
    ctx.passed_sample_intervals, ctx.next_aggregation_sis = 10, 20  # half of the interval is to come
    late = ctx.targets[0].regions[2]
    late.nr_accesses, late.last_nr_accesses = 0, 4
    context = records.with_regions(read_context(ctx), copy_rows(ctx), 0.5, 10)
    first, second = context.targets
    assert [(one.start, one.nr_accesses, one.age) for one in first.regions] == [
        (0, 3 + 4, 5),
        (4096, 0, 8),
        (16384, 2, 1),
    ]
    assert second.regions == (Region(0, 100, 1, 0),)
    assert (context.monitored_sz, context.working_set_sz) == (20480 + 100, 4096 + 4096 + 100)
    assert context.regions_age_s == 0.5


def test_those_accessed_most_stay_in_order_of_address() -> None:
    ctx = _ctx()
    context = records.with_regions(read_context(ctx), copy_rows(ctx), 0.0, 2)
    assert [[region.start for region in target.regions] for target in context.targets] == [[0, 16384], []]
    assert [target.nr_regions for target in context.targets] == [3, 1]
    assert context.monitored_sz == 20580, "the sums are of all regions"


def test_rows_of_other_targets_than_the_context_has_now() -> None:
    context = records.with_regions(read_context(_ctx()), Rows((copy_rows(_ctx()).rows[0],), 0, 0), 0.0, 10)
    assert [target.regions for target in context.targets] == [(), ()]
    assert context.monitored_sz == 20480


def test_there_is_an_end_to_schemes_and_goals() -> None:
    many = _scheme()
    many.quota.goals *= MAX_GOALS + 1
    ctx = _ctx(*([many] * (MAX_SCHEMES + 1)))
    context = read_context(ctx)
    assert (len(context.schemes), context.nr_schemes) == (MAX_SCHEMES, MAX_SCHEMES + 1)
    assert len(context.schemes[0].quota.goals) == MAX_GOALS


def test_it_crosses_the_socket() -> None:
    most = replace(
        CONTEXT, max_nr_regions=ULONG_MAX, targets=(records.Target(5, 1, (Region(0, ULONG_MAX, 1, 1, (3,)),)),)
    )
    for one in (SNAPSHOT, with_context(most)):
        assert from_object(json.loads(json.dumps(as_object(one)))) == one
    assert json.loads(json.dumps(as_object(SNAPSHOT) | {"new": 1}))["format"] == 1
    assert from_object(as_object(SNAPSHOT) | {"new": 1}) == SNAPSHOT


@pytest.mark.parametrize("changed", [{"format": 2}, {"format": "x"}, {"kdamonds": 3}, {"pid": None}])
def test_what_is_no_snapshot_is_refused(changed: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput, match=r"^snapshot: ") as refused:
        from_object(as_object(SNAPSHOT) | changed)
    assert "\n" not in str(refused.value)


class Slow:
    """Stands for ``Damon``: a worker that answers when ``turn`` is set, and the real time that it is."""

    def __init__(self) -> None:
        self.turn = threading.Event()
        self.asked = 0
        self.runs = True
        self.now = 100.0

    def is_running(self, ctx: DamonCtx) -> bool:
        return self.runs

    def kdamond_pid(self, ctx: DamonCtx) -> int:
        return 77 if self.runs else -1

    def call(self, ctx: DamonCtx, control: DamonCallControl) -> None:
        self.asked += 1
        assert self.turn.wait(HANG_S)
        if not self.runs:
            raise DamonError(errno.ECANCELED, "it ended")
        control.fn(ctx)


def _workers(damon: Any, workers: Callable[[], Sequence[Worker]]) -> Workers:
    return Workers(damon, workers, DirectRunner(), lambda: replace(SNAPSHOT, kdamonds=()), lambda: damon.now)


@pytest.fixture
def slow() -> Iterator[Slow]:
    one = Slow()
    yield one
    one.turn.set()
    until(lambda: not any(thread.name == "damond-snapshot" for thread in threading.enumerate()))


def test_a_worker_that_does_not_answer_is_waited_for_no_longer_and_asked_once(slow: Slow) -> None:
    ctx = _ctx(_scheme())
    workers = _workers(slow, lambda: [Worker("0", None, ctx)])
    for _ in range(20):
        (kdamond,) = workers.take(patience_s=0.0, regions=5).kdamonds
    until(lambda: slow.asked)
    assert slow.asked == 1
    (context,) = kdamond.contexts
    assert (kdamond.running, kdamond.pid, kdamond.cpu_s) == (True, 77, None)
    assert context == read_context(ctx), "its numbers without it, and no regions"
    slow.turn.set()
    (kdamond,) = workers.take(HANG_S, regions=5).kdamonds
    assert kdamond.contexts[0].targets[0].regions
    assert kdamond.cpu_s is not None


def test_numbers_are_new_and_regions_the_last_known_where_a_worker_does_not_answer(slow: Slow) -> None:
    ctx = _ctx(_scheme())
    workers = _workers(slow, lambda: [Worker("0", None, ctx)])
    slow.turn.set()
    workers.take(HANG_S)
    until(lambda: not any(thread.name == "damond-snapshot" for thread in threading.enumerate()))
    slow.turn.clear()
    slow.now += 7.0
    ctx.schemes[0].stat.nr_tried = 1000
    ctx.targets[1].regions.clear()
    (context,) = workers.take(patience_s=0.0, regions=5).kdamonds[0].contexts
    assert context.schemes[0].stat.nr_tried == 1000
    assert (context.regions_age_s, context.targets[1].regions) == (7.0, (Region(0, 100, 1, 0),))


def test_a_fresh_answer_is_taken_again(slow: Slow) -> None:
    workers = _workers(slow, lambda: [Worker("0", None, ctx)])
    ctx = _ctx()
    slow.turn.set()
    for now, asked in ((100.0, 1), (100.9, 1), (101.0, 2), (101.5, 2), (103.0, 3)):
        slow.now = now
        workers.take(HANG_S, fresh_s=1.0)
        assert slow.asked == asked, now
        until(lambda: not any(thread.name == "damond-snapshot" for thread in threading.enumerate()))


def test_workers_that_end_or_never_began(slow: Slow) -> None:
    ctx = _ctx(_scheme())
    there = [Worker("0", None, ctx), Worker("1", None, None)]
    workers = _workers(slow, lambda: list(there))
    taken: list[records.Snapshot] = []
    thread = threading.Thread(target=lambda: taken.append(workers.take(HANG_S)))
    thread.start()
    until(lambda: slow.asked)
    slow.runs = False
    ctx.error = ValueError("x" * 1000)
    slow.turn.set()
    thread.join(HANG_S)
    ended, never = taken[0].kdamonds
    assert (ended.running, ended.pid, never.running, never.contexts) == (False, -1, False, ())
    assert ended.contexts[0].schemes[0].stat.nr_tried == 1, "its last numbers stay"
    assert ended.error is not None
    assert len(ended.error) == 200
    there.clear()
    assert workers.take(0.0).kdamonds == ()


def _run(asks: bool) -> list[bytes]:
    """The regions of a run, whose worker is asked for snapshots or not."""
    with SimulatedMachine(load_workload(WORKLOAD), 1) as machine:
        damon = Damon(machine, 1)
        ctx = new_ctx(damon, _scheme(), regions=[regions_of((0x100000, 1 << 30))])
        damon.start([ctx])
        found: list[bytes] = []
        for turn in range(1, 41):
            machine.clock.sleep_until(turn * 73_000_000)
            if asks:
                damon.call(ctx, DamonCallControl(lambda ctx: found.append(b"".join(copy_rows(ctx).rows))))
                read_context(ctx)
        machine.clock.sleep_until(4_000_000_000)
        damon.call(ctx, DamonCallControl(lambda ctx: found.append(b"".join(copy_rows(ctx).rows))))
        damon.stop()
        return found


def test_a_worker_finds_the_same_whether_it_is_asked_or_not() -> None:
    asked = _run(True)
    assert len(set(asked)) > 20, "it is asked at different moments"
    assert asked[-1] == _run(False)[-1]
