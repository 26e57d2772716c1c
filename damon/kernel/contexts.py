# SPDX-License-Identifier: GPL-2.0-only
"""Which C context is which of Python's, from its making to its freeing, and the C's state brought into Python's."""

from __future__ import annotations

from damon.kernel.mirror import Mirror
from damon.kernel.operations import OperationsBridge
from damon.kernel.spaces import Spaces
from damon.model.context import DamonCtx, Engine


class Contexts:
    """The contexts of ``engine`` that have one in C.

    Args:
        engine: takes the contexts' commits.
        mirror: reads the C's records.
        spaces: the address spaces of the C's targets.
        bridge: mirrors what operations sets need of a context.
    """

    def __init__(self, engine: Engine, mirror: Mirror, spaces: Spaces, bridge: OperationsBridge) -> None:
        self._engine, self._mirror, self._lib = engine, mirror, mirror.lib
        self._spaces, self._bridge = spaces, bridge
        self.at: dict[int, DamonCtx] = {}  #: by the address of the C context
        self.address: dict[DamonCtx, int] = {}
        self.adopted: set[DamonCtx] = set()  #: what modules of the C have made, and free

    def enter(self, address: int, ctx: DamonCtx) -> None:
        """``ctx`` is what is at ``address`` now; a module may have freed what was there before."""
        stale = self.at.get(address)
        if stale is not None:
            del self.address[stale]
            self.adopted.discard(stale)
        ctx.engine = self._engine
        self.at[address], self.address[ctx] = ctx, address
        self._bridge.enter(address, ctx)

    def has_ended(self, ctx: DamonCtx) -> bool:
        """A module may have freed its context after the end of its worker."""
        return ctx in self.adopted and ctx.kdamond is None

    def own_spaces(self, address: int) -> None:
        """The C closes the processes of this context, from now on."""
        for target in self._mirror.targets(address):
            self._spaces.own(self._mirror.space_id(target))

    def put_pids(self, address: int) -> None:
        """What operations sets do with targets that end, in versions where they do not."""
        if not self._lib.has_field("damon_operations", "cleanup_target"):
            for target in self._mirror.targets(address):
                self._lib.shim_put_pid(target)

    def destroy(self, address: int) -> None:
        self.put_pids(address)
        self._lib.damon_destroy_ctx(address)

    def refresh(self, ctx: DamonCtx) -> None:
        """Bring ``ctx`` up to date with its C context: parameters, statistics, quotas, regions, deadlines."""
        at = self.address.get(ctx)
        if at is None or self.has_ended(ctx):
            return
        lib, mirror = self._lib, self._mirror
        ctx.ops = self._bridge.operations(mirror.ops_id(at))
        ctx.attrs = mirror.read_attrs(at)
        ctx.addr_unit = lib.get(at, "damon_ctx", "addr_unit", 1)
        ctx.min_region_sz = lib.get(at, "damon_ctx", "min_region_sz", 4096)
        ctx.pause = bool(lib.get(at, "damon_ctx", "pause", 0))
        for name in ("passed_sample_intervals", "next_aggregation_sis", "next_ops_update_sis"):
            setattr(ctx, name, lib.get(at, "damon_ctx", name))
        ctx.next_intervals_tune_sis = lib.get(at, "damon_ctx", "next_intervals_tune_sis", 0)
        ctx.maybe_corrupted = bool(lib.get(at, "damon_ctx", "maybe_corrupted", 0))
        self._bridge.refresh(ctx, at)

    def forget(self, ctx: DamonCtx) -> None:
        """Free the C context of a run that has ended."""
        address = self.address.pop(ctx, None)
        if address is not None:
            del self.at[address]
            self._bridge.forget(address)
            if ctx in self.adopted:
                self.adopted.discard(ctx)
            else:
                self.destroy(address)
