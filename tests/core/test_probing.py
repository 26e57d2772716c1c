# SPDX-License-Identifier: GPL-2.0-only
"""The worker with probes: access checks on and off, thresholds, and the simulated machine (core 3.5)."""

from __future__ import annotations

import pytest

from damon.core import Damon, commit_ctx
from damon.core import regions as adjust
from damon.core.kdamond import Kdamond
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import FOLIO_ANON
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.probe import DamonFilterType, DamonProbe, has_weights
from damon.model.scheme import Damos, DamosAction, DamosWatermarks, DamosWmarkMetric
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from damon.workload.model import Area, Kind
from tests.contexts import anon_probe, source, started
from tests.fakes import FakeMachine, regions_of
from tests.mm.sim.machines import machine as simulated

PAGE, MIB = 4096, 1 << 20
ANON = DamonFilterType.ANON


@pytest.mark.parametrize("reference", [False, True])
def test_weights_committed_while_watermarks_wait_are_merged_by_at_once(
    monkeypatch: pytest.MonkeyPatch, reference: bool
) -> None:
    """Core 3.5: what is sampled is decided before the wait, what regions are compared by when they are merged."""
    fake = FakeMachine(lambda addr: False)
    fake.phys.pages = dict.fromkeys(range(2), FOLIO_ANON)
    fake.free = (950, 1000)
    regions = regions_of(*((n * 2 * PAGE, (n + 1) * 2 * PAGE) for n in range(6)))
    wmarks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 10_000, 900, 800, 100)
    ctx = DamonCtx(
        fake, Paddr(), DamonAttrs(5000, 5000, min_nr_regions=3), [DamonTarget(regions=regions)], [Damos(wmarks=wmarks)],
        reference=reference,
    )  # fmt: skip
    worker = Kdamond(ctx, adjust.SplitState())
    worker._sz_limit = 4 * PAGE

    def commit(ctx: DamonCtx) -> None:
        ctx.probes.append(anon_probe(1))
        fake.free = (500, 1000)

    control = DamonCallControl(commit)
    control.done = fake.clock.event()
    ctx.call_controls.append(control)
    monkeypatch.setattr("damon.core.kdamond.kdamond_split_regions", lambda ctx, state: None)
    worker._iteration()
    assert len(fake.phys.sampled[0]) == 6  # accesses were sampled
    pages = [(start // PAGE, end // PAGE) for start, end in ctx.targets[0].regions.ranges()]
    assert pages == [(0, 2), (2, 6), (6, 10), (10, 12)]  # the first has an anonymous page; no accesses anywhere


def _started(fake: FakeMachine, *probes: DamonProbe) -> tuple[Damon, DamonCtx]:
    damon, ctx = started(fake, seed=2, regions=[regions_of((0, 1024 * PAGE))], probes=probes)
    fake.clock.sleep_us(2500)
    return damon, ctx


def test_without_weights_accesses_and_attributes_are_counted_on_the_same_pages() -> None:
    fake = FakeMachine(lambda addr: addr < 256 * PAGE)
    fake.phys.pages = dict.fromkeys(range(128, 512), FOLIO_ANON)
    damon, ctx = _started(fake, anon_probe(), anon_probe(allow=False))
    fake.clock.sleep_us(2_000_000)
    assert fake.phys.probed == fake.phys.sampled[: len(fake.phys.probed)]
    rows = [(r.size, r.last_nr_accesses, *r.last_probe_hits[:2]) for r in ctx.targets[0].regions]
    damon.stop([ctx])
    assert {anon + other for _, _, anon, other in rows} <= set(range(16, 21))  # floor means, merged more than once
    shares = [sum(row[0] * row[n] for row in rows) / (1024 * PAGE * 20) for n in (1, 2, 3)]
    assert shares == pytest.approx([256 / 1024, 384 / 1024, 640 / 1024], abs=0.03)


def test_weights_turn_access_checks_off() -> None:
    fake = FakeMachine(lambda addr: True)
    fake.phys.pages = dict.fromkeys(range(512), FOLIO_ANON)
    damon, ctx = _started(fake, DamonProbe(), anon_probe(1))
    fake.clock.sleep_us(2_000_000)
    rows = list(ctx.targets[0].regions)
    assert fake.phys.sampled == []
    assert len(fake.phys.probed) == 400
    assert all(a != b for a, b in zip(fake.phys.probed, fake.phys.probed[1:], strict=False))  # new ones each time
    assert {(r.nr_accesses, r.last_nr_accesses) for r in rows} == {(0, 0)}
    assert {r.last_probe_hits[0] for r in rows} == {20}
    inside = [r for r in rows if r.end <= 512 * PAGE]
    outside = [r for r in rows if r.start >= 512 * PAGE]
    assert {r.last_probe_hits[1] for r in inside} == {20}
    assert {r.last_probe_hits[1] for r in outside} == {0}
    assert max(r.age for r in inside) >= 15
    damon.stop([ctx])


def _thresholds(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, bool]]:
    seen: list[tuple[int, bool]] = []
    merge = adjust.kdamond_merge_regions

    def spy(ctx: DamonCtx, threshold: int, sz_limit: int) -> None:
        seen.append((threshold, has_weights(ctx.probes)))
        merge(ctx, threshold, sz_limit)

    monkeypatch.setattr("damon.core.kdamond.kdamond_merge_regions", spy)
    return seen


@pytest.mark.parametrize("reference", [False, True])
def test_the_threshold_is_a_tenth_of_the_highest_sum(monkeypatch: pytest.MonkeyPatch, reference: bool) -> None:
    seen = _thresholds(monkeypatch)
    fake = FakeMachine(lambda addr: True)
    fake.phys.pages = dict.fromkeys(range(1024), FOLIO_ANON)
    damon, ctx = _started(fake, anon_probe(30), DamonProbe(4), anon_probe(allow=False))
    ctx.reference = reference
    fake.clock.sleep_us(200_000)
    src = source(damon, anon_probe())
    damon.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, src)))
    fake.clock.sleep_us(200_000)
    damon.stop([ctx])
    assert seen == [(20 * 34 // 10, True)] * 2 + [(1, False), (2, False)]  # 19 samples of accesses, then 20


def test_weights_that_come_while_the_worker_sleeps_count_from_the_next_iteration() -> None:
    fake = FakeMachine(lambda addr: True)
    damon, ctx = _started(fake)
    src = source(damon, DamonProbe(1))
    fake.clock.sleep_us(50_000)
    sampled = len(fake.phys.sampled)
    damon.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, src)))
    fake.clock.sleep_us(22_500)
    assert len(fake.phys.sampled) == sampled
    assert len(fake.phys.probed) == 4
    assert {r.nr_accesses for r in ctx.targets[0].regions} == {11}
    assert {r.probe_hits[0] for r in ctx.targets[0].regions} == {4}
    damon.stop([ctx])


def _simulated() -> tuple[SimulatedMachine, list[tuple[int, int, bool]]]:
    """12 MiB of anonymous memory, 20 of a file, 8 anonymous again; nothing is ever accessed. Runs of pages by kind."""
    areas = Area("a", 12 * MIB), Area("f", 20 * MIB, Kind.FILE), Area("b", 8 * MIB)
    sim = simulated(*areas, memory=64 * MIB)
    runs: list[tuple[int, int, bool]] = []
    for batch in sim.phys.folios(0, 64 * MIB):
        for folio in batch:
            anon = bool(folio.flags & FOLIO_ANON)
            if runs and runs[-1][1] == folio.pfn and runs[-1][2] == anon:
                runs[-1] = runs[-1][0], folio.pfn + 1, anon
            else:
                runs.append((folio.pfn, folio.pfn + 1, anon))
    return sim, runs


def _share_right(ctx: DamonCtx, truth: set[int], start: int, end: int) -> float:
    """The share of page frames in ``[start, end)`` whose region has the right kind."""
    right = 0
    for region in ctx.targets[0].regions:
        anonymous = region.last_probe_hits[0] >= 10
        pages = range(max(region.start // PAGE, start), min(region.end // PAGE, end))
        right += sum((pfn in truth) == anonymous for pfn in pages)
    return right / (end - start)


@pytest.mark.parametrize("reference", [False, True])
def test_anonymous_and_file_memory_separate_although_nothing_is_accessed(reference: bool) -> None:
    sim, runs = _simulated()
    assert len(runs) >= 3
    anonymous = {pfn for start, end, anon in runs if anon for pfn in range(start, end)}
    assert len(anonymous) == 20 * 256
    low, high = sim.system_ram()[-1]
    scheme = Damos(action=DamosAction.STAT)
    ram, probes = [regions_of((low, high))], [anon_probe(1)]
    damon, ctx = started(sim, scheme, seed=9, reference=reference, regions=ram, probes=probes)
    sim.clock.sleep_us(6_002_500)
    assert _share_right(ctx, anonymous, low // PAGE, high // PAGE) > 0.97
    regions = list(ctx.targets[0].regions)
    assert {r.last_nr_accesses for r in regions} == {0}
    assert any(r.last_probe_hits[0] == 20 and r.age > 20 and r.size > MIB for r in regions)
    assert any(r.last_probe_hits[0] == 0 and r.age > 20 and r.size > MIB for r in regions)
    src = source(damon, anon_probe(1, allow=False))
    damon.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, src)))
    sim.clock.sleep_us(3_000_000)
    assert _share_right(ctx, anonymous, low // PAGE, high // PAGE) < 0.03
    damon.stop([ctx])
    sim.close()
