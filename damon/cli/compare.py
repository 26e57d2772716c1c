# SPDX-License-Identifier: GPL-2.0-only
"""``damon compare``: the same workloads, parameters and seed under several engines and on several machines."""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from damon.cli import compare_guests, engines, figures, output
from damon.cli.arguments import add_modules, add_pace
from damon.cli.comparison import Difference, Events, first_difference
from damon.cli.observe import SimObserver
from damon.cli.run import module_words, open_machine, stop_flag
from damon.cli.session import Session
from damon.command.process import raise_interrupts
from damon.errors import DamonError, InvalidInput
from damon.guests.engine import FORMS as GUEST_FORMS
from damon.guests.engine import GuestEngine, GuestFailed
from damon.library.engine import FORMS, HOST, Engine
from damon.model.level import Level
from damon.modules.loader import Loader, prepare_modules
from damon.results.figures import totals

if TYPE_CHECKING:
    from damon.guests.job import Job

DESCRIPTION = """\
Run modules with the same workload, parameters and seed under several engines: pydamon's own core, and the kernel's C of
any version or tree, on the simulated machine; and in guests, where the workload is performed for real: pydamon on real
page tables, and the guest kernel's own DAMON. A table shows what each did, and where each simulated engine first parts
from the first one: virtual time, aggregation, region, field, both values, and the kernel's function that computes it.
"""
EPILOG = """\
exit codes: 0 whether or not they differ; 1 when a run failed; 2 and 3 as for damon run, before anything was started;
130 interrupted. No guest outlives the command.

examples:
  damon compare pydamon linux-source-7.3 linux-source-6.12 --module damon_reclaim min_age=5000000 --sim hot-cold
  damon compare linux-source-7.3 kernel:~/linux --module damon_lru_sort --sim zipf --sim phases --json -
  damon compare pydamon guest:pydamon guest:host --module damon_lru_sort --sim hot-cold
"""


def add(commands: Any) -> None:
    command = commands.add_parser(
        "compare",
        help="the same run under several engines, and where they part",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("engines", nargs="+", metavar="ENGINE", help=f"{FORMS}; in a guest: {GUEST_FORMS}")
    add_modules(command)
    command.add_argument(
        "--sim", action="append", required=True, metavar="WORKLOAD", help="as for damon run; several times for several"
    )
    add_pace(command, "else as for damon run")
    command.add_argument("--json", metavar="FILE", help="write all results as one object; - for standard output")
    command.add_argument("--quiet", action="store_true", help="no progress, no table")
    command.set_defaults(function=compare)


#: Numbers of a workload and of an engine, as given.
Place = tuple[int, int]
Runs = dict[Place, dict[str, Any]]


class Failed(Exception):
    """A run has no result; the reason is printed. ``code`` is how the command ends."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def compare(arguments: argparse.Namespace) -> int:
    """The exit code."""
    if len(set(arguments.engines)) < 2:
        raise InvalidInput(f"engines: {arguments.engines[0]}: one cannot be compared; give two or more")
    if HOST in arguments.engines:
        raise InvalidInput(f"engine: {HOST}: is not for the simulated machine; give guest:{HOST}")
    if arguments.json is not None:
        output.check_writable(arguments.json)
    places = [(number, index) for number in range(len(arguments.sim)) for index in range(len(arguments.engines))]
    jobs = _in_guests(arguments)
    try:
        runs = _simulated(arguments, [place for place in places if place not in jobs])
        for place, job in jobs.items():
            runs[place] = _guest(arguments, place, job)
    except Failed as error:
        return error.code
    rows = [runs[place] for place in places]
    for row in rows:
        row["missing"] = figures.missing(row, beside_guests=bool(jobs))
    if arguments.json is not None:
        output.write_json(arguments.json, {"seed": arguments.seed, "runs": rows})
    if not arguments.quiet and arguments.json != "-":
        with output.reader_may_leave():
            output.table(figures.COLUMNS, [figures.row(row) for row in rows])
            print("\n".join(figures.notes(rows)))
    return 0


def _in_guests(arguments: argparse.Namespace) -> dict[Place, Job]:
    """The runs in guests; what one of them lacks is reported before any other is made."""
    found = [GuestEngine.parse(text) for text in arguments.engines]
    return {
        (number, index): compare_guests.prepare(arguments, engine, workload)
        for number, workload in enumerate(arguments.sim)
        for index, engine in enumerate(found)
        if engine is not None
    }


def _label(arguments: argparse.Namespace, place: Place) -> str:
    return f"damon: {arguments.sim[place[0]]} with {arguments.engines[place[1]]}"


def _whole(arguments: argparse.Namespace, place: Place, result: dict[str, Any]) -> dict[str, Any]:
    """A result with what it was asked for and its figures; where it parts from another is not known yet."""
    asked = {"workload": arguments.sim[place[0]], "asked": arguments.engines[place[1]]}
    return {**asked, **result, **totals(result), "difference": None}


def _guest(arguments: argparse.Namespace, place: Place, job: Job) -> dict[str, Any]:
    label = _label(arguments, place)
    try:
        return _whole(arguments, place, compare_guests.run(job, label, arguments.quiet))
    except GuestFailed as error:
        print(f"{label}: {error}", file=sys.stderr)
        raise Failed(error.code) from error


def _simulated(arguments: argparse.Namespace, places: Sequence[Place]) -> Runs:
    """The runs on the simulated machine, and where each parts from the first engine's."""
    runs: Runs = {}
    raise_interrupts()
    with tempfile.TemporaryDirectory(prefix="damon-compare-") as scratch:
        bases = {place: Path(scratch) / f"{place[0]}-{place[1]}" for place in places}
        for place, base in bases.items():
            if not arguments.quiet:
                print(f"{_label(arguments, place)} ...", file=sys.stderr)
            runs[place] = _whole(arguments, place, _run(arguments, place, base))
        for place, base in bases.items():
            first = (place[0], places[0][1])
            files = [one.with_suffix(".events") for one in (bases[first], base)]
            difference = first_difference(*files) if place != first else None
            if difference is not None:
                runs[place]["difference"] = difference.as_object()
                _tell(arguments, place, first, difference)
    return runs


def _tell(arguments: argparse.Namespace, place: Place, first: Place, difference: Difference) -> None:
    if not arguments.quiet:
        engines = [arguments.engines[where[1]] for where in (first, place)]
        print(f"damon: {arguments.sim[place[0]]}: {' and '.join(engines)} part {difference}", file=sys.stderr)


def _run(arguments: argparse.Namespace, place: Place, base: Path) -> dict[str, Any]:
    """One engine's run of one workload, the kernel's C in a process of its own."""
    own = copy.copy(arguments)
    own.sim, own.engine = arguments.sim[place[0]], arguments.engines[place[1]]
    own.sanitize, own.linux, own.extra, own.level = False, False, [], Level.V7_3.value
    result = base.with_suffix(".json")

    def work(arguments: argparse.Namespace, engine: Engine) -> int:
        result.write_text(json.dumps(_session(arguments, engine, base.with_suffix(".events"))))
        return 0

    code = engines.run(own, work)
    if code:
        raise Failed(code)  # printed already, in its own process
    found: dict[str, Any] = json.loads(result.read_text())
    return found


def _session(arguments: argparse.Namespace, engine: Engine, events: Path) -> dict[str, Any]:
    words = module_words(arguments, engine)
    machine, seconds = open_machine(arguments)
    with machine:
        damon = engine.open(machine, arguments.seed)
        loader = Loader(damon)
        modules = prepare_modules(loader, words)
        written = Events(damon, events)
        with stop_flag() as stopped:
            session = Session(SimObserver(machine), modules, loader, arguments.seed, True, engine.identity)
            try:
                for module in modules:
                    loader.load(module)
                session.loop(seconds, stopped)
            finally:
                session.end()
                written.close()
        engines.tell_warnings(damon)
        if session.error is not None:
            raise DamonError(5, f"a monitoring worker ended: {session.error}")
        return session.result()
