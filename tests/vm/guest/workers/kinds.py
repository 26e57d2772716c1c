# SPDX-License-Identifier: GPL-2.0-only
"""Memory by who has it: several processes, no process, a huge page. What is seen of it and what is done to it."""

from __future__ import annotations

import ctypes
import mmap
import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from damon.core import set_regions
from damon.core.damos_filter import damos_set_filters_default_reject
from damon.library import aggregations
from damon.model.context import DamonCtx
from damon.model.scheme import DamosAction, DamosFilter, DamosFilterType
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from tests.vm.guest.linux_mm.stage import PAGE, Victim, filled, machine, settle, victim
from tests.vm.guest.pages import PFN_MASK, PRESENT, pagemap
from tests.vm.guest.workers.stage import Worker, check, here, on_memory, on_processes, scheme, span, until

OUT = DamosAction.PAGEOUT
CACHED = Path("/var/tmp/cached")
SHARED = "/tmp/shared-file"
SIZE = 8 << 20
#: Of samples of memory that is in use. How many more there are is the emulated processor's choice: a page is seen once
#: for each time that it has forgotten the translation.
SEEN = 0.05

Spans = list[tuple[int, int]]


def seen(worker: Worker, used: Spans, unused: Spans, count: int = 5) -> tuple[float, float]:
    """Over ``count`` aggregations: the share of samples that were accessed, of the bytes in ``used`` and ``unused``."""
    shares = [0.0, 0.0]
    results = aggregations(worker.damon, worker.ctx)
    for _ in range(count):
        result = next(results)
        for index, spans in enumerate((used, unused)):
            total = sum(end - start for start, end in spans)
            for region in result.regions:
                inside = sum(max(0, min(region.end, end) - max(region.start, start)) for start, end in spans)
                shares[index] += inside / total * region.nr_accesses / result.max_nr_accesses / count
    results.close()  # type: ignore[attr-defined]
    return shares[0], shares[1]


def exclusive(other: Victim) -> int:
    """How many of its pages it alone maps, by pagemap."""
    return sum(bool(entry >> 56 & 1) for entry in other.entries())


@check
def memory_of_several_processes() -> dict[str, Any]:
    """After a fork: what is used is seen, and lru_prio moves file pages. Else all stays: nothing leaves, is copied or
    comes down."""
    with victim(4) as anon, victim(4, SHARED) as file, machine() as ours:
        filled(anon, file)
        anon.tell("share")
        file.tell("share")
        until("the children map all of it", lambda: exclusive(anon) + exclusive(file) == 0)
        anon.tell("keep 0 256 1")
        used, unused = span(anon, 0, 256), span(anon, 512, 1024)
        with on_processes(ours, [(anon, [used, unused])], scheme(OUT), sample_us=50000) as worker:
            for _ in range(4):  # the processor's own copies of translations hide most of the accesses
                accessed = seen(worker, [used], [unused])
                if accessed[0] > SEEN or accessed[1]:
                    break
        frames = anon.frames() + file.frames()
        around = [(min(frames) * PAGE, (max(frames) + 1) * PAGE)]
        with on_memory(ours, around, scheme(OUT)) as worker:
            worker.aggregations(5)
        present = [here(anon), here(file)]
        with on_memory(ours, around, scheme(DamosAction.LRU_PRIO)) as worker:
            until("the file's pages are active", lambda: file.active() > 0.98 * file.pages)
            worker.aggregations(3)
        active, copied = anon.active(), exclusive(anon)
        with on_memory(ours, around, scheme(DamosAction.LRU_DEPRIO)) as worker:
            worker.aggregations(5)
        still = file.active()
    assert accessed[0] > SEEN, accessed
    assert accessed[1] == 0, accessed
    assert present == [anon.pages, file.pages], present
    assert copied == 0, copied
    assert active < 0.02 * anon.pages, active
    assert still > 0.98 * file.pages, still
    return {"accessed": accessed, "present": present, "active_anon": active, "active_file": still}


def frames_in_runs(entries: Any, most: int = 40) -> Spans:
    """The page frames of these entries of a pagemap as ranges of addresses, the ``most`` longest, in order."""
    frames = sorted(entry & PFN_MASK for entry in entries if entry & PRESENT)
    runs: Spans = []
    for frame in frames:
        if runs and runs[-1][1] == frame * PAGE:
            runs[-1] = (runs[-1][0], (frame + 1) * PAGE)
        else:
            runs.append((frame * PAGE, (frame + 1) * PAGE))
    return sorted(sorted(runs, key=lambda run: run[0] - run[1])[:most])


@contextmanager
def mapped() -> Iterator[tuple[int, mmap.mmap]]:
    """The file's address here while it is mapped."""
    with open(CACHED, "r+b") as file:
        area = mmap.mmap(file.fileno(), SIZE)
    view = ctypes.c_char.from_buffer(area)
    try:
        yield ctypes.addressof(view), area
    finally:
        del view
        area.close()


def cached_frames() -> Any:
    """The file's part of a pagemap: touched to be there, and then unmapped."""
    with mapped() as (address, area):
        for at in range(0, SIZE, PAGE):
            area[at]
        return pagemap(os.getpid(), address, address + SIZE)


def cached() -> int:
    """How many of the file's pages are in memory, by mincore(2)."""
    with mapped() as (address, _):
        found = (ctypes.c_ubyte * (SIZE // PAGE))()
        assert ctypes.CDLL(None).mincore(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), found) == 0
    return sum(byte & 1 for byte in found)


@check
def page_cache_that_nobody_maps() -> dict[str, Any]:
    """Reading the file is seen, in the part that is read; pageout leaves it in memory."""
    CACHED.write_bytes(os.urandom(SIZE))
    os.sync()
    done = threading.Event()

    def read() -> None:
        with open(CACHED, "rb", buffering=0) as file:
            while not done.wait(0.001):
                for at in range(0, SIZE // 8 * 3, 1 << 16):
                    os.pread(file.fileno(), 1 << 16, at)

    reader = threading.Thread(target=read)
    try:
        entries = cached_frames()
        pages = len(entries)
        used, unused = frames_in_runs(entries[: pages // 4]), frames_in_runs(entries[pages // 2 :])
        reader.start()
        with machine() as ours, on_memory(ours, sorted(used + unused), scheme(OUT), sample_us=20000) as worker:
            accessed = seen(worker, used, unused)
            worker.aggregations(3)
        left = cached()
    finally:
        done.set()
        if reader.ident:
            reader.join()
        CACHED.unlink()
    assert accessed[0] > 0.3, accessed
    assert accessed[1] < 0.02, accessed
    assert left >= pages - 8, left
    return {"accessed": accessed, "still_cached": left, "of": pages, "runs": [len(used), len(unused)]}


@check
def huge_page_over_two_regions_counts_once() -> dict[str, Any]:
    """Each region ends in the middle of a huge page; what passes is what smaps calls AnonHugePages."""
    with victim(8) as other, machine() as ours:
        other.tell("collapse")
        settle(other)
        heads = sorted(frame for frame in other.frames() if frame % 512 == 0)
        target = DamonTarget()
        edges = [(head + half * 256) * PAGE for head in heads for half in (0, 1)]
        set_regions(target, [(edge, edge + 256 * PAGE) for edge in edges], PAGE)
        ctx = DamonCtx(machine=ours, ops=Paddr(), targets=[target])
        huge = DamosFilter(DamosFilterType.HUGEPAGE_SIZE, matching=True, allow=True, sz_min=2 << 20, sz_max=2 << 20)
        stat = scheme(DamosAction.STAT, huge)
        damos_set_filters_default_reject(stat)
        passed = sum(ctx.ops.apply_scheme(ctx, target, region, stat)[1] for region in target.regions)
        text = Path(f"/proc/{other.pid}/smaps").read_text()
    anon_huge = sum(int(kib) << 10 for kib in re.findall(r"^AnonHugePages: +(\d+)", text, re.MULTILINE))
    assert target.regions.nr == 2 * len(heads) > 2
    assert passed == anon_huge, (passed, anon_huge)
    return {"bytes": passed, "regions": target.regions.nr}
