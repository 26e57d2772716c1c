# SPDX-License-Identifier: GPL-2.0-only
"""Results that are kept for later: the same by C and by Python, in whichever batches they are read."""

from __future__ import annotations

from array import array

import pytest

from damon.core import Damon, set_attrs, set_regions, system_ram_region
from damon.core.results import ACT, REGION, SCHEME, Head, Result, ResultsLog, split
from damon.mm.sim import SimulatedMachine
from damon.model.attrs import ULONG_MAX, DamonAttrs
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosQuota, DamosWatermarks, DamosWmarkMetric
from damon.model.target import DamonTarget
from damon.workload.load import load_workload


def _kept(seconds: float, *, reference: bool = False, acts: list[int] | None = None, **options: object) -> list[Result]:
    """The results of a reclaiming context, with all regions; what it tried is added to ``acts``."""
    with SimulatedMachine(load_workload("hot-cold"), 3) as machine:
        damon = Damon(machine, seed=3, reference=reference)
        ctx = damon.new_ctx()
        damon.select_ops(ctx, "paddr")
        set_attrs(ctx, DamonAttrs(5000, 100_000, 1_000_000, 10, 100))
        ctx.targets.append(DamonTarget())
        set_regions(ctx.targets[0], [system_ram_region(machine, 0, 0)], ctx.min_region_sz)
        pattern = DamosAccessPattern(4096, ULONG_MAX, 0, 0, 10, 1 << 31)
        quota = DamosQuota(sz=16 << 20, reset_interval=1000, weight_age=1)
        ctx.schemes.append(Damos(pattern=pattern, action=DamosAction.PAGEOUT, quota=quota))
        found: list[array[int]] = []
        reader = None if acts is None else acts.extend
        log = ctx.results = ResultsLog(found.append, regions=True, acts=reader, **options)  # type: ignore[arg-type]
        damon.start([ctx])
        machine.clock.sleep_us(round(seconds * 1e6))
        log.flush()
        damon.stop()
    return [result for words in found for result in split(words)]


def _plain(results: list[Result]) -> list[object]:
    return [(list(one.head), list(map(list, one.schemes)), list(map(list, one.regions))) for one in results]


def test_c_and_python_keep_the_same() -> None:
    native, reference = _kept(8), _kept(8, reference=True)
    assert len(native) == 79
    assert _plain(native) == _plain(reference)
    assert native[-1].schemes[0][SCHEME.index("sz_applied")] > 0


@pytest.mark.parametrize("capacity", [len(ACT), 300, 1 << 17])
def test_c_and_python_keep_the_same_attempts(capacity: int) -> None:
    native: list[int] = []
    reference: list[int] = []
    results = _kept(8, acts=native, capacity=capacity)
    assert _plain(results) == _plain(_kept(8, acts=reference, reference=True))
    assert native == reference
    times, applied = native[0 :: len(ACT)], native[ACT.index("applied_bytes") :: len(ACT)]
    assert times == sorted(times)
    assert sum(applied) >= results[-1].schemes[0][SCHEME.index("sz_applied")] > 0
    assert 0 in applied, "C has tried empty memory"


@pytest.mark.parametrize("capacity", [1, 500, 1 << 17])
def test_the_size_of_batches_changes_nothing(capacity: int) -> None:
    assert _plain(_kept(3, capacity=capacity)) == _plain(_kept(3))


def test_an_interval_between_results() -> None:
    every = [one.head[Head.TIME] // 10**9 for one in _kept(5, every_ns=10**9)]
    assert every == sorted(set(every))
    assert len(every) >= 4


def test_regions_cover_the_memory() -> None:
    for result in _kept(3):
        (words,) = result.regions
        assert len(words) == len(REGION) * result.head[Head.NR_REGIONS]
        starts, ends = list(words[0::4]), list(words[1::4])
        assert starts[1:] == ends[:-1]
        accessed = sum(end - start for start, end, nr in zip(starts, ends, words[2::4], strict=True) if nr)
        assert accessed == result.head[Head.ACCESSED]


def test_results_while_watermarks_keep_a_context_waiting() -> None:
    with SimulatedMachine(load_workload("hot-cold"), 1) as machine:
        damon = Damon(machine)
        ctx = damon.new_ctx()
        damon.select_ops(ctx, "paddr")
        ctx.targets.append(DamonTarget())
        set_regions(ctx.targets[0], [system_ram_region(machine, 0, 0)], ctx.min_region_sz)
        marks = DamosWatermarks(DamosWmarkMetric.FREE_MEM_RATE, 1_000_000, 5, 4, 3)
        ctx.schemes.append(Damos(action=DamosAction.STAT, wmarks=marks))
        found: list[array[int]] = []
        log = ctx.results = ResultsLog(found.append, regions=True)
        damon.start([ctx])
        machine.clock.sleep_us(5_500_000)
        log.flush()
        damon.stop()
    results = [result for words in found for result in split(words)]
    assert len(results) == 5
    assert all(result.schemes[0][SCHEME.index("active")] == 0 for result in results)
    assert not any(map(len, (result.regions[0] for result in results)))
