# SPDX-License-Identifier: GPL-2.0-only
"""Targets for a context: processes, or physical memory."""

from __future__ import annotations

from collections.abc import Sequence

from damon.core import set_regions, system_ram_region
from damon.model.context import DamonCtx
from damon.model.target import DamonTarget


def add_process(ctx: DamonCtx, pid: int, ranges: Sequence[tuple[int, int]] = ()) -> DamonTarget:
    """A new last target of ``ctx``: the process ``pid``, in ``ranges`` (half-open, bytes) if any are given.

    Without ranges ``vaddr`` finds the mappings by itself. The process is held until the worker has ended.

    Raises:
        DamonError: EINVAL, there is no such process, or ``ranges`` are unsorted, overlap or are empty.
    """
    space = ctx.machine.open_process(pid)
    target = DamonTarget(space)
    try:
        set_regions(target, ranges, ctx.min_region_sz)
    except BaseException:
        space.close()
        raise
    ctx.targets.append(target)
    return target


def add_memory(ctx: DamonCtx, start: int = 0, end: int = 0) -> DamonTarget:
    """A new last target of ``ctx``: physical memory ``[start, end)`` in core address units, for ``paddr``.

    Both 0: from the first to the last System RAM.

    Raises:
        InvalidInput: the range is empty, or there is no System RAM.
    """
    target = DamonTarget()
    set_regions(target, [system_ram_region(ctx.machine, start, end, ctx.addr_unit)], ctx.min_region_sz)
    ctx.targets.append(target)
    return target
