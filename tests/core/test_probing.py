# SPDX-License-Identifier: GPL-2.0-only
"""The worker with probes: access checks on and off, thresholds, and the simulated machine (core 3.5)."""

from __future__ import annotations

import pytest

from damon.core import Damon, commit_ctx
from damon.core import regions as adjust
from damon.core.kdamond import Kdamond
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import FOLIO_ANON, Batch, Buffer, FolioArray, RegionArray
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe, has_weights
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosWatermarks,
    DamosWmarkMetric,
)
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from damon.workload.model import Access, Area, Kind, Pattern
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


# -- preparations: accesses as one more attribute


def _ram(sim: SimulatedMachine) -> RegionArray:
    return RegionArray(sim.system_ram())


def _pgidle(weight: int = 0) -> DamonProbe:
    return DamonProbe(weight, [DamonFilter(DamonFilterType.PGIDLE_UNSET, True, True)], [DamonPrep()])


@pytest.mark.parametrize("weight", [0, 1])
def test_pages_are_prepared_before_the_interval_and_looked_at_after_it(weight: int) -> None:
    fake = FakeMachine()
    events: list[tuple[str, int, list[int]]] = []
    mkold, folios_at = fake.phys.mkold, fake.phys.folios_at

    def note(name: str, addrs: Buffer, nr: int) -> None:
        events.append((name, fake.clock.now_ns() // 1000, [addrs[i] for i in range(nr)]))

    def noted_mkold(addrs: Buffer, nr: int) -> Batch:
        note("old", addrs, nr)
        return mkold(addrs, nr)

    def noted_folios(addrs: Buffer, nr: int, out: FolioArray, sizes: bool = False) -> None:
        note("look", addrs, nr)
        folios_at(addrs, nr, out, sizes)

    fake.phys.mkold, fake.phys.folios_at = noted_mkold, noted_folios  # type: ignore[method-assign]
    damon, _ = started(fake, level="next", probes=[DamonProbe(weight), _pgidle()])
    fake.clock.sleep_us(12_500)
    damon.stop()
    access = [] if weight else ["old"]
    assert [(name, now) for name, now, _ in events[: 2 * (2 + len(access))]] == [
        *((name, 0) for name in (*access, "old")), ("look", 5000),
        *((name, 5000) for name in (*access, "old")), ("look", 10000),
    ]  # fmt: skip
    of_first = [addrs for _, now, addrs in events[: 2 + len(access)]]
    assert all(addrs == of_first[0] for addrs in of_first), "one sample, for all of it"


def test_without_preparations_addresses_are_picked_when_attributes_are_looked_at() -> None:
    fake = FakeMachine()
    damon, _ = started(fake, level="next", probes=[DamonProbe(1)])
    fake.clock.sleep_us(12_500)
    damon.stop()
    assert fake.phys.sampled == []
    assert len(fake.phys.probed) >= 2


@pytest.mark.parametrize("reference", [False, True])
def test_accesses_as_an_attribute_are_those_that_access_checks_find(reference: bool) -> None:
    """Both at once, on the same pages: the hits are the accesses, and what is idle is the rest."""
    sim = simulated(
        Area("hot", 8 * MIB), Area("cold", 24 * MIB), memory=64 * MIB,
        accesses=(Access("hot", 400_000.0, Pattern.RANDOM),),
    )  # fmt: skip
    probes = [_pgidle(), DamonProbe(filters=[DamonFilter(DamonFilterType.PGIDLE_SET, True, True)])]
    damon, ctx = started(sim, level="next", reference=reference, regions=[_ram(sim)], probes=probes)
    seen: list[tuple[int, int, int]] = []

    def look(ctx: DamonCtx) -> None:
        seen.extend((r.nr_accesses, r.probe_hits[0], r.probe_hits[1]) for r in ctx.targets[0].regions)

    damon.call(ctx, DamonCallControl(look, repeat=True))
    sim.clock.sleep_us(95_000)
    damon.stop()
    assert len(seen) > 100
    assert {accesses - hits for accesses, hits, _ in seen} == {0}
    assert max(accesses for accesses, _, _ in seen) >= 8
    assert max(idle for _, _, idle in seen) >= 18
    assert all(hits + idle <= 19 for _, hits, idle in seen)
    sim.close()


def test_accesses_can_be_monitored_by_attributes_only() -> None:
    """Weights turn access checks off; regions then separate by the probe that stands for them."""
    sim = simulated(
        Area("a", 12 * MIB), Area("hot", 12 * MIB), Area("b", 16 * MIB), memory=64 * MIB,
        accesses=(Access("hot", 2_000_000.0, Pattern.SEQUENTIAL),),
    )  # fmt: skip
    damon, ctx = started(sim, level="next", regions=[_ram(sim)], probes=[_pgidle(1)])
    sim.clock.sleep_us(5_000_000)
    rows = [(r.size, r.last_nr_accesses, r.last_probe_hits[0]) for r in ctx.targets[0].regions]
    damon.stop()
    assert {accesses for _, accesses, _ in rows} == {0}
    hot = sum(size for size, _, hits in rows if hits >= 18)
    assert hot == pytest.approx(12 * MIB, rel=0.05)
    assert sum(size for size, _, hits in rows if 2 < hits < 18) <= 0.05 * 12 * MIB
    sim.close()


def test_huge_pages_are_found_by_their_size() -> None:
    areas = Area("huge", 16 * MIB), Area("small", 16 * MIB, Kind.FILE)
    sim = simulated(*areas, memory=64 * MIB, thp="always")
    kind = DamonFilterType.HUGEPAGE_SIZE
    probe = DamonProbe(1, [DamonFilter(kind, True, True, range_min=2 * MIB, range_max=2 * MIB)])
    damon, ctx = started(sim, level="next", regions=[_ram(sim)], probes=[probe])
    sim.clock.sleep_us(5_000_000)
    found = sum(r.size for r in ctx.targets[0].regions if r.last_probe_hits[0] >= 18)
    damon.stop()
    assert sim.counters()["nr_anon_transparent_hugepages"] == 8
    assert found == pytest.approx(16 * MIB, rel=0.06)
    sim.close()


def test_a_scheme_acts_on_what_its_attributes_weigh() -> None:
    """Anonymous memory that is idle is paged out: neither what is in use, nor the file, of as many hits."""
    areas = Area("cold", 12 * MIB), Area("hot", 8 * MIB), Area("file", 12 * MIB, Kind.FILE)
    sim = simulated(*areas, memory=64 * MIB, accesses=(Access("hot", 2_000_000.0, Pattern.SEQUENTIAL),))
    idle = DamonFilter(DamonFilterType.PGIDLE_SET, True, True)
    anon = DamonFilter(DamonFilterType.ANON, False, False)
    scheme = Damos(DamosAccessPattern(min_age_region=5), DamosAction.PAGEOUT)
    scheme.add_filter(DamosFilter(DamosFilterType.PROBE_HITS_WSUM, True, True, range_min=18, range_max=20))
    damon, _ = started(
        sim, scheme, level="next", regions=[_ram(sim)], probes=[DamonProbe(1, [anon, idle], [DamonPrep()])]
    )
    sim.clock.sleep_us(10_000_000)
    damon.stop()
    left = {area.name: area.resident_bytes for area in sim.areas()}
    assert left["cold"] <= 0.1 * 12 * MIB
    assert left["hot"] == 8 * MIB
    assert left["file"] >= 0.95 * 12 * MIB
    sim.close()
