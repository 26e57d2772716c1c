# SPDX-License-Identifier: GPL-2.0-only
"""``admin/kdamonds``: workers, their state, and the commands that are written there (DAMON spec, sysfs 3.1, 4, 5)."""

from __future__ import annotations

import errno
import logging
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from itertools import islice
from typing import Final

from damon.core import Damon, commit_ctx, commit_scheme_goals
from damon.core.priority import damon_mvsum, left_window_bp
from damon.core.probes import damon_probe_hits_mvsum
from damon.errors import DamonError, InvalidInput
from damon.model.arrays import DamonRegion
from damon.model.context import NEVER, DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.scheme import Damos, DamosQuota
from damon.model.target import DamonTarget
from damon.model.tried import Tried
from damon.modules.sysfs.build import close_targets, fill_context, quota_goals
from damon.modules.sysfs.context import Context
from damon.modules.sysfs.node import Directory, File, TreeLock
from damon.modules.sysfs.values import Numbered, uint
from damon.quoting import quoted

log = logging.getLogger("damon.sysfs")

#: Runs a function where it may wait for workers, and gives its result (or raises what it raised).
Runner = Callable[[Callable[[], None]], None]

COMMANDS: Final = (
    "on", "off", "commit", "commit_schemes_quota_goals", "update_schemes_stats", "update_schemes_tried_bytes",
    "update_schemes_tried_regions", "clear_schemes_tried_regions", "update_schemes_effective_quotas",
    "update_tuned_intervals",
)  # fmt: skip


class Kdamond(Directory):
    """One worker's directory. The context that it was started with stays after its end, for its last numbers."""

    def __init__(self, damon: Damon, lock: TreeLock, run: Runner) -> None:
        super().__init__()
        self._damon, self._lock, self._run = damon, lock, run
        self.ctx: DamonCtx | None = None
        self._next_refresh = 0  # jiffies
        self._control = DamonCallControl(self._refresh, repeat=True)
        self.add("state", File(self._show_state, self._store_state))
        self.add("pid", File(self._show_pid))
        self.refresh_ms = self.add("refresh_ms", uint(check=self._refresh_at))
        self.contexts: Numbered[Context] = self.add(
            "contexts",
            Numbered("contexts", lambda: Context(lock, damon.operations.names, damon.level), lock.held, limit=1),
        )

    @property
    def running(self) -> bool:
        return self.ctx is not None and self._damon.is_running(self.ctx)

    def _show_state(self) -> str:
        with self._lock.held():
            return "on\n" if self.running else "off\n"

    def _show_pid(self) -> str:
        with self._lock.held():
            return f"{self._damon.kdamond_pid(self.ctx) if self.ctx is not None else -1}\n"

    def _store_state(self, text: str) -> None:
        command = text.removesuffix("\n")
        with self._lock.held():
            if command not in COMMANDS:
                raise InvalidInput(f"state: {quoted(command)}: is not a command; give one of {', '.join(COMMANDS)}")
            if command != "off" and len(self.contexts) != 1:
                raise InvalidInput(f"state: {command}: there are {len(self.contexts)} contexts; make one")
            self._run(getattr(self, f"_{command}"))

    def stop(self) -> None:
        """End the worker, if there is one."""
        if self.ctx is not None:
            self._damon.stop([self.ctx])

    # Commands. ``self.contexts[0]`` is there, but for ``off``.

    def _on(self) -> None:
        if self.running:
            raise DamonError(errno.EBUSY, "state: on: the worker runs already; write off first")
        self.ctx = None
        ctx = self._damon.new_ctx()
        fill_context(self._damon, ctx, self.contexts[0])
        try:
            self._damon.start([ctx])
        except BaseException:
            close_targets(ctx)
            raise
        self.ctx = ctx
        self._control = DamonCallControl(self._refresh, repeat=True)
        self._refreshed(self.refresh_ms.value)
        with suppress(DamonError):  # it can have ended already, its target being gone
            self._damon.call(ctx, self._control)

    def _off(self) -> None:
        if self.ctx is None:
            raise InvalidInput("state: off: the worker was never started; write on first")
        self.stop()

    def _started(self) -> DamonCtx:
        if self.ctx is None:
            raise InvalidInput("state: off: no such command before the worker was started; write on first")
        return self.ctx

    def _call(self, function: Callable[[DamonCtx], None]) -> None:
        self._damon.call(self._started(), DamonCallControl(function))

    def _commit(self) -> None:
        def commit(ctx: DamonCtx) -> None:
            new = DamonCtx(machine=ctx.machine)
            fill_context(self._damon, new, self.contexts[0])
            try:
                commit_ctx(ctx, new)
            except BaseException:
                close_targets(new)
                raise

        self._call(commit)

    def _commit_schemes_quota_goals(self) -> None:
        def commit(ctx: DamonCtx) -> None:
            trees = [tree for tree, _ in islice(self.contexts[0].schemes.staged(), len(ctx.schemes))]
            goals = [DamosQuota(goals=quota_goals(self._damon, tree.quotas)) for tree in trees]
            for index, quota in enumerate(goals):
                commit_scheme_goals(ctx, index, quota)

        self._call(commit)

    def _update_schemes_stats(self) -> None:
        self._call(self._copy_stats)

    def _update_schemes_effective_quotas(self) -> None:
        self._call(self._copy_effective_quotas)

    def _update_tuned_intervals(self) -> None:
        self._call(self._copy_tuned_intervals)

    def _update_schemes_tried_bytes(self) -> None:
        self._update_tried(only_total=True)

    def _update_schemes_tried_regions(self) -> None:
        self._update_tried(only_total=False)

    def _clear_schemes_tried_regions(self) -> None:
        for scheme in self.contexts[0].schemes.made():
            scheme.tried_regions.clear()

    def _update_tried(self, only_total: bool) -> None:
        ctx = self._started()
        self._clear_schemes_tried_regions()
        trees = self.contexts[0].schemes
        positions: dict[Damos, int] = {}

        def tried(ctx: DamonCtx, target: DamonTarget, region: DamonRegion, scheme: Damos, passed: int) -> None:
            if not positions:  # the schemes stay while this goes on: the tree's lock is held
                positions.update((one, index) for index, one in enumerate(ctx.schemes))
            if positions[scheme] < len(trees):
                trees[positions[scheme]].tried_regions.append(_tried(ctx, region, passed), only_total)

        self._damon.walk(ctx, DamosWalkControl(tried))

    # What the worker's numbers are copied to.

    def _copy_stats(self, ctx: DamonCtx) -> None:
        if len(self.contexts) == 1:
            self.contexts[0].schemes.show_stats([replace(scheme.stat) for scheme in ctx.schemes])

    def _copy_effective_quotas(self, ctx: DamonCtx) -> None:
        if len(self.contexts) == 1:
            self.contexts[0].schemes.show_effective_bytes([scheme.quota.esz for scheme in ctx.schemes])

    def _copy_tuned_intervals(self, ctx: DamonCtx) -> None:
        intervals = self.contexts[0].attrs.intervals
        intervals.sample_us.value = ctx.attrs.sample_interval
        intervals.aggr_us.value = ctx.attrs.aggr_interval

    def _refresh_at(self, refresh_ms: int) -> None:
        """The worker's next turn, if ``refresh_ms`` asks for any."""
        due_ns = self._damon.machine.clock.ticks.begin_ns(self._next_refresh)
        self._control.due_ns = min(due_ns, NEVER) if refresh_ms else NEVER

    def _refreshed(self, refresh_ms: int) -> None:
        clock = self._damon.machine.clock
        self._next_refresh = clock.jiffies() + clock.ticks.ms_to_jiffies(refresh_ms)
        self._refresh_at(refresh_ms)

    def _refresh(self, ctx: DamonCtx) -> None:
        """In an iteration of the worker: copy what ``refresh_ms`` asks for when it is time (spec, sysfs 5)."""
        refresh_ms = self.refresh_ms.value
        if not refresh_ms or ctx.machine.clock.jiffies() < self._next_refresh:
            return
        self._refreshed(refresh_ms)
        with self._lock.tried() as taken:
            if taken and len(self.contexts) == 1:
                self._copy_tuned_intervals(ctx)
                self._copy_stats(ctx)
                self._copy_effective_quotas(ctx)


def _tried(ctx: DamonCtx, region: DamonRegion, passed: int) -> Tried:
    left_bp = left_window_bp(ctx)
    return Tried(
        start=region.start,
        end=region.end,
        nr_accesses=damon_mvsum(region, left_bp),
        age=region.age,
        sz_filter_passed=passed,
        probe_hits=tuple(damon_probe_hits_mvsum(region, probe, left_bp) for probe in range(len(ctx.probes))),
    )


class Admin(Directory):
    """``/sys/kernel/mm/damon/admin``.

    Args:
        damon: what the workers run on.
        run: how commands that wait for workers are run; plain calls by default.
    """

    def __init__(self, damon: Damon, run: Runner = lambda function: function()) -> None:
        super().__init__()
        self.lock = TreeLock()
        self.kdamonds: Numbered[Kdamond] = self.add(
            "kdamonds",
            Numbered("kdamonds", lambda: Kdamond(damon, self.lock, run), self.lock.held, veto=self._refuse_running),
        )

    def _refuse_running(self) -> None:
        if any(kdamond.running for kdamond in self.kdamonds.made()):
            raise DamonError(errno.EBUSY, "nr_kdamonds: a kdamond runs; write off to its state first")

    def stop(self) -> None:
        """End all workers."""
        for kdamond in self.kdamonds.made():
            kdamond.stop()
