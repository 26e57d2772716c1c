# SPDX-License-Identifier: GPL-2.0-only
"""The kernel's samples as modules, on this machine's memory: what they report, and what they move."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from damon.core import Damon
from damon.mm.linux import LinuxMachine
from damon.model.scheme import Damos, DamosAction
from damon.modules.loader import Loader
from damon.modules.module import Module
from tests.vm.guest.linux_mm.migrating import on_process, share_on
from tests.vm.guest.linux_mm.stage import PAGE, Victim, filled, machine, settle, victim
from tests.vm.guest.newest.stage import check
from tests.vm.guest.workers.stage import here, until

MIB = 1 << 20
#: Pages of an area of 16 MiB that are in use.
HOT = (1024, 2048)


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
    """4 MiB of 16 are in use: half as much again at most, and all of it; no page leaves."""
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
    with victim(16) as other, victim(4) as beside, machine() as ours:
        _used(other)
        filled(beside)
        with loaded(ours, "prcl", f"target_pid={other.pid}") as module:
            until("cold memory leaves", lambda: here(other, 0, HOT[0]) + here(other, HOT[1]) <= 3072 // 10)
            applied = number(module, "sz_applied")
        left = here(other, *HOT) / (HOT[1] - HOT[0])
        assert applied >= 0.9 * 3072 * PAGE, applied
        assert left >= 0.9, left
        assert here(beside) == beside.pages
    return {"hot_left": left, "applied_mib": applied >> 20}


@check
def mtier_moves_hot_memory_in_and_cold_memory_out() -> dict[str, Any]:
    """What is hot is on the slow node at first, and what is cold on the fast one."""
    with victim(4) as hot, victim(32) as cold, machine() as ours:
        for other, nid in ((hot, 1), (cold, 0)):
            filled(other)
            on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=nid))
            settle(other)
        before = [share_on(hot, 0), share_on(cold, 0)]
        hot.tell(f"keep 0 {hot.pages} 1")
        words = ("detect_node_addresses=Y", "node0_mem_free_bp=9900")
        with loaded(ours, "mtier", *words) as module:
            until("hot memory is on node 0", lambda: share_on(hot, 0) >= 0.8)
            until("cold memory is on node 1", lambda: share_on(cold, 1) >= 0.8)
            moved = {name: number(module, f"{name}_sz_applied") >> 20 for name in ("promote", "demote")}
    assert before[0] <= 0.05, before
    assert before[1] >= 0.95, before
    return moved
