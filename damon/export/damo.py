# SPDX-License-Identifier: GPL-2.0-only
"""A policy as damo has it: the JSON that ``damo start`` takes."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence

from damon.errors import InvalidInput
from damon.export.policy import Policy
from damon.host.operations import HostSpace
from damon.model.regions import set_regions
from damon.model.scheme import DamosQuotaGoalMetric
from damon.records.params import kdamond

_NO_WORKER = -1


def damo_json(policy: Policy, pids: Sequence[int] = (), ram: tuple[int, int] | None = None) -> str:
    """The text.

    Args:
        policy: its contexts are changed.
        pids: of its processes, in order; none: as on the machine that it was made on.
        ram: what stands for all System RAM, in bytes, end exclusive; None: that machine's.

    Raises:
        InvalidInput: another number of processes; a cgroup that the machine does not have.
    """
    targets = policy.processes()
    if pids and len(pids) != len(targets):
        raise InvalidInput(
            f"--pid: {len(pids)} are given: the policy has {len(targets)} processes; give each, in order"
        )
    for target, pid in zip(targets, pids, strict=False):
        target.space = HostSpace(pid)
    for ctx in policy.ctxs:
        for target in ctx.targets:
            if ram is not None and target in policy.whole_ram:
                set_regions(target, [(ram[0] // ctx.addr_unit, ram[1] // ctx.addr_unit)], ctx.min_region_sz)
    parts = [kdamond(ctx, _NO_WORKER, policy.cgroup) | {"state": "off", "pid": None} for ctx in policy.ctxs]
    stubs = {"comments": [str(stub) for stub in policy.stubs]} if policy.stubs else {}
    return json.dumps(stubs | {"kdamonds": parts}, indent=2) + "\n"


def lost(policy: Policy) -> Iterator[str]:
    """What damo 3.4.3 does not take from its file, a line each."""
    for ctx in policy.ctxs:
        for index, scheme in enumerate(ctx.schemes):
            if scheme.max_nr_snapshots:
                yield f"schemes/{index}: max_nr_snapshots {scheme.max_nr_snapshots}: damo drops it; write it there"
            for goal in scheme.quota.goals:
                if goal.metric is DamosQuotaGoalMetric.NODE_ELIGIBLE_MEM_BP and goal.nid:
                    yield f"schemes/{index}: nid {goal.nid} of {goal.metric.value}: damo drops it; write it there"


def parse_range(text: str) -> tuple[int, int]:
    """``START-END``, half-open, decimal or ``0x`` hexadecimal.

    Raises:
        ValueError: it is none.
    """
    start, _, end = text.partition("-")
    found = int(start, 0), int(end, 0)
    if not 0 <= found[0] < found[1]:
        raise ValueError(text)
    return found
