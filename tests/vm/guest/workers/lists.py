# SPDX-License-Identifier: GPL-2.0-only
"""Parameters of damon_lru_sort by their effect: which pages are on which list, by kpageflags and /proc/vmstat."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

from damon.core import Damon
from damon.mm.linux import LinuxMachine
from damon.modules.loader import Loader
from tests.vm.guest.linux_mm.stage import PAGE, Victim, filled, machine, settle, victim
from tests.vm.guest.pages import ACTIVE, LRU
from tests.vm.guest.workers.living import AWAKE, BITMAP
from tests.vm.guest.workers.stage import Worker, check, until, vmstat

QUOTA = ("quota_ms=0", "quota_reset_interval_ms=100")
#: Everything is hot and nothing cold, or the other way round.
ALL_HOT = ("hot_thres_access_freq=0", "cold_min_age=4294967295000", *QUOTA)
ALL_COLD = ("hot_thres_access_freq=1000", "cold_min_age=0", *QUOTA)


@contextmanager
def lru_sort(ours: LinuxMachine, other: Victim, *words: str, sample_us: int = 10000) -> Iterator[Worker]:
    """damon_lru_sort on the page frames of a process."""
    frames = other.frames()
    bounds = (f"monitor_region_start={min(frames) * PAGE}", f"monitor_region_end={(max(frames) + 1) * PAGE}")
    intervals = (f"sample_interval={sample_us}", f"aggr_interval={10 * sample_us}", "max_nr_regions=50")
    damon = Damon(ours, seed=1)
    loader = Loader(damon)
    module = loader.prepare("damon_lru_sort", [*AWAKE, *intervals, *bounds, "enabled=Y", *words])
    loader.load(module)
    try:
        assert module.ctx is not None
        yield Worker(damon, module.ctx)
    finally:
        loader.unload_all()


def active(other: Victim) -> list[bool]:
    """Of each of its pages: is it on an active list?"""
    return [flags & (LRU | ACTIVE) == LRU | ACTIVE for flags in other.flags()]


def make_idle(other: Victim) -> None:
    """Mark all of its pages idle, in the kernel's bitmap."""
    words: dict[int, int] = {}
    for frame in other.frames():
        words[frame // 64] = words.get(frame // 64, 0) | 1 << frame % 64
    bitmap = os.open(BITMAP, os.O_RDWR)
    try:
        for word, bits in words.items():
            os.pwrite(bitmap, bits.to_bytes(8, "little"), word * 8)
    finally:
        os.close(bitmap)


def _shares(other: Victim, step: int) -> tuple[float, float]:
    """Of the pages that are in use, and of the others: the share that is active."""
    flags = active(other)
    used = flags[::step]
    return sum(used) / len(used), (sum(flags) - sum(used)) / (len(flags) - len(used))


@check
def lru_sort_filters_young_pages() -> dict[str, Any]:
    """One page in 64 is in use. Only these go up; only the others come down; without the filter all do."""
    step, seen = 64, []
    with victim(8) as other, machine() as ours:
        filled(other)
        make_idle(other)
        other.tell(f"keep 0 {other.pages} {step}")
        seen.append(_shares(other, step))
        with lru_sort(ours, other, *ALL_HOT, "filter_young_pages=Y") as worker:
            until("pages in use are active", lambda: _shares(other, step)[0] >= 0.95)
            worker.aggregations(3)
        seen.append(_shares(other, step))
        with lru_sort(ours, other, *ALL_HOT, "filter_young_pages=N"):
            until("all pages are active", lambda: min(_shares(other, step)) >= 0.98)
        seen.append(_shares(other, step))
        # A page in use has a second to be touched again after the filter has made it old.
        with lru_sort(ours, other, *ALL_COLD, "filter_young_pages=Y", sample_us=100000):
            until("pages not in use are inactive", lambda: _shares(other, step)[1] <= 0.05)
            seen.append(_shares(other, step))
        with lru_sort(ours, other, *ALL_COLD, "filter_young_pages=N"):
            until("all pages are inactive", lambda: max(_shares(other, step)) <= 0.05)
    assert max(seen[0]) < 0.1, seen
    assert seen[1][1] <= 0.05, seen
    assert seen[3][0] >= 0.9, seen
    return {"active_of_used_and_others": seen}


def active_bp() -> int:
    """The share of active memory, by /proc/vmstat."""
    up = vmstat("nr_active_anon", "nr_active_file")
    return up * 10000 // (up + vmstat("nr_inactive_anon", "nr_inactive_file"))


#: How far the share of active memory may go where 2000 are wanted; without a goal it goes 7000. The quota grows from
#: window to window also while it is spent on pages that are active already, so the window in which the goal is reached
#: can go too far: the share went by 2000 to 5700 in 30 runs, by more than 5000 in one of them.
MOST_BP = 5000
#: So often at most it begins anew from where all is inactive. Without the goal none of these stops early.
TRIES = 3


def _active(wanted: int) -> bool:
    return active_bp() >= wanted


def _settled(worker: Worker, reached: Callable[[], bool]) -> tuple[int, int]:
    """The share of active memory once the wanted one is reached, and as long again after that: it has to stay."""
    until("the wanted share is active", reached)
    worker.aggregations(15)  # the quota ends in small steps, and pages that were chosen before still go
    first = active_bp()
    worker.aggregations(5)
    return first, active_bp()


@check
def lru_sort_keeps_to_active_mem_bp() -> dict[str, Any]:
    """Everything may go up, and goes until the wanted share of memory is active; then the same downwards."""
    ups: list[tuple[int, int, int]] = []
    with victim(128) as other, machine() as ours:
        filled(other)
        while not ups or (ups[-1][1] > ups[-1][0] + MOST_BP and len(ups) < TRIES):
            with lru_sort(ours, other, *ALL_COLD):
                until("all is inactive", lambda: other.active() <= 0.02 * other.pages)
            start = active_bp()
            with lru_sort(ours, other, *ALL_HOT, f"active_mem_bp={start + 2000}") as worker:
                ups.append((start, *_settled(worker, partial(_active, start + 2000))))
        with lru_sort(ours, other, *ALL_HOT):
            until("without a goal all is active", lambda: other.active() >= 0.98 * other.pages)
        settle(other)
        top = active_bp()
        with lru_sort(ours, other, *ALL_COLD, f"active_mem_bp={top - 2000}") as worker:
            down, at_last = _settled(worker, lambda: active_bp() <= top - 2000)
    seen = {"up": ups, "top": top, "down": (down, at_last)}
    assert ups[-1][1] <= ups[-1][0] + MOST_BP, seen
    assert all(abs(then - first) <= 500 for _, first, then in ups), seen
    assert top >= ups[-1][1] + 1000, seen
    assert down >= top - MOST_BP, seen
    assert abs(at_last - down) <= 500, seen
    return {"active_bp": seen}
