# SPDX-License-Identifier: GPL-2.0-only
"""A monitored target (DAMON spec, core 2.2)."""

from __future__ import annotations

from dataclasses import dataclass, field

from damon.model.arrays import NO_BATCH, U8, U64, Batch, Buffer, FolioArray, RegionArray
from damon.model.machine import TargetSpace


@dataclass(eq=False)
class DamonTarget:
    """One address space and its regions. ``space`` is the process for vaddr and fvaddr, None for paddr."""

    space: TargetSpace | None = None
    regions: RegionArray = field(default_factory=RegionArray)
    obsolete: bool = False  #: of a commit's source only: remove the target at this position
    #: Scratch of one sampling: addresses picked, those made old, their access results, the folios there.
    addrs: Buffer = field(default_factory=lambda: Buffer(U64), repr=False)
    batch: Batch = field(default=NO_BATCH, repr=False)
    accessed: Buffer = field(default_factory=lambda: Buffer(U8), repr=False)
    folios: FolioArray = field(default_factory=lambda: FolioArray(0), repr=False)

    @property
    def pid(self) -> int:
        return self.space.pid if self.space is not None else 0
