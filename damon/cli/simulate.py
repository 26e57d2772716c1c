# SPDX-License-Identifier: GPL-2.0-only
"""One run of modules on the simulated machine, for commands that compare it with another."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import out
from damon.cli.observe import BASELINE_S, SimObserver
from damon.cli.run import module_words, running, stop_flag
from damon.cli.session import Session
from damon.library.engine import OwnEngine
from damon.modules.loader import Loader, prepare_modules

if TYPE_CHECKING:
    from damon.core import Damon
    from damon.mm.sim import SimulatedMachine
    from damon.mm.sim.placing import Places
    from damon.workload.model import Workload


#: In a guest the workload is watched alone for a while, and half a second more goes by until the modules are loaded.
LEAD_S: Final = BASELINE_S + 0.5


def simulate(
    arguments: argparse.Namespace, workload: Workload, place: Path | None = None,
    *, lead_s: float = LEAD_S, places: Places | None = None, every_s: float = 1.0,
) -> dict[str, Any]:  # fmt: skip
    """The result of ``damon run`` with the modules, seed and duration of ``arguments``.

    The workload runs alone at first, as ``damon run --workload`` lets it: a container that starts with more than its
    limit has its worst seconds then, which the other run does not count.

    Args:
        arguments: ``module``, ``cmdline``, ``seed`` and ``duration`` (seconds) as those of ``damon run``.
        workload: that is played.
        place: a run directory to be written, whose counts are since the workload's start.
        lead_s: it runs alone for so long.
        places: page frames of its areas; None: in a row.
        every_s: interval between rows of the run directory.

    Raises:
        KeyboardInterrupt: it was interrupted.
    """
    from damon.mm.sim import SimulatedMachine

    with SimulatedMachine(workload, arguments.seed, places) as machine, stop_flag() as stopped:
        machine.clock.sleep_us(round(lead_s * 1e6))
        session = _session(arguments, machine, stopped, place, every_s)
        if stopped[0]:
            raise KeyboardInterrupt
        result = session.result()
        if session.recording is not None:
            session.recording.finish(result)
        return result


def _session(
    arguments: argparse.Namespace,
    machine: SimulatedMachine,
    stopped: Sequence[bool],
    place: Path | None,
    every_s: float,
) -> Session:
    """The run, which has ended."""
    engine, seed = OwnEngine(), arguments.seed
    damon = engine.open(machine, seed)
    loader = Loader(damon)
    modules = prepare_modules(loader, module_words(arguments, engine))
    observer = SimObserver(machine)
    session = Session(observer, modules, loader, seed, True, engine.identity)
    try:
        for module in modules:
            loader.load(module)
        if place is not None:
            session.recording = _recording(session, observer, damon, arguments.duration, place, every_s)
            session.recording.watch(running(modules, damon, engine))
        session.loop(arguments.duration, stopped)
    finally:
        session.end()
    return session


def _recording(
    session: Session, observer: SimObserver, damon: Damon, seconds: float, place: Path, every_s: float
) -> out.Recording:
    from damon.results.request import request, workload_request

    machine = observer.machine
    asked = request(
        command="damon validate", machine=machine.name, engine=session.engine, seed=session.seed, seconds=seconds,
        modules=session.parameters(), workload=workload_request(machine.workload, machine),
        every_ns=round(every_s * 1e9), regions=False,
    )  # fmt: skip
    options = argparse.Namespace(out=place, out_form="jsonl", regions=False, event=[], why=False)
    return out.Recording(options, asked, observer, damon)
