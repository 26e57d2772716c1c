# SPDX-License-Identifier: GPL-2.0-only
"""Targets for a context: processes, or physical memory."""

from __future__ import annotations

from collections.abc import Sequence

from damon.core import set_regions, system_ram_region
from damon.errors import InvalidInput
from damon.model.checks import INT_MAX, whole
from damon.model.context import DamonCtx
from damon.model.target import DamonTarget


def _check_ranges(ranges: Sequence[tuple[int, int]]) -> None:
    """A range that ends before it begins is a mistake, also where aligning it would make a region of it."""
    for start, end in ranges:
        if whole("range start", start) >= whole("range end", end):
            raise InvalidInput(f"range {start}-{end}: ends at or before its start; ranges are half-open and not empty")


def add_process(ctx: DamonCtx, pid: int, ranges: Sequence[tuple[int, int]] = ()) -> DamonTarget:
    """A new last target of ``ctx``: the process ``pid``, in ``ranges`` (half-open, bytes) if any are given.

    Without ranges ``vaddr`` finds the mappings by itself. The process is held until the worker has ended.

    Raises:
        DamonError: EINVAL, there is no such process, or ``ranges`` are unsorted, overlap or are empty.
    """
    _check_ranges(ranges)
    space = ctx.machine.open_process(whole("pid", pid, 1, INT_MAX))
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
    if start or end:
        _check_ranges([(start, end)])
    set_regions(target, [system_ram_region(ctx.machine, start, end, ctx.addr_unit)], ctx.min_region_sz)
    ctx.targets.append(target)
    return target
