# SPDX-License-Identifier: GPL-2.0-only
"""pydamon's operations sets behind the kernel's ``struct damon_operations``: the C asks, the machine answers.

The C walks its own regions and hands over arrays of addresses; the sets' work on folios and advice runs unchanged on
Python contexts that mirror the C's.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import c_uint8, memmove
from typing import Any

from damon.errors import InvalidInput
from damon.kernel.mirror import Mirror
from damon.kernel.spaces import Spaces
from damon.model.arrays import U8, U64, Batch, Buffer, DamonRegion, FolioArray
from damon.model.context import DamonCtx
from damon.model.machine import Machine
from damon.model.operations import Operations
from damon.model.scheme import Damos
from damon.model.target import DamonTarget
from damon.ops.probes import passes
from damon.ops.registry import OperationsRegistry
from damon.ops.vaddr import damon_va_three_regions


class _State:
    """What is mirrored of one C context."""

    def __init__(self, ctx: DamonCtx) -> None:
        self.ctx = ctx
        self.generation = -1
        self.seen = False
        self.targets: dict[int, DamonTarget] = {}
        self.schemes: dict[int, Damos] = {}


class OperationsBridge:
    """The callbacks ``ops_*`` of ``shim/shim.h`` for one engine.

    Args:
        mirror: reads the C's records.
        machine: whose memory the sets work on.
        spaces: the address spaces of the C's targets.
        registry: the sets to choose from.
    """

    def __init__(self, mirror: Mirror, machine: Machine, spaces: Spaces, registry: OperationsRegistry) -> None:
        self._lib, self._mirror = mirror.lib, mirror
        self._machine, self._spaces, self._registry = machine, spaces, registry
        self._states: dict[int, _State] = {}
        self._accessed = Buffer(U8)
        self._row = DamonRegion()
        self._paddr = self._lib.constant("DAMON_OPS_PADDR")

    def callbacks(self) -> dict[str, Callable[..., Any]]:
        names = ("init", "update", "mkold", "young", "access", "probe", "apply", "valid")
        return {f"ops_{name}": getattr(self, f"_{name}") for name in names}

    # -- mirrors

    def enter(self, at: int, ctx: DamonCtx) -> None:
        """``ctx`` mirrors the C context at this address from now on."""
        self._states[at] = _State(ctx)

    def forget(self, at: int) -> None:
        """There is no C context at this address any more."""
        self._states.pop(at, None)

    def operations(self, id: int) -> Operations:
        """The set for the C's number of one."""
        return self._registry.select(self._mirror.ops[id])

    def target(self, at: int, target: int) -> DamonTarget:
        """The mirror of a target; its regions are those of the last refresh."""
        targets = self._synced(at).targets
        found = targets.get(target)
        if found is None:
            found = targets[target] = DamonTarget(self._spaces.get(self._mirror.space_id(target)))
        return found

    def scheme(self, at: int, scheme: int) -> Damos:
        """The mirror of a scheme, parameters as the C has them now."""
        return self._synced(at).schemes[scheme]

    def _synced(self, at: int) -> _State:
        """The mirror of a context, read again if there were allocations since: a commit makes some."""
        state, generation = self._states[at], self._lib.generation.value
        if state.generation != generation:
            state.generation = generation
            self._read_parameters(state, at)
            self._forget_targets(state, at)
        return state

    def _forget_targets(self, state: _State, at: int) -> None:
        """Targets that are gone, and those at whose address there is another one now."""
        here = set(self._mirror.targets(at))
        for address, target in list(state.targets.items()):
            space = self._spaces.get(self._mirror.space_id(address)) if address in here else self
            if space is not target.space:
                del state.targets[address]

    def _read_parameters(self, state: _State, at: int) -> None:
        """Keeps the objects that are there, so that what holds one sees its present state."""
        ctx, lib = state.ctx, self._lib
        fresh: dict[int, Damos] = {}
        given = list(ctx.schemes)
        for index, address in enumerate(self._mirror.schemes(at)):
            read = self._mirror.read_scheme(address)
            old = state.schemes.get(address) or (given[index] if index < len(given) and not state.seen else None)
            fresh[address] = read if old is None else _overwrite(old, read)
        state.schemes = fresh
        ctx.schemes[:] = fresh.values()
        ctx.addr_unit = lib.get(at, "damon_ctx", "addr_unit", 1)
        ctx.probes[:] = self._mirror.read_probes(at)

    def refresh(self, ctx: DamonCtx, at: int) -> None:
        """All of it, regions and statistics too. Parameters are read again only if they can be others by now."""
        state = self._states[at]
        if state.generation != self._lib.generation.value:
            state.generation = self._lib.generation.value
            self._read_parameters(state, at)
            self._forget_targets(state, at)
        else:
            for address, scheme in state.schemes.items():
                self._mirror.read_progress(address, scheme)
            ctx.schemes[:] = state.schemes.values()
        addresses = self._mirror.targets(at)
        given = list(ctx.targets)
        if not state.seen and len(given) == len(addresses):  # a start: those that were described
            state.targets = dict(zip(addresses, given, strict=True))
        state.seen = True
        ctx.targets[:] = [self.target(at, address) for address in addresses]
        for address, target in zip(addresses, ctx.targets, strict=True):
            self._mirror.read_regions(address, target.regions)
        by_address = state.targets
        for address, scheme in state.schemes.items():
            quota = self._lib.at(address, "damos", "quota")
            scheme.quota.charge_target_from = by_address.get(self._lib.get(quota, "damos_quota", "charge_target_from"))
            scheme.quota.charge_addr_from = self._lib.get(quota, "damos_quota", "charge_addr_from")
            scheme.next_apply_sis = self._lib.get(address, "damos", "next_apply_sis")
            scheme.walk_completed = bool(self._lib.get(address, "damos", "walk_completed", 0))

    def region(self, region: int) -> DamonRegion:
        row = DamonRegion()
        self._lib.shim_region(region, ctypes.addressof(row))
        return row

    # -- callbacks

    def _space(self, id: int, at: int, target: int) -> Any:
        return self._machine.phys if id == self._paddr else self.target(at, target).space

    def _mkold(self, id: int, at: int, target: int, addrs: int, nr: int) -> None:
        mirror = self.target(at, target)
        mirror.addrs.reserve(nr)
        memmove(mirror.addrs.pointer_to(nr), addrs, 8 * nr)
        mirror.batch = self._space(id, at, target).mkold(mirror.addrs, nr)

    def _access(self, id: int, at: int, target: int) -> int:
        """The space for C; 0 where Python has to be asked."""
        offer = getattr(self._space(id, at, target), "native_access", None)
        return (offer() or 0) if offer is not None else 0

    def _young(self, id: int, at: int, target: int, addrs: int, native: int, answers: int, nr: int) -> None:
        mirror, accessed = self.target(at, target), self._accessed
        if native:  # C made old the pages at its addresses, and no others
            mirror.addrs.reserve(nr)
            memmove(mirror.addrs.pointer_to(nr), addrs, 8 * nr)
            mirror.batch = Batch(mirror.addrs, nr)
        batch = mirror.batch
        accessed.reserve(nr)
        if batch.nr != nr:
            raise ValueError(f"{nr} regions, {batch.nr} made old: regions changed between prepare and check")
        self._space(id, at, target).young(batch, accessed)
        memmove(answers, accessed.pointer_to(nr), nr)

    def _probe(self, id: int, at: int, target: int, addrs: int, nr: int, hits: int) -> None:
        state = self._synced(at)
        buffer, folios = Buffer(U64, max(nr, 1)), FolioArray(max(nr, 1))
        memmove(buffer.pointer_to(nr), addrs, 8 * nr)
        self._machine.phys.folios_at(buffer, nr, folios)
        out = (c_uint8 * (4 * nr)).from_address(hits)
        folios.nr = nr
        for index, folio in enumerate(folios):
            for number in range(4):
                probes = state.ctx.probes
                out[4 * index + number] = number < len(probes) and passes(probes[number], folio)

    def _apply(self, id: int, at: int, target: int, region: int, scheme: int, passed: Any) -> int:
        lib, mirror = self._lib, self.scheme(at, scheme)
        ctx = self._states[at].ctx
        lib.shim_region(region, ctypes.addressof(self._row))
        mirror.core_allowed = bool(lib.get(scheme, "damos", "core_filters_allowed", 0))
        mirror.ops_filters_default_reject = bool(lib.get(scheme, "damos", "ops_filters_default_reject", 0))
        last = lib.get(scheme, "damos", "last_applied", 0)
        mirror.last_applied = last - 1 if last else None
        operations = self.operations(id)
        applied, through = operations.apply_scheme(ctx, self.target(at, target), self._row, mirror)
        if lib.has_field("damos", "last_applied"):
            lib.set(scheme, "damos", "last_applied", 0 if mirror.last_applied is None else mirror.last_applied + 1)
        passed[0] = through
        return applied

    def _valid(self, id: int, target: int) -> int:
        space = self._spaces.get(self._mirror.space_id(target))
        return int(space is not None and space.alive())

    def _init(self, id: int, at: int) -> None:
        for target in self._mirror.targets(at):
            if not self._lib.get(target, "damon_target", "nr_regions"):
                self._three_regions(at, target)

    def _update(self, id: int, at: int) -> None:
        for target in self._mirror.targets(at):
            self._three_regions(at, target)

    def _three_regions(self, at: int, target: int) -> None:
        try:
            ranges = damon_va_three_regions(self.target(at, target).space.mappings())  # type: ignore[union-attr]
        except InvalidInput:
            return  # exiting, or too few mappings: the old regions stay
        rows = (ctypes.c_uint64 * (2 * len(ranges)))(*(edge for pair in ranges for edge in pair))
        unit = self._lib.get(at, "damon_ctx", "min_region_sz", 4096)
        self._lib.shim_set_regions(target, ctypes.addressof(rows), len(ranges), unit)


def _overwrite(old: Damos, new: Damos) -> Damos:
    """``old`` with the values of ``new``; statistics stay the same object."""
    stat = old.stat
    for name, value in vars(new.stat).items():
        setattr(stat, name, value)
    vars(old).update(vars(new))
    old.stat = stat
    return old
