# SPDX-License-Identifier: GPL-2.0-only
"""Reads the contexts that a file's ``policy(kernel)`` makes, and takes out what only Python can run."""

from __future__ import annotations

import errno
import inspect
import re
import runpy
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.core import Damon, set_attrs, set_regions, system_ram_region
from damon.errors import DamonError, InvalidInput
from damon.host.operations import SETS, HostSpace
from damon.model.context import DamonCtx
from damon.model.custom import DamosCustomAction, DamosCustomMetric
from damon.model.level import Level
from damon.model.operations import Operations
from damon.model.scheme import Damos, DamosAction, DamosFilter, DamosQuotaGoal, DamosQuotaGoalMetric
from damon.model.target import DamonTarget
from damon.quoting import cut, quoted

if TYPE_CHECKING:
    from damon.mm.sim import SimulatedMachine

#: The function that a file defines.
ENTRY: Final = "policy"
_WANTED: Final = f"define {ENTRY}(kernel) that returns a DamonCtx, or several"
_SOURCE_LINES: Final = 60


@dataclass(frozen=True)
class Stub:
    """A part that runs in Python only. ``instead`` is what stands in for it; ``source`` its Python, if it was found."""

    place: str
    what: str
    instead: str
    source: str = ""

    def __str__(self) -> str:
        return f"STUB: {self.place}: {self.what} runs in Python only; {self.instead}"


@dataclass
class Policy:
    """What is exported.

    Args:
        name: of the file, as a C identifier.
        file: its name.
        ctxs: declarative contexts, with the kernel's own parts only; they do not run.
        whole_ram: the targets of ``ctxs`` that are all System RAM of the machine.
        cgroups: paths by the ids that filters and goals have.
        stubs: what was taken out.
    """

    name: str
    file: str
    ctxs: list[DamonCtx]
    whole_ram: set[DamonTarget] = field(default_factory=set)
    cgroups: dict[int, str] = field(default_factory=dict)
    stubs: list[Stub] = field(default_factory=list)

    def cgroup(self, memcg_id: int) -> str:
        """The path of a cgroup from the root of its hierarchy.

        Raises:
            InvalidInput: the machine has none with that id.
        """
        if memcg_id not in self.cgroups:
            raise InvalidInput(f"cgroup: {memcg_id}: none has that id; take ids from kernel.machine.memcg_id()")
        return self.cgroups[memcg_id]

    def processes(self) -> list[DamonTarget]:
        """Targets that are processes, in order."""
        return [target for ctx in self.ctxs if ctx.ops.has_pid for target in ctx.targets]


def read_policy(path: Path, machine: SimulatedMachine) -> Policy:
    """The policy of the file ``path``, made on ``machine``; nothing runs there.

    Raises:
        InvalidInput: the file has no policy, or an empty policy.
        DamonError: what its contexts are refused for.
    """
    ctxs = made(path, Damon(machine, level=Level.NEXT))  # the kernel that it goes to refuses what it lacks
    return as_policy(path, ctxs, machine)


def as_policy(path: Path, ctxs: Sequence[DamonCtx], machine: SimulatedMachine) -> Policy:
    """The contexts ``ctxs``, made on ``machine``, as the policy of the file ``path``, which need not exist."""
    name = re.sub(r"\W", "_", path.stem, flags=re.ASCII).lower()
    policy = Policy(name if name[:1].isalpha() else f"policy_{name}", path.name, [])
    policy.cgroups = {number: f"/{place}" for place, number in machine.state.cgroups.ids.items()}
    for index, ctx in enumerate(ctxs):
        policy.ctxs.append(_declarative(policy, ctx, f"contexts/{index}" if len(ctxs) > 1 else "context"))
    return policy


def made(path: Path, kernel: Damon) -> list[DamonCtx]:
    """The contexts of ``policy(kernel)`` of the file ``path``, ready for ``kernel.start()``.

    Raises:
        InvalidInput: the file cannot be read, has no such function, or it returns no context.
        DamonError: what it raised.
    """
    try:
        function = runpy.run_path(str(path), run_name=f"policy {path.stem}").get(ENTRY)
        if not callable(function):
            raise InvalidInput(f"{quoted(str(path))}: it has no function {ENTRY}; {_WANTED}")
        result: object = function(kernel)
    except DamonError:
        raise
    except Exception as error:
        raise _broken(path, error) from error
    ctxs = list(result) if isinstance(result, Sequence) else [result]
    if not ctxs or not all(isinstance(ctx, DamonCtx) for ctx in ctxs):
        raise InvalidInput(f"{quoted(str(path))}: {ENTRY}() returned {cut(repr(result))}; {_WANTED}")
    found = [ctx for ctx in ctxs if isinstance(ctx, DamonCtx)]
    for ctx in found:
        if ctx.ops is None:
            raise InvalidInput(f"{quoted(str(path))}: a context has no operations set; call kernel.select_ops()")
        if not ctx.targets:
            raise InvalidInput(
                f"{quoted(str(path))}: a context has no target; call damon.add_process() or damon.add_memory()"
            )
    return found


def _broken(path: Path, error: Exception) -> InvalidInput:
    """What a file's code raised, with its line."""
    if isinstance(error, OSError) and error.filename == str(path):
        return InvalidInput(f"{quoted(str(path))}: {error.strerror}; give a Python file", error.errno or errno.EINVAL)
    lines = [frame.lineno for frame in traceback.extract_tb(error.__traceback__) if frame.filename == str(path)]
    if isinstance(error, SyntaxError):
        lines = [error.lineno]
    where = f":{lines[-1]}" if lines else ""
    return InvalidInput(f"{cut(str(path))}{where}: {type(error).__name__}: {cut(str(error))}; correct the policy")


# -- what only Python can run


def _declarative(policy: Policy, ctx: DamonCtx, place: str) -> DamonCtx:
    """A copy with the kernel's parts only; what is not is noted in ``policy.stubs``."""
    result = DamonCtx(
        ops=_operations(policy, ctx.ops, place), addr_unit=ctx.addr_unit, min_region_sz=ctx.min_region_sz,
        pause=ctx.pause, probes=[probe.copy() for probe in ctx.probes],
    )  # fmt: skip
    set_attrs(result, ctx.attrs.copy())
    ram = system_ram_region(ctx.machine, 0, 0, ctx.addr_unit)
    whole = DamonTarget()
    set_regions(whole, [ram], ctx.min_region_sz)
    for target in ctx.targets:
        copy = DamonTarget(HostSpace(target.pid) if result.ops.has_pid else None, obsolete=target.obsolete)
        set_regions(copy, target.regions.ranges(), ctx.min_region_sz)
        result.targets.append(copy)
        if not result.ops.has_pid and list(target.regions.ranges()) == list(whole.regions.ranges()):
            policy.whole_ram.add(copy)
    for index, scheme in enumerate(ctx.schemes):
        result.schemes.append(_scheme(policy, scheme, f"{place}/schemes/{index}"))
    return result


def _operations(policy: Policy, ops: Operations, place: str) -> Operations:
    kind = type(ops)
    known = next((one for one in kind.__mro__ if getattr(one, "id", None) in SETS), None)
    name = getattr(known, "id", "fvaddr" if ops.has_pid else "paddr")
    if ops.id not in SETS or not kind.__module__.startswith("damon."):
        _stub(policy, f"{place}/operations", f"operations set {ops.id!r}", f"{name} stands in", kind)
    return SETS[name]()


def _scheme(policy: Policy, scheme: Damos, place: str) -> Damos:
    """A copy. A scheme that acts otherwise than intended is dangerous, so it only counts."""
    action, unsafe = scheme.action, False
    if isinstance(action, DamosCustomAction):
        function = action.on_region or action.on_folios
        _stub(policy, f"{place}/action", f"action {action.value!r}", "stat stands in", function)
        action, unsafe = DamosAction.STAT, True
    core = [one for one in scheme.core_filters if isinstance(one, DamosFilter)]
    operations = [one for one in scheme.ops_filters if isinstance(one, DamosFilter)]
    for one in (*scheme.core_filters, *scheme.ops_filters):
        if not isinstance(one, DamosFilter):
            instead = "left out" if unsafe else f"left out, and stat stands in for {action.value}, which needs it"
            name = getattr(one.test, "__name__", "a function")
            rule = f"matching={one.matching}, allow={one.allow}"
            _stub(policy, f"{place}/filters", f"filter {name} ({rule})", instead, one.test)
            action, unsafe = DamosAction.STAT, True
    goals = [_goal(policy, goal, f"{place}/quotas/goals/{nr}") for nr, goal in enumerate(scheme.quota.goals)]
    return Damos(
        replace(scheme.pattern), action, scheme.apply_interval_us,
        replace(scheme.quota, goals=goals), replace(scheme.wmarks), scheme.target_nid,
        [replace(dest) for dest in scheme.migrate_dests], [replace(one) for one in core],
        [replace(one) for one in operations], scheme.max_nr_snapshots,
    )  # fmt: skip


def _goal(policy: Policy, goal: DamosQuotaGoal, place: str) -> DamosQuotaGoal:
    if isinstance(goal.metric, DamosQuotaGoalMetric):
        return replace(goal)
    instead = "user_input stands in, at its target: write current_value"
    _stub(policy, place, f"metric {goal.metric.value!r}", instead, goal.metric.measure)
    assert isinstance(goal.metric, DamosCustomMetric)
    return DamosQuotaGoal(DamosQuotaGoalMetric.USER_INPUT, goal.target_value, goal.target_value)


def _stub(policy: Policy, place: str, what: str, instead: str, part: Callable[..., Any] | type | None) -> None:
    try:
        lines = inspect.getsource(part).splitlines() if part is not None else []
    except (OSError, TypeError):
        lines = []
    policy.stubs.append(Stub(place, what, instead, "\n".join(lines[:_SOURCE_LINES])))
