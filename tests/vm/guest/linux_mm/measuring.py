# SPDX-License-Identifier: GPL-2.0-only
"""What goals of quotas measure, beside other counters of the kernel than those that they are made of."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path
from typing import Any

from damon.core.goals import damos_quota_score
from damon.mm.linux import LinuxMachine
from damon.model.context import DamonCtx
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction, DamosQuota, DamosQuotaGoal, DamosQuotaGoalMetric
from damon.model.target import DamonTarget
from damon.ops.paddr import Paddr
from tests.fakes import regions_of
from tests.page_flags import KPF_COMPOUND_TAIL, KPF_FOREIGN, KPF_LRU
from tests.vm.guest.linux_mm.migrating import nodes_of, on_process
from tests.vm.guest.linux_mm.stage import CGROUP, check, filled, in_cgroup, machine, settle, victim
from tests.vm.guest.pages import page_flags

M = DamosQuotaGoalMetric


def measure(ours: LinuxMachine, metric: DamosQuotaGoalMetric, nid: int = 0, memcg_id: int = 0, **pattern: int) -> int:
    """What the goal says now, in a scheme on all System RAM."""
    goal = DamosQuotaGoal(metric, 10000, nid=nid, memcg_id=memcg_id)
    scheme = Damos(quota=DamosQuota(goals=[goal]), pattern=DamosAccessPattern(**pattern))
    target, ram = DamonTarget(), ours.system_ram()
    target.regions = regions_of((ram[0][0], ram[-1][1], 0))
    damos_quota_score(DamonCtx(machine=ours, ops=Paddr(), targets=[target], schemes=[scheme]), scheme)
    return goal.current_value


def zones() -> dict[int, Counter[str]]:
    """Of each node, from /proc/zoneinfo: pages free, pages managed, and the first and last page frame."""
    nodes: dict[int, Counter[str]] = {}
    for part in re.split(r"^Node ", Path("/proc/zoneinfo").read_text(), flags=re.MULTILINE)[1:]:
        facts = dict(re.findall(r"^\s+(pages free|managed|present|start_pfn|spanned):?\s+(\d+)", part, re.MULTILINE))
        if int(facts["present"]):
            node = nodes.setdefault(int(part.split(",")[0]), Counter(start=1 << 60))
            node["free"] += int(facts["pages free"])
            node["total"] += int(facts["managed"])
            node["start"] = min(node["start"], int(facts["start_pfn"]))
            node["end"] = max(node["end"], int(facts["start_pfn"]) + int(facts["spanned"]))
    return nodes


def near(value: int, expected: float, tolerance: int = 60) -> None:
    assert abs(value - expected) <= tolerance, (value, expected)


@check
def goal_node_memory() -> dict[str, Any]:
    """Beside /proc/zoneinfo, before and after memory moves from one node to the other."""
    seen = []
    with victim(48) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        for target_nid in (0, 1):
            on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=target_nid))
            for nid, node in zones().items():
                used, free = (measure(ours, metric, nid) for metric in (M.NODE_MEM_USED_BP, M.NODE_MEM_FREE_BP))
                near(free, node["free"] * 10000 / node["total"])
                near(used, 10000 - free)
                seen.append(used)
        assert seen[0] - seen[2] > 100, seen  # what was freed waits in per-CPU lists for a while: not free yet
        assert seen[3] - seen[1] > 400, seen  # 48 MiB of about 500
        assert [measure(ours, metric, 5) for metric in (M.NODE_MEM_USED_BP, M.NODE_MEM_FREE_BP)] == [0, 10000]
    return {"used_bp": seen}


@check
def goal_node_cgroup() -> dict[str, Any]:
    """Beside the cgroup's memory.stat and where move_pages says that its pages are."""
    seen = []
    with victim(32) as other, machine() as ours, in_cgroup(other) as memcg_id:
        filled(other)
        for target_nid in (0, 1):
            on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=target_nid))
            settle(other)
            on = Counter(nodes_of(other))
            for nid, node in zones().items():
                used = measure(ours, M.NODE_MEMCG_USED_BP, nid, memcg_id)
                near(measure(ours, M.NODE_MEMCG_FREE_BP, nid, memcg_id), 10000 - used)
                near(used, on[nid] * 10000 / node["total"])
                seen.append(used)
        stat = dict(line.split() for line in (CGROUP / "memory.stat").read_text().splitlines())
        lists = sum(int(stat[f"{state}_{kind}"]) for state in ("active", "inactive") for kind in ("anon", "file"))
        pages = sum((ours.node_memcg_pages(nid, memcg_id) or 0) for nid in zones())
        assert abs(pages - lists // 4096) <= 64, (pages, lists // 4096)
        assert measure(ours, M.NODE_MEMCG_USED_BP, 0, 1 << 40) == 0
        assert measure(ours, M.NODE_MEMCG_FREE_BP, 0, 1 << 40) == 10000
    return {"used_bp": seen}


def on_lists() -> Counter[int]:
    """Pages on LRU lists by node, from kpageflags; of a compound page, tails count as their head does."""
    counts: Counter[int] = Counter()
    fd = os.open("/proc/kpageflags", os.O_RDONLY)
    for nid, node in zones().items():
        listed = False
        for start in range(node["start"], node["end"], 4096):
            for entry in page_flags(fd, range(start, min(start + 4096, node["end"]))):
                if not entry & KPF_COMPOUND_TAIL or entry & KPF_FOREIGN:
                    listed = bool(entry & KPF_LRU)
                counts[nid] += listed
    os.close(fd)
    return counts


@check
def goal_eligible_memory() -> dict[str, Any]:
    """Beside LRU pages counted in kpageflags, before and after memory moves."""
    seen = []
    with victim(48) as other, machine() as ours:
        other.tell(f"write 0 {other.pages} 1")
        for target_nid in (0, 1):
            on_process(ours, other, Damos(action=DamosAction.MIGRATE_HOT, target_nid=target_nid))
            counts = on_lists()
            for nid in counts:
                seen.append(measure(ours, M.NODE_ELIGIBLE_MEM_BP, nid, max_nr_accesses=0))
                near(seen[-1], counts[nid] * 10000 / counts.total())
        assert seen[3] - seen[1] > 2000, seen
        assert measure(ours, M.NODE_ELIGIBLE_MEM_BP, 0, min_nr_accesses=1) == 0
        assert {span[2] for span in ours.node_spans()} == set(zones())
        covered = sum(end - start for start, end, _ in ours.node_spans())
        assert covered >= sum(end - start for start, end in ours.system_ram())
    return {"bp": seen}


@check
def goal_lists() -> dict[str, Any]:
    """Beside the zones' own counters."""
    text = Path("/proc/zoneinfo").read_text()
    sums = {
        state: sum(int(n) for n in re.findall(rf"^\s+nr_{state}_(?:anon|file)\s+(\d+)", text, re.MULTILINE))
        for state in ("active", "inactive")
    }
    with machine() as ours:
        seen = [measure(ours, metric) for metric in (M.ACTIVE_MEM_BP, M.INACTIVE_MEM_BP)]
    near(seen[0], sums["active"] * 10000 / sum(sums.values()), 100)
    near(sum(seen), 10000, 100)
    return {"bp": seen, "pages": sums}
