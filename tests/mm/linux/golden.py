# SPDX-License-Identifier: GPL-2.0-only
"""``python -m tests.mm.linux.golden``: writes ``golden.txt``, what the C routines find in random dictated memory.

A line a seed, a digest a routine. Page flags are partly nonsense, page frames lie behind the last one, and flags and
page tables change between "make old" and "is it young?". The file was first made by two implementations, the C
routines and a Python version of each that asked for one page at a time. How far reads are joined changes no answer.
"""

from __future__ import annotations

import ctypes
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from hashlib import sha256
from pathlib import Path
from random import Random

from damon.mm.linux import native
from damon.mm.linux.native import Key, Result, Sampler
from damon.mm.linux.physical import LinuxPhysicalSpace
from damon.mm.linux.rmap import ReverseMap
from damon.model.arrays import FOLIO_DECIDED, FOLIO_PASS, U8, U64, Buffer, DamonFolio, FolioArray
from tests.buffers import addresses
from tests.mm.linux.dictated import ANON, memory, page_flags
from tests.mm.linux.fake import FakeKernel, present, write_u64
from tests.page_flags import KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL, KPF_LRU

GOLDEN = Path(__file__).with_name("golden.txt")
SEEDS = range(60)
Rows = list[tuple[int, ...]]


@contextmanager
def fake_kernel(flags: list[int], *, charged: bool = False) -> Iterator[FakeKernel]:
    """``charged``: every third page frame begins another cgroup."""
    with tempfile.TemporaryDirectory(prefix="damon-test-") as made, FakeKernel(Path(made), flags) as kernel:
        if charged:
            write_u64(kernel.directory / "kpagecgroup", [1000 + pfn // 3 for pfn in range(len(flags))])
            kernel.files.kpagecgroup = os.open(kernel.directory / "kpagecgroup", os.O_RDONLY)
        yield kernel


def row(f: DamonFolio) -> tuple[int, ...]:
    return f.pfn, f.memcg, f.addr, f.ilx, f.nr_pages, f.flags, f.target_nid


def _walked(batch: Callable[[FolioArray], int], capacity: int) -> Rows:
    out, found = FolioArray(capacity), []
    while nr := batch(out):
        out.nr = nr
        found += [row(folio) for folio in out]
    return found


def walk(kernel: FakeKernel, start: int, end: int, capacity: int) -> Rows:
    """The folios among page frames ``[start, end)``."""
    files = kernel.files.pointer
    state = native.walk_new(files, start, end)
    found = _walked(lambda out: int(native.walk_next(files, state, out.pointer, out.capacity)), capacity)
    native.walk_free(state)
    return found


def vwalk(kernel: FakeKernel, process: Path, first: int, end: int, capacity: int) -> Rows:
    """The folios that the virtual pages ``[first, end)`` of the process with this pagemap map."""
    files = kernel.files.pointer
    with ExitStack() as stack:
        directory, pagemap = (os.open(path, os.O_RDONLY) for path in (process.parent, process))
        stack.callback(os.close, directory)
        stack.callback(os.close, pagemap)
        state = native.vwalk_new(files, directory, pagemap, first, end)
        found = _walked(lambda out: int(native.vwalk_next(files, state, out.pointer, out.capacity)), capacity)
        native.vwalk_free(state)
    return found


def young(sampler: Sampler, nr: int, pagemap: int | None = None) -> list[int]:
    out = Buffer(U8, max(1, nr))
    for i in range(nr):
        out[i] = 7  # must be overwritten
    if pagemap is None:
        sampler.young_phys(nr, out)
    else:
        sampler.young_virt(pagemap, nr, out)
    return [out[i] for i in range(nr)]


def folios_of(rnd: Random, frames: int) -> FolioArray:
    """Rows as a filter leaves them."""
    folios = FolioArray(20)
    folios.nr = 20
    for folio in folios:
        folio.pfn, folio.nr_pages = rnd.randrange(frames), rnd.choice([1, 1, 4])
        folio.flags = rnd.getrandbits(6) | rnd.choice([0, FOLIO_PASS]) | rnd.choice([0, 0, FOLIO_DECIDED])
        folio.target_nid = rnd.choice([-1, 0, 1])
    return folios


def _nonsense(rnd: Random, flags: list[int]) -> list[int]:
    """Any flags, but compound pages are as they were: the kernel has them aligned, and the routines rely on it."""
    compound = KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL
    return [f & compound | rnd.choice([ANON, f, rnd.getrandbits(33)]) & ~compound for f in flags]


def _changed(rnd: Random, kernel: FakeKernel) -> None:
    """Some pages are accessed; some leave their list or come to one; some become anything."""
    kernel.clear_idle([pfn for pfn in kernel.bitmap() if rnd.random() < 0.5])
    flags = [f ^ KPF_LRU if not rnd.randrange(10) else f for f in kernel.flags]
    kernel.set_flags(flags if rnd.randrange(3) else _nonsense(rnd, flags))


def _table(rnd: Random, frames: int) -> dict[int, int]:
    """A page table of up to 61 pages: present, shared, swapped out, behind the last page frame, page frame 0."""
    kinds: list[Callable[[int], int]] = [present, present, present, partial(present, exclusive=False), int]
    return {rnd.randint(0, 60): rnd.choice(kinds)(rnd.randint(0, frames + 10)) for _ in range(45)}


def phys(rnd: Random, kernel: FakeKernel) -> object:
    nr = rnd.randint(10, 60)
    sampler = Sampler(kernel.files)
    frames = [rnd.randint(0, len(kernel.flags) + 80) for _ in range(nr)]
    made = sampler.mkold_phys(addresses([(pfn << 12) + pfn for pfn in frames]), nr), kernel.bitmap()
    _changed(rnd, kernel)
    return made, young(sampler, nr), kernel.bitmap()


def virt(rnd: Random, kernel: FakeKernel) -> object:
    nr, tables = rnd.randint(10, 60), [_table(rnd, len(kernel.flags)) for _ in range(2)]
    sampler = Sampler(kernel.files)
    pagemap = os.open(kernel.process(1, [(0, 151)], tables[0]), os.O_RDONLY)
    pages = [rnd.choice([rnd.randint(0, 60), rnd.randint(0, 170)]) for _ in range(nr)]
    made = sampler.mkold_virt(pagemap, addresses([(page << 12) + page for page in pages]), nr), kernel.bitmap()
    _changed(rnd, kernel)
    kernel.process(1, [(0, 151)], tables[0] | tables[1] if rnd.random() < 0.6 else tables[0])
    answers = young(sampler, nr, pagemap)
    os.close(pagemap)
    return made, answers, kernel.bitmap()


def walks(rnd: Random, kernel: FakeKernel) -> object:
    start = rnd.randint(0, len(kernel.flags))
    found = walk(kernel, start, start + rnd.randint(0, 200), rnd.randint(1, 9))
    process = kernel.process(2, [(3, 30), (33, 61)], _table(rnd, len(kernel.flags)))
    return found, vwalk(kernel, process, rnd.randint(0, 40), rnd.randint(20, 80), rnd.randint(1, 9))


def folios(rnd: Random, kernel: FakeKernel) -> object:
    space = LinuxPhysicalSpace(lambda: kernel.files)
    addrs, out = [rnd.randint(0, len(kernel.flags) + 9) << 12 for _ in range(40)], FolioArray(40)
    space.folios_at(addresses(addrs), 40, out)
    rows = folios_of(rnd, len(kernel.flags))
    space.folios_young(rows)
    young = [row(folio) for folio in rows]
    space.folios_mkold(rows)
    return [row(folio) for folio in out], young, kernel.bitmap()


def acting(rnd: Random, kernel: FakeKernel) -> object:
    """The reverse map; which pages an action concerns, which of them are there, which left."""
    for pid in (2, 3):  # ours is the second, which comes last whatever order the directory has
        kernel.process(pid, [(0, 30), (40, 61)], _table(rnd, len(kernel.flags)))
    rmap = ReverseMap(kernel.files)
    assert native.rmap_build(kernel.files.pointer, rmap._map, 3, rnd.randint(0, 40), rnd.randint(1, 200)) == 0
    seen: list[object] = [sorted(filter(None, (rmap.get(pfn) for pfn in range(300)))), len(rmap)]
    rows, keys, result, entries = folios_of(rnd, len(kernel.flags)), (Key * 64)(), Result(), Buffer(U64, 64)
    at, books = ctypes.addressof(keys), ctypes.addressof(result)
    for action in (native.PAGEOUT, native.DEACTIVATE, native.ACTIVATE, native.MIGRATE):
        nr = native.rmap_lookup(rmap._map, rows.pointer, rows.nr, action, at, 64, books)
        seen.append([(key.key, key.row, key.aux) for key in keys[:nr]])
        for key in keys[:nr]:
            key.key &= (1 << 44) - 1
        pagemap = os.open(kernel.proc / "2/pagemap", os.O_RDONLY)
        ordered = sorted((key.key, key.row, key.aux) for key in keys[:nr])
        for number, values in enumerate(ordered):
            keys[number] = Key(*values)
        nr = native.verify(kernel.files.pointer, pagemap, rows.pointer, at, nr, action, entries.pointer_to(64), books)
        seen.append([(key.key, key.row, key.aux) for key in keys[:nr]])
        os.close(pagemap)
        kernel.process(2, [(0, 61)], _table(rnd, len(kernel.flags)))
        pagemap, scratch = os.open(kernel.proc / "2/pagemap", os.O_RDONLY), (Key * 64)()
        seen.append(
            native.count_left(
                kernel.files.pointer, pagemap, rows.pointer, at, nr, ctypes.addressof(scratch), entries.pointer_to(64)
            )
        )
        os.close(pagemap)
        seen.append([getattr(result, name) for name, *_ in Result._fields_])
    rmap.close()
    return seen, native.passing_pages(rows.pointer, rows.nr)


PARTS: tuple[Callable[[Random, FakeKernel], object], ...] = (phys, virt, walks, folios, acting)


def play(seed: int, *, damaged: bool = False) -> Iterator[object]:
    """What each part answers, in memory of its own. ``damaged``: compound pages are nonsense as well."""
    for number, part in enumerate(PARTS):
        rnd = Random(1000 * seed + number)
        flags = page_flags(memory(rnd))
        if not seed % 4:
            flags = _nonsense(rnd, flags)
        if damaged:
            flags = [rnd.choice([f, f, rnd.getrandbits(33)]) for f in flags]
        with fake_kernel(flags, charged=seed % 2 == 1) as kernel:
            files = kernel.files
            files.gap_pagemap, files.gap_kpageflags, files.gap_write = (rnd.randint(0, 40) for _ in range(3))
            yield part(rnd, kernel)


def line(seed: int) -> str:
    return " ".join([str(seed), *(sha256(repr(answer).encode()).hexdigest()[:8] for answer in play(seed))])


if __name__ == "__main__":
    GOLDEN.write_text("".join(f"{line(seed)}\n" for seed in SEEDS))
