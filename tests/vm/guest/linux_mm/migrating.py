# SPDX-License-Identifier: GPL-2.0-only
"""``migrate_hot`` and ``migrate_cold``, checked by where move_pages(2) says that the pages are."""

from __future__ import annotations

import ctypes
import platform
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from damon.core.damos_filter import damos_set_filters_default_reject
from damon.mm.linux import LinuxMachine
from damon.model.context import DamonCtx
from damon.model.operations import Operations
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosFilterType, DamosMigrateDest
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from damon.ops.vaddr import Fvaddr
from tests.fakes import regions_of
from tests.vm.guest.linux_mm.stage import PAGE, Victim, check, filled, in_cgroup, machine, settle, victim

MOVE_PAGES = {"x86_64": 279, "aarch64": 239}[platform.machine()]
LIBC = ctypes.CDLL(None, use_errno=True)


def nodes_of(other: Victim) -> list[int]:
    """The node of each page of its area; a negative errno where there is no page."""
    pages = (ctypes.c_void_p * other.pages)(*range(other.base, other.base + other.pages * PAGE, PAGE))
    status = (ctypes.c_int * other.pages)()
    assert LIBC.syscall(MOVE_PAGES, other.pid, ctypes.c_ulong(other.pages), pages, None, status, 0) == 0
    return list(status)


def share_on(other: Victim, nid: int) -> float:
    return Counter(nodes_of(other))[nid] / other.pages


def on_process(ours: LinuxMachine, other: Victim, scheme: Damos) -> tuple[int, int]:
    """``scheme`` on the whole area, by virtual addresses."""
    target = DamonTarget(space=ours.open_process(other.pid))
    target.regions = regions_of((other.base, other.base + other.pages * PAGE))
    return _apply(ours, Fvaddr(), target, scheme)


def on_memory(ours: LinuxMachine, scheme: Damos) -> tuple[int, int]:
    """``scheme`` on all System RAM."""
    target, ram = DamonTarget(), ours.system_ram()
    target.regions = regions_of((ram[0][0], ram[-1][1]))
    return _apply(ours, Paddr(), target, scheme)


def _apply(ours: LinuxMachine, ops: Operations, target: DamonTarget, scheme: Damos) -> tuple[int, int]:
    ctx = DamonCtx(machine=ours, ops=ops, targets=[target])
    damos_set_filters_default_reject(scheme)
    return ctx.ops.apply_scheme(ctx, target, target.regions[0], scheme)


@contextmanager
def on_node_0() -> Iterator[tuple[Victim, LinuxMachine]]:
    """A victim whose pages are written, on the lists and on node 0."""
    with victim(4) as other, machine() as ours:
        filled(other)
        on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=0))
        assert share_on(other, 0) > 0.99, Counter(nodes_of(other))
        yield other, ours


@check
def migrate_of_a_process() -> dict[str, Any]:
    with on_node_0() as (other, ours):
        size = other.pages * PAGE
        scheme = Damos(action=DamosAction.MIGRATE_COLD, target_nid=1)
        applied, passed = on_process(ours, other, scheme)
        moved = nodes_of(other).count(1)
        assert applied == moved * PAGE, (applied, moved)
        assert moved >= 0.99 * other.pages
        assert passed >= 0.99 * size
        assert on_process(ours, other, scheme)[0] <= 0.01 * size  # there already
        for nowhere in (-1, 7):
            assert on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=nowhere))[0] == 0
        assert nodes_of(other).count(1) >= moved
        assert other.tell("verify") == "same"
        return {"applied": applied, "passed": passed}


@check
def migrate_by_weights() -> dict[str, Any]:
    """Every page where ops 1.7 says; an anonymous mapping's page offset is that of its address."""
    with on_node_0() as (other, ours):
        dests = [DamosMigrateDest(0, 2), DamosMigrateDest(1, 1)]
        applied, _ = on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=1, migrate_dests=dests))
        seen = nodes_of(other)
        wanted = [0 if (other.base // PAGE + page) % 3 < 2 else 1 for page in range(other.pages)]
        wrong = sum(a != b for a, b in zip(seen, wanted, strict=True))
        assert wrong <= 2, (wrong, seen[:12], wanted[:12])
        assert abs(applied - seen.count(1) * PAGE) <= 2 * PAGE
        on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, migrate_dests=[DamosMigrateDest(0, 0)]))
        assert nodes_of(other) == seen
        return {"on": Counter(seen), "applied": applied}


@check
def migrate_of_physical_memory() -> dict[str, Any]:
    """One cgroup's memory, found by physical addresses; the other process's stays."""
    with victim(4) as other, victim(4) as outside, machine() as ours, in_cgroup(other) as memcg_id:
        for each in (other, outside):
            filled(each)
            on_process(ours, each, Damos(action=DamosAction.MIGRATE_HOT, target_nid=0))
        scheme = Damos(action=DamosAction.MIGRATE_COLD, target_nid=1)
        scheme.add_filter(DamosFilter(DamosFilterType.MEMCG, matching=True, allow=True, memcg_id=memcg_id))
        applied, passed = on_memory(ours, scheme)
        moved = nodes_of(other).count(1)
        assert moved >= 0.99 * other.pages, Counter(nodes_of(other))
        assert abs(applied - moved * PAGE) <= 64 * PAGE, (applied, moved)  # its page tables' and stack's neighbours
        assert passed >= applied
        assert nodes_of(outside).count(1) == 0
        again, _ = on_memory(ours, scheme)
        assert again <= 64 * PAGE
        assert other.tell("verify") == "same"
        return {"applied": applied, "passed": passed, "again": again}


@check
def migrate_what_filters_let_pass() -> dict[str, Any]:
    """A ``young`` filter on a process: what it touched since stays, and is old afterwards."""
    with on_node_0() as (other, ours):
        old = Damos(action=DamosAction.STAT)
        old.add_filter(DamosFilter(DamosFilterType.YOUNG, matching=True, allow=False))
        on_process(ours, other, old)
        _, passed = on_process(ours, other, old)
        assert passed >= 0.97 * other.pages * PAGE, passed  # all is old
        half = other.pages // 2
        other.tell(f"touch 0 {half} 1")
        scheme = Damos(action=DamosAction.MIGRATE_COLD, target_nid=1)
        scheme.add_filter(DamosFilter(DamosFilterType.YOUNG, matching=True, allow=False))
        on_process(ours, other, scheme)
        seen = nodes_of(other)
        touched, untouched = seen[:half].count(1) / half, seen[half:].count(1) / half
        assert touched < 0.03, touched
        assert untouched > 0.97, untouched
        on_process(ours, other, scheme)
        assert nodes_of(other)[:half].count(1) > 0.97 * half
        return {"touched": touched, "untouched": untouched}


@check
def migrate_huge_pages_whole() -> dict[str, Any]:
    with victim(4) as other, machine() as ours:
        other.tell("collapse")
        settle(other)
        on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=0))
        before = anon_huge(other)
        applied, _ = on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=1))
        seen = Counter(nodes_of(other))
        assert before == other.pages * 4, before
        assert anon_huge(other) == before
        assert seen == {1: other.pages}
        assert applied == other.pages * PAGE
        on_node_0 = Damos(action=DamosAction.MIGRATE_HOT, target_nid=0)
        on_node_0.add_filter(
            DamosFilter(DamosFilterType.HUGEPAGE_SIZE, matching=True, allow=True, sz_min=2 << 20, sz_max=2 << 20)
        )
        assert on_process(ours, other, on_node_0) == (applied, applied)
        return {"applied": applied, "kib": before}


def anon_huge(other: Victim) -> int:
    """KiB of its area in huge pages, by smaps."""
    inside, found = False, 0
    for line in Path(f"/proc/{other.pid}/smaps").read_text().splitlines():
        words = line.split()
        if "-" in words[0] and not words[0].endswith(":"):
            start, end = (int(edge, 16) for edge in words[0].split("-"))
            inside = start < other.base + other.pages * PAGE and end > other.base
        elif inside and words[0] == "AnonHugePages:":
            found += int(words[1])
    return found


@check
def migrate_shared_pages() -> dict[str, Any]:
    """What a child maps as well goes too, as the kernel's own migration does it."""
    with on_node_0() as (other, ours):
        other.tell("share")
        applied, _ = on_process(ours, other, Damos(action=DamosAction.MIGRATE_COLD, target_nid=1))
        assert share_on(other, 1) > 0.99, Counter(nodes_of(other))
        return {"applied": applied}
