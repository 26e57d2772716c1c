# SPDX-License-Identifier: GPL-2.0-only
"""Plays a case with an engine, and writes down all that can be seen of it, twice a sample."""

from __future__ import annotations

import struct
from collections.abc import Callable
from ctypes import string_at
from dataclasses import dataclass, field
from typing import Any, Final

from damon.core import Damon, commit_ctx, commit_scheme_goals
from damon.kernel.library import VersionLacks
from damon.model.arrays import ROW
from damon.model.context import DamonCallControl, DamonCtx, DamosWalkControl
from damon.model.scheme import Damos, DamosFilter, DamosQuota
from tests.differential.cases import Case
from tests.differential.making import errno_of, make, quota_goals
from tests.differential.memory import Machine

#: One observation: virtual time in us, where, and named values.
Entry = tuple[int, str, dict[str, Any]]
_STAT = ("nr_tried", "sz_tried", "nr_applied", "sz_applied", "sz_ops_filter_passed", "qt_exceeds", "nr_snapshots")
_QUOTA = (
    "esz", "total_charged_sz", "total_charged_ns", "charged_sz", "charged_from", "charge_addr_from", "min_score",
    "esz_bp",
)  # fmt: skip
#: Start, end, accesses now and in the last aggregation, age, hits of probes now and in the last aggregation.
_REGION: Final = struct.Struct("<QQ8xIII4s4s4x")
#: Observations of one case at most, so that none takes for ever.
MOST = 800


class Enough(Exception):
    """The case has been watched for long enough."""


@dataclass
class Played:
    """What one engine did: ``log`` is compared.

    ``stale``: by the place of a walk's begin, the schemes whose part of it counts as done although it has not begun.
    """

    log: list[Entry] = field(default_factory=list)
    stale: dict[int, frozenset[int]] = field(default_factory=dict)


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
    pattern = scheme.pattern
    found[f"scheme {index} accesses"] = pattern.min_nr_accesses, pattern.max_nr_accesses
    filters = scheme.core_filters
    assert all(isinstance(one, DamosFilter) for one in filters), filters
    found[f"scheme {index} core filters"] = [one.type.value for one in filters if isinstance(one, DamosFilter)]
    found[f"scheme {index} wmarks.activated"] = scheme.wmarks.activated
    found[f"scheme {index} next_apply_sis"] = scheme.next_apply_sis
    return found


def dump(ctx: DamonCtx) -> dict[str, Any]:
    """Everything that decides what a context does next."""
    attrs = ctx.attrs
    found: dict[str, Any] = {
        "attrs": (attrs.sample_interval, attrs.aggr_interval, attrs.ops_update_interval, attrs.aggr_samples),
        "nr_regions": (attrs.min_nr_regions, attrs.max_nr_regions),
        "pause": ctx.pause,
        "passed_sample_intervals": ctx.passed_sample_intervals,
        "next_aggregation_sis": ctx.next_aggregation_sis,
        "next_ops_update_sis": ctx.next_ops_update_sis,
        "next_intervals_tune_sis": ctx.next_intervals_tune_sis,
        "rnd_state": ctx.rnd.state,
    }
    for index, target in enumerate(ctx.targets):
        rows = string_at(target.regions.pointer, ROW * target.regions.nr)
        found[f"target {index} regions"] = list(_REGION.iter_unpack(rows))
    for index, scheme in enumerate(ctx.schemes):
        found |= _scheme(ctx, index, scheme)
    return found


class Player:
    """One engine, one case; the user is a program that has the library."""

    def __init__(self, case: Case, engine: Callable[[Any, int], Damon]) -> None:
        self.case = case
        self.played = Played()
        self.log = self.played.log
        self._over = False
        self.machine = Machine(case.pattern, case.hz, case.cost_ns)
        self.damon = engine(self.machine, case.seed)
        self.refresh: Callable[[DamonCtx], None] = getattr(self.damon, "refresh", lambda ctx: None)
        self.ctxs: list[DamonCtx] = []
        self.machine.on_sample = self._sampled
        self.machine.note = lambda *what: self.note("action", what=what)

    def note(self, where: str, **values: Any) -> None:
        if not self._over:
            self.log.append((self.machine.clock.now_ns(), where, values))

    def _sampled(self) -> None:
        """Before addresses are made old: schemes, reset and split of the iteration before are done."""
        self._dump("sample")

    def _dump(self, where: str, fresh: DamonCtx | None = None) -> None:
        """``fresh`` is up to date already."""
        if len(self.log) >= MOST:
            self._over = True
        if self._over:
            raise Enough  # ends the worker; a walk, for one, may wait for ever while intervals are tuned
        for index, ctx in enumerate(self.ctxs):
            if ctx.kdamond is not None:
                if ctx is not fresh:
                    self.refresh(ctx)
                self.note(f"{where} {index}", **dump(ctx))

    def start(self) -> None:
        """Start all of the case's contexts."""
        self.ctxs = [make(self.damon, self.machine, plain) for plain in self.case.contexts]
        self.damon.start(self.ctxs)

    def play(self) -> Played:
        """All of the case, to its end or to the most that is watched."""
        try:
            if not self._tried("start", self.start):
                return self.played
            for ctx in self.ctxs:
                self.damon.call(ctx, DamonCallControl(lambda ctx: self._dump("call", ctx), repeat=True))
            for name, value in self.case.steps:
                if self._over:
                    break
                getattr(self, f"{name}_step")(value)
            running = [ctx.kdamond is not None for ctx in self.ctxs]
            self.note("end", errors=[type(ctx.error).__name__ for ctx in self.ctxs], running=running)
            return self.played
        finally:
            self.damon.stop()
            for ctx in self.ctxs:
                self.note("stopped", stats=[vars(scheme.stat) for scheme in ctx.schemes])
            if hasattr(self.damon, "close"):
                self.damon.close()
            self.machine.close()

    def _tried(self, where: str, work: Callable[[], None]) -> bool:
        try:
            work()
        except VersionLacks:
            raise
        except Exception as error:
            self.note(where, error=errno_of(error))
            return False
        self.note(where, error=0)
        return True

    def wait_step(self, us: int) -> None:
        """In pieces: with a sampling interval of a microsecond there is much to see soon."""
        while us > 0 and not self._over:
            step = min(us, 100 * max(min(ctx.attrs.sample_interval for ctx in self.ctxs), 1))
            self.machine.clock.sleep_us(step)
            us -= step

    def commit_step(self, plain: Any) -> None:
        self._tried("commit", lambda: self.commit(plain))

    refused_step = commit_step

    def commit(self, plain: Any) -> None:
        def commit(ctx: DamonCtx) -> None:
            commit_ctx(ctx, make(self.damon, self.machine, plain, DamonCtx(machine=self.machine)))

        self.damon.call(self.ctxs[0], DamonCallControl(commit))

    def goals_step(self, plain: Any) -> None:
        self._tried("goals", lambda: self.goals(plain))

    def goals(self, plain: Any) -> None:
        """Commit quota goals, those of each scheme, and nothing else."""

        def commit(ctx: DamonCtx) -> None:
            for index, goals in enumerate(plain[: len(ctx.schemes)]):
                commit_scheme_goals(ctx, index, DamosQuota(goals=quota_goals(goals)))

        self.damon.call(self.ctxs[0], DamonCallControl(commit))

    def walk_step(self, _: Any) -> None:
        self.refresh(self.ctxs[0])
        done = (index for index, scheme in enumerate(self.ctxs[0].schemes) if scheme.walk_completed)
        if self.ctxs[0].kdamond is not None:
            self.played.stale[len(self.log)] = frozenset(done)
        self.note("walk begins")
        seen: list[Any] = []
        self._tried("walk", lambda: self.walk(seen))
        self.note("walked", seen=seen)

    def walk(self, seen: list[Any]) -> None:
        """Each scheme's regions, of one pass or more."""

        def see(ctx: Any, target: Any, region: Any, scheme: Any, passed: int) -> None:
            seen.append((ctx.targets.index(target), region.start, region.end, ctx.schemes.index(scheme), passed))

        self.damon.walk(self.ctxs[0], DamosWalkControl(see))

    def machine_step(self, values: tuple[int, int, int]) -> None:
        free, psi, lru = values
        self.machine.set_free(free)
        self.machine.psi += psi
        self.machine.lru = lru, 4000 - lru
        self.machine.nodes[0] = free, 1000

    def later_step(self, values: tuple[int, int]) -> None:
        """Free memory changes by itself, during a wait."""
        us, free = values
        self.machine.later.append((self.machine.clock.now_ns() + us * 1000, free))

    def exit_step(self, pids: tuple[int, ...]) -> None:
        self.machine.gone.update(pids)


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
