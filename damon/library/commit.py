# SPDX-License-Identifier: GPL-2.0-only
"""Changing a running context."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from damon.core import Damon, commit_ctx
from damon.model.context import DamonCallControl, DamonCtx


def _copy(ctx: DamonCtx) -> DamonCtx:
    """The parameters of ``ctx`` in a context of their own. Targets have no regions: a commit leaves theirs alone."""
    wanted = DamonCtx(machine=ctx.machine, ops=ctx.ops)
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
