# SPDX-License-Identifier: GPL-2.0-only
"""``damon run``: load modules with parameters, watch them work, and sum up. On the simulated machine or on this one."""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, Final

from damon.cli import engines, out, outcome, output, require
from damon.cli.arguments import add_modules, add_pace
from damon.cli.observe import LinuxObserver, Observer, PerformedObserver, SimObserver
from damon.cli.placed import PlacedWorkload
from damon.cli.session import Session, print_summary
from damon.errors import InvalidInput
from damon.library.engine import HOST, Engine, other_modules
from damon.modules.cmdline import canonical, parse_cmdline, split_assignment
from damon.modules.loader import Loader, find_module, prepare_modules
from damon.modules.module import Module

if TYPE_CHECKING:
    from damon.core import Damon
    from damon.model.context import DamonCtx
    from damon.workload.model import Workload

DESCRIPTION = """\
Load modules with parameters and run them in the foreground: cold memory leaves (damon_reclaim), lists get sorted
(damon_lru_sort), idle time is measured (damon_stat); the kernel's samples are damon_sample_wsse, damon_sample_prcl and
damon_sample_mtier. --sim plays a workload on a simulated machine in virtual time, as fast as it can; --linux works on
this machine's memory (root, CONFIG_IDLE_PAGE_TRACKING). Ctrl-C or SIGTERM ends the run; the summary is printed all the
same. --linux --workload performs a workload for real beside it, and reports it what --sim would: how much of each area
is in memory, what came back, and how much longer the work took.
"""
EPILOG = """\
A module of --module is enabled unless its parameters set enabled; one of --cmdline only if enabled=Y is there,
but for damon_stat, which is enabled by default.
NAME can be a directory with a module of your own, if it has a slash, or one found in $DAMON_MODULES_PATH.
Modules start exclusively, as in the kernel: one that is enabled at a time.

examples:
  damon run --module damon_reclaim min_age=5000000 --sim hot-cold --duration 60 --seed 1
  damon run --engine linux-source-7.3 --module damon_reclaim min_age=5000000 --sim hot-cold
  damon run --cmdline "damon_reclaim.enabled=Y damon_reclaim.min_age=30000000" --linux --json result.json
  damon run --module damon_reclaim min_age=5000000 --linux --workload hot-cold
  damon run --module damon_reclaim min_age=5000000 --sim hot-cold --require 'saved>=50%,refaults_per_s<10'
"""
DEFAULT_DURATION_S: Final = 60.0
_PATIENCE_S: Final = 2.0  # a second Ctrl-C after so long ends a run whose worker does not come back

Words = dict[type[Module], list[str]]


def add(commands: Any) -> None:
    command = commands.add_parser(
        "run",
        help="load modules and watch them work",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_modules(command)
    machine = command.add_mutually_exclusive_group(required=True)
    machine.add_argument("--sim", metavar="WORKLOAD", help="workload: a file (YAML, masim's), or a shipped one's name")
    machine.add_argument("--linux", action="store_true", help="the memory of this machine")
    command.add_argument(
        "--workload", metavar="WORKLOAD",
        help="with --linux: perform this one meanwhile, from 2 s before; the result then has its figures",
    )  # fmt: skip
    add_pace(
        command,
        "else with --sim or --workload the workload's own, or 60 if it repeats, and with --linux until Ctrl-C",
    )
    command.add_argument("--json", metavar="FILE", help="write the result as one object; - for standard output")
    require.add(command)
    out.add(command)
    command.add_argument(
        "--frames", action="store_true",
        help="with --workload and --out: look first for up to ten seconds where the workload is in physical memory, "
        "and what is beside it, for damon validate",
    )  # fmt: skip
    command.add_argument(
        "--files-in-memory", action="store_true",
        help="with --workload: its areas of kind file are anonymous memory, as damon validate has them in guests, "
        "which have no disk",
    )  # fmt: skip
    engines.add(command)
    command.add_argument("--quiet", action="store_true", help="no progress, no summary")
    command.set_defaults(function=run)


def module_words(arguments: argparse.Namespace, engine: Engine) -> Words:
    """What each module is to be given, command line first."""
    words: Words = {}
    known = other_modules(engine)
    for name, given in parse_cmdline(arguments.cmdline).items():
        words.setdefault(find_module(name, known=known), []).extend(given)
    for name, *given in arguments.module:
        enables = any(canonical(split_assignment(word)[0]) == "enabled" for word in given)
        words.setdefault(find_module(name, known=known), []).extend(given if enables else [*given, "enabled=Y"])
    if not words:
        raise InvalidInput("--module: none is given; give --module NAME or --cmdline NAME.enabled=Y")
    return words


@contextmanager
def stop_flag() -> Iterator[list[bool]]:
    """True in the list after SIGINT or SIGTERM; the run looks between steps, so that it always ends whole."""
    flag = [False]
    first = 0.0

    def stop(number: int, frame: object) -> None:
        nonlocal first
        if not flag[0]:
            flag[0], first = True, time.monotonic()
        elif time.monotonic() - first > _PATIENCE_S:
            os.write(2, b"damon: a worker does not end; leaving without a summary\n")
            os._exit(1)

    old = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield flag
    finally:
        for number, handler in old.items():
            signal.signal(number, handler)


def own_seconds(workload: Workload) -> float:
    """The duration of a run of ``workload`` without ``--duration``."""
    return DEFAULT_DURATION_S if workload.repeat else sum(phase.duration_us for phase in workload.phases) / 1e6


def running(modules: Sequence[Module], damon: Damon, engine: Engine) -> list[DamonCtx]:
    """The contexts of modules that are on and report results. Without any the machine is recorded all the same.

    The kernel's own modules report none.
    """
    if engine.identity.engine == HOST:
        return []
    return [ctx for module in modules for ctx in module.ctxs if damon.is_running(ctx)]


def open_machine(arguments: argparse.Namespace) -> tuple[Any, float | None]:
    """The machine and how many seconds to run on it."""
    if arguments.linux:
        from damon.mm.linux import LinuxMachine

        return LinuxMachine(access=getattr(arguments, "access", "auto")), arguments.duration
    from damon.mm.sim import SimulatedMachine
    from damon.workload.load import load_workload

    workload = load_workload(arguments.sim)
    return SimulatedMachine(workload, arguments.seed), arguments.duration or own_seconds(workload)


def run(arguments: argparse.Namespace) -> int:
    """The exit code."""
    if arguments.json is not None:
        output.check_writable(arguments.json)
    out.check(arguments)
    arguments.require = require.read(arguments.require)
    if arguments.workload is not None:
        from damon.workload.load import load_workload

        if not arguments.linux:
            raise InvalidInput(
                f"--workload: {arguments.workload!r}: is performed on this machine; give --linux too, or --sim instead"
            )
        arguments.workload = load_workload(arguments.workload)
    if arguments.files_in_memory:
        from damon.cli.as_guest import files_in_memory

        if arguments.workload is None:
            raise InvalidInput("--files-in-memory: is for a workload on this machine; give --linux and --workload, too")
        arguments.workload = files_in_memory(arguments.workload)
    if arguments.frames and (arguments.workload is None or arguments.out is None):
        raise InvalidInput("--frames: is for a workload on this machine; give --linux, --workload and --out, too")
    return engines.run(arguments, _run)


def _observed(
    arguments: argparse.Namespace, machine: Any, seconds: float | None, closing: ExitStack
) -> tuple[Observer, float | None, PlacedWorkload | None]:
    """The observer of the machine, the seconds to run, and what is where. A workload that is performed runs then."""
    if not arguments.linux:
        return SimObserver(machine), seconds, None
    if arguments.workload is None:
        return LinuxObserver(machine), seconds, None
    from damon.workload.performed import Performed
    from damon.workload.plan import Options

    at_work = closing.enter_context(Performed(arguments.workload, Options(seed=arguments.seed, announce=True)))
    placed = None
    if arguments.frames:
        first = PerformedObserver(machine, at_work, 0.0)
        placed = PlacedWorkload(machine, at_work, out.every_ns(arguments) / 1e9, first.look_at_all)
    return PerformedObserver(machine, at_work), seconds or own_seconds(arguments.workload), placed


def _run(arguments: argparse.Namespace, engine: Engine) -> int:
    words = module_words(arguments, engine)
    machine, seconds = open_machine(arguments)
    with ExitStack() as closing:
        closing.callback(machine.close)
        damon = engine.open(machine, arguments.seed)
        loader = Loader(damon)
        modules = prepare_modules(loader, words)
        has_workload = not arguments.linux or arguments.workload is not None
        require.refuse_unknown(arguments.require, modules, machine, has_workload)
        if not arguments.quiet and not any(module.wanted for module in modules):
            print("damon: no module is enabled; give enabled=Y for one to work", file=sys.stderr)
        observer, seconds, placed = _observed(arguments, machine, seconds, closing)
        with stop_flag() as stopped, closing.pop_all():
            session = Session(observer, modules, loader, arguments.seed, arguments.quiet, engine.identity)
            try:
                for module in modules:
                    loader.load(module)
                if placed is not None:
                    placed.begin()
                if arguments.out is not None:
                    request = _request(arguments, session, seconds)
                    session.recording = out.Recording(arguments, request, observer, damon)
                    session.recording.watch(running(modules, damon, engine))
                    if placed is not None:
                        placed.recorded(session.recording.recorder.epoch_ns)
                session.loop(seconds, stopped)
            finally:
                session.end()
            engines.tell_warnings(damon)
            if placed is not None:
                placed.frames().write(arguments.out)
            code = _report(session, arguments)
    return code


def _request(arguments: argparse.Namespace, session: Session, seconds: float | None) -> dict[str, Any]:
    """What ``run.json`` says that was asked."""
    from damon.mm.sim.machine import SimulatedMachine
    from damon.results.request import request, workload_request

    machine = session.machine
    workload = None
    if isinstance(machine, SimulatedMachine):
        workload = workload_request(machine.workload, machine)
    elif arguments.workload is not None:
        workload = workload_request(arguments.workload)
    return request(
        command="damon run", machine=machine.name, engine=session.engine, seed=arguments.seed, seconds=seconds,
        modules=session.parameters(), workload=workload, every_ns=out.every_ns(arguments), regions=arguments.regions,
        why=arguments.why,
    )  # fmt: skip


def _report(session: Session, arguments: argparse.Namespace) -> int:
    """The exit code. What went wrong comes first, and the summary last: its reader may leave before its end."""
    result = session.result()
    conditions = require.checked(arguments.require, result)
    if session.recording is not None:
        session.recording.finish(result)
    code = outcome.report(session.error, session.kills)
    code = code or require.report(conditions)
    if arguments.json is not None:
        output.write_json(arguments.json, result)
    if not arguments.quiet and arguments.json != "-":
        with output.reader_may_leave():
            print_summary(result, session.statistics())
    return code
