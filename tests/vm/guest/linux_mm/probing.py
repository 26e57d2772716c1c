# SPDX-License-Identifier: GPL-2.0-only
"""Data-attribute probes on real memory, beside what the kernel says of the same page frames."""

from __future__ import annotations

import os
import random
from typing import Any

from damon.mm.linux import LinuxMachine
from damon.model.arrays import RegionArray
from damon.model.context import DamonCtx
from damon.model.probe import DamonFilter, DamonFilterType, DamonProbe
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from tests.page_flags import KPF_ANON, KPF_COMPOUND_HEAD, KPF_COMPOUND_TAIL, KPF_LRU
from tests.vm.guest.linux_mm.filters import two
from tests.vm.guest.linux_mm.stage import PAGE, check, filled, in_cgroup, machine, settle, victim
from tests.vm.guest.pages import page_flags

ROUNDS = 3


def probe(ours: LinuxMachine, frames: list[int], *filters: DamonFilter) -> list[float]:
    """The share of these page frames that passes; one region each, sampled some times, each time at another address."""
    ctx = DamonCtx(machine=ours, ops=Paddr(), probes=[DamonProbe(1, list(filters))])
    regions = RegionArray((pfn * PAGE, (pfn + 1) * PAGE) for pfn in sorted(frames))
    ctx.targets.append(DamonTarget(regions=regions))
    for _ in range(ROUNDS):
        ctx.ops.apply_probes(ctx, True, True)
    return [region.probe_hits[0] / ROUNDS for region in regions]


def anonymous(pfns: list[int]) -> list[bool | None]:
    """Anonymous, by kpageflags; None where a page is part of a bigger one, or on no list: its head speaks for it."""
    fd = os.open("/proc/kpageflags", os.O_RDONLY)
    try:
        flags = page_flags(fd, pfns)
    finally:
        os.close(fd)
    plain = KPF_COMPOUND_HEAD | KPF_COMPOUND_TAIL
    return [None if f & plain or not f & KPF_LRU else bool(f & KPF_ANON) for f in flags]


@check
def probes_agree_with_page_flags() -> dict[str, Any]:
    """Memory whose kind we know, then page frames all over the memory, as kpageflags has them before and after."""
    hit = DamonFilter(DamonFilterType.ANON, matching=True, allow=True)
    miss = DamonFilter(DamonFilterType.ANON, matching=True, allow=False)
    with two() as (anon, file, ours):
        shares = [
            sum(seen) / len(seen)
            for seen in (probe(ours, other.frames(), wanted) for other in (anon, file) for wanted in (hit, miss))
        ]
        rnd, (low, high) = random.Random(5), ours.system_ram()[-1]
        frames = sorted(
            {rnd.randrange(low // PAGE, high // PAGE) for _ in range(20000)} | set(anon.frames() + file.frames())
        )
        before = anonymous(frames)
        seen = probe(ours, frames, hit)
        pairs = [
            (one, got) for one, got, two in zip(before, seen, anonymous(frames), strict=True) if one is two is not None
        ]
    wrong = sum(got != one for one, got in pairs)
    assert shares[0] > 0.99, shares
    assert shares[1] < 0.01, shares
    assert shares[2] < 0.01, shares
    assert shares[3] > 0.99, shares
    assert len(pairs) > 2000, len(pairs)
    assert 500 < sum(one is True for one, _ in pairs) < len(pairs) - 100
    assert wrong <= 5, wrong
    return {"shares": shares, "frames": len(pairs), "anonymous": sum(one is True for one, _ in pairs), "wrong": wrong}


@check
def probes_see_huge_pages_by_their_heads() -> dict[str, Any]:
    with victim(8) as other, machine() as ours:
        other.tell("collapse")
        settle(other)
        frames = other.frames()
        assert sum(bool(flags & KPF_COMPOUND_TAIL) for flags in other.flags()) > 0.9 * len(frames)
        seen = probe(ours, frames, DamonFilter(DamonFilterType.ANON, matching=True, allow=True))
    assert min(seen) == 1, sum(seen)
    return {"frames": len(seen)}


@check
def probes_tell_cgroups_apart() -> dict[str, Any]:
    with victim(4) as inside, victim(4) as outside, machine() as ours, in_cgroup(inside) as memcg_id:
        filled(inside, outside)
        wanted = DamonFilter(DamonFilterType.MEMCG, True, True, memcg_id=memcg_id)
        shares = [sum(seen) / len(seen) for seen in (probe(ours, o.frames(), wanted) for o in (inside, outside))]
    assert shares[0] > 0.95, shares
    assert shares[1] < 0.05, shares
    return {"shares": shares}
