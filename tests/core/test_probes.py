# SPDX-License-Identifier: GPL-2.0-only
"""Probes and monitoring of attributes only: what is refused, commit, merge by sums, the loop (core 2.7, 3.5, 5.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core import Damon, commit_ctx, set_attrs
from damon.core import regions as adjust
from damon.core.kdamond import Kdamond
from damon.core.priority import left_window_bp
from damon.core.probes import damon_probe_hits_mvsum, damon_valid_probe_params
from damon.errors import InvalidInput
from damon.mm.sim import SimulatedMachine
from damon.model.arrays import FOLIO_ANON, RegionArray
from damon.model.attrs import U32_MAX, DamonAttrs
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonProbe, has_weights
from damon.model.scheme import Damos, DamosAction, DamosWatermarks, DamosWmarkMetric
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from damon.workload.model import Area, Kind
from tests.contexts import pair, source, started
from tests.fakes import FakeMachine, regions_of
from tests.mm.sim.machines import machine as simulated
from tests.regions import copied, region_arrays

PAGE, MIB = 4096, 1 << 20
ANON, MEMCG = DamonFilterType.ANON, DamonFilterType.MEMCG


def anon_probe(weight: int = 0, allow: bool = True) -> DamonProbe:
    return DamonProbe(weight, [DamonFilter(ANON, matching=True, allow=allow)])


def _ctx(regions: RegionArray, *weights: int, reference: bool = False) -> DamonCtx:
    probes = [DamonProbe(weight) for weight in weights]
    return DamonCtx(reference=reference, probes=probes, targets=[DamonTarget(regions=regions)])


# -- validation


@pytest.mark.parametrize(
    ("attrs", "weights", "wrong"),
    [
        (DamonAttrs(1000, 255_000), [1], ""),
        (DamonAttrs(1000, 255_999), [1], ""),
        (DamonAttrs(1000, 256_000), [1], "aggr_interval: 256000 us: "),
        (DamonAttrs(1000, 256_000), [0, 0], ""),  # without weights hits may wrap
        (DamonAttrs(0, 256), [0, 1], "aggr_interval: 256 us: "),
        (DamonAttrs(), [U32_MAX // 20], ""),
        (DamonAttrs(), [U32_MAX // 20 + 1], r"probes\[0\]\.weight: 214748365: "),
        (DamonAttrs(), [U32_MAX // 20 - 5, 3, 2], ""),
        (DamonAttrs(), [U32_MAX // 20 - 5, 3, 2, 1], r"probes\[3\]\.weight: 1: "),
        (DamonAttrs(), [0] * 5, "probes: 5: "),
    ],
)
def test_what_could_overflow_is_refused(attrs: DamonAttrs, weights: list[int], wrong: str) -> None:
    ctx = DamonCtx(attrs=attrs, probes=[DamonProbe(weight) for weight in weights])
    if not wrong:
        damon_valid_probe_params(ctx)
        return
    with pytest.raises(InvalidInput, match=wrong):
        damon_valid_probe_params(ctx)


def test_bad_probes_neither_start_nor_commit() -> None:
    damon = Damon(FakeMachine())
    dst, src = pair(damon)
    src.probes.append(DamonProbe(U32_MAX))
    with pytest.raises(InvalidInput, match=rf"^probes\[0\]\.weight: {U32_MAX}: "):
        damon.start([src])
    dst.probes.append(anon_probe(3))
    with pytest.raises(InvalidInput, match=rf"^probes\[0\]\.weight: {U32_MAX}: "):
        commit_ctx(dst, src)
    assert dst.probes == [anon_probe(3)]
    assert not dst.maybe_corrupted


def test_commit_is_by_position_and_keeps_the_hits() -> None:
    dst, src = pair()
    dst.probes += [anon_probe(3), DamonProbe(1, [DamonFilter(MEMCG, True, True, 5), DamonFilter(ANON, False)])]
    first = dst.probes[0]
    dst.targets.append(DamonTarget(regions=regions_of((0, PAGE))))
    dst.targets[0].regions[0].probe_hits[:] = [1, 2, 3, 4]
    src.targets.append(DamonTarget())
    src.probes += [DamonProbe(7, [DamonFilter(MEMCG, False, True, 9)]), anon_probe(), DamonProbe(2)]
    commit_ctx(dst, src)
    assert dst.probes == src.probes
    assert dst.probes[0] is first
    for ours, theirs in zip(dst.probes, src.probes, strict=True):
        assert ours is not theirs
        assert all(a is not b for a, b in zip(ours.filters, theirs.filters, strict=True))
    assert list(dst.targets[0].regions[0].probe_hits) == [1, 2, 3, 4]
    del src.probes[1:]
    commit_ctx(dst, src)
    assert dst.probes == [DamonProbe(7, [DamonFilter(MEMCG, False, True, 9)])]


# -- adjustment of regions


def _with_hits(*rows: tuple[int, int, list[int], list[int]]) -> RegionArray:
    regions = RegionArray((start, end) for start, end, _, _ in rows)
    for region, (_, _, now, last) in zip(regions, rows, strict=True):
        region.probe_hits[: len(now)] = [*now]
        region.last_probe_hits[: len(last)] = [*last]
    return regions


@pytest.mark.parametrize("reference", [False, True])
def test_merge_example_of_the_specification_with_hits(reference: bool) -> None:
    """Core 5.2's example once more, the counts now weighted sums: 3 * the first hit + 1 * the third."""
    rows = [(0, 100, 0), (100, 112, 0), (114, 122, 10), (122, 130, 10), (130, 156, 20), (156, 170, 30),
            (170, 184, 1), (184, 230, 2), (230, 10170, 5)]  # fmt: skip
    regions = _with_hits(*((start, end, [n // 3, 99, n % 3], []) for start, end, n in rows))
    for region, (_, _, n) in zip(regions, rows, strict=True):
        region.nr_accesses = n * 50 % 97  # of no interest
    adjust._merge_pass(_ctx(regions, 3, 0, 1, reference=reference), 9, 9999, False)
    assert regions.ranges() == [
        (0, 112), (114, 130), (130, 156), (156, 170), (170, 230), (230, 10170),
    ]  # fmt: skip


@pytest.mark.parametrize("reference", [False, True])
def test_merged_hits_are_floor_means_and_the_left_last_hits_stay(reference: bool) -> None:
    regions = _with_hits((0, 100, [10, 0, 255, 7], [1, 2, 3, 4]), (100, 400, [13, 255, 0, 7], [9, 9, 9, 9]))
    adjust._merge_pass(_ctx(regions, 1, reference=reference), 3, 1000, False)
    (region,) = regions
    assert list(region.probe_hits) == [12, 191, 63, 7]  # 12.25, 191.25, 63.75
    assert list(region.last_probe_hits) == [1, 2, 3, 4]


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(
    ("now", "last", "threshold", "age"),
    [(5, 5, 0, 8), (5, 3, 3, 0), (5, 3, 4, 8), (0, 0, 0, 8), (1, 0, 50, 0), (0, 1, 50, 0)],
)
def test_age_goes_by_the_weighted_sum(now: int, last: int, threshold: int, age: int, reference: bool) -> None:
    regions = _with_hits((0, 100, [now], [last]))
    regions[0].age, regions[0].nr_accesses = 7, 20
    adjust._merge_pass(_ctx(regions, 2, reference=reference), threshold, 1000, True)
    assert regions[0].age == age


@given(
    region_arrays(), st.lists(st.integers(0, U32_MAX), max_size=4), st.integers(0, U32_MAX), st.booleans(),
    st.lists(st.integers(0, 255), min_size=40, max_size=40),
)  # fmt: skip
def test_merge_native_equals_reference(
    regions: RegionArray, weights: list[int], threshold: int, age: bool, last: list[int]
) -> None:
    for index, region in enumerate(regions):
        region.last_probe_hits[:] = [last[index], last[-index], 0, 1]
    twin = copied(regions)
    adjust._merge_pass(_ctx(regions, *weights), threshold, 100 * PAGE, age)
    adjust._merge_pass(_ctx(twin, *weights, reference=True), threshold, 100 * PAGE, age)
    assert regions.snapshot() == twin.snapshot()


@pytest.mark.parametrize("reference", [False, True])
def test_repeated_merging_goes_by_the_weighted_sum_too(reference: bool) -> None:
    regions = _with_hits(*((n * PAGE, (n + 1) * PAGE, [n % 2 * 4], []) for n in range(40)))
    for region in regions:
        region.nr_accesses = region.start // PAGE % 3 * 20
    ctx = _ctx(regions, 2, reference=reference)
    ctx.attrs.max_nr_regions = 20
    adjust.kdamond_merge_regions(ctx, 0, 4 * PAGE)
    assert regions.nr == 10
    assert {region.probe_hits[0] for region in regions} == {1}  # 4 and 0: 2, then 1 with each next one


def test_a_cut_copies_hits() -> None:
    regions = _with_hits((0, 10 * PAGE, [1, 2, 3, 4], [5, 6, 7, 8]))
    regions.split_at(0, PAGE)
    adjust._split_target(_ctx(regions), regions, 2)
    assert regions.nr > 2
    assert {(*region.probe_hits, *region.last_probe_hits) for region in regions} == {tuple(range(1, 9))}


@pytest.mark.parametrize("reference", [False, True])
def test_reset_moves_hits(reference: bool) -> None:
    regions = _with_hits((0, PAGE, [1, 2, 3, 4], [9, 9, 9, 9]))
    adjust.kdamond_reset_aggregated(_ctx(regions, reference=reference))
    assert (list(regions[0].probe_hits), list(regions[0].last_probe_hits)) == ([0] * 4, [1, 2, 3, 4])


@pytest.mark.parametrize(
    ("nr", "last", "left", "window", "value"),
    [
        (0, 10, 20, 20, 10),
        (0, 10, 19, 20, 9),
        (3, 10, 13, 20, 9),
        (5, 8, 1, 20, 5),
        (7, 8, 0, 20, 7),
        (5, 9, 20, 20, 9),
    ],
)
def test_moving_sum_vectors(nr: int, last: int, left: int, window: int, value: int) -> None:
    """Core 4.2: probe hits use the formula of accesses."""
    ctx = DamonCtx(attrs=DamonAttrs(sample_interval=1, aggr_interval=window))
    ctx.passed_sample_intervals, ctx.next_aggregation_sis = 100, 100 + left
    (region,) = _with_hits((0, PAGE, [0, nr], [0, last]))
    assert damon_probe_hits_mvsum(region, 1, left_window_bp(ctx)) == value


def test_new_attributes_convert_hits() -> None:
    """Core 7: the last window's are converted, those of the window under way are thrown away with it."""
    ctx = _ctx(_with_hits((0, PAGE, [3, 20], [10, 7])), 0, 0)
    (region,) = ctx.targets[0].regions
    ctx.next_aggregation_sis = 20
    set_attrs(ctx, DamonAttrs(aggr_interval=200_000))
    assert (list(region.probe_hits[:2]), list(region.last_probe_hits[:2])) == ([0, 0], [20, 14])
    region.probe_hits[:2] = [10, 40]
    ctx.passed_sample_intervals = 40
    set_attrs(ctx, DamonAttrs())
    assert (list(region.probe_hits[:2]), list(region.last_probe_hits[:2])) == ([5, 20], [10, 7])


@pytest.mark.parametrize("aggregating", [False, True])
def test_what_removed_probes_counted_is_not_converted(aggregating: bool) -> None:
    ctx = _ctx(_with_hits((0, PAGE, [3, 20, 5, 6], [10, 7, 8, 9])), 0)
    ctx.next_aggregation_sis = int(aggregating)
    set_attrs(ctx, DamonAttrs(aggr_interval=200_000))
    (region,) = ctx.targets[0].regions
    assert list(region.probe_hits) == [0 if aggregating else 6, 20, 5, 6]
    assert list(region.last_probe_hits) == [20, 7, 8, 9]


# -- the loop


@pytest.mark.parametrize("reference", [False, True])
def test_weights_committed_while_watermarks_wait_are_merged_by_at_once(
    monkeypatch: pytest.MonkeyPatch, reference: bool
) -> None:
    """Core 3.5: what is sampled is decided before the wait, what regions are told apart by when they are merged."""
    fake = FakeMachine(lambda addr: False)
    fake.phys.pages = dict.fromkeys(range(2), FOLIO_ANON)
    fake.free = (950, 1000)
    ctx = _ctx(regions_of(*((n * 2 * PAGE, (n + 1) * 2 * PAGE) for n in range(6))), reference=reference)
    ctx.machine, ctx.ops, ctx.attrs = fake, Paddr(), DamonAttrs(5000, 5000, min_nr_regions=3)
    ctx.schemes.append(Damos(wmarks=DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 10_000, 900, 800, 100)))
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


# -- on the simulated machine


def _simulated(reference: bool = False) -> tuple[SimulatedMachine, list[tuple[int, int, bool]]]:
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
    """The share of page frames in ``[start, end)`` whose region says of them what is true."""
    right = 0
    for region in ctx.targets[0].regions:
        says = region.last_probe_hits[0] >= 10
        pages = range(max(region.start // PAGE, start), min(region.end // PAGE, end))
        right += sum((pfn in truth) == says for pfn in pages)
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
