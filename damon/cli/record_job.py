# SPDX-License-Identifier: GPL-2.0-only
"""What runs while ``damon record`` records on a machine of its own: one monitoring context, or modules."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

from damon.cli.run import module_words
from damon.core import Damon, set_attrs, set_regions, system_ram_region
from damon.errors import InvalidInput
from damon.library.engine import Engine
from damon.model.attrs import DamonAttrs, DamonIntervalsGoal
from damon.model.context import DamonCtx
from damon.model.target import DamonTarget
from damon.modules.loader import Loader, prepare_modules


def attrs_of(arguments: argparse.Namespace) -> DamonAttrs:
    """What the options ask for."""
    given = {
        "sample_interval": arguments.sample_us,
        "aggr_interval": arguments.aggr_us,
        "ops_update_interval": arguments.update_us,
        "min_nr_regions": arguments.min_nr_regions,
        "max_nr_regions": arguments.max_nr_regions,
    }
    attrs = DamonAttrs(**{name: value for name, value in given.items() if value is not None})
    if arguments.intervals_goal is not None:
        attrs.intervals_goal = DamonIntervalsGoal(*arguments.intervals_goal)
    return attrs


def refuse_mismatch(name: str, pids: Sequence[int], regions: Sequence[tuple[int, int]]) -> None:
    """EINVAL when ``--pid`` and ``--region`` do not fit the operations set ``name``."""
    if name == "paddr" and pids:
        raise InvalidInput(f"--pid: {pids[0]}: is for --ops vaddr or fvaddr; leave it out")
    if name != "paddr" and not pids:
        raise InvalidInput(f"--ops: {name}: needs a process; give --pid")
    if name == "vaddr" and regions:
        raise InvalidInput(
            f"--region: {len(regions)}: --ops vaddr follows the process; leave it out, or use --ops fvaddr"
        )
    if name == "fvaddr" and not regions:
        raise InvalidInput("--ops: fvaddr: needs ranges to monitor; give --region")


def refuse_both(arguments: argparse.Namespace) -> None:
    """EINVAL when modules were asked for, and a context as well."""
    if arguments.ops or arguments.pid or arguments.region:
        raise InvalidInput("--ops, --pid, --region: are not for modules; leave them out, or --module and --cmdline")


def _monitor(damon: Damon, arguments: argparse.Namespace) -> DamonCtx:
    """A context that only monitors, not started yet."""
    machine: Any = damon.machine
    name = arguments.ops or "paddr"
    machine.require(name, ())
    ctx = damon.new_ctx()
    damon.select_ops(ctx, name)
    set_attrs(ctx, attrs_of(arguments))
    pids, regions = arguments.pid, arguments.region
    if arguments.sim and name != "paddr":
        pids = pids or list(machine.pids.values())
    refuse_mismatch(name, pids, regions)
    if name == "paddr":
        ctx.targets.append(DamonTarget())
        regions = regions or [system_ram_region(machine, 0, 0)]
    else:
        ctx.targets += [DamonTarget(space=machine.open_process(pid)) for pid in pids]
    for target in ctx.targets if regions else ():
        set_regions(target, regions, ctx.min_region_sz)
    return ctx


class Job:
    """What runs while it is recorded: one monitoring context, or modules."""

    def __init__(self, damon: Damon, arguments: argparse.Namespace, engine: Engine) -> None:
        self._damon = damon
        self._loader = Loader(damon)
        self._ctx: DamonCtx | None = None
        if arguments.module or arguments.cmdline:
            refuse_both(arguments)
            self._modules = prepare_modules(self._loader, module_words(arguments, engine))
        else:
            self._modules = []
            self._ctx = _monitor(damon, arguments)

    def contexts(self) -> list[DamonCtx]:
        """Those that there are now."""
        if self._ctx is not None:
            return [self._ctx]
        return [ctx for module in self._modules for ctx in module.ctxs]

    def start(self) -> None:
        if self._ctx is not None:
            self._damon.start([self._ctx])
        for module in self._modules:
            self._loader.load(module)

    def ended(self) -> bool:
        """Did all workers end by themselves?"""
        return self._ctx is not None and not self._damon.is_running(self._ctx)

    def error(self) -> BaseException | None:
        return next((ctx.error for ctx in self.contexts() if ctx.error is not None), None)

    def stop(self) -> None:
        if self._ctx is not None:
            self._damon.stop([self._ctx])
        self._loader.unload_all()
