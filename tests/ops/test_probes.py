# SPDX-License-Identifier: GPL-2.0-only
"""Probes on sampled pages: which filter decides, what is counted, native against reference (ops 2.4)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.model.arrays import FOLIO_ANON, MAX_PROBES, RegionArray
from damon.model.context import DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe
from damon.model.random import Random
from damon.model.target import DamonTarget
from damon.ops import sampling
from damon.ops.paddr import Paddr
from damon.ops.vaddr import Fvaddr, Vaddr
from tests.fakes import FakeMachine, fake, regions_of
from tests.regions import copied, region_arrays

PAGE = 4096
ANON, MEMCG, SIZE = DamonFilterType.ANON, DamonFilterType.MEMCG, DamonFilterType.HUGEPAGE_SIZE
UNSET, SET = DamonFilterType.PGIDLE_UNSET, DamonFilterType.PGIDLE_SET
#: Page frame -> flags, and the cgroup: 0 and 1 anonymous, 1 and 2 charged to cgroup 7, 3 to 8; 4 has no folio.
PAGES = {0: FOLIO_ANON, 1: FOLIO_ANON, 2: 0, 3: 0}
CHARGED = {1: 7, 2: 7, 3: 8, 4: 7}
#: Of these the first two are in a folio of 16 KiB; 1, 3 and 4 were accessed.
SIZES, ACCESSED = {0: 4, 1: 4}, {1, 3, 4}


def _ctx(regions: RegionArray, *probes: DamonProbe, reference: bool = False, **values: Any) -> DamonCtx:
    machine = FakeMachine()
    machine.phys.pages, machine.phys.charged = dict(PAGES), dict(CHARGED)
    machine.phys.sizes, machine.phys.young_pages = dict(SIZES), set(ACCESSED)
    return DamonCtx(
        machine=machine, ops=Paddr(), rnd=Random(4), reference=reference, targets=[DamonTarget(regions=regions)],
        probes=[*probes], **values,
    )  # fmt: skip


def _hits(*filters: DamonFilter, reference: bool) -> list[int]:
    """The page frames of 0..4 that pass."""
    regions = RegionArray((n * PAGE, (n + 1) * PAGE) for n in range(5))
    ctx = _ctx(regions, DamonProbe(filters=list(filters)), reference=reference)
    assert ctx.ops.apply_probes(ctx, True, False) == 0
    return [n for n, region in enumerate(regions) if region.probe_hits[0]]


@pytest.mark.parametrize("reference", [False, True])
@pytest.mark.parametrize(
    ("filters", "hits"),
    [
        ([], [0, 1, 2, 3, 4]),  # no filter: always
        ([(ANON, True, True)], [0, 1]),
        ([(ANON, True, False)], [2, 3, 4]),
        ([(ANON, False, True)], [2, 3, 4]),  # no folio is not anonymous either
        ([(ANON, False, False)], [0, 1]),
        ([(MEMCG, True, True)], [1, 2]),
        ([(MEMCG, False, True)], [0, 3, 4]),
        ([(ANON, True, True), (MEMCG, True, True)], [0, 1, 2]),  # one or the other
        ([(ANON, False, False), (MEMCG, True, True)], [1]),  # both
        ([(ANON, True, True), (MEMCG, True, False)], [0, 1, 3, 4]),  # the first hit decides, the last one's opposite
        ([(ANON, True, False), (MEMCG, True, True)], [2]),
        ([(MEMCG, True, False), (ANON, True, True)], [0]),
        ([(UNSET, True, True)], [1, 3]),
        ([(UNSET, False, True)], [0, 2, 4]),  # no folio was not accessed,
        ([(SET, True, True)], [0, 2]),  # and is not idle either
        ([(SET, False, True)], [1, 3, 4]),
        ([(SET, True, False), (ANON, True, True)], [1]),
        ([(SIZE, True, True)], [0, 1]),  # of 16 KiB
        ([(SIZE, False, True)], [2, 3, 4]),
        ([(SIZE, True, False), (UNSET, True, True)], [3]),
    ],
)
def test_the_first_hit_decides_else_the_opposite_of_the_last(
    filters: list[tuple[DamonFilterType, bool, bool]], hits: list[int], reference: bool
) -> None:
    chain = [DamonFilter(type_, matching, allow, 7, 4 * PAGE, 4 * PAGE) for type_, matching, allow in filters]
    assert _hits(*chain, reference=reference) == hits


def test_a_cgroup_number_of_zero_is_no_cgroup() -> None:
    for reference in (False, True):
        assert _hits(DamonFilter(MEMCG, True, True, memcg_id=0), reference=reference) == []


@pytest.mark.parametrize("reference", [False, True])
def test_hits_of_each_probe_are_counted_and_wrap(reference: bool) -> None:
    regions = regions_of((0, PAGE), (2 * PAGE, 3 * PAGE))
    ctx = _ctx(
        regions,
        DamonProbe(filters=[DamonFilter(ANON, True, True)]),
        DamonProbe(),
        DamonProbe(filters=[DamonFilter(ANON, False, True)]),
        reference=reference,
    )
    regions[0].probe_hits[0] = 254
    for _ in range(3):
        ctx.ops.apply_probes(ctx, True, False)
    assert [list(region.probe_hits) for region in regions] == [[1, 3, 0, 0], [0, 3, 3, 0]]


@pytest.mark.parametrize("reference", [False, True])
def test_the_highest_weighted_sum_of_all_targets_is_returned_when_wanted(reference: bool) -> None:
    ctx = _ctx(
        regions_of((0, PAGE), (PAGE, 2 * PAGE)),
        DamonProbe(3, [DamonFilter(ANON, True, True)]),
        DamonProbe(10, [DamonFilter(MEMCG, True, True, memcg_id=7)]),
        reference=reference,
    )
    ctx.targets.append(DamonTarget(regions=regions_of((2 * PAGE, 4 * PAGE))))
    assert [ctx.ops.apply_probes(ctx, True, True) for _ in range(3)] == [13, 26, 39]
    assert ctx.ops.apply_probes(ctx, True, False) == 0


def test_addresses_are_picked_only_when_asked_else_those_of_the_access_check_are_used() -> None:
    ctx = _ctx(regions_of((0, 4 * PAGE)), DamonProbe(), addr_unit=2)
    phys, target = fake(ctx.machine).phys, ctx.targets[0]
    sampling.prepare(ctx, target, phys, ctx.addr_unit)
    state = ctx.rnd.state
    ctx.ops.apply_probes(ctx, False, False)
    assert phys.probed == phys.sampled == [[target.regions[0].sampling_addr * 2]]
    assert ctx.rnd.state == state
    ctx.ops.apply_probes(ctx, True, False)
    assert phys.probed[1] == [target.regions[0].sampling_addr * 2] != phys.probed[0]
    assert len(phys.sampled) == 1  # nothing is made old for attributes


@pytest.mark.parametrize("reference", [False, True])
def test_preparations_make_the_sampled_pages_old(reference: bool) -> None:
    """For each of them, whichever probe it belongs to; addresses are picked here when no access check did."""
    prep = DamonPrep("set_pgidle")  # type: ignore[arg-type]
    ctx = _ctx(
        regions_of((0, 2 * PAGE), (2 * PAGE, 4 * PAGE)), DamonProbe(preps=[prep]), DamonProbe(), DamonProbe(1),
        addr_unit=2, reference=reference,
    )  # fmt: skip
    phys, regions = fake(ctx.machine).phys, ctx.targets[0].regions
    sampling.prepare(ctx, ctx.targets[0], phys, ctx.addr_unit)
    checked = ctx.targets[0].batch
    ctx.ops.prep_probes(ctx, False)
    assert phys.sampled == [[region.sampling_addr * 2 for region in regions]] * 2
    assert ctx.targets[0].batch is checked, "which the access check asks about"
    ctx.ops.prep_probes(ctx, True)
    assert phys.sampled[2] == [region.sampling_addr * 2 for region in regions] != phys.sampled[1]
    ctx.probes[2].preps.append(DamonPrep())
    ctx.ops.prep_probes(ctx, False)
    assert phys.sampled[3:] == [phys.sampled[2]] * 2
    ctx.ops.apply_probes(ctx, False, True)
    assert phys.probed == [phys.sampled[2]]


@pytest.mark.parametrize("ops", [Vaddr(), Fvaddr()])
def test_only_paddr_runs_probes(ops: Fvaddr) -> None:
    ctx = _ctx(regions_of((0, PAGE)), DamonProbe(1))
    ctx.ops = ops
    assert ctx.ops.apply_probes(ctx, True, True) == 0
    assert list(ctx.targets[0].regions[0].probe_hits) == [0] * MAX_PROBES


chains = st.lists(
    st.builds(
        DamonProbe,
        st.integers(0, 2**32 - 1),
        st.lists(
            st.builds(
                DamonFilter,
                st.sampled_from(DamonFilterType),
                st.booleans(),
                st.booleans(),
                memcg_id=st.integers(0, 2),
                range_min=st.integers(0, 4) | st.just(PAGE),
                range_max=st.sampled_from([PAGE, 2 * PAGE, 2**64 - 1]),
            ),
            max_size=4,
        ),
        st.lists(st.builds(DamonPrep), max_size=2),
    ),
    max_size=MAX_PROBES,
)
#: Flags, cgroup, pages of the folio, accessed.
memory = st.dictionaries(
    st.integers(0, 200), st.tuples(st.integers(0, 15), st.integers(0, 2), st.integers(1, 3), st.booleans())
)


@given(region_arrays(most=10), chains, memory, st.booleans(), st.booleans(), st.integers(0, 2**64 - 1))
def test_native_equals_reference(
    regions: RegionArray,
    probes: list[DamonProbe],
    pages: dict[int, tuple[int, int, int, bool]],
    set_samples: bool,
    wsum: bool,
    seed: int,
) -> None:
    results = []
    for reference in (False, True):
        machine = FakeMachine()
        machine.phys.pages = {pfn: page[0] for pfn, page in pages.items()}
        machine.phys.charged = {pfn: page[1] for pfn, page in pages.items()}
        machine.phys.sizes = {pfn: page[2] for pfn, page in pages.items()}
        machine.phys.young_pages = {pfn for pfn, page in pages.items() if page[3]}
        ctx = DamonCtx(machine=machine, ops=Paddr(), rnd=Random(seed), reference=reference, probes=probes)
        ctx.targets += [DamonTarget(regions=copied(regions)), DamonTarget(regions=copied(regions))]
        for target in ctx.targets:
            sampling.prepare(ctx, target, machine.phys)
        ctx.ops.prep_probes(ctx, set_samples)
        highest = [ctx.ops.apply_probes(ctx, set_samples, wsum) for _ in range(3)]
        rows = [target.regions.snapshot() for target in ctx.targets]
        results.append((highest, rows, machine.phys.probed, machine.phys.sampled, ctx.rnd.state))
        if not wsum:
            assert highest == [0, 0, 0]
    assert results[0] == results[1]


@given(chains, st.booleans(), st.integers(0, 2), st.integers(1, 3), st.booleans(), st.booleans())
def test_written_from_the_text(
    probes: list[DamonProbe], anon: bool, memcg: int, size: int, accessed: bool, there: bool
) -> None:
    """Ops 2.4 once more, filter by filter."""
    machine = FakeMachine()
    if there:
        machine.phys.pages[0] = FOLIO_ANON if anon else 0
        machine.phys.charged[0] = memcg
        machine.phys.sizes[0] = size
    machine.phys.young_pages = {0} if accessed else set()
    ctx = DamonCtx(machine=machine, ops=Paddr(), probes=probes)
    regions = regions_of((0, PAGE))
    ctx.targets.append(DamonTarget(regions=regions))
    ctx.ops.apply_probes(ctx, True, False)
    tests_of: dict[DamonFilterType, Callable[[DamonFilter], bool]] = {
        ANON: lambda f: anon, MEMCG: lambda f: memcg != 0 and memcg == f.memcg_id, UNSET: lambda f: accessed,
        SET: lambda f: not accessed, SIZE: lambda f: f.range_min <= size * PAGE <= f.range_max,
    }  # fmt: skip
    for index, probe in enumerate(probes):
        tests = [there and tests_of[f.type](f) for f in probe.filters]
        deciding = [f.allow for f, test in zip(probe.filters, tests, strict=True) if test == f.matching]
        expected = deciding[0] if deciding else not probe.filters[-1].allow if probe.filters else True
        assert regions[0].probe_hits[index] == expected
