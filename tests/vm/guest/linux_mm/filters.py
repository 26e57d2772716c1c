# SPDX-License-Identifier: GPL-2.0-only
"""Each filter type of a ``pageout`` scheme on paddr, checked by which pages are still there, by pagemap."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from damon.core import set_regions
from damon.core.damos_filter import damos_set_filters_default_reject
from damon.mm.linux import LinuxMachine
from damon.model.context import DamonCtx
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosFilterType
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from tests.vm.guest.linux_mm.stage import PAGE, Victim, check, filled, in_cgroup, machine, settle, victim

FILE = "/tmp/filter-test"


def apply(ours: LinuxMachine, action: DamosAction, *filters: DamosFilter) -> tuple[int, int]:
    """A scheme on all System RAM, twice: what was never made old counts as young at first. Applied, passed bytes."""
    ctx = DamonCtx(machine=ours, ops=Paddr())
    target = DamonTarget()
    ram = ours.system_ram()
    set_regions(target, [(ram[0][0], ram[-1][1])], PAGE)
    scheme = Damos(action=action)
    for wanted in filters:
        scheme.add_filter(wanted)
    damos_set_filters_default_reject(scheme)
    applied = passed = 0
    for _ in range(2):
        applied, passed = (
            a + b
            for a, b in zip(
                (applied, passed), ctx.ops.apply_scheme(ctx, target, target.regions[0], scheme), strict=True
            )
        )
    return applied, passed


def only(type_: DamosFilterType, matching: bool = True, **values: int) -> DamosFilter:
    """What hits passes, all else is left alone."""
    return DamosFilter(type_, matching=matching, allow=True, **values)


@contextmanager
def two() -> Iterator[tuple[Victim, Victim, LinuxMachine]]:
    """One with anonymous memory, one with a mapped file; both on the LRU lists and never touched again."""
    with victim(4) as anon, victim(4, FILE) as file, machine() as ours:
        filled(anon, file)
        yield anon, file, ours


def here(*others: Victim) -> list[float]:
    """The share of each one's pages that is present."""
    return [round(other.present() / other.pages, 3) for other in others]


def expect_out_and_here(seen: list[float]) -> None:
    """The first one's pages have left, the second one's have not."""
    assert seen[0] < 0.05, seen
    assert seen[1] > 0.95, seen


@check
def filter_anon() -> dict[str, Any]:
    seen = []
    for matching in (True, False):
        with two() as (anon, file, ours):
            apply(ours, DamosAction.PAGEOUT, only(DamosFilterType.ANON, matching))
            seen.append(here(anon, file))
    expect_out_and_here(seen[0])
    expect_out_and_here(seen[1][::-1])
    return {"here": seen}


@check
def filter_memcg() -> dict[str, Any]:
    with victim(4) as inside, victim(4) as outside, machine() as ours, in_cgroup(inside) as memcg_id:
        filled(inside, outside)
        apply(ours, DamosAction.PAGEOUT, only(DamosFilterType.MEMCG, memcg_id=memcg_id))
        seen = here(inside, outside)
    expect_out_and_here(seen)
    return {"here": seen}


@check
def filter_active() -> dict[str, Any]:
    with victim(4) as active, victim(4) as inactive, machine() as ours:
        filled(active, inactive)
        frames = active.frames()
        for folios in ours.phys.folios(min(frames) * PAGE, (max(frames) + 1) * PAGE):
            wanted = set(frames)
            for folio in folios:
                folio.flags |= (1 << 17) if folio.pfn in wanted else 0
            ours.phys.activate(folios)
        settle(active)
        assert active.active() > 0.95 * active.pages
        apply(ours, DamosAction.PAGEOUT, only(DamosFilterType.ACTIVE))
        seen = here(active, inactive)
    expect_out_and_here(seen)
    return {"here": seen}


@check
def filter_hugepage_size() -> dict[str, Any]:
    with victim(4) as huge, victim(4) as small, machine() as ours:
        huge.tell("collapse")
        settle(huge)
        filled(small)
        apply(ours, DamosAction.PAGEOUT, only(DamosFilterType.HUGEPAGE_SIZE, sz_min=2 << 20, sz_max=2 << 20))
        seen = here(huge, small)
    expect_out_and_here(seen)
    return {"here": seen}


@check
def filter_unmapped() -> dict[str, Any]:
    """Page cache that nobody maps is counted by ``stat``; from user space nothing can be done to it."""
    size = 16 << 20
    path = Path(FILE)
    with machine() as ours:
        _, before = apply(ours, DamosAction.STAT, only(DamosFilterType.UNMAPPED))
        path.write_bytes(bytes(size))
        os.sync()
        try:
            _, passed = apply(ours, DamosAction.STAT, only(DamosFilterType.UNMAPPED))
        finally:
            path.unlink()
    grown = (passed - before) / 2
    assert 0.9 * size < grown < 1.3 * size, (before, passed)
    return {"bytes": grown}


@check
def filter_addr() -> dict[str, Any]:
    """The frames of one process, as one range of addresses and no other: core layer, here by the region itself."""
    with victim(4) as other, machine() as ours:
        filled(other)
        frames = sorted(other.frames())
        middle = frames[len(frames) // 2]
        ctx, target, scheme = DamonCtx(machine=ours, ops=Paddr()), DamonTarget(), Damos(action=DamosAction.PAGEOUT)
        set_regions(target, [(frames[0] * PAGE, middle * PAGE)], PAGE)
        for _ in range(2):
            ctx.ops.apply_scheme(ctx, target, target.regions[0], scheme)
        left = sorted(other.frames())
    assert left[:8] >= [middle], (left[0], middle)
    assert abs(len(left) - len(frames) / 2) <= 4, (len(left), len(frames))
    return {"left": len(left), "of": len(frames)}
