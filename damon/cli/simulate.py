# SPDX-License-Identifier: GPL-2.0-only
"""One run of modules on the simulated machine, for commands that compare it with another."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damon.cli import out
from damon.cli.observe import BASELINE_S, SimObserver
from damon.cli.run import module_words, running, stop_flag
from damon.cli.session import Session
from damon.library.engine import OwnEngine
from damon.modules.loader import Loader, prepare_modules

if TYPE_CHECKING:
    from damon.workload.model import Workload


def simulate(
    arguments: argparse.Namespace,
    workload: Workload,
    place: Path | None = None,
    every_s: float = 1.0,
    lead_s: float = BASELINE_S,
) -> dict[str, Any]:
    """The result of ``damon run`` with the modules, seed and duration of ``arguments``.

    The workload runs alone at first, as ``damon run --workload`` lets it: a container that starts with more than its
    limit has its worst seconds then, which the other run does not count.

    Args:
        arguments: ``module``, ``cmdline``, ``seed`` and ``duration`` (seconds) as those of ``damon run``.
        workload: that is played.
        place: a run directory to be written; None: none.
        every_s: seconds between its rows.
        lead_s: seconds of the workload before the modules are loaded. Counts of the rows are since its start.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    from damon.mm.sim import SimulatedMachine
    from damon.results.request import request, workload_request

    engine, seed = OwnEngine(), arguments.seed
    with ExitStack() as closing:
        machine = closing.enter_context(SimulatedMachine(workload, seed))
        damon = engine.open(machine, seed)
        loader = Loader(damon)
        modules = prepare_modules(loader, module_words(arguments, engine))
        machine.clock.sleep_us(round(lead_s * 1e6))
        stopped = closing.enter_context(stop_flag())
        observer = SimObserver(machine)
        session = Session(observer, modules, loader, seed, True, engine.identity)
        try:
            for module in modules:
                loader.load(module)
            if place is not None:
                asked = request(
                    command="damon validate", machine=machine.name, engine=engine.identity, seed=seed,
                    seconds=arguments.duration, modules=session.parameters(),
                    workload=workload_request(workload, machine), every_ns=int(every_s * 1e9), regions=False,
                )  # fmt: skip
                options = argparse.Namespace(out=place, out_form="jsonl", regions=False, event=[], why=False)
                session.recording = out.Recording(options, asked, observer, damon)
                session.recording.watch(running(modules, damon, engine))
            session.loop(arguments.duration, stopped)
        finally:
            session.end()
        if stopped[0]:
            raise KeyboardInterrupt
        result = session.result()
        if session.recording is not None:
            session.recording.finish(result)
        return result
