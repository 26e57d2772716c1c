# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_SAMPLE_MTIER: two tiers of memory (DAMON spec, modules 7.3).

The kernel's ``samples/damon/mtier.c``. Node 0 is the fast one. A context on node 1 promotes what is accessed until
``node0_mem_used_bp`` of node 0 are used; one on node 0 demotes what is not until ``node0_mem_free_bp`` of it are free.
"""

from __future__ import annotations

import errno
from collections.abc import Sequence
from typing import ClassVar, Final

from damon.core import set_attrs, set_regions
from damon.errors import DamonError
from damon.model.attrs import U32_MAX, ULONG_MAX, DamonAttrs, DamonIntervalsGoal
from damon.model.context import DAMON_MIN_REGION_SZ, DamonCtx
from damon.model.machine import PAGE_SIZE
from damon.model.scheme import (
    Damos,
    DamosAccessPattern,
    DamosAction,
    DamosFilter,
    DamosFilterType,
    DamosQuota,
    DamosQuotaGoal,
    DamosQuotaGoalMetric,
    DamosStat,
)
from damon.model.target import DamonTarget
from damon.modules.common import ulong
from damon.modules.params import ParamSpec, Value
from damon.modules.sample import ENABLED, SampleModule

ATTRS: Final = DamonAttrs(intervals_goal=DamonIntervalsGoal(400, 3, 5000, 10_000_000))
_APPLY_US: Final = 1_000_000
_QUOTA_SZ: Final = 200 << 20
_QUOTA_MS: Final = 1000
_FAST, _SLOW = 0, 1


class Mtier(SampleModule):
    """Hot memory of node 1 moves to node 0, and cold memory of node 0 to node 1: at most 200 MiB a second each."""

    name: ClassVar[str] = "damon_sample_mtier"
    description: ClassVar[str] = "promote hot and demote cold memory between NUMA nodes 0 and 1 (the kernel's sample)"

    SPECS: Sequence[ParamSpec] = (
        ulong("node0_start_addr", 0, "bytes", "physical address where node 0 begins"),
        ulong("node0_end_addr", 0, "bytes", "physical address where node 0 ends (exclusive)"),
        ulong("node1_start_addr", 0, "bytes", "physical address where node 1 begins"),
        ulong("node1_end_addr", 0, "bytes", "physical address where node 1 ends (exclusive)"),
        ulong("node0_mem_used_bp", 9970, "bp", "promote until so much of node 0 is used; not 0"),
        ulong("node0_mem_free_bp", 50, "bp", "demote until so much of node 0 is free; not 0"),
        ENABLED,
        ParamSpec("detect_node_addresses", "bool", False, "find the addresses of both nodes; the four are ignored"),
    )

    def needs(self) -> tuple[str, Sequence[str]]:
        return "paddr", ("migrate_hot", "migrate_cold")

    def check(self) -> None:
        for promote in (True, False):
            self._build(DamonCtx(machine=self.damon.machine), promote)

    def _start(self) -> None:
        promoting, demoting = (self._build(self.damon.new_ctx(), promote) for promote in (True, False))
        self.damon.start([promoting, demoting], exclusive=True)
        self.ctx, self.more = promoting, (demoting,)

    def _build(self, ctx: DamonCtx, promote: bool) -> DamonCtx:
        """Whatever fails is ENOMEM, as in the kernel."""
        nid = _SLOW if promote else _FAST
        self.damon.select_ops(ctx, "paddr")
        set_attrs(ctx, ATTRS.copy())
        ctx.targets.append(DamonTarget())
        names, (start, end) = self._range(nid)
        if start >= end:
            raise DamonError(
                errno.ENOMEM, f"{names}: {start}-{end}: is no range; give the node's, or detect_node_addresses=Y"
            )
        try:
            set_regions(ctx.targets[0], [(start, end)], DAMON_MIN_REGION_SZ)
        except DamonError as error:
            raise DamonError(errno.ENOMEM, f"{names}: {error.strerror}") from error
        ctx.schemes.append(self._scheme(promote))
        return ctx

    def _range(self, nid: int) -> tuple[str, tuple[int, int]]:
        """The parameters that say where node ``nid`` is, and its addresses."""
        if not self.parameters["detect_node_addresses"].value:
            names = (f"node{nid}_start_addr", f"node{nid}_end_addr")
            return ", ".join(names), (self._number(names[0]), self._number(names[1]))
        spans = [(start, end) for start, end, of in self.damon.machine.node_spans() if of == nid]
        if not spans:
            raise DamonError(
                errno.ENOMEM, f"detect_node_addresses: Y: NUMA node {nid} is not online; mtier needs nodes 0 and 1"
            )
        return "detect_node_addresses", (spans[0][0], spans[-1][1])

    def _scheme(self, promote: bool) -> Damos:
        for name in ("node0_mem_used_bp", "node0_mem_free_bp"):
            if not self._number(name):
                raise DamonError(errno.ENOMEM, f"{name}: 0: no goal can be reached; give basis points above 0")
        most = U32_MAX if promote else 0
        if promote:
            metric, target = DamosQuotaGoalMetric.NODE_MEM_USED_BP, self._number("node0_mem_used_bp")
        else:
            metric, target = DamosQuotaGoalMetric.NODE_MEM_FREE_BP, self._number("node0_mem_free_bp")
        scheme = Damos(
            pattern=DamosAccessPattern(PAGE_SIZE, ULONG_MAX, int(promote), most, 0, U32_MAX),
            action=DamosAction.MIGRATE_HOT if promote else DamosAction.MIGRATE_COLD,
            apply_interval_us=_APPLY_US,
            quota=DamosQuota(
                reset_interval=_QUOTA_MS,
                sz=_QUOTA_SZ,
                weight_nr_accesses=100,
                weight_age=100,
                goals=[DamosQuotaGoal(metric, target, nid=_FAST)],
            ),
            target_nid=_FAST if promote else _SLOW,
        )
        scheme.add_filter(DamosFilter(DamosFilterType.YOUNG, matching=True, allow=promote))
        return scheme

    def stats(self) -> dict[str, Value]:
        """What was tried and what moved each way, in bytes."""
        found: dict[str, Value] = {}
        schemes = [ctx.schemes[0].stat for ctx in self.ctxs] or [DamosStat(), DamosStat()]
        for name, stat in zip(("promote", "demote"), schemes, strict=True):
            found |= {f"{name}_sz_tried": stat.sz_tried, f"{name}_sz_applied": stat.sz_applied}
        return found


MODULE: Final[type[Mtier]] = Mtier
