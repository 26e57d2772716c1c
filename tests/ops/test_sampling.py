# SPDX-License-Identifier: GPL-2.0-only
"""Sampling: addresses inside of their regions, counts, native against reference."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from damon.model.arrays import RegionArray
from damon.model.context import DamonCtx
from damon.model.random import Random
from damon.model.target import DamonTarget
from damon.ops import sampling
from tests.fakes import FakeSpace
from tests.regions import copied, region_arrays


@given(region_arrays(), st.integers(0, 2**64 - 1), st.sampled_from([1, 2, 4096]))
def test_native_equals_reference(regions: RegionArray, seed: int, unit: int) -> None:
    results = []
    for use_reference in (False, True):
        space = FakeSpace(lambda addr: addr // 4096 % 3 == 0)
        target = DamonTarget(regions=copied(regions))
        ctx = DamonCtx(rnd=Random(seed), reference=use_reference, targets=[target])
        sampling.prepare(ctx, target, space, unit)
        most = sampling.check(ctx, target, space)
        results.append((most, target.regions.snapshot(), space.sampled, ctx.rnd.state))
        assert all(r.start <= r.sampling_addr < r.end for r in target.regions)
        assert space.sampled == [[r.sampling_addr * unit for r in target.regions]]
        assert most == max((r.nr_accesses for r in target.regions), default=0)
    assert results[0] == results[1]
