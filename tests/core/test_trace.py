# SPDX-License-Identifier: GPL-2.0-only
"""Tracepoints: when each fires, its text, what a subscriber gets (DAMON spec, sysfs 7), in virtual time."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Iterable

import pytest

from damon.core import Damon, set_attrs
from damon.core.attrs import arm_deadlines
from damon.core.damos_walk import kdamond_apply_schemes
from damon.core.events import (
    AGGREGATED,
    BEFORE_APPLY,
    ESZ,
    EVENTS,
    FIELDS,
    FORMATS,
    INTERVALS_TUNE,
    REGION_AGGREGATED,
    STAT,
)
from damon.core.regions import kdamond_reset_aggregated
from damon.core.trace import TraceEvent, TraceQueue
from damon.errors import InvalidInput
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.probe import DamonProbe
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosFilter, DamosFilterType, DamosQuota
from tests.contexts import new_ctx
from tests.fakes import FakeMachine, fake, regions_of

K, MIB = 1 << 10, 1 << 20


def _damon(
    *targets: Iterable[tuple[int, ...]], hot: Callable[[int], bool] = lambda addr: False
) -> tuple[Damon, DamonCtx]:
    damon = Damon(FakeMachine(hot), seed=1)
    return damon, new_ctx(damon, regions=[regions_of(*rows) for rows in targets])


def _texts(events: Iterable[TraceEvent]) -> list[str]:
    return [f"{event.name}: {text}" for event in events for text in event.texts()]


def test_formats_and_fields_belong_together() -> None:
    assert list(FORMATS) == list(FIELDS) == list(EVENTS)
    for name, fields in FIELDS.items():
        assert FORMATS[name].count("{}") == len(fields), name


def test_regions_are_shown_before_the_reset_with_each_targets_own_number() -> None:
    damon, ctx = _damon([(0, 4096, 7, 3, 9), (8192, 65536, 20, 0, 0)], [], [(4096, 8192, 1, 1, 1)])
    queue = damon.trace.queue()
    kdamond_reset_aggregated(ctx)
    assert _texts(queue.drain()) == [
        "damon_aggregated: target_id=0 nr_regions=2 0-4096: 7 9",
        "damon_aggregated: target_id=0 nr_regions=2 8192-65536: 20 0",
        "damon_aggregated: target_id=2 nr_regions=1 4096-8192: 1 1",
    ]
    assert [region.nr_accesses for region in ctx.targets[0].regions] == [0, 0]


def test_hits_of_probes_come_only_with_probes() -> None:
    damon, ctx = _damon([(0, 4096, 7, 3, 9)])
    ctx.targets[0].regions[0].probe_hits[:] = [20, 171, 3, 4]
    queue = damon.trace.queue([REGION_AGGREGATED])
    kdamond_reset_aggregated(ctx)
    assert not queue.drain()
    ctx.probes = [DamonProbe(), DamonProbe()]
    ctx.targets[0].regions[0].probe_hits[:] = [20, 171, 3, 4]
    kdamond_reset_aggregated(ctx)
    assert _texts(queue.drain()) == ["damon_region_aggregated: target_id=0 nr_regions=1 0-4096: 0 9 probe_hits=14 ab"]


def test_before_apply_is_after_the_cut_and_the_filters_and_before_the_action() -> None:
    rows = [(0, 64 * K, 3, 10, 5), (64 * K, 256 * K, 0, 8, 6)]
    damon, ctx = _damon([(1 << 30, 1 << 31, 0, 0, 0)], rows)
    fake(damon.machine).phys.pages[0] = 0
    scheme = Damos(
        pattern=DamosAccessPattern(min_age_region=1),
        action=DamosAction.PAGEOUT,
        quota=DamosQuota(sz=96 * K, reset_interval=1000),
    )
    scheme.add_filter(DamosFilter(DamosFilterType.ADDR, matching=True, addr_start=0, addr_end=16 * K))
    never = DamosAccessPattern(min_sz_region=1, max_sz_region=0)
    ctx.schemes += [Damos(pattern=never), Damos(pattern=never), scheme]
    arm_deadlines(ctx)
    ctx.passed_sample_intervals, ctx.next_aggregation_sis = 7, 20  # 13 of 20 samples of the window are to come
    seen: list[tuple[str, list[int]]] = []
    damon.trace.subscribe(
        lambda event: seen.append((next(event.texts()), list(fake(damon.machine).phys.paged_out))), [BEFORE_APPLY]
    )
    damon.machine.clock.sleep_us(1_000_000)
    kdamond_apply_schemes(ctx)
    # 0-16K is refused by the filter; 3 + 10 * 0.65 = 9; the quota leaves 48K of the second region
    assert [text for text, _ in seen] == [
        f"ctx_idx=0 scheme_idx=2 target_idx=1 nr_regions=3 {16 * K}-{64 * K}: 9 5",
        f"ctx_idx=0 scheme_idx=2 target_idx=1 nr_regions=4 {64 * K}-{112 * K}: 5 6",
    ]
    assert all(not paged_out for _, paged_out in seen)


def test_the_effective_quota_is_shown_at_first_and_when_it_changes() -> None:
    damon, ctx = _damon([(0, 64 * K)])
    quota = DamosQuota(sz=8 * K, reset_interval=1000)
    ctx.schemes += [Damos(), Damos(quota=quota)]
    queue = damon.trace.queue([ESZ])

    def window() -> list[str]:
        damon.machine.clock.sleep_us(1_000_000)
        for scheme in ctx.schemes:
            scheme.next_apply_sis = 0
        kdamond_apply_schemes(ctx)
        return [text for event in queue.drain() for text in event.texts()]

    assert window() == [f"ctx_idx=0 scheme_idx=1 esz={8 * K}"]
    assert window() == []
    quota.sz = 12 * K
    assert window() == [f"ctx_idx=0 scheme_idx=1 esz={12 * K}"]
    quota.charged_from = damon.machine.clock.now_ns() // 1_000_000 + 500  # inside the window: not computed
    quota.sz = 16 * K
    assert window() == []
    quota.sz = 0  # no limit any more: the quota is off, nothing is computed
    quota.esz = 0
    assert window() == []


def test_statistics_of_due_schemes_come_after_the_pass() -> None:
    damon, ctx = _damon([(0, 64 * K, 0, 0, 3)])
    active, later, idle = Damos(), Damos(), Damos()
    later.next_apply_sis, idle.wmarks.activated = 9, False
    ctx.schemes += [active, later, idle]
    queue = damon.trace.queue([STAT, BEFORE_APPLY])
    kdamond_apply_schemes(ctx)
    zero = "nr_tried=0 sz_tried=0 nr_applied=0 sz_applied=0 sz_ops_filter_passed=0 qt_exceeds=0 nr_snapshots=0"
    assert _texts(queue.drain()) == [
        f"damos_before_apply: ctx_idx=0 scheme_idx=0 target_idx=0 nr_regions=1 0-{64 * K}: 0 3",
        f"damos_stat_after_apply_interval: ctx_idx=0 scheme_idx=0 nr_tried=1 sz_tried={64 * K} nr_applied=0 "
        "sz_applied=0 sz_ops_filter_passed=0 qt_exceeds=0 nr_snapshots=1",
        f"damos_stat_after_apply_interval: ctx_idx=0 scheme_idx=2 {zero}",
    ]
    assert active.next_apply_sis == 20  # armed before it is shown
    active.wmarks.activated, active.next_apply_sis = False, 0
    kdamond_apply_schemes(ctx)
    assert not queue.drain()  # no pass took place


def test_order_within_an_iteration() -> None:
    """Core 3.5: schemes, tuning, regions with counts of the ended window, reset."""
    damon, ctx = _damon([(0, 64 * MIB)], hot=lambda addr: addr < 16 * MIB)
    ctx.schemes.append(Damos(quota=DamosQuota(sz=1 << 40, reset_interval=1000)))
    set_attrs(ctx, DamonAttrs(min_nr_regions=3, intervals_goal=DamonIntervalsGoal(9000, 2, 5000, 20000)))
    queue = damon.trace.queue()
    damon.start([ctx])
    damon.machine.clock.sleep_us(302_000)
    damon.stop([ctx])
    events = queue.drain()
    at_ms = [(event.name, event.time_ns // 1_000_000) for event in events]
    first = [name for name, ms in at_ms if ms == 100]
    second = [name for name, ms in at_ms if ms == 200]
    once = [name for name, _ in itertools.groupby(first)]
    assert once == [ESZ, BEFORE_APPLY, STAT, AGGREGATED]
    assert [name for name, _ in itertools.groupby(second)] == [BEFORE_APPLY, STAT, INTERVALS_TUNE, AGGREGATED]
    assert {ms for _, ms in at_ms} == {100, 200}  # the third window is longer
    tuned = next(event for event in events if event.name == INTERVALS_TUNE)
    assert tuned.attrs.sample_interval == 5000  # as it was: the change follows
    last = events[-1]
    assert last.name == AGGREGATED
    assert next(tuned.texts()) == f"sample_us={last.attrs.sample_interval}"
    assert last.attrs.sample_interval > 5000
    assert max(row[2] for row in last.regions()) > 0
    assert {event.comm for event in events} == {"kdamond.0"}
    assert {(event.pid, event.cpu) for event in events} == {(0, 0)}


@pytest.mark.parametrize("reference", [False, True])
def test_one_seed_one_text(reference: bool) -> None:
    def run(use_reference: bool) -> list[str]:
        damon = Damon(FakeMachine(lambda addr: addr < 3 * MIB), seed=9, reference=use_reference)
        ctx = new_ctx(damon, Damos(action=DamosAction.PAGEOUT, pattern=DamosAccessPattern(min_age_region=2)))
        queue = damon.trace.queue()
        damon.start([ctx])
        damon.machine.clock.sleep_us(2_000_000)
        damon.stop([ctx])
        return [f"{event.time_ns} {text}" for event in queue.drain() for text in event.texts()]

    texts = run(reference)
    assert len(texts) > 200
    assert texts == run(False)


def test_listening_changes_nothing() -> None:
    def run(listen: bool) -> tuple[bytes, int]:
        damon, ctx = _damon([(0, 64 * MIB)], hot=lambda addr: addr < MIB)
        ctx.schemes.append(Damos(action=DamosAction.PAGEOUT, quota=DamosQuota(sz=MIB, reset_interval=300)))
        if listen:
            texts: list[str] = []
            damon.trace.subscribe(lambda event: texts.extend(event.texts()))
        damon.start([ctx])
        damon.machine.clock.sleep_us(1_500_000)
        rows: list[bytes] = []
        damon.call(ctx, DamonCallControl(lambda ctx: rows.append(ctx.targets[0].regions.snapshot())))
        damon.stop([ctx])
        return rows[0], ctx.schemes[0].stat.sz_tried

    assert run(True) == run(False)


def test_a_subscriber_that_fails_is_dropped_and_the_others_go_on() -> None:
    damon, ctx = _damon([(0, 4096)])
    seen: list[TraceEvent] = []

    def fail(event: TraceEvent) -> None:
        raise OSError(28, "No space left on device")

    broken = damon.trace.subscribe(fail)
    damon.trace.subscribe(seen.append, ["damon:damon_aggregated"])
    kdamond_reset_aggregated(ctx)
    kdamond_reset_aggregated(ctx)
    assert len(seen) == 2
    assert "No space left" in str(broken.error)
    assert not damon.trace.enabled(ESZ)
    with pytest.raises(InvalidInput, match=r"^event: 'damon:nope': is unknown; .* damon_aggregated"):
        damon.trace.subscribe(seen.append, ["damon:nope"])
    assert not damon.trace.enabled(ESZ)


def test_a_full_queue_loses_whole_targets_and_counts_them() -> None:
    damon, ctx = _damon([(4096 * i, 4096 * (i + 1)) for i in range(30)])
    queue = damon.trace.queue([AGGREGATED], capacity=70)
    for _ in range(5):
        kdamond_reset_aggregated(ctx)
    assert [event.nr for event in queue.drain()] == [30, 30]
    assert queue.lost == 90
    small = damon.trace.queue([AGGREGATED], capacity=1)
    kdamond_reset_aggregated(ctx)
    assert [event.nr for event in small.drain()] == [30]
    assert [event.nr for event in queue.drain()] == [30]
    queue.close()
    kdamond_reset_aggregated(ctx)
    assert not queue.drain()
    assert [event.nr for event in small.drain()] == [30]


def test_a_waiting_reader_wakes_up() -> None:
    damon, ctx = _damon([(0, 4096)])
    queue: TraceQueue = damon.trace.queue([AGGREGATED])
    got: list[int] = []
    reader = threading.Thread(target=lambda: got.append(len(queue.drain(timeout=None))))
    reader.start()
    kdamond_reset_aggregated(ctx)
    reader.join(10)
    assert got == [1]
    waiting = threading.Thread(target=lambda: got.append(len(queue.drain(timeout=None))))
    waiting.start()
    queue.close()
    waiting.join(10)
    assert got == [1, 0]
    assert queue.closed
