# SPDX-License-Identifier: GPL-2.0-only
"""What a policy asks for, what a tree of damond was given, and what either does, as plain values to compare."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import astuple
from pathlib import Path
from types import MappingProxyType
from typing import Any

import damon
from damon.cli.main import main
from damon.core import Damon
from damon.export.policy import made
from damon.host.found import take_tree
from damon.kernel.build import Built
from damon.kernel.engine import KernelDamon
from damon.mm.sim import SimulatedMachine
from damon.model.context import DamonCallControl, DamonCtx
from damon.model.scheme import Damos
from damon.modules.sysfs import Admin, File
from damon.modules.sysfs.build import fill_context
from damon.modules.sysfs.context import Context
from damon.workload.load import load_workload

#: Of the machine's time.
SECONDS = 12
POLICIES = Path(__file__).parent / "policies"
#: Policy and workload.
CASES = [("proactive_reclaim", "hot-cold"), ("tiering", "tiering"), ("goals", "hot-cold")]


def export(policy: str | Path, form: str, *words: str | Path) -> int:
    """The exit code of ``damon export``, of a policy by its name or its file."""
    file = policy if isinstance(policy, Path) else POLICIES / f"{policy}.py"
    return main(["export", str(file), "--to", form, *map(str, words)])


def exported(policy: str | Path, form: str, workload: str, target: Path, *words: str) -> Path:
    """What ``damon export`` writes to ``target``."""
    assert export(policy, form, "--sim", workload, "-o", target, *words) == 0
    return target


def machine(workload: str) -> SimulatedMachine:
    return SimulatedMachine(load_workload(workload), 1)


def _scheme(scheme: Damos) -> tuple[Any, ...]:
    parts = (scheme.pattern, scheme.quota, scheme.wmarks)
    lists = (scheme.migrate_dests, scheme.core_filters, scheme.ops_filters)
    values = (scheme.action, scheme.apply_interval_us, scheme.target_nid, scheme.max_nr_snapshots)
    return (*[astuple(part) for part in parts], *values, *([astuple(one) for one in part] for part in lists))


def described(ctx: DamonCtx) -> dict[str, Any]:
    """All that a context asks for."""
    return {
        "ops": ctx.ops.id,
        "units": (ctx.addr_unit, ctx.min_region_sz, ctx.pause),
        "attrs": astuple(ctx.attrs)[:-1],  # but for what is computed of it
        "targets": [(target.pid, target.obsolete, target.regions.ranges()) for target in ctx.targets],
        "probes": [astuple(probe) for probe in ctx.probes],
        "schemes": [_scheme(scheme) for scheme in ctx.schemes],
    }


def asked(policy: str, workload: str, lost: Mapping[str, int] = MappingProxyType({})) -> list[dict[str, Any]]:
    """What a policy asks for on its machine, with other values in fields of schemes that are ``lost`` on the way."""
    ctxs = made(POLICIES / f"{policy}.py", Damon(machine(workload)))
    for ctx in ctxs:
        for scheme in ctx.schemes:
            for name, value in lost.items():
                setattr(scheme, name, value)
    return [described(ctx) for ctx in ctxs]


def given(admin: Path, workload: str, pids: dict[int, int]) -> list[dict[str, Any]]:
    """The contexts that a tree describes."""
    return [described(ctx) for ctx in contexts(admin, Damon(machine(workload)), pids)]


def contexts(admin: Path, kernel: Damon, pids: dict[int, int]) -> list[DamonCtx]:
    """The contexts that a tree describes, built by the code that the emulation builds them with.

    Args:
        admin: the directory.
        kernel: on whose machine they are.
        pids: the machine's own process ids by those that the tree has.
    """
    tree = Admin(kernel)
    # What counts entries is nearer to the top than they are.
    values = take_tree(admin / "kdamonds")
    for path in sorted(values, key=lambda path: (path.count("/"), path)):
        node = tree.find(f"kdamonds/{path}")
        assert isinstance(node, File)
        text = values[path]
        node.write((str(pids.get(int(text), 0)) if path.endswith("/pid_target") else text).encode())
    result = []
    for kdamond in range(int(values["nr_kdamonds"])):
        ctx, directory = kernel.new_ctx(), tree.find(f"kdamonds/{kdamond}/contexts/0")
        assert isinstance(directory, Context)
        fill_context(kernel, ctx, directory)
        result.append(ctx)
    return result


def outcome(workload: str, library: Built | None, make: Callable[[Damon], list[DamonCtx]]) -> list[Any]:
    """What contexts have done after ``SECONDS``: with the kernel's C of ``library``, or with pydamon's own core."""
    with machine(workload) as on:
        kernel = Damon(on, seed=7) if library is None else KernelDamon(on, library, seed=7)
        ctxs = make(kernel)
        with damon.running(kernel, *ctxs, exclusive=True):
            on.clock.sleep_us(SECONDS * 1_000_000)
            return [*results(kernel, ctxs), memory(on)]


def outcome_of_policy(policy: Path, workload: str, library: Built | None) -> list[Any]:
    """Of the policy in that file."""
    return outcome(workload, library, lambda kernel: made(policy, kernel))


def results(kernel: Damon, ctxs: list[DamonCtx]) -> list[Any]:
    """Statistics, quotas, intervals and regions of running contexts."""
    found: list[Any] = []
    for ctx in ctxs:
        kernel.call(ctx, DamonCallControl(lambda ctx: found.append(_seen(ctx))))  # later our own is further on
    return found


def _seen(ctx: DamonCtx) -> Any:
    ages = [[(r.start, r.end, r.nr_accesses, r.age) for r in target.regions] for target in ctx.targets]
    assert any(ages)
    stats = [(dict(vars(scheme.stat)), scheme.quota.esz, scheme.quota.charged_sz) for scheme in ctx.schemes]
    return ctx.attrs.sample_interval, ctx.attrs.aggr_interval, stats, ages


def memory(on: SimulatedMachine) -> list[Any]:
    """Of the machine and its nodes, as goals measure it."""
    return [on.free_mem(), on.node_mem(0), on.node_mem(1), on.psi_some_us(), on.lru_pages()]
