# SPDX-License-Identifier: GPL-2.0-only
"""One run on the simulated machine: its counts at each checkpoint, up to where it is given up."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from typing import Final

from damon.core import Damon
from damon.errors import DamonError, MissingCapability
from damon.library.engine import Engine, open_engine, other_modules
from damon.mm.sim import SimulatedMachine
from damon.modules.loader import Loader, find_module, prepare_modules
from damon.modules.module import Module
from damon.results.session import Recording
from damon.tune.goals import constraint, is_lost, value
from damon.tune.measure import Measured, Meter
from damon.tune.request import CHECKPOINTS, LOOKS, Outcome, Request, Result, Rules
from damon.workload.model import Workload

_WHY: Final = 300


@cache
def _engine(spec: str) -> Engine:
    return open_engine(spec)


def perform(request: Request, workload: Workload, base: Sequence[Measured] = (), out: str = "") -> Result:
    """The result of ``request``.

    Args:
        request: the run.
        workload: what its hash is of.
        base: of the same workload, seed and duration without a module; needed when the request has rules.
        out: the directory for the run directory of its results over time; empty: they are not recorded.

    Raises:
        OSError: results cannot be written.
    """
    with SimulatedMachine(workload, request.seed) as machine:
        if not request.engine:
            return Result("complete", _Run(machine, request, (), ()).measured())
        engine = _engine(request.engine)
        known = other_modules(engine)
        damon = engine.open(machine, request.seed)
        loader = Loader(damon)
        try:
            words = {find_module(name, known=known): given for name, given in request.modules.items()}
            modules = prepare_modules(loader, words)
            with ExitStack() as closing:
                closing.callback(loader.unload_all)
                for module in modules:
                    loader.load(module)
                if out:
                    closing.enter_context(_recorded(damon, request, modules, engine, Path(out)))
                run = _Run(machine, request, modules, base)
                measured = run.measured()
        except (DamonError, MissingCapability) as error:
            return Result("refused", why=str(error)[:_WHY])
        return Result(run.outcome, measured, run.why)


def _recorded(damon: Damon, request: Request, modules: Sequence[Module], engine: Engine, out: Path) -> Recording:
    """Results over time of a run that has just begun; what a run that was killed has left is replaced."""
    place = out / request.directory()
    if (place / "run.json").is_file():
        shutil.rmtree(place)
    ctxs = [ctx for module in modules for ctx in module.ctxs]
    parameters = {module.name: module.parameters.values_by_name() for module in modules}
    for own in parameters.values():
        own.pop("kdamond_pid", None)  # of this process only
    asked = {
        "command": "damon tune", "engine": engine.identity.as_object(), "seed": request.seed,
        "seconds": request.duration_us / 1e6,
        "modules": parameters,
    }  # fmt: skip
    return Recording(damon, *ctxs, out=place, regions=False, asked=asked)


class _Run:
    def __init__(
        self, machine: SimulatedMachine, request: Request, modules: Sequence[Module], base: Sequence[Measured]
    ) -> None:
        self._machine, self._request, self._modules, self._base = machine, request, modules, base
        self.outcome: Outcome = "complete"
        self.why = ""

    def measured(self) -> list[Measured]:
        """At each checkpoint up to the end."""
        clock, looks = self._machine.clock, CHECKPOINTS * LOOKS
        meter, found = Meter(self._machine), []
        begin = clock.now_ns()
        for nr in range(1, looks + 1):
            due = begin + self._request.duration_us * 1000 * nr // looks
            clock.sleep_us(max((due - clock.now_ns()) // 1000, 0))
            ctxs = [ctx for module in self._modules for ctx in module.ctxs]
            meter.look(ctxs)
            if nr % LOOKS:
                continue
            found.append(meter.read())
            error = next((ctx.error for ctx in ctxs if ctx.error is not None), None)
            if error is not None:
                self.outcome, self.why = "failed", f"{type(error).__name__}: {error}"[:_WHY]
                break
            self.why = self._given_up(found)
            if self.why and nr < looks:
                self.outcome = "pruned"
                break
            self.why = ""
        return found

    def _given_up(self, found: Sequence[Measured]) -> str:
        """Why the run need not go on; empty: it has to."""
        rules = self._request.rules
        return "" if rules is None else given_up(rules, found, self._base)


def given_up(rules: Rules, found: Sequence[Measured], base: Sequence[Measured]) -> str:
    """Why a run that has come to the last of ``found`` need not go on; empty: it has to.

    A constraint that is broken even if no more is counted up to the end stays so.
    """
    now, at = found[-1], len(found) - 1
    for text in rules.constraints:
        if is_lost(constraint(text), now, base[at], base[-1]):
            return f"{text}: is broken whatever comes"
    bound = rules.bounds[at] if at < len(rules.bounds) else None
    if rules.objective is not None and bound is not None:
        own = value(rules.objective.figure, now, base[at])
        if (own < bound) if rules.objective.maximize else (own > bound):
            return f"{rules.objective}: is worse than of most before"
    return ""
