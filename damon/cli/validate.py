# SPDX-License-Identifier: GPL-2.0-only
"""``damon validate``: does the simulator predict what policies do on real memory? The same runs here and in a guest."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import compare_guests, output, require
from damon.cli.arguments import add_pace, duration, number
from damon.cli.as_guest import MEASURED, Policy, as_emulated, as_found, beside, files_in_memory, others, slowed
from damon.cli.policies import EXAMPLE, read_policies
from damon.cli.simulate import simulate
from damon.errors import InvalidInput
from damon.guests.engine import FORMS, GuestEngine, GuestFailed
from damon.library.engine import HOST
from damon.modules.cmdline import parse_cmdline
from damon.quoting import quoted
from damon.results import sim_to_real
from damon.results.conditions import read_condition
from damon.results.frames import NAME, Frames
from damon.results.run import Run

if TYPE_CHECKING:
    from damon.guests.job import Job
    from damon.results.conditions import Condition
    from damon.results.sim_to_real import Compared
    from damon.workload.model import Workload

#: A run in a guest takes at least as long as the guest's time does.
LONGEST_S: Final = 3600.0
#: A look takes an emulated processor some twenty milliseconds.
LEAST_EVERY_S: Final = 0.2
DESCRIPTION = """\
Run a workload with several policies on the simulated machine, and for real in a guest, and show how well the first
predicts the second: resident memory over time, refaults, memory pressure, reclaimed bytes, slowdown, and whether the
policies rank alike. A policy is a set of module parameters. Each runs in a fresh guest.
"""
EPILOG = f"""\
A file of policies is a YAML mapping of names to parameters as on the kernel's command line. A module that is named is
enabled unless its parameters set enabled:

  {EXAMPLE}
  none: damon_reclaim.enabled=N

Chance decides a part of each run: the prediction is the mean of several seeds, with the range of refaults beside it.
With -o, DIR/POLICY/predicted (the first seed) and DIR/POLICY/measured are run directories for damon report.

exit codes: 0 done; 1 a run failed; 2 and 3 as for damon run, before anything was started; 4 a condition is not met;
130 interrupted. No guest outlives the command.

examples:
  damon validate zipf --policies policies.yaml --duration 30
  damon validate zipf --policies policies.yaml --require 'rss<5%,refaults<1.5,spearman>=0.9' -o zipf-validated
"""


def add(commands: Any) -> None:
    command = commands.add_parser(
        "validate", help="hold predictions of the simulator against guests",
        description=DESCRIPTION, epilog=EPILOG, formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    command.add_argument("workload", metavar="WORKLOAD", help="a file (YAML, masim's), or a shipped one's name")
    command.add_argument("--policies", type=Path, nargs="+", required=True, metavar="FILE", help="see below")
    command.add_argument("--engine", default="guest:host", metavar="ENGINE", help=f"{FORMS} (default guest:host)")
    add_pace(command, "else as for damon run")
    command.add_argument(
        "--seeds", type=number(1, 1000), default=8, metavar="N",
        help="simulate so many seeds, from --seed on, and take the mean (default 8)",
    )  # fmt: skip
    command.add_argument(
        "--others", metavar="SIZE@RATE", type=others, default=MEASURED,
        help="what the simulated machine has beside the workload, which DAMON monitors too: measured (default): the "
        "page frames that each guest has in use, and as often accessed; SIZE@RATE: memory of other programs, and how "
        "many of its pages are accessed a second; none",
    )  # fmt: skip
    _add_guests(command)
    command.add_argument(
        "--every", type=_interval, default=1.0, metavar="TIME",
        help="look at resident memory and refaults so often (default 1s, at least 200ms): more often where processes "
        "come and go, whose memory the mean of few looks misses",
    )  # fmt: skip
    command.add_argument(
        "--as-measured", action="store_true",
        help="simulate with the aggregation intervals and the rates of accesses that the guest reached",
    )  # fmt: skip
    command.add_argument(
        "--require", metavar="CONDITIONS",
        help=f"end with 4 when the worst policy does not meet these; figures: {', '.join(sim_to_real.FIGURES)}",
    )  # fmt: skip
    command.add_argument("-o", "--output", type=Path, metavar="DIR", help="keep the run directories there")
    command.add_argument("--json", metavar="FILE", help="write what was found as one object; - for standard output")
    command.add_argument("--quiet", action="store_true", help="no progress, no table")
    command.set_defaults(function=validate)


def _add_guests(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--guests", type=number(1, 100), default=1, metavar="N",
        help="measure so many times, with seeds from --seed on, and take the mean (default 1): a guest differs from "
        "itself by chance as well",
    )  # fmt: skip
    command.add_argument(
        "--icount", type=number(0, 10), default=0, metavar="N",
        help="an instruction of an emulated guest's processor takes 2**N ns (default 0): the more, the longer its "
        "faults take, which the simulated machine's do not",
    )  # fmt: skip
    command.add_argument(
        "--one-guest", action="store_true",
        help="run all policies in one guest: faster, but each finds memory as the one before has left it",
    )  # fmt: skip


def _interval(text: str) -> float:
    value = duration(text)
    if value < LEAST_EVERY_S:
        raise argparse.ArgumentTypeError(f"{quoted(text)}: is too short for an emulated guest; give at least 200ms")
    return value


def _conditions(text: str | None) -> Sequence[Condition]:
    parts = text.split(",") if text is not None else []
    return [read_condition(part, "--require", sim_to_real.FIGURES) for part in parts]


def _policies(arguments: argparse.Namespace, seconds: float) -> list[Policy]:
    return [
        Policy(name, line, argparse.Namespace(
            module=[[module, *words] for module, words in parse_cmdline(line).items()], cmdline="",
            seed=arguments.seed, duration=seconds,
        ))
        for name, line in read_policies(arguments.policies).items()
    ]  # fmt: skip


def validate(
    arguments: argparse.Namespace, run: Callable[[Sequence[Job], str, bool], list[dict[str, Any]]] | None = None
) -> int:
    """The exit code.

    Args:
        arguments: as parsed.
        run: performs jobs in a guest; default the real one.
    """
    conditions = _conditions(arguments.require)
    engine, workload, seconds = _asked(arguments)
    policies = _policies(arguments, seconds)
    jobs = [
        compare_guests.prepare(policy.arguments, engine, arguments.workload, files=True, icount=arguments.icount)
        for policy in policies
    ]
    with ExitStack() as closing:
        place = arguments.output or Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="damon-validate-")))
        for policy in policies:
            (place / policy.name).mkdir(parents=True)
        label = f"damon: {workload.name} with {engine}"
        try:
            results = _measure(arguments, policies, jobs, place, label, run or compare_guests.run_all)
        except GuestFailed as error:
            print(f"{label}: {error}", file=sys.stderr)
            return error.code
        # Other engines' workers are no kernel's: what they take is not known. Measured intervals have it in them.
        icount = jobs[0].config.icount if engine.engine == HOST and not arguments.as_measured else None
        played = as_emulated(files_in_memory(workload), icount)
        rows = [
            _compared(arguments, policy, played, place / policy.name, of)
            for policy, *of in zip(policies, *results, strict=True)
        ]
    return _report(arguments, policies, rows, results[0], conditions)


def _measure(
    arguments: argparse.Namespace, policies: Sequence[Policy], jobs: Sequence[Job], place: Path, label: str,
    perform: Callable[[Sequence[Job], str, bool], list[dict[str, Any]]],
) -> list[list[dict[str, Any]]]:  # fmt: skip
    """For each time that is measured, the results of the policies; their run directories are below ``place``."""
    found = []
    for nr in range(arguments.guests):
        runs = [
            replace(
                job, seed=job.seed + nr, place=place / policy.name / _numbered("measured", nr),
                every_s=arguments.every, frames=arguments.others == MEASURED,
            )
            for job, policy in zip(jobs, policies, strict=True)
        ]  # fmt: skip
        guests = [runs] if arguments.one_guest else [[job] for job in runs]
        found.append([result for some in guests for result in perform(some, label, arguments.quiet)])
    return found


def _asked(arguments: argparse.Namespace) -> tuple[GuestEngine, Workload, float]:
    """The engine, the workload and the seconds of each run; what is wrong is refused."""
    from damon.cli.run import own_seconds
    from damon.workload.load import load_workload

    if arguments.json is not None:
        output.check_writable(arguments.json)
    if arguments.output is not None and arguments.output.exists():
        raise InvalidInput(f"--output: {str(arguments.output)!r}: is there already; give a new directory")
    engine = GuestEngine.parse(arguments.engine)
    if engine is None:
        raise InvalidInput(f"--engine: {arguments.engine!r}: is not in a guest; give {FORMS}")
    workload = load_workload(arguments.workload)
    seconds = arguments.duration or own_seconds(workload)
    if seconds > LONGEST_S:
        raise InvalidInput(f"--duration: {seconds:.0f}: is too long for guests; give at most {LONGEST_S:.0f} s")
    if 2 * arguments.every > seconds:
        raise InvalidInput(f"--every: {arguments.every:g}: is more than half of the run's {seconds:g} s; give less")
    return engine, workload, seconds


def _numbered(name: str, nr: int) -> str:
    """Of the first run just the name."""
    return f"{name}-{nr}" if nr else name


def _compared(
    arguments: argparse.Namespace, policy: Policy, workload: Workload, place: Path, results: Sequence[dict[str, Any]]
) -> Compared:
    """``results``: the guests', whose run directories are there already. Seeds are shared out among them."""
    areas = [area.name for area in workload.areas]
    places = [place / _numbered("measured", nr) for nr in range(len(results))]
    every_ns = round(arguments.every * 1e9)
    guests = [sim_to_real.measured(Run.open(one), areas, every_ns) for one in places]
    runs = []
    for seed in range(arguments.seeds):
        nr = seed % len(guests)
        asked, played = (
            slowed(policy, workload, guests[nr], results[nr]) if arguments.as_measured else (policy, workload)
        )
        played, how, since_s = _beside(arguments, played, places[nr])
        here = place / _numbered("predicted", seed)
        changed = argparse.Namespace(**{
            **vars(asked.arguments), "seed": policy.arguments.seed + seed,
            "duration": asked.arguments.duration + since_s,
        })  # fmt: skip
        simulate(changed, played, here, every_s=rows_s(arguments.every), **how)
        runs.append(sim_to_real.measured(Run.open(here), areas, every_ns, round(since_s * 1e9)))
    return sim_to_real.Compared(runs, guests)


def rows_s(every_s: float) -> float:
    """The interval of rows on the simulated machine: they cost little, and the guest's begin in between."""
    return max(every_s / 5, LEAST_EVERY_S / 2)


def _beside(
    arguments: argparse.Namespace, workload: Workload, measured: Path
) -> tuple[Workload, dict[str, Any], float]:
    """The workload with what is beside it, how it is to be simulated, and when the guest's rows begin, in seconds."""
    if arguments.others != MEASURED:
        return beside(workload, arguments.others), {}, 0.0
    frames = Frames.read(measured)
    if frames is None:
        raise InvalidInput(f"--others: measured: {str(measured)!r} has no {NAME}; give a size and a rate, or none")
    if arguments.as_measured:
        frames = replace(frames, late_us=0.0, run_delay=0.0)
    workload, places = as_found(workload, frames)
    return workload, {"lead_s": frames.lead_s, "places": places}, frames.unrecorded_s


def _report(
    arguments: argparse.Namespace, policies: Sequence[Policy], rows: Sequence[Compared],
    results: Sequence[dict[str, Any]], conditions: Sequence[Condition],
) -> int:  # fmt: skip
    figures = sim_to_real.summary(rows)
    found = sim_to_real.checked(conditions, figures)
    if arguments.json is not None:
        whole = {
            "workload": arguments.workload, "engine": arguments.engine, "seed": arguments.seed,
            "seeds": arguments.seeds, "guests": arguments.guests, "every_s": arguments.every,
            "as_measured": arguments.as_measured, "others": arguments.others,
            "policies": [
                {"name": policy.name, "cmdline": policy.line, **row.as_object(), "guest": result["guest"],
                 "kdamond_cpu_seconds": sum(result["timing"]["kdamond_cpu_seconds"].values())}
                for policy, row, result in zip(policies, rows, results, strict=True)
            ],
            "figures": figures,
            "rank_correlation": {name: sim_to_real.spearman(rows, name) for name in sim_to_real.RANKED},
            "require": [one.as_object() for one in found],
        }  # fmt: skip
        output.write_json(arguments.json, whole)
    code = require.report(found)
    if not arguments.quiet and arguments.json != "-":
        with output.reader_may_leave():
            _show(policies, rows, figures)
    return code


_COLUMNS: Final = (
    "policy", "RSS predicted", "measured", "differ by", "over time by", "guests by", "refaults predicted", "(range)",
    "measured", "(range)", "factor", "reclaimed predicted", "measured", "PSI predicted", "measured",
    "slowdown predicted", "measured",
)  # fmt: skip


def _show(policies: Sequence[Policy], rows: Sequence[Compared], figures: dict[str, float | None]) -> None:
    table = []
    for policy, row in zip(policies, rows, strict=True):
        ours, theirs = row.predicted, row.measured
        mean = [output.size(round(sim_to_real.RANKED["resident"].of(one))) for one in (ours, theirs)]
        ranges = ["{}-{}".format(*sim_to_real.refaults_range(runs)) for runs in (row.runs, row.guests)]
        table.append(
            (policy.name, *mean, f"{row.mean_rss:.1%}", f"{row.rss:.1%}",
             "" if row.itself is None else f"{row.itself:.1%}",
             str(ours.refaults[-1]), ranges[0], str(theirs.refaults[-1]), ranges[1], f"{row.refaults:.2f}",
             output.size(ours.reclaimed[-1]), output.size(theirs.reclaimed[-1]),
             f"{ours.psi_some:.2%}", f"{theirs.psi_some:.2%}", f"{ours.slowdown:.4f}", f"{theirs.slowdown:.4f}")
        )  # fmt: skip
    output.table(_COLUMNS, table)
    for name in sim_to_real.RANKED:
        rank = sim_to_real.spearman(rows, name)
        print(f"rank correlation by {name}: {'one of both does not vary' if rank is None else f'{rank:.2f}'}")
    worst = ", ".join(
        f"{name} {figure.show(value)}" for name, figure in sim_to_real.FIGURES.items()
        if name != "spearman" and (value := figures[name]) is not None
    )  # fmt: skip
    print(f"worst: {worst}")
