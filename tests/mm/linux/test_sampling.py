# SPDX-License-Identifier: GPL-2.0-only
"""Make old / is it young?: the C routines on memory that the test dictates."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from damon.mm.linux.native import Sampler
from tests.buffers import addresses
from tests.examples import examples
from tests.mm.linux import golden
from tests.mm.linux.dictated import ANON, PHASES, folio_at, memory, page_flags
from tests.mm.linux.fake import FakeKernel, present
from tests.mm.linux.golden import fake_kernel, young
from tests.page_flags import KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL, KPF_IDLE, KPF_LRU, KPF_ZERO_PAGE


@pytest.mark.parametrize("expected", golden.GOLDEN.read_text().splitlines(), ids=lambda line: line.split()[0])
def test_golden(expected: str) -> None:
    """All routines that read: sampling, walks, folios at addresses, the reverse map, the pages of actions."""
    assert golden.line(int(expected.split(maxsplit=1)[0])) == expected


@examples(80, phases=PHASES)
@given(st.integers(0, 2**32), st.tuples(*[st.integers(0, 40)] * 3))
def test_physical_samples(seed: int, gaps: tuple[int, int, int]) -> None:
    """Made old: the folios behind the addresses. Young: those that were touched and still are on a list."""
    rnd = random.Random(seed)
    blocks = memory(rnd)
    flags = page_flags(blocks)
    frames = [rnd.randrange(len(flags) + 80) for _ in range(rnd.randint(10, 60))]  # behind the last page frame too
    found = [folio_at(blocks, pfn) if pfn < len(flags) else None for pfn in frames]
    heads = {block.pfn for block in found if block}
    with fake_kernel(flags) as kernel:
        files = kernel.files
        files.gap_pagemap, files.gap_kpageflags, files.gap_write = gaps
        sampler, nr = Sampler(files), len(frames)
        made = sampler.mkold_phys(addresses([(pfn << 12) + pfn % 4096 for pfn in frames]), nr)
        assert made == sum(block is not None for block in found)
        assert kernel.bitmap() == sorted(heads)
        touched, left = ({pfn for pfn in heads if rnd.random() < 0.5} for _ in range(2))
        kernel.clear_idle(sorted(touched))
        kernel.set_flags([f & ~KPF_LRU if pfn in left else f for pfn, f in enumerate(flags)])
        expected = [int(block is not None and block.pfn in touched - left) for block in found]
        assert young(sampler, nr) == expected
        assert young(sampler, nr) == expected, "nothing is cleared by asking"


@pytest.fixture
def kernel(tmp_path: Path) -> Iterator[FakeKernel]:
    with FakeKernel(tmp_path, [ANON] * 4096) as made:
        yield made


def test_neighbours_share_system_calls(kernel: FakeKernel) -> None:
    sampler = Sampler(kernel.files)
    addrs = addresses([pfn << 12 for pfn in range(0, 512, 8)])
    sampler.mkold_phys(addrs, 64)
    young(sampler, 64)
    calls = kernel.files.counters()
    assert calls["kpageflags_read"] == 1
    assert calls["bitmap_write"] == 1
    assert calls["bitmap_read"] == 1
    assert kernel.bitmap() == list(range(0, 512, 8))


def test_only_words_that_are_needed_are_read(kernel: FakeKernel) -> None:
    sampler = Sampler(kernel.files)
    sampler.mkold_phys(addresses([0, 128 << 12, 192 << 12]), 3)  # words 0, 2 and 3
    assert kernel.files.counters()["bitmap_write"] == 1  # zero bits do nothing: one call
    young(sampler, 3)
    assert kernel.files.counters()["bitmap_read"] == 2  # reading word 1 would walk its pages' mappings


def test_head_of_a_huge_page_is_asked_once(tmp_path: Path) -> None:
    flags = [ANON | KPF_COMPOUND_HEAD] + [ANON | KPF_COMPOUND_TAIL] * 511
    kernel = FakeKernel(tmp_path, [*flags, *flags])
    kernel.files.gap_kpageflags = 1000
    sampler = Sampler(kernel.files)
    assert sampler.mkold_phys(addresses([pfn << 12 for pfn in (100, 101, 511, 512 + 511, 700)]), 5) == 5
    assert kernel.bitmap() == [0, 512]
    assert kernel.files.counters()["kpageflags_read"] < 30
    kernel.clear_idle([0])
    assert young(sampler, 5) == [1, 1, 1, 0, 0]
    kernel.close()


def test_memory_that_ends_within_a_word(tmp_path: Path) -> None:
    """The kernel shows whole words only; of the frames after them, their flag tells."""
    kernel = FakeKernel(tmp_path, [ANON] * 100)
    sampler = Sampler(kernel.files)
    frames = [3, 63, 64, 70, 99]
    sampler.mkold_phys(addresses([pfn << 12 for pfn in frames]), len(frames))
    assert kernel.bitmap() == frames
    kernel.clear_idle([63])
    os.truncate(tmp_path / "bitmap", 8)
    kernel.set_flags([ANON | (KPF_IDLE if pfn in (3, 64, 99) else 0) for pfn in range(100)])
    assert young(sampler, len(frames)) == [0, 1, 0, 1, 0]
    os.close(kernel.files.bitmap)
    kernel.files.bitmap = os.open(tmp_path / "bitmap", os.O_WRONLY)
    assert young(sampler, len(frames)) == [0] * 5, "what cannot be read says nothing"
    kernel.close()


def test_young_of_another_batch_is_refused(kernel: FakeKernel) -> None:
    sampler = Sampler(kernel.files)
    sampler.mkold_phys(addresses([0, 4096]), 2)
    with pytest.raises(OSError, match="Invalid argument"):
        young(sampler, 3)


@pytest.mark.parametrize("flags", [0, ANON & ~KPF_LRU, ANON | KPF_COMPOUND_TAIL])
def test_page_that_left_the_lru_was_not_accessed(kernel: FakeKernel, flags: int) -> None:
    """It is free, isolated, or became a part of a bigger folio: its clear bit means nothing any more."""
    sampler = Sampler(kernel.files)
    sampler.mkold_phys(addresses([0, 4096]), 2)
    kernel.clear_idle([0, 1])
    kernel.set_flags([ANON, flags, *[ANON] * 4094])
    assert young(sampler, 2) == [1, 0]


def test_page_in_a_per_cpu_batch_was_not_accessed(kernel: FakeKernel) -> None:
    kernel.set_flags([ANON & ~KPF_LRU, ANON])
    sampler = Sampler(kernel.files)
    sampler.mkold_phys(addresses([0, 4096]), 2)
    kernel.set_flags([ANON, ANON])  # drained meanwhile: its bit was never set
    assert kernel.bitmap() == [1]
    assert young(sampler, 2) == [0, 0]


@pytest.mark.parametrize(
    ("later", "idle", "flags", "expected"),
    [
        (present(5), [5], ANON, 0),
        (present(5), [], ANON, 1),
        (present(6), [6], ANON, 0),  # migrated, and the idle flag with it
        (present(6), [], ANON, 1),  # copied on write or swapped in: a fault is an access
        (present(6), [], ANON & ~KPF_LRU, 1),  # not yet on its list
        (present(6), [], ANON & ~KPF_LRU | KPF_IDLE, 0),
        (present(6), [], KPF_ZERO_PAGE, 0),
        (0, [], ANON, 0),
        (5, [], ANON, 0),  # swapped out: bits 0 to 54 are no page frame then
    ],
)
def test_page_that_moves(kernel: FakeKernel, later: int, idle: list[int], flags: int, expected: int) -> None:
    sampler = Sampler(kernel.files)
    pagemap = os.open(kernel.process(9, [(0, 4)], {2: present(5)}), os.O_RDONLY)
    sampler.mkold_virt(pagemap, addresses([2 << 12]), 1)
    assert kernel.bitmap() == [5]
    kernel.process(9, [(0, 4)], {2: later})
    kernel.clear_idle([5])
    words = [0] * 64
    for pfn in idle:
        words[pfn // 64] |= 1 << pfn % 64
    kernel.set_flags([ANON] * 5 + ([ANON, flags] if later == present(6) else [flags, ANON]) + [ANON] * 4089)
    (kernel.directory / "bitmap").write_bytes(b"".join(word.to_bytes(8, "little") for word in words))
    assert young(sampler, 1, pagemap) == [expected]
    os.close(pagemap)


def test_page_that_comes_is_accessed(kernel: FakeKernel) -> None:
    sampler = Sampler(kernel.files)
    pagemap = os.open(kernel.process(9, [(0, 4)], {}), os.O_RDONLY)
    sampler.mkold_virt(pagemap, addresses([2 << 12, 3 << 12]), 2)
    kernel.process(9, [(0, 4)], {2: present(7)})
    assert young(sampler, 2, pagemap) == [1, 0]
    os.close(pagemap)


def test_a_dead_address_space_is_told_apart_from_an_empty_one(kernel: FakeKernel) -> None:
    sampler = Sampler(kernel.files)
    pagemap = os.open(kernel.process(9, [(0, 4)], {}), os.O_RDONLY)
    assert sampler.mkold_virt(pagemap, addresses([4096]), 1) == 0
    os.truncate(kernel.proc / "9/pagemap", 0)
    with pytest.raises(ProcessLookupError):
        sampler.mkold_virt(pagemap, addresses([4096]), 1)
    assert sampler.mkold_virt(pagemap, addresses([]), 0) == 0
    os.close(pagemap)


def test_runs_longer_than_one_call(tmp_path: Path) -> None:
    """512 entries a read of page flags; 512 words, 32768 page frames, a call on the bitmap."""
    kernel = FakeKernel(tmp_path, [ANON] * 70_000)
    kernel.files.gap_write = 10_000
    sampler = Sampler(kernel.files)
    sampler.mkold_phys(addresses([pfn << 12 for pfn in range(1025)]), 1025)
    assert kernel.files.counters()["kpageflags_read"] == 3
    pfns = list(range(0, 513 * 64, 64))
    sampler.mkold_phys(addresses([pfn << 12 for pfn in pfns]), 513)
    assert kernel.files.counters()["bitmap_write"] == 1 + 2
    assert set(pfns) <= set(kernel.bitmap())
    assert young(sampler, 513) == [0] * 513
    assert kernel.files.counters()["bitmap_read"] == 2
    kernel.close()


@pytest.mark.parametrize(("hole", "reads"), [(5, 1), (6, 2)])
def test_hole_that_is_read_over(kernel: FakeKernel, hole: int, reads: int) -> None:
    kernel.files.gap_kpageflags = 5
    Sampler(kernel.files).mkold_phys(addresses([0, (hole + 1) << 12]), 2)
    assert kernel.files.counters()["kpageflags_read"] == reads


@pytest.mark.parametrize(("hole", "writes"), [(2, 1), (3, 2)])
def test_hole_that_is_written_over(kernel: FakeKernel, hole: int, writes: int) -> None:
    kernel.files.gap_write = 2
    Sampler(kernel.files).mkold_phys(addresses([0, (hole + 1) << 18]), 2)
    assert kernel.files.counters()["bitmap_write"] == writes


def test_tail_whose_head_has_just_gone(tmp_path: Path) -> None:
    kernel = FakeKernel(tmp_path, [ANON, ANON, ANON, ANON | KPF_COMPOUND_TAIL, *[ANON] * 60])
    assert Sampler(kernel.files).mkold_phys(addresses([3 << 12]), 1) == 0
    assert kernel.bitmap() == []
    kernel.close()


def test_swap_entry_is_no_page_frame(kernel: FakeKernel) -> None:
    pagemap = os.open(kernel.process(9, [(0, 4)], {1: 5 | 1 << 62, 2: present(6)}), os.O_RDONLY)
    sampler = Sampler(kernel.files)
    assert sampler.mkold_virt(pagemap, addresses([4096, 8192]), 2) == 1
    assert kernel.bitmap() == [6]
    assert young(sampler, 2, pagemap) == [0, 0]
    os.close(pagemap)


def test_many_page_frames_in_any_order(tmp_path: Path) -> None:
    """More than fit the simple sort, over several bytes of the page frame number."""
    kernel = FakeKernel(tmp_path, [ANON] * 70_000)
    sampler = Sampler(kernel.files)
    pfns = [0, *random.Random(1).sample(range(1, 70_000), 499)]
    pagemap = os.open(kernel.process(9, [(0, 500)], {page: present(pfn) for page, pfn in enumerate(pfns)}), os.O_RDONLY)
    assert sampler.mkold_virt(pagemap, addresses([page << 12 for page in range(500)]), 500) == 499  # 0 is no page frame
    assert kernel.bitmap() == sorted(pfns)[1:]
    words = sorted({pfn // 64 for pfn in pfns[1:]})
    runs = 1 + sum(word - last - 1 > kernel.files.gap_write for last, word in pairwise(words))
    assert kernel.files.counters()["bitmap_write"] == runs  # each run in one call: they were in order
    kernel.clear_idle(pfns[100:200])
    assert young(sampler, 500, pagemap) == [int(100 <= page < 200) for page in range(500)]
    os.close(pagemap)
    kernel.close()
