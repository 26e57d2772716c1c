# SPDX-License-Identifier: GPL-2.0-only
"""Plays a case with an engine, and writes down all that can be seen of it, twice a sample."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from damon.core import Damon, commit_ctx
from damon.kernel.library import VersionLacks
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.scheme import Damos
from tests.differential.cases import Case, errno_of, make
from tests.differential.memory import Machine

#: One observation: virtual time in us, where, and named values.
Entry = tuple[int, str, dict[str, Any]]
_STAT = ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds", "nr_snapshots")
_QUOTA = (
    "esz", "total_charged_sz", "total_charged_ns", "charged_sz", "charged_from", "charge_addr_from", "min_score",
    "esz_bp",
)  # fmt: skip
#: Observations of one case at most, so that none takes for ever.
MOST = 800


class Enough(Exception):
    """The case has been watched for long enough."""


def _scheme(ctx: DamonCtx, index: int, scheme: Damos) -> dict[str, Any]:
    quota = scheme.quota
    found = {f"scheme {index} stat.{name}": getattr(scheme.stat, name) for name in _STAT}
    found |= {f"scheme {index} quota.{name}": getattr(quota, name) for name in _QUOTA}
    if quota.charge_target_from is None:
        place = -1
    else:
        place = ctx.targets.index(quota.charge_target_from) if quota.charge_target_from in ctx.targets else -2
    found[f"scheme {index} quota.charge_target_from"] = place
    found[f"scheme {index} quota.goals"] = [(goal.target_value, goal.current_value) for goal in quota.goals]
    found[f"scheme {index} wmarks.activated"] = scheme.wmarks.activated
    found[f"scheme {index} next_apply_sis"] = scheme.next_apply_sis
    return found


def dump(ctx: DamonCtx) -> dict[str, Any]:
    """Everything that decides what a context does next."""
    attrs = ctx.attrs
    found: dict[str, Any] = {
        "attrs": (attrs.sample_interval, attrs.aggr_interval, attrs.ops_update_interval, attrs.aggr_samples),
        "passed_sample_intervals": ctx.passed_sample_intervals,
        "next_aggregation_sis": ctx.next_aggregation_sis,
        "next_ops_update_sis": ctx.next_ops_update_sis,
        "next_intervals_tune_sis": ctx.next_intervals_tune_sis,
        "rnd_state": ctx.rnd.state,
    }
    for index, target in enumerate(ctx.targets):
        found[f"target {index} regions"] = [
            (
                r.start, r.end, r.nr_accesses, r.last_nr_accesses, r.age,
                bytes(r.probe_hits), bytes(r.last_probe_hits),
            )
            for r in target.regions
        ]  # fmt: skip
    for index, scheme in enumerate(ctx.schemes):
        found |= _scheme(ctx, index, scheme)
    return found


class Player:
    """One engine, one case."""

    def __init__(self, case: Case, engine: Callable[[Any, int], Damon]) -> None:
        self.case = case
        self.log: list[Entry] = []
        self._over = False
        self.machine = Machine(case.pattern, case.hz, case.cost_ns)
        self.damon = engine(self.machine, case.seed)
        self.refresh: Callable[[DamonCtx], None] = getattr(self.damon, "refresh", lambda ctx: None)
        self.ctxs = [make(self.damon, self.machine, plain) for plain in case.contexts]
        self.machine.on_sample = self._sampled
        self.machine.note = lambda *what: self._note("action", what=what)

    def _note(self, where: str, **values: Any) -> None:
        if not self._over:
            self.log.append((self.machine.clock.now_ns(), where, values))

    def _sampled(self) -> None:
        """Before addresses are made old: schemes, reset and split of the iteration before are done."""
        self._dump("sample")

    def _dump(self, where: str) -> None:
        if len(self.log) >= MOST:
            self._over = True
        if self._over:
            raise Enough  # ends the worker; a walk, for one, may wait for ever while intervals are tuned
        for index, ctx in enumerate(self.ctxs):
            if ctx.kdamond is not None:
                self.refresh(ctx)
                self._note(f"{where} {index}", **dump(ctx))

    def play(self) -> list[Entry]:
        """The log."""
        try:
            try:
                self.damon.start(self.ctxs)
            except VersionLacks:
                raise
            except Exception as error:
                self._note("start", error=errno_of(error))
                return self.log
            for ctx in self.ctxs:
                self.damon.call(ctx, DamonCallControl(lambda ctx: self._dump("call"), repeat=True))
            for name, value in self.case.steps:
                if self._over:
                    break
                getattr(self, f"_{name}_step")(value)
            self._note("end", errors=[type(ctx.error).__name__ for ctx in self.ctxs])
            return self.log
        finally:
            self.damon.stop()
            for ctx in self.ctxs:
                self._note("stopped", stats=[vars(scheme.stat) for scheme in ctx.schemes])
            if hasattr(self.damon, "close"):
                self.damon.close()
            self.machine.close()

    def _tried(self, where: str, work: Callable[[], None]) -> None:
        try:
            work()
        except VersionLacks:
            raise
        except Exception as error:
            self._note(where, error=errno_of(error))
        else:
            self._note(where, error=0)

    def _wait_step(self, us: int) -> None:
        """In pieces: with a sampling interval of a microsecond there is much to see soon."""
        while us > 0 and not self._over:
            step = min(us, 100 * max(min(ctx.attrs.sample_interval for ctx in self.ctxs), 1))
            self.machine.clock.sleep_us(step)
            us -= step

    def _commit_step(self, plain: Any) -> None:
        def commit(ctx: DamonCtx) -> None:
            commit_ctx(ctx, make(self.damon, self.machine, plain, DamonCtx(machine=self.machine)))

        self._tried("commit", lambda: self.damon.call(self.ctxs[0], DamonCallControl(commit)))

    def _walk_step(self, _: Any) -> None:
        seen: list[Any] = []

        def see(ctx: Any, target: Any, region: Any, scheme: Any, passed: int) -> None:
            seen.append((ctx.targets.index(target), region.start, region.end, ctx.schemes.index(scheme), passed))

        self._tried("walk", lambda: self.damon.walk(self.ctxs[0], DamosWalkControl(see)))
        self._note("walked", seen=seen)

    def _machine_step(self, values: tuple[int, int, int]) -> None:
        free, psi, lru = values
        self.machine.free = free, 1000
        self.machine.psi += psi
        self.machine.lru = lru, 4000 - lru
        self.machine.nodes[0] = free, 1000

    def _exit_step(self, pid: int) -> None:
        self.machine.gone.add(pid)


def first_difference(one: list[Entry], other: list[Entry]) -> str | None:
    """Where two logs part: time, place, field and both values; None when they do not."""
    for (t1, w1, v1), (t2, w2, v2) in zip(one, other, strict=False):
        if (t1, w1) != (t2, w2):
            return f"{t1 / 1000} us {w1}, kernel: {t2 / 1000} us {w2}"
        for name in v1.keys() | v2.keys():
            if v1.get(name) != v2.get(name):
                return f"at {t1 / 1000} us, {w1}: {name}: {_shown(v1.get(name), v2.get(name))}"
    if len(one) != len(other):
        return f"{len(one)} observations, kernel: {len(other)}"
    return None


def _shown(one: Any, other: Any) -> str:
    if isinstance(one, list) and isinstance(other, list):
        for index, (a, b) in enumerate(zip(one, other, strict=False)):
            if a != b:
                return f"[{index}] {a}, kernel: {b}"
        return f"{len(one)} of them, kernel: {len(other)}"
    return f"{one}, kernel: {other}"
