# SPDX-License-Identifier: GPL-2.0-only
"""paddr: the walk over folios, filters, actions (ops 2.5, damos 7)."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.core.damos_filter import damos_set_filters_default_reject
from damon.model.arrays import FOLIO_ACTIVE, FOLIO_ANON, FOLIO_MAPPED, FOLIO_PASS, FolioArray
from damon.model.context import DamonCtx
from damon.model.operations import Score
from damon.model.scheme import CORE_FILTER_TYPES, Damos, DamosAction, DamosFilter, DamosFilterType
from damon.model.target import DamonTarget
from damon.ops.folio_filter import Native, Reference, filter_folios
from damon.ops.paddr import Paddr
from tests.fakes import FakeMachine, FakeSpace, regions_of

PAGE = 4096


def _apply(
    scheme: Damos, pages: dict[int, int], young: set[int], nr: int = 8, unit: int = 1
) -> tuple[FakeSpace, tuple[int, int]]:
    machine = FakeMachine()
    machine.phys.pages = dict(pages)
    machine.phys.young_pages = young
    ctx = DamonCtx(machine=machine, ops=Paddr(), targets=[DamonTarget()], addr_unit=unit)
    damos_set_filters_default_reject(scheme)
    region = regions_of((0, nr * PAGE // unit))[0]
    return machine.phys, ctx.ops.apply_scheme(ctx, ctx.targets[0], region, scheme)


def _filter(kind: str, matching: bool, allow: bool, **args: int) -> DamosFilter:
    return DamosFilter(DamosFilterType(kind), matching, allow, **args)


def test_pageout_leaves_recently_accessed_folios_and_makes_them_old() -> None:
    """Ops 2.5: the default young filter; what it met is old afterwards, and goes the next time."""
    young = {1, 2}
    phys, result = _apply(Damos(action=DamosAction.PAGEOUT), dict.fromkeys(range(4), FOLIO_ANON), young)
    assert phys.paged_out == [0, 3]
    assert result == (2 * PAGE, 2 * PAGE)
    assert not young


def test_a_young_filter_of_its_own_replaces_the_default() -> None:
    scheme = Damos(action=DamosAction.PAGEOUT)
    scheme.add_filter(_filter("young", True, True))
    phys, _ = _apply(scheme, dict.fromkeys(range(4), 0), {1, 2})
    assert phys.paged_out == [1, 2]


def test_an_earlier_allow_wins_over_the_default_young_filter() -> None:
    scheme = Damos(action=DamosAction.PAGEOUT)
    scheme.add_filter(_filter("anon", True, True))
    scheme.add_filter(_filter("active", True, False))
    young = {0, 2}
    phys, _ = _apply(scheme, {0: FOLIO_ANON, 1: FOLIO_ACTIVE, 2: 0, 3: 0}, young)
    assert phys.paged_out == [0, 3]
    assert young == {0}  # the first was not queried


def test_core_allow_bypasses_the_folio_filters() -> None:
    scheme = Damos(action=DamosAction.PAGEOUT, core_allowed=True)
    scheme.add_filter(_filter("anon", True, False))
    phys, _ = _apply(scheme, {0: FOLIO_ANON, 1: 0}, {1})
    assert phys.paged_out == [0, 1]
    scheme = Damos(action=DamosAction.LRU_PRIO, core_allowed=True)
    scheme.add_filter(_filter("anon", True, True))  # without the core's word all others would be rejected
    assert _apply(scheme, {0: FOLIO_ANON, 1: 0}, set())[0].activated == [0, 1]


@pytest.mark.parametrize(
    ("kind", "args", "passing"),
    [
        ("anon", {}, [0, 3]),
        ("active", {}, [1, 3]),
        ("unmapped", {}, [0, 1]),
        ("hugepage_size", {"sz_min": PAGE, "sz_max": PAGE}, [0, 1, 2, 3]),
        ("hugepage_size", {"sz_min": PAGE + 1, "sz_max": 1 << 21}, []),
    ],
)
def test_filter_types(kind: str, args: dict[str, int], passing: list[int]) -> None:
    pages = {0: FOLIO_ANON, 1: FOLIO_ACTIVE, 2: FOLIO_MAPPED, 3: FOLIO_ANON | FOLIO_ACTIVE | FOLIO_MAPPED}
    rest = [n for n in pages if n not in passing]
    for matching, allow, expected in ((True, True, passing), (True, False, rest), (False, True, rest)):
        scheme = Damos(action=DamosAction.LRU_PRIO)
        scheme.add_filter(_filter(kind, matching, allow, **args))
        phys, result = _apply(scheme, pages, set())
        assert phys.activated == expected
        assert result == (len(expected) * PAGE, len(expected) * PAGE)


def test_stat_counts_what_passes_only_with_filters() -> None:
    assert _apply(Damos(), {0: 0, 1: FOLIO_ANON}, set())[1] == (0, 0)
    scheme = Damos()
    scheme.add_filter(_filter("anon", True, True))
    assert _apply(scheme, {0: 0, 1: FOLIO_ANON}, set())[1] == (0, PAGE)


@pytest.mark.parametrize("action", ["willneed", "cold", "hugepage", "nohugepage", "collapse"])
def test_unsupported_actions_apply_nothing(action: str) -> None:
    assert _apply(Damos(action=DamosAction(action)), {0: 0}, set())[1] == (0, 0)


def test_sizes_are_in_core_address_units() -> None:
    phys, result = _apply(Damos(action=DamosAction.LRU_DEPRIO), dict.fromkeys(range(10), 0), set(), nr=8, unit=4)
    assert phys.deactivated == list(range(8))
    assert result == (8 * PAGE // 4, 8 * PAGE // 4)


def test_scores() -> None:
    kinds = {action: Paddr().score(Damos(action=action)) for action in DamosAction}
    assert {a.value for a, kind in kinds.items() if kind is Score.COLD} == {"pageout", "lru_deprio", "migrate_cold"}
    assert {a.value for a, kind in kinds.items() if kind is Score.HOT} == {"lru_prio", "migrate_hot"}


class OneHuge(FakeSpace):
    """A folio of 8 pages at 0, then nothing until one of one page at 12."""

    def folios(self, start: int, end: int) -> Iterator[FolioArray]:
        batch = FolioArray(2)
        for pfn, nr_pages in ((0, 8), (12, 1)):
            if start < (pfn + nr_pages) * PAGE and pfn * PAGE < end:
                batch.rows[batch.nr].pfn, batch.rows[batch.nr].nr_pages = pfn, nr_pages
                batch.nr += 1
        yield batch


def test_a_folio_that_reaches_over_regions_is_met_once() -> None:
    """Ops 2.5: last_applied is the folio of the region's last step, also where it was skipped."""
    machine = FakeMachine()
    machine.phys = OneHuge()
    ctx = DamonCtx(machine=machine, ops=Paddr(), targets=[DamonTarget()])
    scheme = Damos(action=DamosAction.LRU_PRIO)
    passed, last = [], []
    for start, end in ((0, 2), (2, 4), (4, 6), (6, 10), (10, 13), (13, 14)):
        region = regions_of((start * PAGE, end * PAGE))[0]
        passed.append(ctx.ops.apply_scheme(ctx, ctx.targets[0], region, scheme)[0] // PAGE)
        last.append(scheme.last_applied)
    assert passed == [1, 0, 0, 0, 1, 0]  # folios
    assert last == [0, 0, 0, None, 12, None]
    machine.phys.activated.clear()
    region = regions_of((2 * PAGE, 4 * PAGE))[0]
    assert ctx.ops.apply_scheme(ctx, ctx.targets[0], region, scheme)[0] == PAGE  # another pass


filters = st.lists(
    st.builds(
        DamosFilter,
        st.sampled_from([t for t in DamosFilterType if t not in CORE_FILTER_TYPES]),
        st.booleans(), st.booleans(), memcg_id=st.integers(0, 2), sz_min=st.integers(0, 9000),
        sz_max=st.integers(9000, 90000),
    ),
    max_size=4,
)  # fmt: skip
folios = st.lists(
    st.tuples(st.integers(0, 2), st.integers(1, 20), st.integers(0, 15), st.booleans(), st.booleans()), max_size=20
)


@given(folios, filters, st.booleans())
def test_native_filter_equals_reference(
    rows: list[tuple[int, int, int, bool, bool]], chain: list[DamosFilter], reject: bool
) -> None:
    results = []
    for steps in (Native, Reference):
        phys = FakeSpace()
        batch = FolioArray(len(rows))
        for pfn, (memcg, nr_pages, flags, young, stale) in enumerate(rows):
            folio = batch.rows[pfn]
            folio.pfn, folio.memcg, folio.nr_pages = pfn, memcg, nr_pages
            folio.flags = flags | (FOLIO_PASS if stale else 0)
            if young:
                phys.young_pages.add(pfn)
        batch.nr = len(rows)
        pages = filter_folios(phys, batch, chain, reject, steps)
        results.append((pages, bytes(batch.rows), phys.young_pages))
        assert pages == sum(f.nr_pages for f in batch if f.flags & FOLIO_PASS)
    assert results[0] == results[1]


@given(folios, filters, st.booleans())
def test_first_hit_decides(
    rows: list[tuple[int, int, int, bool, bool]], chain: list[DamosFilter], reject: bool
) -> None:
    """Written from damos 7.2 alone, folio by folio."""
    phys = FakeSpace()
    batch = FolioArray(len(rows))
    expected = []
    for pfn, (memcg, nr_pages, flags, young, _) in enumerate(rows):
        folio = batch.rows[pfn]
        folio.pfn, folio.memcg, folio.nr_pages, folio.flags = pfn, memcg, nr_pages, flags
        if young:
            phys.young_pages.add(pfn)
        verdict = not reject
        for wanted in chain:
            test = {
                "anon": flags & FOLIO_ANON, "active": flags & FOLIO_ACTIVE, "unmapped": not flags & FOLIO_MAPPED,
                "memcg": memcg and memcg == wanted.memcg_id, "young": young,
                "hugepage_size": wanted.sz_min <= nr_pages * PAGE <= wanted.sz_max,
            }[wanted.type.value]  # fmt: skip
            if wanted.type is DamosFilterType.YOUNG:
                young = False  # met: old from here on
            if bool(test) == wanted.matching:
                verdict = wanted.allow
                break
        expected.append(verdict)
    batch.nr = len(rows)
    filter_folios(phys, batch, chain, reject)
    assert [bool(folio.flags & FOLIO_PASS) for folio in batch] == expected
