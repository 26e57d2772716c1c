# SPDX-License-Identifier: GPL-2.0-only
"""The worker: one iteration a sampling interval, in the kernel's order (DAMON spec, core 3.4-3.7)."""

from __future__ import annotations

from collections.abc import Callable

from damon.core import watermarks
from damon.core.attrs import arm_deadlines, damos_set_next_apply_sis, kdamond_tune_intervals
from damon.core.damos_filter import damos_set_filters_default_reject
from damon.core.damos_walk import damos_walk_cancel, kdamond_apply_schemes
from damon.core.quiet import Quiet, Stage
from damon.core.region_check import check_regions, checked_step, inherited
from damon.core.regions import (
    SplitState,
    damon_apply_min_nr_regions,
    kdamond_merge_regions,
    kdamond_reset_aggregated,
    kdamond_split_regions,
)
from damon.core.waiting import working
from damon.model import refused
from damon.model.checks import U32_MAX, whole
from damon.model.context import NEVER, DamonCallControl, DamonCtx
from damon.model.operations import Stretch
from damon.model.probe import has_preps, has_weights


class _Ended(Exception):
    """The worker has to leave its loop."""


def cancel_calls(ctx: DamonCtx) -> None:
    """The worker has ended: requests that had no turn are canceled, as ``kdamond_call(ctx, true)`` does."""
    with ctx.lock:
        ctx.call_controls_obsolete = True
        pending = list(ctx.call_controls)
        ctx.call_controls.clear()
    for control in pending:
        control.canceled = True
        control.error = refused.ended_before()
        control.done.set()


class Kdamond:
    """The worker of one context."""

    def __init__(self, ctx: DamonCtx, split_state: SplitState) -> None:
        self.ctx = ctx
        self._split_state = split_state
        self._quiet = Quiet(ctx, split_state)
        self._wake = ctx.machine.clock.event()
        self._sz_limit = 0
        self._deadline_ns = 0
        self._passes_time = hasattr(ctx.machine, "begin_stretch")

    def run(self, started: Callable[[], None], ended: Callable[[], None]) -> None:
        """The thread's function; an unexpected error ends this worker only and stays in ``ctx.error``."""
        with working(self.ctx):
            try:
                self._begin(started)
                while not self.kdamond_need_stop():
                    self._iteration()
            except _Ended:
                pass
            except BaseException as error:
                self.ctx.error = error
            finally:
                self._finish(ended)

    def stop(self) -> None:
        """Ask the worker to end; it does so within a sampling interval."""
        self.ctx.kdamond_stop = True
        self._wake.set()

    def _begin(self, started: Callable[[], None]) -> None:
        ctx = self.ctx
        ctx.call_controls_obsolete = ctx.walk_control_obsolete = False
        started()
        ctx.passed_sample_intervals = 0
        arm_deadlines(ctx)
        ctx.next_intervals_tune_sis = ctx.next_aggregation_sis * ctx.attrs.intervals_goal.aggrs
        for scheme in ctx.schemes:
            damos_set_next_apply_sis(ctx, scheme)
            damos_set_filters_default_reject(scheme)
        checked_step(ctx, ctx.ops.init, "init")
        self._sz_limit = damon_apply_min_nr_regions(ctx)

    def kdamond_need_stop(self) -> bool:
        ctx = self.ctx
        if ctx.kdamond_stop:
            return True
        return bool(ctx.ops.checks_targets) and not any(ctx.ops.target_valid(target) for target in ctx.targets)

    def kdamond_usleep(self, us: int) -> None:
        clock = self.ctx.machine.clock
        self._sleep_from(clock.now_ns(), us)

    def _sleep_from(self, begin_ns: int, us: int) -> None:
        clock = self.ctx.machine.clock
        end_ns = clock.ticks.sleep_end_ns(begin_ns, us)
        if us < clock.ticks.upper_us:
            clock.sleep_until(end_ns)
        else:
            self._wake.wait_until(end_ns)

    def _sleep_a_sample(self, us: int) -> None:
        """To the end of the sampling interval. On a real machine that is a time of the clock, not a time from now.

        On a simulated one it is from when the worker has looked at the pages of the last sample.
        """
        clock = self.ctx.machine.clock
        pace = getattr(clock, "next_deadline_ns", None)
        if pace is None:
            check_ns = getattr(self.ctx.machine, "check_ns", 0)
            self._sleep_from(clock.now_ns() + check_ns * self.ctx.found, us)
            return
        self._deadline_ns = pace(self._deadline_ns, us)
        if us < clock.ticks.upper_us:
            clock.sleep_until(self._deadline_ns)
        else:
            self._wake.wait_until(self._deadline_ns)

    def _iteration(self) -> None:
        ctx = self.ctx
        next_aggregation = ctx.next_aggregation_sis
        next_ops_update = ctx.next_ops_update_sis
        sample_interval = ctx.attrs.sample_interval
        attributes_only = has_weights(ctx.probes)

        self.kdamond_wait_activation()
        self._quiet.stage, highest = Stage.SAMPLED, None
        as_read = next_aggregation, next_ops_update, sample_interval, attributes_only
        if as_read == (ctx.next_aggregation_sis, ctx.next_ops_update_sis, ctx.attrs.sample_interval, False):
            highest = self._sample_ahead(next_ops_update)
        if highest is not None:
            next_aggregation = ctx.next_aggregation_sis
            aggregated = ctx.passed_sample_intervals >= next_aggregation
        else:
            prepared = self._sample_once(attributes_only, max(sample_interval, 1))  # 0 us still lets others run
            ctx.passed_sample_intervals += 1
            aggregated = ctx.passed_sample_intervals >= next_aggregation
            highest = self._check(attributes_only, aggregated, prepared)

        if aggregated:
            if self._quiet.stage is Stage.SAMPLED:
                check_regions(ctx, f"with operations set {ctx.ops.id!r}")
                kdamond_merge_regions(ctx, highest // 10, self._sz_limit)
            self._sz_limit = damon_apply_min_nr_regions(ctx)
        if self._quiet.stage is not Stage.APPLIED:
            self.kdamond_call(results=aggregated or self._applies(), kept=aggregated)
            self._wait_resume()
            if ctx.schemes:
                kdamond_apply_schemes(ctx)
            else:
                damos_walk_cancel(ctx, canceled=True)
        if aggregated:
            self._finish_aggregation(next_aggregation)
        if ctx.passed_sample_intervals >= next_ops_update:
            ctx.next_ops_update_sis = next_ops_update + ctx.attrs.samples(ctx.attrs.ops_update_interval)
            checked_step(ctx, ctx.ops.update, "update")

    def _sample_ahead(self, next_ops_update: int) -> int | None:
        """All sampling intervals at once to the first at whose end Python has something to do: what the last one found.

        None: the operations set does not offer that now, or the machine's time cannot be passed so.
        """
        ctx, quiet = self.ctx, self._quiet
        if ctx.probes or not self._passes_time or inherited(ctx.ops, "sample_ahead"):
            return None
        due_ns = NEVER
        for control in ctx.call_controls:
            if not control.results_only and not control.actions_only:
                due_ns = min(due_ns, control.due_ns)
        never_updates = inherited(ctx.ops, "update") and not ctx.attrs.samples(ctx.attrs.ops_update_interval)
        next_update = None if never_updates else next_ops_update
        boundary = quiet.prepare(self._sz_limit, next_update) if due_ns else None
        nr = self._nr_idle(next_update) if due_ns else 1
        done, highest = ctx.ops.sample_ahead(ctx, nr, Stretch(due_ns, *watermarks.steady_free(ctx), boundary))
        ctx.passed_sample_intervals += whole(
            self._returned("sample_ahead"), done, high=nr if boundary is None else NEVER
        )
        if boundary is not None:
            self._sz_limit = quiet.take_over()
        return whole(self._returned("sample_ahead"), highest, high=U32_MAX) if done else None

    def _nr_idle(self, next_ops_update: int | None) -> int:
        """The number of sampling intervals, this one included, to the next at whose end there is something to do."""
        ctx = self.ctx
        due = ctx.next_aggregation_sis
        for scheme in ctx.schemes:
            if scheme.next_apply_sis < due and scheme.wmarks.activated:
                due = scheme.next_apply_sis
        if next_ops_update is not None:
            due = min(due, next_ops_update)
        return max(due - ctx.passed_sample_intervals, 1)

    def _sample_once(self, attributes_only: bool, us: int) -> bool:
        """Prepare and sleep, on a simulated machine from when the pages of the sample before were looked at."""
        ctx = self.ctx
        sampled = getattr(ctx.machine, "sampled", None)
        before = sampled() if sampled is not None else 0
        prepared = self._prepare(attributes_only)
        found = sampled() - before if sampled is not None else 0
        self._sleep_a_sample(us)
        ctx.found = found
        return prepared

    def _prepare(self, attributes_only: bool) -> bool:
        """Before the interval; were the pages prepared that probes look at?"""
        ctx = self.ctx
        if not attributes_only:
            ctx.ops.prepare_access_checks(ctx)
        if not has_preps(ctx.probes) or inherited(ctx.ops, "prep_probes"):
            return False
        ctx.ops.prep_probes(ctx, set_samples=attributes_only)
        return True

    def _check(self, attributes_only: bool, aggregated: bool, prepared: bool) -> int:
        """One sample of accesses and attributes: the highest count, or weighted sum of attributes, of all regions."""
        ctx = self.ctx
        if not attributes_only:
            highest = whole(self._returned("check_accesses"), ctx.ops.check_accesses(ctx), high=U32_MAX)
            if ctx.probes:
                ctx.ops.apply_probes(ctx, set_samples=False, return_max_wsum=False)
            return highest
        highest = ctx.ops.apply_probes(ctx, set_samples=not prepared, return_max_wsum=aggregated)
        return whole(self._returned("apply_probes"), highest, high=U32_MAX)

    def _returned(self, name: str) -> str:
        return f"operations set {self.ctx.ops.id}: {name}() returned"

    def _finish_aggregation(self, next_aggregation: int) -> None:
        ctx = self.ctx
        goal = ctx.attrs.intervals_goal
        if goal.aggrs and ctx.passed_sample_intervals >= ctx.next_intervals_tune_sis:
            ctx.next_aggregation_sis = next_aggregation
            ctx.next_intervals_tune_sis += ctx.attrs.aggr_samples * goal.aggrs
            kdamond_tune_intervals(ctx)
        ctx.next_aggregation_sis = next_aggregation + ctx.attrs.samples(ctx.attrs.aggr_interval)
        kdamond_reset_aggregated(ctx)
        kdamond_split_regions(ctx, self._split_state)

    def kdamond_wait_activation(self) -> None:
        """Sleep while the watermarks of all schemes keep them inactive (core 3.6)."""
        ctx = self.ctx
        shortest: int | None = None
        while not self.kdamond_need_stop():
            wait = watermarks.min_wait_us(ctx)
            shortest = wait if shortest is None else min(shortest, wait)
            if not shortest:
                return
            self.kdamond_usleep(shortest)
            self.kdamond_call()
            damos_walk_cancel(ctx, canceled=True)
        raise _Ended

    def _wait_resume(self) -> None:
        """While paused only requests run, one of which may end the pause (core 3.5 step 8b)."""
        ctx = self.ctx
        while ctx.pause:
            damos_walk_cancel(ctx, canceled=True)
            self.kdamond_usleep(max(ctx.attrs.sample_interval, 1))
            self.kdamond_call()
            if self.kdamond_need_stop():
                raise _Ended

    def _applies(self) -> bool:
        """Is a scheme due?"""
        passed = self.ctx.passed_sample_intervals
        return any(scheme.next_apply_sis <= passed and scheme.wmarks.activated for scheme in self.ctx.schemes)

    def kdamond_call(self, results: bool = True, kept: bool = True) -> None:
        """Run the requests that are pending now, each once. Repeating ones are queued again, behind those that came.

        ``results``: there is something to see for those that want results or actions only. ``kept``: an aggregation has
        ended, or the worker waits.

        The worker ends when a commit failed half way.
        """
        ctx = self.ctx
        if ctx.maybe_corrupted:
            raise _Ended
        if kept and ctx.results is not None:
            ctx.results.keep(ctx)
        if not ctx.call_controls:
            return
        now = ctx.machine.clock.now_ns()
        with ctx.lock:
            pending = list(ctx.call_controls)
            ctx.call_controls.clear()
        again: list[DamonCallControl] = []
        try:
            while pending:
                control = pending.pop(0)
                if control.repeat:
                    again.append(control)
                    if control.due_ns > now or (not results and (control.results_only or control.actions_only)):
                        continue
                self._run_call(control)
                if ctx.maybe_corrupted:
                    ctx.error = control.error
                    raise _Ended
        finally:
            with ctx.lock:  # when the worker ends, those that had no turn are canceled there
                ctx.call_controls += again + pending

    def _run_call(self, control: DamonCallControl) -> None:
        try:
            control.fn(self.ctx)
        except Exception as error:
            if control.repeat and not isinstance(error, OSError):
                raise
            control.error = error
        except BaseException:  # ends the worker; its caller must not wait for ever
            control.canceled = True
            control.done.set()
            raise
        if not control.repeat:
            control.done.set()

    def _finish(self, ended: Callable[[], None]) -> None:
        ctx = self.ctx
        for target in ctx.targets:
            ctx.ops.cleanup_target(target)
        ctx.targets.clear()
        cancel_calls(ctx)
        with ctx.lock:
            ctx.walk_control_obsolete = True
        damos_walk_cancel(ctx, canceled=True)
        for scheme in ctx.schemes:
            scheme.quota.charge_target_from = None
            scheme.quota.charge_addr_from = 0
        ended()
