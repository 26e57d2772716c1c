# SPDX-License-Identifier: GPL-2.0-only
"""``damon compare``: the same workloads, parameters and seed under several engines, and where they first part."""

from __future__ import annotations

import argparse
import copy
import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from damon.cli import engines, output
from damon.cli.arguments import duration, seed
from damon.cli.comparison import Difference, Events, first_difference
from damon.cli.observe import SimObserver
from damon.cli.run import module_words, open_machine, prepare_modules, stop_flag
from damon.cli.session import Session
from damon.errors import DamonError, InvalidInput
from damon.library.engine import FORMS, Engine
from damon.modules.loader import Loader

DESCRIPTION = """\
Run modules with the same parameters and seed on the simulated machine under several engines: pydamon's own core, and
the kernel's C of any version or tree. A table shows what each did, and where each first parts from the first engine:
virtual time, aggregation, region, field, both values, and the kernel's function that computes it.
"""
EPILOG = """\
exit codes: 0 whether or not they differ; 1 when a run failed; 2 and 3 as for damon run.

examples:
  damon compare pydamon linux-source-7.3 linux-source-6.12 --module damon_reclaim min_age=5000000 --sim hot-cold
  damon compare linux-source-7.3 kernel:~/linux --module damon_lru_sort --sim zipf --sim phases --json -
"""
_COLUMNS: Final = (
    "workload", "engine", "tried", "applied", "hot kept", "refaults", "slowdown", "kdamond CPU", "first difference",
)  # fmt: skip


def add(commands: Any) -> None:
    command = commands.add_parser(
        "compare",
        help="the same run under several engines, and where they part",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("engines", nargs="+", metavar="ENGINE", help=FORMS)
    command.add_argument("--cmdline", default="", metavar="STRING", help="parameters as on the kernel's command line")
    command.add_argument(
        "--module", action="append", nargs="+", default=[], metavar=("NAME", "param=value"), help="as for damon run"
    )
    command.add_argument(
        "--sim", action="append", required=True, metavar="WORKLOAD", help="as for damon run; several times for several"
    )
    command.add_argument("--duration", type=duration, metavar="S", help="as for damon run")
    command.add_argument("--seed", type=seed, default=0, metavar="N", help="of every random choice (default 0)")
    command.add_argument("--json", metavar="FILE", help="write all results as one object; - for standard output")
    command.add_argument("--quiet", action="store_true", help="no progress, no table")
    command.set_defaults(function=compare)


def compare(arguments: argparse.Namespace) -> int:
    """The exit code."""
    if len(set(arguments.engines)) < 2:
        raise InvalidInput(f"{arguments.engines[0]}: one engine is nothing to compare; give two or more")
    if arguments.json is not None:
        output.check_writable(arguments.json)
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory(prefix="damon-compare-") as scratch:
        for number, workload in enumerate(arguments.sim):
            done = [
                _run(arguments, engine, workload, Path(scratch) / f"{number}-{index}")
                for index, engine in enumerate(arguments.engines)
            ]
            if any(one is None for one in done):
                return 1
            runs = [one for one in done if one is not None]
            for index, run in enumerate(runs):
                events = [Path(scratch) / f"{number}-{which}.events" for which in (0, index)]
                difference = first_difference(*events) if index else None
                rows.append({**run, "difference": difference and difference.as_object()})
                _tell(arguments, run, difference)
    if arguments.json is not None:
        output.write_json(arguments.json, {"seed": arguments.seed, "runs": rows})
    if not arguments.quiet and arguments.json != "-":
        with output.reader_may_leave():
            output.table(_COLUMNS, [_row(row, arguments.engines[0]) for row in rows])
    return 0


def _run(arguments: argparse.Namespace, engine: str, workload: str, base: Path) -> dict[str, Any] | None:
    """One engine's run of one workload, the kernel's C in a process of its own; None when it failed."""
    if not arguments.quiet:
        print(f"damon: {workload} with {engine} ...", file=sys.stderr)
    own = copy.copy(arguments)
    own.engine, own.sim, own.sanitize, own.linux, own.extra = engine, workload, False, False, []
    result = base.with_suffix(".json")

    def work(arguments: argparse.Namespace, engine: Engine) -> int:
        result.write_text(json.dumps(_session(arguments, engine, base.with_suffix(".events"))))
        return 0

    code = engines.run(own, work)
    if code in (2, 3):
        raise SystemExit(code)  # said already, in its own process
    return {"workload": workload, **json.loads(result.read_text())} if code == 0 else None


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
        progress = [module.progress() or (0, 0) for module in modules]
        used = {access.area for access in machine.phase.accesses}
        result = session.result()
        result["tried_bytes"], result["applied_bytes"] = (sum(column) for column in zip(*progress, strict=True))
        hot = [area for name, area in result["areas"].items() if name in used]
        result["hot_bytes"] = sum(area["size_bytes"] for area in hot)
        result["hot_bytes_kept"] = sum(area["resident_bytes_end"] for area in hot)
        return result


def _name(run: dict[str, Any]) -> str:
    engine = run["engine"]
    return str(engine["engine"] if engine["engine"] == "pydamon" else engine["origin"])


def _tell(arguments: argparse.Namespace, run: dict[str, Any], difference: Difference | None) -> None:
    if difference is not None and not arguments.quiet:
        print(f"damon: {run['workload']}: {arguments.engines[0]} and {_name(run)} part {difference}", file=sys.stderr)


def _row(run: dict[str, Any], first: str) -> Sequence[str]:
    cpu = sum(run["timing"]["kdamond_cpu_seconds"].values())
    hot = f"{run['hot_bytes_kept'] / run['hot_bytes']:.1%}" if run["hot_bytes"] else "-"
    parted = run["difference"]
    return (
        run["workload"], _name(run), output.size(run["tried_bytes"]), output.size(run["applied_bytes"]), hot,
        str(run["memory"]["refaults"]), f"{run['slowdown']:.4f}", f"{cpu:.2f} s",
        f"{parted['time_s']:.3f} s, {parted['field']}" if parted else "-",
    )  # fmt: skip
