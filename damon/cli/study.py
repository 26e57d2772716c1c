# SPDX-License-Identifier: GPL-2.0-only
"""``damon sweep`` and ``damon tune``: searches over many runs that a study file describes."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import output
from damon.cli.arguments import number, seed
from damon.command.process import raise_interrupts
from damon.errors import InvalidInput, MissingCapability

if TYPE_CHECKING:
    from damon.tune.evaluate import Evaluator
    from damon.tune.pool import Runner
    from damon.tune.stages import Found
    from damon.tune.study import Study

_COMMON = """\
Each run plays a workload on a simulated machine, and is a line of the result file: a search that was killed goes on
where it was, with the same file. The file is the same, byte for byte, however many workers there are.
"""
SWEEP = f"""\
Run every combination of a study file's parameters, engines, workloads and seeds on all processors, and show which keep
the constraints, which are best, and what each parameter matters.

{_COMMON}"""
TUNE = f"""\
Search a study file's parameters for the best configuration that keeps the constraints (optuna: TPE, or NSGA-II for
several objectives). Runs that cannot keep a constraint any more, or are worse than most before, are given up.

{_COMMON}"""
EPILOG = """\
exit codes: 0 done; 1 a run could not be performed; 2 and 3 as for damon run, before anything was started; 4 no
configuration keeps the constraints; 130 interrupted, the result file has what was done.

examples:
  damon sweep examples/studies/day-reclaim.yaml -o day.jsonl
  damon tune examples/studies/day-reclaim.yaml --trials 60 --seed 1 --export chosen/
  damon tune examples/studies/day-reclaim.yaml --html day.html
  damon tune examples/studies/day-reclaim.yaml --cluster tcp://10.0.0.1:8786 --json -
"""
NONE_KEEPS: Final = 4


def add(commands: Any) -> None:
    for name, text, description in (
        ("sweep", "run every combination of a study's parameters", SWEEP),
        ("tune", "search a study's parameters for the best", TUNE),
    ):
        command = commands.add_parser(
            name, help=text, description=description, epilog=EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )  # fmt: skip
        command.add_argument("study", metavar="STUDY", help="a study file (YAML)")
        command.add_argument(
            "-o", "--output", type=Path, metavar="FILE",
            help=f"the result file, also of an interrupted search to go on with (default NAME.{name}.jsonl)",
        )  # fmt: skip
        command.add_argument(
            "-j", "--jobs", type=number(1, 4096), default=0, metavar="N", help="worker processes (default: processors)"
        )
        if name == "tune":
            command.add_argument("--trials", type=number(1, 1_000_000), metavar="N", help="in place of the study's")
            command.add_argument("--seed", type=seed, metavar="N", help="of the search, in place of the study's")
            command.add_argument(
                "--validate", type=number(1, 100), metavar="N",
                help="then run the N best configurations, the default and N random ones on real page tables in guests",
            )  # fmt: skip
        command.add_argument(
            "--out", type=Path, metavar="DIR",
            help="keep the results over time of each run in a run directory there (not with --cluster)",
        )  # fmt: skip
        command.add_argument("--cluster", metavar="ADDRESS", help="run on a Dask scheduler's workers: tcp:// or tls://")
        for option, what in (("ca", "authority"), ("cert", "certificate"), ("key", "key")):
            command.add_argument(f"--tls-{option}", type=Path, metavar="FILE", help=f"for tls://: the {what}")
        command.add_argument("--export", type=Path, metavar="DIR", help="write the chosen configuration's files there")
        command.add_argument(
            "--html", metavar="FILE", help="write a page with pictures: trade-offs, parameters, seeds, the search"
        )
        command.add_argument("--json", metavar="FILE", help="write what was found as one object; - for standard output")
        command.add_argument("--quiet", action="store_true", help="no progress, no tables")
        command.set_defaults(function=sweep if name == "sweep" else tune)
        if name == "sweep":
            command.set_defaults(validate=None)


def sweep(arguments: argparse.Namespace) -> int:
    """The exit code."""
    from damon.tune import stages

    return _run(arguments, "sweep", stages.sweep)


def tune(arguments: argparse.Namespace) -> int:
    """The exit code."""
    from damon.tune import stages
    from damon.tune.search import optuna_module

    optuna_module()  # missing: before anything starts
    return _run(arguments, "tune", stages.tune)


def _read(arguments: argparse.Namespace, name: str) -> Study:
    """The study with what the command line replaces."""
    from dataclasses import replace

    import msgspec

    from damon.tune.study import load_study

    study = load_study(arguments.study)
    given = {key: getattr(arguments, key, None) for key in ("trials", "seed")}
    settings = msgspec.structs.replace(study.tune, **{key: value for key, value in given.items() if value is not None})
    study = replace(study, tune=settings)
    if name == "tune" and len(study.engines) > 1:
        raise InvalidInput(f"engines: {', '.join(study.engines)}: a search has one; leave the others out, or sweep")
    if name == "tune" and not study.space.free:
        raise InvalidInput("modules: no parameter has several values: nothing can be searched; give a list or a range")
    return study


def _results(arguments: argparse.Namespace, study: Study, name: str) -> Path:
    """The result file."""
    return arguments.output or Path(f"{study.name}.{name}.jsonl")


def _runner(arguments: argparse.Namespace, study: Study) -> Runner:
    from damon.tune.pool import Pool

    if arguments.cluster is None:
        return Pool({workload.sha256: workload.path for workload in study.workloads}, arguments.jobs)
    from damon import scheduler
    from damon.tune.cluster import Cluster

    own = [place for place in study.given.values() if "/" in place]
    if own:
        raise InvalidInput(f"--cluster: module {own[0]}: a directory is not sent to workers; run it without --cluster")
    if scheduler.is_open(arguments.cluster):
        print(f"damon: cluster {arguments.cluster!r} {scheduler.OPEN}", file=sys.stderr)
    return Cluster(arguments.cluster, study.workloads, (arguments.tls_ca, arguments.tls_cert, arguments.tls_key))


def _check(arguments: argparse.Namespace, study: Study) -> None:
    """Refuse what could not be written or run at the end, before anything starts."""
    if arguments.json is not None:
        output.check_writable(arguments.json)
    if arguments.html is not None:
        output.check_writable(arguments.html, "--html")
        missing = [name for name in ("jinja2", "plotly") if find_spec(name) is None]
        if missing:
            raise MissingCapability(f"--html: {', '.join(missing)}: is not installed; install pydamon[report]")
    if arguments.out is not None:
        if arguments.cluster is not None:
            raise InvalidInput("--out: runs of a cluster are on other machines; leave it out, or --cluster")
        try:
            arguments.out.mkdir(exist_ok=True)
        except OSError as error:
            raise InvalidInput(f"--out: {str(arguments.out)!r}: {error.strerror}; give another place") from None
    if arguments.export is not None and arguments.export.exists() and not arguments.export.is_dir():
        raise InvalidInput(f"--export: {str(arguments.export)!r}: is no directory; give another place")
    if arguments.validate is not None:
        from damon.cli import study_validate

        study_validate.check(study)


def _run(arguments: argparse.Namespace, name: str, search: Callable[[Evaluator], Found]) -> int:
    from damon.cli.study_report import Watch
    from damon.tune.evaluate import Evaluator
    from damon.tune.results import Results

    study = _read(arguments, name)
    _check(arguments, study)
    raise_interrupts()
    with ExitStack() as closing:
        results = closing.enter_context(Results(_results(arguments, study, name)))
        runner = _runner(arguments, study)
        closing.callback(runner.close)
        watch = closing.enter_context(Watch(arguments.quiet))
        evaluator = Evaluator(study, results, runner, watch, str(arguments.out or ""))
        found = search(evaluator)
        results.finish(evaluator.order)
    return _report(arguments, study, found, evaluator.performed)


def _report(arguments: argparse.Namespace, study: Study, found: Found, performed: int) -> int:
    """Write and print what was found; the exit code."""
    from damon.cli import study_validate
    from damon.cli.study_report import as_object, show
    from damon.tune.choice import choice

    best = found.best(study)
    chosen = None if best is None else choice(study, best.point)
    if arguments.export is not None and chosen is not None:
        arguments.export.mkdir(parents=True, exist_ok=True)
        for file, text in chosen.files.items():
            output.write_text(str(arguments.export / file), text, "--export")
    validation = None
    if arguments.validate is not None:
        from damon.guests.kept import Kept

        kept = Kept(Path(f"{_results(arguments, study, 'tune')}.guests"))
        validation = study_validate.validate(study, found, arguments.validate, arguments.quiet, kept)
    result = as_object(study, found, best, chosen) | {"validation": validation}
    if arguments.json is not None:
        output.write_text(arguments.json, json.dumps(result, indent=2) + "\n")
    if arguments.html is not None:
        from damon.report import study as page

        output.write_text(arguments.html, page.html(result), "--html")
    if not arguments.quiet and arguments.json != "-":
        with output.reader_may_leave():
            show(study, found, best, chosen, performed)
            if validation is not None:
                study_validate.show(validation)
    if best is None:
        print("damon: no configuration keeps the constraints; widen the values, or loosen a bound", file=sys.stderr)
    return 0 if best is not None else NONE_KEEPS
