# SPDX-License-Identifier: GPL-2.0-only
"""What a running scheme may take: filters, quotas, priorities. Pagemap says which pages have left."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from damon.library import changes
from damon.model.scheme import DamosAction, DamosFilter, DamosFilterType, DamosQuota
from tests.vm.guest.linux_mm.filters import two
from tests.vm.guest.linux_mm.stage import PAGE, filled, machine, victim
from tests.vm.guest.pages import PFN_MASK, PRESENT
from tests.vm.guest.workers.stage import (
    check,
    gone,
    here,
    major_faults,
    on_memory,
    on_processes,
    scheme,
    span,
    until,
)

OUT = DamosAction.PAGEOUT


@check
def target_filter() -> dict[str, Any]:
    """The memory of the wanted target leaves, that of the other stays; then the other way round."""
    first = DamosFilter(DamosFilterType.TARGET, matching=True, allow=True, target_idx=0)
    with victim(8) as a, victim(8) as b, machine() as ours:
        filled(a, b)
        with on_processes(ours, [(a, [span(a)]), (b, [span(b)])], scheme(OUT, first)) as worker:
            until("the wanted target's memory leaves", lambda: gone(a))
            worker.aggregations(3)
            seen = [here(a), here(b)]
            assert here(b) == b.pages, seen
            with changes(worker.damon, worker.ctx) as wanted:
                (rule,) = wanted.schemes[0].core_filters
                rule.allow = False
            worker.rounds(2)
            a.tell(f"touch 0 {a.pages} 1")
            until("the other target's memory leaves", lambda: gone(b))
            worker.aggregations(3)
            seen += [here(a), here(b)]
            assert here(a) == a.pages, seen
        assert a.tell("verify") == b.tell("verify") == "same"
    return {"here": seen}


@check
def addr_filter() -> dict[str, Any]:
    """Of one range of a process only what lies between the filter's bounds leaves, to the page."""
    with victim(16) as other, machine() as ours:
        filled(other)
        low, high = 1001, 2500
        start, end = span(other, low, high)
        wanted = DamosFilter(DamosFilterType.ADDR, matching=True, allow=True, addr_start=start, addr_end=end)
        with on_processes(ours, [(other, [span(other)])], scheme(OUT, wanted)) as worker:
            until("the memory between the bounds leaves", lambda: gone(other, low, high))
            worker.aggregations(5)
        seen = [here(other, 0, low), here(other, low, high), here(other, high)]
        assert seen[::2] == [low, other.pages - high], seen
    return {"here": seen}


def swapped_pages() -> int:
    """Of all processes, from their status."""
    total = 0
    for path in Path("/proc").glob("[0-9]*/status"):
        lines = path.read_text().splitlines()
        total += sum(int(line.split()[1]) // 4 for line in lines if line.startswith("VmSwap:"))
    return total


@check
def filters_of_both_layers() -> dict[str, Any]:
    """Addresses in the core, kind of memory in the operations layer: only what passes both leaves, and is counted."""
    with two() as (anon, file, ours):
        frames = sorted(anon.frames() + file.frames())
        low, middle, high = frames[0], frames[len(frames) // 2], frames[-1] + 1
        before = anon.entries()
        inside = [page for page, entry in enumerate(before) if (entry & PFN_MASK) < middle]
        out = scheme(
            OUT,
            DamosFilter(DamosFilterType.ADDR, matching=False, addr_start=low * PAGE, addr_end=middle * PAGE),
            DamosFilter(DamosFilterType.ANON, matching=True, allow=True),
        )
        swapped = swapped_pages()
        with on_memory(ours, [(low * PAGE, high * PAGE)], out) as worker:
            until(
                "anonymous memory between the bounds leaves",
                lambda: sum(bool(anon.entries()[page] & PRESENT) for page in inside) <= len(inside) // 50 + 1,
            )
            worker.aggregations(3)
        swapped = swapped_pages() - swapped
        after = anon.entries()
        left = [page for page, entry in enumerate(after) if not entry & PRESENT]
        passed, applied = out.stat.sz_ops_filter_passed // PAGE, out.stat.sz_applied // PAGE
        assert inside
        assert set(left) <= set(inside), set(left) - set(inside)
        assert here(file) == file.pages
        assert abs(applied - swapped) <= swapped // 20 + 64, (applied, swapped)
        assert passed >= applied
    return {"inside": len(inside), "left": len(left), "swapped": swapped, "applied": applied, "passed": passed}


@check
def size_quota() -> dict[str, Any]:
    """At no time more has left than the windows so far allow; in the end all has."""
    size, window_ms = 1 << 19, 300
    with victim(4) as other, machine() as ours:
        filled(other)
        quota = DamosQuota(sz=size, reset_interval=window_ms)
        looks = 0
        began = time.monotonic()

        def within() -> bool:
            nonlocal looks
            left = (other.pages - here(other)) * PAGE
            windows = (time.monotonic() - began) * 1000 // window_ms + 1
            assert left <= windows * size, (left, windows)
            looks += 1
            return gone(other)

        with on_processes(ours, [(other, [span(other)])], scheme(OUT, quota=quota)):
            until("all has left, a share at a time", within)
    return {"looks": looks}


@check
def coldest_first() -> dict[str, Any]:
    """Under a quota the process that uses its memory keeps it: it had to bring next to nothing back."""
    quota = DamosQuota(sz=4 << 20, reset_interval=200, weight_nr_accesses=1, weight_age=1)
    with victim(4) as hot, victim(8) as cold, machine() as ours:
        filled(hot, cold)
        hot.tell(f"keep 0 {hot.pages} 1")
        faults = major_faults(hot.pid)
        with on_processes(ours, [(hot, [span(hot)]), (cold, [span(cold)])], scheme(OUT, quota=quota)) as worker:
            until("cold memory leaves", lambda: gone(cold))
            worker.aggregations(3)
            faults = major_faults(hot.pid) - faults
            seen = [here(hot), here(cold)]
    assert seen[0] >= 0.95 * hot.pages, seen
    assert faults <= 0.05 * hot.pages, faults
    return {"here": seen, "brought_back": faults}
