# SPDX-License-Identifier: GPL-2.0-only
""" "Make old" and "is it young?": what they see, through both spaces, while pages come, go and move."""

from __future__ import annotations

import ctypes
import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

from damon.mm.linux import LinuxMachine
from damon.model.machine import Advice
from tests.buffers import addresses, young
from tests.page_flags import KPF_THP
from tests.vm.guest.linux_mm.stage import PAGE, Victim, check, filled, machine, passing, settle, victim
from tests.vm.guest.pages import PRESENT, SWAPPED

#: Of a comparison of what was touched with what was seen.
ROUNDS = 3


def _accessed(space_of: Callable[[LinuxMachine, Victim], tuple[Any, list[int]]]) -> dict[str, Any]:
    with victim(8) as other, machine() as ours:
        filled(other)
        space, values = space_of(ours, other)
        addrs, nr = addresses(values), len(values)
        missed, extra, wrongs = set(range(nr)), set(range(nr)), list[int]()
        for _ in range(ROUNDS):
            settle(other)  # what was swapped or moved meanwhile waits in a per-CPU batch again
            batch = space.mkold(addrs, nr)
            idle = young(space, batch)
            batch = space.mkold(addrs, nr)
            other.tell(f"touch 0 {other.pages} 2")
            found = young(space, batch)
            again = young(space, batch)
            missed &= {page for page in range(0, nr, 2) if not found[page]}
            extra &= {page for page in range(1, nr, 2) if found[page]}
            wrongs.append(sum(got != (page % 2 == 0) for page, got in enumerate(found)))
            assert sum(idle) <= 2, f"{sum(idle)} of {nr} untouched pages were accessed"
            assert found == again
        calls, flags, entries = ours.counters(), other.flags(), other.entries()
    # A busy guest has a few pages in others' use in one round: the best one is nearly right, none is far off.
    assert min(wrongs) <= 4, f"{wrongs} of {nr} pages wrong"
    assert max(wrongs) <= nr // 100, f"{wrongs} of {nr} pages wrong"
    state = [(page, hex(entries[page]), hex(flags[page])) for page in sorted(missed) if len(flags) == nr]
    assert not missed, f"accesses to pages {sorted(missed)} are never seen: {state}"
    assert not extra, f"pages {sorted(extra)} are always seen accessed"
    return {"wrong": wrongs, "pages": nr, "calls": calls}


def _virtual(ours: LinuxMachine, other: Victim) -> tuple[Any, list[int]]:
    return ours.open_process(other.pid), [other.base + page * PAGE + 123 for page in range(other.pages)]


def _physical(ours: LinuxMachine, other: Victim) -> tuple[Any, list[int]]:
    return ours.phys, [pfn * PAGE + 77 for pfn in other.frames()]


#: How often accesses are asked for; asking changes nothing of the answer.
ASKED = 10


@check
def vaddr_sees_each_access() -> dict[str, Any]:
    return _accessed(_virtual)


@check
def paddr_sees_each_access() -> dict[str, Any]:
    return _accessed(_physical)


@check
def huge_page_answers_for_each_of_its_addresses() -> dict[str, Any]:
    with victim(8) as other, machine() as ours:
        other.tell("collapse")
        settle(other)
        huge = sum(bool(flags & KPF_THP) for flags in other.flags())
        assert huge == other.pages, f"{huge} of {other.pages} pages are in huge pages"
        seen = {}
        for name, (space, values) in {"vaddr": _virtual(ours, other), "paddr": _physical(ours, other)}.items():
            addrs = addresses(values)
            batch = space.mkold(addrs, other.pages)
            assert sum(young(space, batch)) == 0
            batch = space.mkold(addrs, other.pages)
            other.tell("touch 700 701 1")  # in the second
            found = young(space, batch)
            assert found == [int(512 <= page < 1024) for page in range(other.pages)]
            seen[name] = sum(found)
        heads = [f.nr_pages for f in passing(ours, other.frames())]
        assert heads == [512] * 4
        return seen


@check
def page_that_was_swapped() -> dict[str, Any]:
    """Gone: not accessed. Back by a fault, in another page frame: accessed."""
    with victim(4) as other, machine() as ours:
        filled(other)
        space = ours.open_process(other.pid)
        addrs = addresses([other.base + page * PAGE for page in range(other.pages)])
        batch = space.mkold(addrs, other.pages)
        assert space.madvise(other.base, other.pages * PAGE, Advice.PAGEOUT) == 0
        out = [bool(entry & SWAPPED) for entry in other.entries()]
        swapped = sum(out)
        gone = young(space, batch)
        other.tell(f"touch 0 {other.pages} 4")
        for _ in range(ASKED):  # the kernel passes over a page that somebody has locked at that moment
            back = young(space, batch)
            missed = [page for page in range(0, other.pages, 4) if out[page] and not back[page]]
            if not missed:
                break
        here = [bool(entry & PRESENT) for entry in other.entries()]
    assert swapped > other.pages * 0.95
    assert sum(gone) <= other.pages - swapped
    assert not missed, (missed, [here[page] for page in missed])
    assert all(not got or there for got, there in zip(back, here, strict=True))
    return {"swapped": swapped, "back": sum(back)}


@check
def page_that_migrates_keeps_its_state() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        if not Path("/sys/devices/system/node/node1").exists():
            raise AssertionError("the guest needs two NUMA nodes")
        other.tell(f"write 0 {other.pages} 1")
        _migrate(other, 0)
        settle(other)
        space = ours.open_process(other.pid)
        addrs = addresses([other.base + page * PAGE for page in range(other.pages)])
        results: dict[str, Any] = {}
        for name, touch in (("idle", False), ("touched", True)):
            batch = space.mkold(addrs, other.pages)
            if touch:
                other.tell(f"touch 0 {other.pages} 1")
            before = other.frames()
            moved = _migrate(other, 1 if name == "idle" else 0)
            changed = sum(a != b for a, b in zip(before, other.frames(), strict=True))
            results[name] = (changed, sum(young(space, batch)), moved)
            settle(other)
    assert results["idle"][0] > other.pages * 0.9, results
    assert results["idle"][1] <= other.pages * 0.05, results
    assert results["touched"][0] > other.pages * 0.9, results
    assert results["touched"][1] >= other.pages * 0.95, results
    return results


MOVE_PAGES = {"x86_64": 279, "aarch64": 239}[platform.machine()]


def _migrate(other: Victim, node: int) -> int:
    """move_pages(2) of the whole area."""
    pages = (ctypes.c_void_p * other.pages)(*[other.base + page * PAGE for page in range(other.pages)])
    nodes, status = (ctypes.c_int * other.pages)(*[node] * other.pages), (ctypes.c_int * other.pages)()
    libc = ctypes.CDLL(None, use_errno=True)
    libc.syscall(MOVE_PAGES, ctypes.c_long(other.pid), ctypes.c_ulong(other.pages), pages, nodes, status, 2)
    return sum(got == node for got in status)
