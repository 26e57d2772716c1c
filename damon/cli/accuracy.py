# SPDX-License-Identifier: GPL-2.0-only
"""``damon accuracy``: how far each monitor is from the truth, in a guest of its own."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import output
from damon.cli.arguments import duration, number
from damon.cli.compare_guests import Shown
from damon.cli.doctor import Host, guests_needs
from damon.cli.report_runs import check_page
from damon.errors import InvalidInput
from damon.quoting import quoted

if TYPE_CHECKING:
    from damon.guests.accuracy.figures import Figures
    from damon.guests.accuracy.run import Study

DESCRIPTION = """\
Run a command in an emulated guest, once with each monitor, with the truth of every access beside it (vmtest truth), and
show how far the monitor is from it. host is the guest kernel's own DAMON; page_idle and rwp are this project's, which
see accesses by idle flags or by read-write protection. All monitor the same processes by the operations set vaddr.
"""
EPILOG = """\
figures: recall, precision: share of the bytes that are hot (--hot) which were reported hot, and of those reported hot
which are; working set: bytes with an access in a snapshot, at the median, 75 and 95 per cent of the snapshots, and by
how much the report differs; idle error, age error: mean of all pages that are there, in seconds.

examples:
  damon accuracy --duration 20s --program damon-workload --tree workloads:/opt/w -- \\
      python3 -m damon.workload.runner /opt/w/zipf.yaml
  damon accuracy --engines rwp --program python3 --since ready --tree examples/programs:/opt/p -- /opt/p/table.py
  damon accuracy --engines page_idle --kernel page-idle-6.12 --sample-us 20000 --aggr-us 400000 -- ./program
"""
_SCALE: Final = 2**20


def add(commands: Any) -> None:
    command = commands.add_parser(
        "accuracy",
        help="compare monitors with the truth of every access, in guests",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="damon accuracy [options] -- COMMAND [ARGUMENT ...]",
    )
    command.add_argument("--engines", default="host,page_idle,rwp", metavar="LIST",
                         help="monitors, of host, page_idle and rwp (default: all)")  # fmt: skip
    command.add_argument("--program", default="", metavar="NAME",
                         help="monitor the processes of that name (default: the command's own)")  # fmt: skip
    command.add_argument("--since", default="", metavar="TEXT", help="begin when the command prints TEXT")
    command.add_argument("--duration", type=duration, default=0.0, metavar="S",
                         help="end command and monitor after so long (default: with the command)")  # fmt: skip
    command.add_argument("--skip", type=duration, default=0.0, metavar="S",
                         help="leave out the snapshots of the monitor's first S (default 0)")  # fmt: skip
    command.add_argument("--hot", type=_share, default=0.5, metavar="X",
                         help="hot is accessed in that share of the sampling intervals (default 0.5)")  # fmt: skip
    _add_monitoring(command)
    _add_guest(command)
    command.add_argument(
        "--out", type=Path, metavar="DIR", help="keep all files there, and a run directory of each monitor"
    )
    command.add_argument(
        "-o", "--output", metavar="FILE", help="write damon report's page: accesses beside what was reported"
    )
    command.add_argument("--json", metavar="FILE", help="write all figures as one object; - for standard output")
    command.add_argument("--quiet", action="store_true", help="no progress, no table")
    command.add_argument("words", nargs="+", metavar="COMMAND", help="after --: program and arguments")
    command.set_defaults(function=accuracy)


def _add_monitoring(command: argparse.ArgumentParser) -> None:
    how = command.add_argument_group("how to monitor")
    for name, default, what in (
        ("sample-us", 5000, "sampling interval"), ("aggr-us", 100_000, "aggregation interval"),
        ("update-us", 1_000_000, "interval of looking for changes of the address space"),
        ("min-nr-regions", 10, "lower limit of regions"), ("max-nr-regions", 1000, "upper limit of regions"),
    ):  # fmt: skip
        how.add_argument(f"--{name}", type=number(1, 10**9), default=default, metavar="N",
                         help=f"{what} (default {default})")  # fmt: skip
    how.add_argument("--intervals-goal", nargs=4, type=number(0, 10**12), metavar=("ACCESS_BP", "AGGRS", "MIN", "MAX"),
                     help="tune the intervals, as for damon record")  # fmt: skip


def _add_guest(command: argparse.ArgumentParser) -> None:
    guest = command.add_argument_group("the guest")
    guest.add_argument("--kernel", default="page-idle", metavar="NAME", help="one of vmtest's (default page-idle)")
    guest.add_argument("--memory", default="1G", metavar="SIZE", help="memory (default 1G)")
    guest.add_argument("--cpus", type=number(1, 64), default=1, metavar="N",
                       help="processors, in turns: a monitor beside a busy program wakes late (default 1)")  # fmt: skip
    guest.add_argument("--icount", type=number(0, 10), default=0, metavar="N",
                       help="an instruction takes 2**N ns of the guest's time (default 0)")  # fmt: skip
    guest.add_argument("--thp", choices=("always", "madvise", "never"), help="transparent huge pages")
    guest.add_argument("--packages", default="", metavar="LIST", help="Debian packages that it has besides")
    guest.add_argument("--tree", action="append", default=[], metavar="HOST:GUEST", help="copy a directory in")
    guest.add_argument("--env", action="append", default=[], metavar="NAME=VALUE", help="environment of the command")


def _share(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0.0 < value <= 1.0:
        raise argparse.ArgumentTypeError(f"{quoted(text)}: is not a share above 0; give up to 1")
    return value


def study_of(arguments: argparse.Namespace) -> Study:
    """What is to be run.

    Raises:
        InvalidInput: an option is wrong.
    """
    from damon.guests.accuracy.run import Study

    attrs: list[str] = []
    for name in ("sample_us", "aggr_us", "update_us", "min_nr_regions", "max_nr_regions"):
        attrs += [f"--{name.replace('_', '-')}", str(getattr(arguments, name))]
    if arguments.intervals_goal:
        attrs += ["--intervals-goal", *map(str, arguments.intervals_goal)]
    if arguments.aggr_us < arguments.sample_us:
        raise InvalidInput(f"--aggr-us: {arguments.aggr_us}: is shorter than --sample-us; give a multiple of it")
    return Study(
        command=arguments.words, program=arguments.program, since=arguments.since, seconds=arguments.duration,
        attrs=attrs, aggr_us=arguments.aggr_us, kernel=arguments.kernel, memory=arguments.memory,
        packages=[name for name in arguments.packages.split(",") if name],
        trees=[(Path(host), inside) for host, inside in _pairs(arguments.tree, ":", "--tree")],
        cpus=arguments.cpus, thp=arguments.thp, icount=arguments.icount, env=_pairs(arguments.env, "=", "--env"),
    )  # fmt: skip


def _pairs(texts: Sequence[str], sign: str, option: str) -> list[tuple[str, str]]:
    found = []
    for text in texts:
        left, there, right = text.partition("=") if sign == "=" else text.rpartition(sign)
        if not there or not left:
            raise InvalidInput(f"{option}: {quoted(text)}: has no {sign!r}; give it as in the help")
        found.append((left, right))
    return found


def accuracy(arguments: argparse.Namespace) -> int:
    """The exit code."""
    guests_needs(Host())
    engines = arguments.engines.split(",")
    if len(set(engines)) < len(engines):
        raise InvalidInput(f"--engines: {quoted(arguments.engines)}: has one twice; give each once")
    for path, option in ((arguments.json, "--json"), (arguments.output, "--output")):
        if path is not None:
            output.check_writable(path, option)
    from damon.guests.accuracy.run import MONITORS

    if unknown := [name for name in engines if name not in MONITORS]:
        raise InvalidInput(f"--engines: {quoted(unknown[0])}: is unknown; give some of {', '.join(MONITORS)}")
    if arguments.duration and arguments.skip >= arguments.duration:
        raise InvalidInput(f"--skip: {arguments.skip:g}: leaves nothing of {arguments.duration:g} s; give less")
    if arguments.output is not None:
        check_page()
    study = study_of(arguments)
    study.config()
    with ExitStack() as closing:
        directory = arguments.out
        if directory is None:
            directory = Path(closing.enter_context(tempfile.TemporaryDirectory(prefix="damon-accuracy-")))
        else:
            _make(directory)
            for name in engines:
                if (directory / name).exists():
                    raise InvalidInput(
                        f"--out: {quoted(str(directory / name))}: is there already; give a new directory"
                    )
        return _run_all(arguments, study, engines, directory)


def _make(directory: Path) -> None:
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InvalidInput(f"--out: {quoted(str(directory))}: {error.strerror}; give another directory") from error


def _run_all(arguments: argparse.Namespace, study: Study, engines: Sequence[str], directory: Path) -> int:
    from damon.guests.accuracy import compare, figures, kept, run
    from damon.guests.engine import GuestFailed

    found: dict[str, compare.Compared] = {}
    rows: dict[str, Figures] = {}
    code = 0
    for name in engines:
        try:
            with Shown(f"{name} on {study.kernel}") if not arguments.quiet else ExitStack() as shown:
                say = shown.say if isinstance(shown, Shown) else lambda line: None
                ran = run.run(study, name, directory, say)
                one = compare.compare(ran, arguments.hot, arguments.skip)
                kept.keep(ran, one, figures.figures(one), directory / name)
                found[name], rows[name] = one, figures.figures(one)
        except (GuestFailed, InvalidInput) as error:
            print(f"damon: {error}", file=sys.stderr)
            code = 1
    if arguments.json is not None:
        plain = {name: {**rows[name].plain(), **compare.as_plain(one)} for name, one in found.items()}
        output.write_json(arguments.json, {"command": study.command, "kernel": study.kernel, "monitors": plain})
    if arguments.output is not None and found:
        output.write_text(arguments.output, _page(directory, list(found)), "--output")
    if not arguments.quiet and arguments.json != "-":
        with output.reader_may_leave():
            _show(rows)
            for name, one in found.items():
                _show_areas(name, figures.areas(one, 8))
    return code


def _page(directory: Path, names: Sequence[str]) -> str:
    """That of damon report, of all monitors."""
    from damon.report import page
    from damon.report.gather import gather
    from damon.results.run import Run

    limits = page.limits(len(names))
    return page.html([gather(Run.open(directory / name), name, limits) for name in names])


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _mib(value: float) -> str:
    return f"{value / _SCALE:.1f}"


def _signed(value: float | None) -> str:
    return "-" if value is None else f"{value:+.0%}"


def _show(rows: dict[str, Figures]) -> None:
    columns = ("monitor", "snapshots", "every s", "regions", "hot MiB", "reported", "recall", "precision",
               "working set MiB", "reported", "error p50 p75 p95", "idle error s", "age error s")  # fmt: skip
    output.table(columns, [
        (
            name, str(one.snapshots), f"{one.snapshot_s:.2f}", f"{one.regions:.0f}", _mib(one.hot),
            _mib(one.observed_hot), _percent(one.recall), _percent(one.precision), _mib(one.used[0]),
            _mib(one.observed_used[0]), " ".join(map(_signed, one.used_error)),
            f"{one.idle_error_s:.2f}", f"{one.age_error_s:.2f}",
        )
        for name, one in rows.items()
    ])  # fmt: skip


def _show_areas(name: str, rows: Sequence[tuple[str, float, float, float]]) -> None:
    output.table(
        (f"{name}: area", "MiB", "accessed in", "reported"),
        [(area, _mib(size), _percent(true), _percent(seen)) for area, size, true, seen in rows],
    )
