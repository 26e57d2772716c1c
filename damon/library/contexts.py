# SPDX-License-Identifier: GPL-2.0-only
"""Contexts at work: a machine, targets, workers for the time of a ``with`` block, changes that commit at its end."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Literal, overload

from damon.core import Damon, commit_ctx, set_regions, system_ram_region
from damon.errors import InvalidInput
from damon.model.checks import INT_MAX, whole
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.machine import Machine
from damon.model.target import DamonTarget

if TYPE_CHECKING:
    from damon.mm.sim import SimulatedMachine


@overload
def open_machine(*, sim: str | os.PathLike[str], seed: int = 0) -> SimulatedMachine: ...


@overload
def open_machine(*, linux: Literal[True], seed: int = 0, access: str = "auto") -> Machine: ...


@overload
def open_machine(
    *, sim: str | os.PathLike[str] | None = None, linux: bool = False, seed: int = 0, access: str = "auto"
) -> Machine: ...


def open_machine(
    *, sim: str | os.PathLike[str] | None = None, linux: bool = False, seed: int = 0, access: str = "auto"
) -> Machine:
    """A machine to work on: closed at the end of a ``with`` block, or by its ``close()``.

    Args:
        sim: a workload file: the simulated machine that plays it, in virtual time.
        linux: the running system (root; ``docs/explanation/linux.md`` has what it needs).
        seed: of the simulated machine.
        access: with ``linux``: how accesses to processes' memory are seen: ``page_idle``, ``rwp`` (Linux 7.3, also
            without root), or ``auto``.

    Raises:
        InvalidInput: neither or both are asked for, or the workload file is refused.
        MissingCapability: this system lacks something.
    """
    if (sim is None) == (not linux):
        raise InvalidInput("open_machine(): opens one machine; give either sim=FILE or linux=True")
    if sim is not None:
        from damon.mm.sim import SimulatedMachine
        from damon.workload.load import load_workload

        return SimulatedMachine(load_workload(os.fspath(sim)), seed)
    from damon.mm.linux import LinuxMachine
    from damon.mm.linux.access import Access

    if access not in [*Access]:
        raise InvalidInput(f"access: {access!r}: is not known; give one of {', '.join(Access)}")
    return LinuxMachine(access=access)


@contextmanager
def running(damon: Damon, *ctxs: DamonCtx, exclusive: bool = False) -> Iterator[None]:
    """Workers for ``ctxs`` during the block: started before, stopped after it, whatever happens in it.

    Without a block, as in a notebook, it is ``damon.start(ctxs)`` and later ``damon.stop()``.

    Raises:
        DamonError: the start was refused (see ``Damon.start``).
        BaseException: what ended a worker, when the block itself ended without an error.
    """
    damon.start(ctxs, exclusive=exclusive)
    try:
        yield
    finally:
        damon.stop(ctxs)
    for ctx in ctxs:
        if ctx.error is not None:
            raise ctx.error


def _check_ranges(ranges: Sequence[tuple[int, int]]) -> None:
    """A range that ends before it begins is a mistake, also where aligning it would make a region of it."""
    for start, end in ranges:
        if whole("range start", start) >= whole("range end", end):
            raise InvalidInput(f"range: {start}-{end}: ends at or before its start; ranges are half-open and not empty")


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


def _copy(ctx: DamonCtx) -> DamonCtx:
    """The parameters of ``ctx`` in a context of their own. Targets have no regions: a commit leaves theirs alone."""
    wanted = DamonCtx(machine=ctx.machine, ops=ctx.ops, level=ctx.level)
    commit_ctx(wanted, ctx)
    for target in wanted.targets:
        target.regions.clear()
    return wanted


@contextmanager
def changes(damon: Damon, ctx: DamonCtx) -> Iterator[DamonCtx]:
    """A copy of the running context's parameters to change in the block; its end commits it (DAMON spec, core 9).

    Schemes, goals and targets are the same ones by their positions: statistics, charges and regions survive. A target
    of the copy has no regions; those that you give it (``set_regions()``) replace its ranges. A block that ends with an
    error commits nothing.

    Raises:
        InvalidInput: the changes are refused, and the context goes on as it was.
        DamonError: ECANCELED, no worker runs.
    """
    copies: list[DamonCtx] = []
    damon.call(ctx, DamonCallControl(lambda ctx: copies.append(_copy(ctx))))
    (wanted,) = copies
    known = [target.space for target in wanted.targets]
    try:
        yield wanted
        damon.call(ctx, DamonCallControl(lambda ctx: commit_ctx(ctx, wanted)))
    except BaseException:
        for space in [getattr(target, "space", None) for target in wanted.targets]:  # a target may be anything yet
            if space is not None and all(space is not one for one in known):
                space.close()
        raise
