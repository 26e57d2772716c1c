# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_SAMPLE_PRCL: proactive reclamation of a process's cold memory (DAMON spec, modules 7.2).

The kernel's ``samples/damon/prcl.c``. One scheme without quota: page out what was not accessed for 5 seconds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from damon.model.attrs import U32_MAX, ULONG_MAX
from damon.model.context import DamonCtx
from damon.model.machine import PAGE_SIZE
from damon.model.scheme import Damos, DamosAccessPattern, DamosAction
from damon.modules.params import Value
from damon.modules.sample import ProcessSample

#: Aggregations of 100 ms without an access.
_MIN_AGE: Final = 50


class Prcl(ProcessSample):
    """Cold memory of one process leaves."""

    name: ClassVar[str] = "damon_sample_prcl"
    description: ClassVar[str] = "reclaim memory of a process that was not accessed for 5 s (the kernel's sample)"

    def needs(self) -> tuple[str, Sequence[str]]:
        return "vaddr", ("pageout",)

    def _add_schemes(self, ctx: DamonCtx) -> None:
        cold = DamosAccessPattern(PAGE_SIZE, ULONG_MAX, 0, 0, _MIN_AGE, U32_MAX)
        ctx.schemes.append(Damos(pattern=cold, action=DamosAction.PAGEOUT))

    def stats(self) -> dict[str, Value]:
        """As the other sample's, and what the scheme tried and took, in regions' bytes."""
        tried, applied = self.progress() or (0, 0)
        return super().stats() | {"sz_tried": tried, "sz_applied": applied}


MODULE: Final[type[Prcl]] = Prcl
