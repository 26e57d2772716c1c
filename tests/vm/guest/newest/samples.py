# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's samples of a process as modules, on this machine's memory: what they report, and what they page out."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from damon.core import Damon
from damon.mm.linux import LinuxMachine
from damon.model.scheme import Damos, DamosAction
from damon.modules.loader import Loader
from damon.modules.module import Module
from tests.vm.guest.linux_mm.migrating import on_process, share_on
from tests.vm.guest.linux_mm.stage import PAGE, Victim, filled, machine, victim
from tests.vm.guest.newest.stage import check
from tests.vm.guest.workers.stage import here, until

MIB = 1 << 20
#: Pages of an area of 16 MiB that are in use.
HOT = (1024, 1536)
#: Sampling intervals in which what is cold reaches the age of 50 aggregations, and some more.
LONG = 20 * 65


@contextmanager
def loaded(ours: LinuxMachine, name: str, *words: str) -> Iterator[Module]:
    """The module at work."""
    loader = Loader(Damon(ours, seed=1))
    module = loader.prepare(name, [*words, "enabled=Y"])
    loader.load(module)
    try:
        yield module
    finally:
        loader.unload_all()


def number(module: Module, name: str) -> int:
    value = module.stats()[name]
    assert isinstance(value, int)
    return value


def _used(other: Victim) -> None:
    filled(other)
    other.tell(f"keep {HOT[0]} {HOT[1]} 1")


@check
def wsse_reports_the_working_set() -> dict[str, Any]:
    """2 MiB of 16 are in use: half as much again at most, and most of it; no page leaves."""
    with victim(16) as other, machine() as ours:
        _used(other)
        hot = (HOT[1] - HOT[0]) * PAGE
        seen: list[int] = []

        def right() -> bool:
            seen.append(number(module, "wss"))
            return 0.8 * hot <= seen[-1] <= 1.5 * hot

        with loaded(ours, "wsse", f"target_pid={other.pid}") as module:
            until("the working set is what is in use", right)
        assert here(other) == other.pages
    return {"wss_mib": round(seen[-1] / MIB, 1), "looks": len(seen)}


@check
def prcl_pages_out_what_its_process_leaves_alone() -> dict[str, Any]:
    """The area of a process that uses all of it stays, and that of one that uses nothing leaves."""
    with victim(4) as busy, victim(16) as idle, machine() as ours:
        filled(busy, idle)
        busy.tell(f"keep 0 {busy.pages} 1")
        with loaded(ours, "prcl", f"target_pid={busy.pid}") as module:
            until("what is cold would have left", lambda: module.ctxs[0].passed_sample_intervals > LONG)
            left = here(busy) / busy.pages
        busy.process.kill()
        with loaded(ours, "prcl", f"target_pid={idle.pid}"):
            until("cold memory leaves", lambda: here(idle) <= idle.pages // 10)
            out = 1 - here(idle) / idle.pages
    assert left >= 0.95, left
    return {"in_use_left": left, "left_alone_out": out}


@check
def mtier_moves_hot_memory_to_node_0_and_cold_memory_away() -> dict[str, Any]:
    """By goals that are not reached. Their quotas begin at a byte, so that it takes minutes. The kernel's own NUMA
    balancing is off (``QUIET``)."""
    with victim(8) as hot, victim(64) as cold, machine() as ours:
        for other, nid in ((hot, 1), (cold, 0)):
            filled(other)
            on_process(ours, other, Damos(action=DamosAction.MIGRATE_COLD, target_nid=nid))
        before = share_on(hot, 0), share_on(cold, 1)
        hot.tell(f"keep 0 {hot.pages} 1")
        found: list[tuple[float, float]] = []

        def moved() -> bool:
            found.append((share_on(hot, 0), share_on(cold, 1)))
            return min(found[-1]) >= 0.8

        began = time.monotonic()
        with loaded(ours, "mtier", "detect_node_addresses=Y", "node0_mem_free_bp=9900") as module:
            until("hot memory is on node 0 and cold memory on node 1", moved, guard_s=600, longest_s=5)
            stats = module.stats()
        assert max(before) <= 0.05, before
    return {
        "seconds": round(time.monotonic() - began),
        "before": before,
        "shares": found[:: max(len(found) // 8, 1)],
        **stats,
    }
