# SPDX-License-Identifier: GPL-2.0-only
"""DAMON_SAMPLE_WSSE: the working set size of a process (DAMON spec, modules 7.1).

The kernel's ``samples/damon/wsse.c``: it monitors, and changes nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar, Final

from damon.modules.sample import ProcessSample


class Wsse(ProcessSample):
    """Watches one process."""

    name: ClassVar[str] = "damon_sample_wsse"
    description: ClassVar[str] = "estimate the working set size of a process (the kernel's sample)"

    def needs(self) -> tuple[str, Sequence[str]]:
        return "vaddr", ()


MODULE: Final[type[Wsse]] = Wsse
