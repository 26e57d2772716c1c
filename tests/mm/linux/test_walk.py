# SPDX-License-Identifier: GPL-2.0-only
"""Folios of a process by its page tables, on made-up kernels (ops 1.6, 1.7)."""

from __future__ import annotations

import ctypes
import os

from hypothesis import given, settings
from hypothesis import strategies as st

from damon.mm.linux import native
from damon.mm.linux import reference as ref
from damon.mm.linux.process import LinuxProcessSpace
from damon.mm.linux.reference_walk import mappings, process_folios
from damon.model.arrays import DamonFolio, FolioArray
from tests.mm.linux.fake import page_flags, present, write_u64
from tests.mm.linux.test_folios import ANON, fake_kernel

HEAD, TAIL = ANON | ref.KPF_COMPOUND_HEAD, ref.KPF_COMPOUND_TAIL
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
    assert _parse(LINES) == mappings(LINES) == PARSED
    assert _parse(LINES[:-1]) == PARSED
    assert _parse(b"400000-452000 rw-p") == [(0x400, 0x452, 0x400)]
    assert _parse(b"") == []


def row(f: DamonFolio) -> tuple[int, ...]:
    return f.pfn, f.memcg, f.addr, f.ilx, f.nr_pages, f.flags, f.target_nid


@settings(max_examples=200)
@given(data=st.data(), flags=page_flags(), charged=st.booleans(), capacity=st.integers(1, 9))
def test_process_folios_are_those_of_the_twin(
    data: st.DataObject, flags: list[int], charged: bool, capacity: int
) -> None:
    """Mapped page after page for the most part, so that folios are met again, and in any order."""
    pages: dict[int, int] = {}
    maps, at = [], 3
    for _ in range(data.draw(st.integers(1, 4))):
        at += data.draw(st.integers(0, 3))
        start, pfn = at, data.draw(st.integers(0, len(flags)))
        for _ in range(data.draw(st.integers(1, 40))):
            what = data.draw(st.sampled_from("nnnnnnn-j"))
            pfn = data.draw(st.integers(0, len(flags))) if what == "j" else pfn + 1
            if what != "-" and pfn < len(flags):
                pages[at] = present(pfn)
            at += 1
        maps.append((start, at))
    first = data.draw(st.integers(0, at + 2))
    end = data.draw(st.integers(first, at + 5))
    with fake_kernel(flags) as kernel:
        if charged:
            write_u64(kernel.directory / "kpagecgroup", [1000 + pfn // 3 for pfn in range(len(flags))])
            kernel.files.kpagecgroup = os.open(kernel.directory / "kpagecgroup", os.O_RDONLY)
        path = kernel.process(1234, maps, pages)
        text = (path.parent / "maps").read_bytes()
        pagemap = os.open(path, os.O_RDONLY)
        directory = os.open(path.parent, os.O_RDONLY)
        expected = [row(folio) for folio in process_folios(kernel.files, text, pagemap, first, end)]
        walk = native.vwalk_new(kernel.files.pointer, directory, pagemap, first, end)
        out, found = FolioArray(capacity), []
        while nr := native.vwalk_next(kernel.files.pointer, walk, out.pointer, out.capacity):
            out.nr = nr
            found += [row(folio) for folio in out]
        native.vwalk_free(walk)
        assert found == expected
        for fd in (pagemap, directory, *([kernel.files.kpagecgroup] if charged else [])):
            os.close(fd)


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
