# SPDX-License-Identifier: GPL-2.0-only
"""A module: it counts the memory that is accessed in at least ``min_freq`` per mille of the samples.

Run it with ``damon run --sim hot-cold --duration 5 --module examples/hot_stat min_freq=900``; it prints the two
counters of the module, and what the workload did. ``damon modinfo examples/hot_stat`` lists the parameters.

``DamonModule`` brings the parameters and the states that the kernel's DAMON modules share.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from damon import DamonAttrs, Damos, DamosAccessPattern, DamosAction
from damon.modules.common import DamonModule, common_specs, counter, refuse_zero, ulong


class HotStat(DamonModule):
    """One scheme with the action ``stat``, which changes nothing."""

    name = "hot_stat"
    description = "count memory that is accessed in at least min_freq of the samples"
    SPECS = (
        *common_specs(wmarks=(1000, 1000, 0)),
        ulong("min_freq", 500, "per mille", "share of the samples from which on memory is hot"),
        counter("nr_hot_regions", "count", "hot regions found"),
        counter("bytes_hot_regions", "bytes", "size of the hot regions found"),
    )

    def needs(self) -> tuple[str, Sequence[str]]:
        return "paddr", ("stat",)

    def check_intervals(self) -> None:
        refuse_zero("sample_interval", self.parameters["sample_interval"].number)

    def schemes(self, attrs: DamonAttrs) -> list[Damos]:
        least = attrs.max_nr_accesses() * self.parameters["min_freq"].number // 1000
        pattern = DamosAccessPattern(min_nr_accesses=max(least, 1))
        return [Damos(pattern=pattern, action=DamosAction.STAT, wmarks=self.watermarks())]

    def copy_stats(self, schemes: Sequence[Damos]) -> None:
        self.parameters["nr_hot_regions"].value = schemes[0].stat.nr_tried
        self.parameters["bytes_hot_regions"].value = schemes[0].stat.sz_tried


MODULE: Final = HotStat
