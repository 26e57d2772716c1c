# SPDX-License-Identifier: GPL-2.0-only
"""Contexts of an engine: with an operations set, with targets as well, started.

A test of a function that takes a context and no engine builds ``DamonCtx(...)`` itself.
"""

from __future__ import annotations

from collections.abc import Sequence

from damon.core import Damon, set_attrs
from damon.model.arrays import RegionArray
from damon.model.attrs import DamonAttrs
from damon.model.context import DamonCtx
from damon.model.level import Level
from damon.model.machine import Machine
from damon.model.operations import Operations
from damon.model.probe import DamonFilter, DamonFilterType, DamonProbe
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from tests.fakes import FakeMachine

#: What a target covers when its test names nothing: 64 MiB from address 0 on.
SPAN = (0, 64 << 20)


def selected(damon: Damon, ops: str | Operations = "paddr") -> DamonCtx:
    """A context without targets; ``ops`` is the name of an operations set, or a set that is registered here."""
    if isinstance(ops, Operations):
        damon.register_ops(ops)
    ctx = damon.new_ctx()
    damon.select_ops(ctx, ops if isinstance(ops, str) else ops.id)
    return ctx


def pair(damon: Damon | None = None) -> tuple[DamonCtx, DamonCtx]:
    """Destination and source of a commit, without targets."""
    damon = damon or Damon(FakeMachine())
    return selected(damon), selected(damon)


def new_ctx(
    damon: Damon,
    *schemes: Damos,
    ops: str | Operations = "paddr",
    regions: Sequence[RegionArray] | None = None,
    attrs: DamonAttrs | None = None,
    probes: Sequence[DamonProbe] = (),
) -> DamonCtx:
    """A context that can be started. ``regions`` are those of each target; without, one target covers ``SPAN``."""
    ctx = selected(damon, ops)
    ctx.targets += [DamonTarget(regions=rows) for rows in ([RegionArray([SPAN])] if regions is None else regions)]
    ctx.schemes += schemes
    ctx.probes += probes
    if attrs is not None:
        set_attrs(ctx, attrs)
    return ctx


def anon_probe(weight: int = 0, allow: bool = True) -> DamonProbe:
    """A probe for anonymous pages, or for the others."""
    return DamonProbe(weight, [DamonFilter(DamonFilterType.ANON, matching=True, allow=allow)])


def source(damon: Damon, *probes: DamonProbe) -> DamonCtx:
    """What a commit takes from: one target, whose regions stay, and nothing but defaults otherwise."""
    return new_ctx(damon, regions=[RegionArray()], probes=probes)


def started(
    machine: Machine,
    *schemes: Damos,
    seed: int = 1,
    reference: bool = False,
    ops: str | Operations = "paddr",
    regions: Sequence[RegionArray] | None = None,
    attrs: DamonAttrs | None = None,
    probes: Sequence[DamonProbe] = (),
    level: Level | str = Level.V7_3,
) -> tuple[Damon, DamonCtx]:
    """An engine on ``machine``, and its context (``new_ctx``), which runs."""
    damon = Damon(machine, seed, reference=reference, level=level)
    ctx = new_ctx(damon, *schemes, ops=ops, regions=regions, attrs=attrs, probes=probes)
    damon.start([ctx])
    return damon, ctx
