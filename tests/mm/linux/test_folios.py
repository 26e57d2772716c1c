# SPDX-License-Identifier: GPL-2.0-only
"""Folios of a range, their accessed state, the reverse map and the pages of an action, on made-up kernels."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from damon.mm.linux import native
from damon.mm.linux.native import Key, Result
from damon.mm.linux.physical import LinuxPhysicalSpace
from damon.mm.linux.rmap import ReverseMap
from damon.model.arrays import (
    FOLIO_ACTIVE,
    FOLIO_ANON,
    FOLIO_DECIDED,
    FOLIO_MAPPED,
    FOLIO_PASS,
    FOLIO_UNEVICTABLE,
    FOLIO_YOUNG,
    U64,
    Buffer,
    FolioArray,
)
from damon.model.context import DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonPrep, DamonProbe
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from tests.buffers import addresses
from tests.fakes import FakeMachine, regions_of
from tests.mm.linux.dictated import ANON, PHASES, Block, folio_at, memory, page_flags
from tests.mm.linux.fake import WANTED, FakeKernel, batch, present, write_u64
from tests.mm.linux.golden import fake_kernel, row, walk
from tests.page_flags import (
    KPF_ACTIVE,
    KPF_COMPOUND_HEAD,
    KPF_COMPOUND_TAIL,
    KPF_LRU,
    KPF_MMAP,
    KPF_SWAPCACHE,
    KPF_UNEVICTABLE,
    KPF_UPTODATE,
    PM_PRESENT,
)


def memcg(block: Block, charged: bool) -> int:
    return 1000 + block.pfn // 3 if charged else 0


@settings(max_examples=200, phases=PHASES)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 9))
def test_folios_of_a_range(seed: int, charged: bool, capacity: int) -> None:
    """All of a folio whose page is in the range; it is mapped when any of its pages is."""
    rnd = Random(seed)
    blocks = memory(rnd)
    frames = blocks[-1].end
    start = rnd.randint(0, frames + 3)
    end = start + rnd.randint(0, frames + 20)
    expected = [
        (b.pfn, memcg(b, charged), 0, 0, b.nr, b.flags | (FOLIO_MAPPED if b.order and b.tails & KPF_MMAP else 0), -1)
        for b in blocks
        if b.folio and b.pfn < end and b.end > start
    ]
    with fake_kernel(page_flags(blocks), charged=charged) as kernel:
        assert walk(kernel, start, end, capacity) == expected
        space = LinuxPhysicalSpace(lambda: kernel.files)
        assert [row(f) for folios in space.folios(start << 12, end << 12) for f in folios] == expected


@settings(max_examples=100, phases=PHASES)
@given(st.integers(0, 2**32), st.booleans(), st.booleans())
def test_folios_at_addresses(seed: int, charged: bool, sizes: bool) -> None:
    """The folio behind each address, as its first page has it; its pages are counted only if that is asked for."""
    rnd = Random(seed)
    blocks = memory(rnd)
    pfns = [rnd.randrange(blocks[-1].end + 5) for _ in range(rnd.randint(0, 40))]
    with fake_kernel(page_flags(blocks), charged=charged) as kernel:
        out = FolioArray(max(1, len(pfns)))
        addrs = addresses([pfn * 4096 + rnd.randrange(4096) for pfn in pfns])
        LinuxPhysicalSpace(lambda: kernel.files).folios_at(addrs, len(pfns), out, sizes)
        found = [folio_at(blocks, pfn) for pfn in pfns]
        assert [row(folio) for folio in out] == [
            (b.pfn, memcg(b, charged), 0, 0, b.nr if sizes else 1, b.flags, -1) if b else (0,) * 7 for b in found
        ]


@pytest.mark.parametrize("reference", [False, True])
def test_probes_by_the_idle_bitmap(reference: bool) -> None:
    """Level next: a preparation makes the folio idle, by its first page; the probes see what was accessed since."""
    head, tail = ANON | KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL
    kinds = [DamonFilterType.PGIDLE_UNSET, DamonFilterType.PGIDLE_SET, DamonFilterType.HUGEPAGE_SIZE]
    probes = [
        DamonProbe(filters=[DamonFilter(kind, True, True, range_min=16384, range_max=16384)], preps=[DamonPrep()])
        for kind in kinds
    ]
    with fake_kernel([ANON, ANON, 0, 0, head, tail, tail, tail]) as kernel:
        machine = FakeMachine()
        machine.phys = LinuxPhysicalSpace(lambda: kernel.files)  # type: ignore[assignment]
        regions = regions_of(*((n << 12, n + 1 << 12) for n in (0, 1, 2, 6)))
        ctx = DamonCtx(machine, Paddr(), targets=[DamonTarget(regions=regions)], probes=probes, reference=reference)
        ctx.ops.prep_probes(ctx, True)
        assert kernel.bitmap() == [0, 1, 4]
        kernel.clear_idle([1, 4])
        ctx.ops.apply_probes(ctx, False, False)
        assert [list(region.probe_hits[:3]) for region in regions] == [[0, 1, 0], [1, 0, 0], [0, 0, 0], [1, 0, 1]]
        assert kernel.bitmap() == [0], "asking changes nothing"


def test_folio_of_a_middle_page_and_of_a_range_not_page_aligned() -> None:
    head, tail = ANON | KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL
    with fake_kernel([ANON, 0, 0, 0, head, tail, tail, tail, ANON]) as kernel:
        space = LinuxPhysicalSpace(lambda: kernel.files)
        found = [(f.pfn, f.nr_pages) for folios in space.folios((6 << 12) + 1, (8 << 12) + 1) for f in folios]
        assert found == [(4, 4), (8, 1)]
        assert [f.pfn for folios in space.folios(0, 1) for f in folios] == [0]
        assert list(space.folios(4096, 4096)) == []


def test_folio_across_the_read_buffer() -> None:
    """A huge page that begins near the end of one read and ends in the next."""
    head, tail = ANON | KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL
    flags = [ANON] * 4094 + [head] + [tail] * 511 + [ANON]
    with fake_kernel(flags) as kernel:
        space = LinuxPhysicalSpace(lambda: kernel.files)
        found = [(f.pfn, f.nr_pages) for folios in space.folios(0, len(flags) << 12) for f in folios]
        assert found[-2:] == [(4094, 512), (4606, 1)]
        assert len(found) == 4096


def test_flags_of_folios() -> None:
    with fake_kernel([ANON | KPF_ACTIVE, KPF_LRU, KPF_LRU | KPF_UNEVICTABLE | KPF_MMAP]) as kernel:
        space = LinuxPhysicalSpace(lambda: kernel.files)
        flags = [f.flags for folios in space.folios(0, 3 << 12) for f in folios]
        assert flags == [FOLIO_ANON | FOLIO_ACTIVE | FOLIO_MAPPED, 0, FOLIO_UNEVICTABLE | FOLIO_MAPPED]


def test_folio_is_mapped_when_any_of_its_pages_is() -> None:
    head, tail = KPF_LRU | KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL
    with fake_kernel([head, tail, tail | KPF_MMAP, tail, head, tail]) as kernel:
        space = LinuxPhysicalSpace(lambda: kernel.files)
        assert [f.flags for folios in space.folios(0, 6 << 12) for f in folios] == [FOLIO_MAPPED, 0]


def test_young_and_mkold_of_folios_leave_decided_ones_alone() -> None:
    with fake_kernel([ANON] * 200) as kernel:
        space = LinuxPhysicalSpace(lambda: kernel.files)
        folios = batch(
            (0, 1, 0), (1, 1, FOLIO_YOUNG), (2, 1, FOLIO_DECIDED), (70, 1, 0), (199, 1, FOLIO_DECIDED | FOLIO_YOUNG)
        )
        write_u64(kernel.directory / "bitmap", [0b11, 0])
        space.folios_young(folios)
        assert [f.flags for f in folios] == [0, 0, FOLIO_DECIDED, FOLIO_YOUNG, FOLIO_DECIDED | FOLIO_YOUNG]
        write_u64(kernel.directory / "bitmap", [0, 0, 0, 0])
        space.folios_mkold(folios)
        assert kernel.bitmap() == [70]


def test_folio_whose_word_cannot_be_read_stays() -> None:
    with fake_kernel([ANON] * 64) as kernel:
        space = LinuxPhysicalSpace(lambda: kernel.files)
        folios = batch((1000, 1, 0))
        space.folios_young(folios)
        assert folios[0].flags == FOLIO_YOUNG


frames = st.integers(0, 99)
entries = st.one_of(st.builds(present, frames), st.builds(present, frames), frames)
processes = st.dictionaries(
    st.integers(2, 5), st.dictionaries(st.integers(0, 90), entries, min_size=10), min_size=1, max_size=4
)


@settings(max_examples=150, phases=PHASES)
@given(tables=processes, first=st.integers(0, 60), nr=st.integers(1, 80), own=st.integers(1, 5))
def test_reverse_map_has_the_first_process_of_each_page(
    tables: dict[int, dict[int, int]], first: int, nr: int, own: int
) -> None:
    """First in the order of /proc, our own last; pages of mappings only, present ones, page frames of the window.

    Page frame 0 is what pagemap shows for a hidden one.
    """
    with fake_kernel([ANON] * 100) as kernel:
        for pid, table in tables.items():
            kernel.process(pid, [(0, 30), (40, 41), (50, 91)], table)
        order = [int(name) for name in os.listdir(kernel.proc) if int(name) != own]
        (kernel.proc / "sys").mkdir()
        (kernel.proc / "77").mkdir()  # has just gone
        expected: dict[int, tuple[int, int]] = {}
        for pid in [*order, *({own} & tables.keys())]:
            for page, entry in sorted(tables[pid].items()):
                pfn = entry & 127
                if entry & PM_PRESENT and pfn and first <= pfn < first + nr and (page < 30 or page == 40 or page >= 50):
                    expected.setdefault(pfn, (pid, page))
        rmap = ReverseMap(kernel.files)
        assert native.rmap_build(kernel.files.pointer, rmap._map, own, first, nr) == 0
        found = {pfn: rmap.get(pfn) for pfn in range(200)}
        assert {pfn: entry for pfn, entry in found.items() if entry is not None} == expected
        assert len(rmap) == len(expected)
        rmap.close()


def lookup(rmap: ReverseMap, folios: FolioArray, action: int) -> tuple[list[tuple[int, int, int]], Result]:
    """(virtual page, row, page of the folio) of the pages found."""
    keys, result = (Key * 64)(), Result()
    nr = native.rmap_lookup(
        rmap._map, folios.pointer, folios.nr, action, ctypes.addressof(keys), 64, ctypes.addressof(result)
    )
    return [(key.key & ((1 << 44) - 1), key.row, key.aux) for key in keys[:nr]], result


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[FakeKernel]:
    with FakeKernel(tmp_path, [ANON] * 256) as made:
        yield made


def test_pages_of_an_action(kernel: FakeKernel) -> None:
    kernel.process(2, [(0, 64)], {10: present(20), 11: present(21), 12: present(22), 30: present(40)})
    kernel.process(3, [(0, 64)], {5: present(50)})
    rmap = ReverseMap(kernel.files)
    assert native.rmap_build(kernel.files.pointer, rmap._map, 3, 0, 256) == 0
    folios = batch(
        (20, 4, WANTED),  # no process maps its last page
        (40, 1, WANTED | FOLIO_ACTIVE),
        (50, 1, WANTED),  # our own
        (60, 1, WANTED),  # missing
        (40, 1, FOLIO_PASS),  # page cache without a mapping
        (40, 1, FOLIO_MAPPED),  # did not pass
        (40, 1, WANTED | FOLIO_UNEVICTABLE),
    )
    pages, result = lookup(rmap, folios, native.PAGEOUT)
    assert pages == [(10, 0, 0), (11, 0, 1), (12, 0, 2), (30, 1, 0)]
    assert (result.wanted, result.missing, result.own) == (6, 1, 1)
    assert (result.unmapped, result.unevictable) == (1, 1)
    pages, result = lookup(rmap, folios, native.DEACTIVATE)
    assert pages == [(30, 1, 0)]
    pages, result = lookup(rmap, folios, native.ACTIVATE)
    assert pages == [(10, 0, 0)]  # one page speaks for a folio; an active one is not asked for
    assert (result.wanted, result.missing, result.own) == (3, 1, 1)


def verify(
    kernel: FakeKernel, folios: FolioArray, pages: list[tuple[int, int]], action: int
) -> tuple[list[int], Result]:
    keys = (Key * len(pages))(*[Key(page, row, 0) for page, row in pages])
    result, entries = Result(), Buffer(U64, len(pages))
    pagemap = os.open(kernel.proc / "2/pagemap", os.O_RDONLY)
    kept = native.verify(
        kernel.files.pointer,
        pagemap,
        folios.pointer,
        ctypes.addressof(keys),
        len(pages),
        action,
        entries.pointer_to(len(pages)),
        ctypes.addressof(result),
    )
    os.close(pagemap)
    return [key.key for key in keys[:kept]], result


def test_pages_are_asked_for_again_before_anything_is_done(kernel: FakeKernel) -> None:
    folios = batch((20, 1, WANTED), (21, 1, WANTED), (22, 1, WANTED), (23, 1, WANTED))
    kernel.process(2, [(0, 64)], {1: present(20), 2: present(99), 3: 22, 4: present(23, exclusive=False)})
    pages = [(1, 0), (2, 1), (3, 2), (4, 3), (90, 0)]
    for action in (native.PAGEOUT, native.DEACTIVATE):
        kept, result = verify(kernel, folios, pages, action)
        assert kept == [1]
        assert (result.stale, result.shared) == (3, 1)
    kept, result = verify(kernel, folios, pages, native.MIGRATE)
    assert kept == [1, 4]


def test_shared_anonymous_memory_is_not_read_from_outside(kernel: FakeKernel) -> None:
    """A read would make a copy of it; of a file it does not."""
    folios = batch((20, 1, WANTED | FOLIO_ANON), (21, 1, WANTED | FOLIO_ANON), (22, 1, WANTED))
    entries = {1: present(20), 2: present(21, exclusive=False), 3: present(22, exclusive=False)}
    kernel.process(2, [(0, 64)], entries)
    kept, result = verify(kernel, folios, [(1, 0), (2, 1), (3, 2)], native.ACTIVATE)
    assert kept == [1, 3]
    assert (result.stale, result.shared) == (0, 1)


@pytest.mark.parametrize(
    ("entry", "flags", "left"),
    [
        (present(20), 0, 0),  # is still there
        (0, 0, 1),
        (20, 0, 1),  # swapped out
        (0, KPF_LRU | KPF_UPTODATE, 0),  # unmapped, but in the page cache
        (0, KPF_UPTODATE | KPF_SWAPCACHE, 0),  # on its way to disk, in a batch for its list
        (0, ANON | KPF_UPTODATE, 1),  # another's by now
    ],
)
def test_what_left_memory(kernel: FakeKernel, entry: int, flags: int, left: int) -> None:
    kernel.process(2, [(0, 64)], {1: entry})
    kernel.set_flags([0] * 20 + [flags] + [0] * 235)
    folios = batch((20, 1, WANTED))
    keys, scratch, entries = (Key * 1)(Key(1, 0, 0)), (Key * 1)(), Buffer(U64, 1)
    pagemap = os.open(kernel.proc / "2/pagemap", os.O_RDONLY)
    found = native.count_left(
        kernel.files.pointer,
        pagemap,
        folios.pointer,
        ctypes.addressof(keys),
        1,
        ctypes.addressof(scratch),
        entries.pointer_to(1),
    )
    os.close(pagemap)
    assert found == left


def test_result_of_list_actions_is_all_passing_pages(kernel: FakeKernel) -> None:
    space = LinuxPhysicalSpace(lambda: kernel.files)
    folios = batch((20, 4, WANTED), (40, 1, FOLIO_PASS), (60, 512, FOLIO_MAPPED))
    assert space.activate(folios) == 5
    assert space.deactivate(folios) == 5
    assert space.pageout(folios) == 0
    space.close()
