# SPDX-License-Identifier: GPL-2.0-only
"""Folios of a process by its page tables, on made-up kernels (ops 1.6, 1.7)."""

from __future__ import annotations

import ctypes
import os
from random import Random

from hypothesis import given, settings
from hypothesis import strategies as st

from damon.mm.linux import native
from damon.mm.linux.process import LinuxProcessSpace
from damon.model.arrays import FOLIO_MAPPED
from tests.mm.linux.dictated import ANON, PHASES, folio_at, memory, page_flags
from tests.mm.linux.fake import present
from tests.mm.linux.golden import fake_kernel, row, vwalk
from tests.page_flags import KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL

HEAD, TAIL = ANON | KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL
LINES = b"""\
00400000-00452000 r-xp 00012000 08:02 173521      /usr/bin/a b
00e03000-00e24000 rw-p 00000000 00:00 0           [heap]
35b1800000-35b1820000 r-xp 00007000 00:15 9 /dev/shm/x (deleted)
7fffb2c0d000-7fffb2c2e000 rw-p 00000000 00:00 0   [stack]
ffffffffff600000-ffffffffff601000 r-xp 00000000 00:00 0 [vsyscall]
"""
PARSED = [
    (0x400, 0x452, 0x12),
    (0xE03, 0xE24, 0xE03),
    (0x35B1800, 0x35B1820, 7),
    (0x7FFFB2C0D, 0x7FFFB2C2E, 0x7FFFB2C0D),
]


def _parse(text: bytes) -> list[tuple[int, ...]]:
    nr = native.mappings_parse(text, len(text), None, 0)
    rows = (ctypes.c_uint64 * (3 * nr or 1))()
    assert native.mappings_parse(text, len(text), ctypes.addressof(rows), nr) == nr
    return [tuple(rows[3 * i : 3 * i + 3]) for i in range(nr)]


def test_mappings_and_their_page_offsets() -> None:
    """A file's from its offset, anonymous memory's from its address; the text may end anywhere."""
    assert _parse(LINES) == PARSED
    assert _parse(LINES[:-1]) == PARSED
    assert _parse(b"400000-452000 rw-p") == [(0x400, 0x452, 0x400)]
    assert _parse(b"") == []


@settings(max_examples=200, phases=PHASES)
@given(st.integers(0, 2**32), st.booleans(), st.integers(1, 9))
def test_process_folios(seed: int, charged: bool, capacity: int) -> None:
    """Each folio where the walk meets it first, with its place in units of its size.

    Pages are mapped one after the other for the most part, so that folios are met again, and in any order.
    """
    rnd = Random(seed)
    blocks = memory(rnd)
    frames = blocks[-1].end
    maps, at, pages = [], 3, dict[int, int]()
    for _ in range(rnd.randint(1, 4)):
        at += rnd.randint(0, 3)
        start, pfn = at, rnd.randint(0, frames)
        for _ in range(rnd.randint(1, 40)):
            what = rnd.choice("nnnnnnn-j")
            pfn = rnd.randint(0, frames) if what == "j" else pfn + 1
            if what != "-" and 0 < pfn < frames:
                pages[at] = pfn
            at += 1
        maps.append((start, at))
    first = rnd.randint(0, at + 2)
    end = first + rnd.randint(0, at + 5)
    expected, last = [], None
    for start, stop in maps:
        for page in range(max(start, first), min(stop, end)):
            found = folio_at(blocks, pages[page]) if page in pages else None
            if found and found != last:
                place = (start >> found.order) + (page - start >> found.order)
                memcg = 1000 + found.pfn // 3 if charged else 0
                expected.append((found.pfn, memcg, page << 12, place, found.nr, found.flags | FOLIO_MAPPED, -1))
            last = found
    with fake_kernel(page_flags(blocks), charged=charged) as kernel:
        process = kernel.process(1234, maps, {page: present(pfn) for page, pfn in pages.items()})
        assert vwalk(kernel, process, first, end, capacity) == expected


def test_walk_across_the_read_buffer() -> None:
    """More pages than one read, a huge page across its end, and places counted in units of the folio."""
    flags = [0, 0, *[ANON] * 998, *[0] * 24, HEAD, *[TAIL] * 511, *[ANON] * 600]
    with fake_kernel(flags) as kernel:
        mapped = {100 + n: present(2 + n) for n in range(998)}
        mapped |= {1098 + n: present(1024 + n) for n in range(1112)}
        path = kernel.process(4711, [(100, 2300)], mapped)
        (path.parent / "stat").write_text("")
        space = LinuxProcessSpace(kernel.files, 4711, pidfd_open=lambda pid: os.open(os.devnull, os.O_RDONLY))
        found = [row(f) for folios in space.folios(0, 1 << 40) for f in folios]
        space.close()
    small, huge, rest = found[:998], found[998], found[999:]
    assert [f[0] for f in small] == list(range(2, 1000))
    assert [f[3] for f in small] == list(range(100, 1098))
    assert huge[0] == 1024
    assert huge[2:5] == (1098 << 12, (100 >> 9) + (998 >> 9), 512)
    assert [(f[0], f[2] >> 12) for f in rest] == [(1536 + n, 1610 + n) for n in range(600)]
