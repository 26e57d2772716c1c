# SPDX-License-Identifier: GPL-2.0-only
"""``damon record``: monitor, or run modules, and write what was found out to a file that damo reads."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import engines, outcome, output
from damon.cli.access import add_access
from damon.cli.arguments import add_modules, add_pace, duration, number
from damon.cli.progress import Progress
from damon.cli.record_job import Job
from damon.cli.run import open_machine, stop_flag
from damon.cli.steps import STEP_US, Steps
from damon.core import Damon
from damon.core.events import EVENTS
from damon.damond.runtime import default_mount
from damon.errors import DamonError, InvalidInput
from damon.library.engine import HOST, Engine
from damon.model.attrs import ULONG_MAX, DamonAttrs
from damon.modules.params import parse_ulong
from damon.quoting import quoted
from damon.records.environment import Environment, LinuxEnvironment, SimEnvironment
from damon.records.form import FLUSH_S, OUTPUT_TYPES

if TYPE_CHECKING:
    from damon.cli.record_host import HostSource
    from damon.damond.recording import RunningSource
    from damon.records.recorder import Recorder

DESCRIPTION = """\
Record how memory is accessed, in files that `damo report` reads. Without --module the memory is only monitored, by the
operations set of --ops; with it the results of the modules' monitoring are recorded while they work.
With --damond it is what the workers of a running damond find out, as they are; with --engine host it is what the
running kernel's own DAMON finds out, by its trace events: a context of --ops, or modules.
Ctrl-C or SIGTERM ends the recording; the file is complete at any time, also if this process is killed.
"""
EPILOG = """\
beside FILE there are FILE.kdamonds (parameters), FILE.mem_footprint, FILE.vmas, FILE.proc_stats, and FILE.trace with
--events. Those of an earlier recording become FILE.old and so on. All are for their owner only.

examples:
  damon record --sim stairs --ops vaddr -o damon.data
  damon record --linux --ops vaddr --pid 4711 --duration 60
  damon record --linux --ops vaddr --pid 4711 --access rwp     # your own process: without root, on Linux 7.3
  damon record --linux --ops paddr --events damos_before_apply,damos_esz
  damon record --sim hot-cold --module damon_reclaim min_age=5000000
  damon record --damond --duration 60
  damon record --engine host --linux --ops vaddr --pid 4711 --events all
  damon record --engine host --linux --module damon_reclaim min_age=5000000
then: damon report damon.data, or damo report heatmap --input damon.data
"""
_COLUMNS: Final = ("snapshots", "events lost")
#: Options of a machine of one's own.
_OWN: Final = (
    "ops", "pid", "region", "cmdline", "module", "sample_us", "aggr_us", "update_us", "min_nr_regions",
    "max_nr_regions", "intervals_goal",
)  # fmt: skip

#: The kernel's, and vaddr-exact: each page is asked about (the simulated machine, and Linux 7.3).
OPS: Final = ("vaddr", "fvaddr", "vaddr-exact", "paddr")


# Long: declarations of options only, in the order of the help text.
def add(commands: Any) -> None:
    command = commands.add_parser(
        "record",
        help="write monitoring results to a file",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    machine = command.add_mutually_exclusive_group(required=True)
    machine.add_argument("--sim", metavar="WORKLOAD", help="workload: a file (YAML, masim's), or a shipped one's name")
    machine.add_argument("--linux", action="store_true", help="the memory of this machine")
    machine.add_argument("--damond", action="store_true", help="what the workers of a running damond find out")
    command.add_argument(
        "--mount", type=Path, metavar="DIR", help="of the damond to record (default: $DAMOND_MOUNT, or root's)"
    )
    what = command.add_argument_group("what to monitor")
    what.add_argument("--ops", choices=OPS, help="operations set (default paddr)")
    what.add_argument(
        "--pid", type=number(1, (1 << 31) - 1, "a process id"), action="append", default=[],
        help="a process, for vaddr and fvaddr; several times for several. With --sim all of the workload's otherwise",
    )  # fmt: skip
    what.add_argument(
        "--region", type=_region, action="append", default=[], metavar="START-END",
        help="bytes; for paddr (default all of RAM) and fvaddr",
    )  # fmt: skip
    add_access(what)
    add_modules(what)
    attrs = command.add_argument_group("how to monitor")
    default = DamonAttrs()
    for name, value, text in (
        ("sample-us", default.sample_interval, "sampling interval"),
        ("aggr-us", default.aggr_interval, "aggregation interval: one snapshot each"),
        ("update-us", default.ops_update_interval, "interval of looking for changes of the address space"),
        ("min-nr-regions", default.min_nr_regions, "lower limit of regions"),
        ("max-nr-regions", default.max_nr_regions, "upper limit of regions"),
    ):
        attrs.add_argument(f"--{name}", type=number(0, ULONG_MAX), metavar="N", help=f"{text} (default {value})")
    attrs.add_argument(
        "--intervals-goal", type=number(0, ULONG_MAX), nargs=4, metavar=("ACCESS_BP", "AGGRS", "MIN_US", "MAX_US"),
        help="tune the intervals for that many access events",
    )  # fmt: skip
    files = command.add_argument_group("output")
    files.add_argument("-o", "--output", default="damon.data", metavar="FILE", help="default damon.data")
    files.add_argument(
        "--output-type",
        choices=OUTPUT_TYPES,
        default=OUTPUT_TYPES[0],
        help=f"form in the end (default {OUTPUT_TYPES[0]})",
    )
    files.add_argument(
        "--events", default="", metavar="EVENT,...", help=f"also to FILE.trace; all, or some of {', '.join(EVENTS)}"
    )
    files.add_argument("--accesses-only", action="store_true", help="no footprints, mappings and process statistics")
    files.add_argument(
        "--flush", type=duration, default=FLUSH_S, metavar="S",
        help=f"seconds that wait in memory at most (default {FLUSH_S:g})",
    )  # fmt: skip
    add_pace(command, "else as for damon run")
    engines.add(command)
    command.add_argument("--quiet", action="store_true", help="no progress, no summary")
    command.set_defaults(function=record)


def _region(text: str) -> tuple[int, int]:
    try:
        start, end = map(parse_ulong, text.split("-"))
    except (ValueError, InvalidInput):
        raise argparse.ArgumentTypeError(f"{quoted(text)}: is not a range; give START-END in bytes") from None
    return start, end


def _events(text: str) -> Sequence[str]:
    return EVENTS if text == "all" else [event for event in text.split(",") if event]


def _output(arguments: argparse.Namespace) -> Path:
    """Where to write; refused here if that is not possible."""
    path = Path(arguments.output)
    if not arguments.output or path.is_dir() or (path.exists() and not path.is_file()):
        raise InvalidInput(f"--output: {arguments.output!r}: is not a file; give the name of one")
    directory = path.resolve().parent
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InvalidInput(
            f"--output: {arguments.output!r}: its directory does not exist or is read only; give another place"
        )
    return directory / path.name


def record(arguments: argparse.Namespace) -> int:
    """The exit code."""
    path = _output(arguments)
    if arguments.damond:
        return _record_running(arguments, path)
    if arguments.mount:
        raise InvalidInput(f"--mount: {str(arguments.mount)!r}: is for --damond; leave it out")
    if arguments.engine == HOST:
        return _record_host(arguments, path)
    return engines.run(arguments, _record)


def _record(arguments: argparse.Namespace, engine: Engine) -> int:
    """A machine of one's own."""
    from damon.records.recorder import Recorder

    path = _output(arguments)
    machine, seconds = open_machine(arguments)
    try:
        damon = engine.open(machine, arguments.seed)
        try:
            job = Job(damon, arguments, engine)
        except DamonError:
            if arguments.sim and machine.kills():  # what was to be recorded, as soon as it began
                return outcome.report(None, machine.kills())
            raise
        environment: Environment | None = None
        if not arguments.accesses_only:
            environment = LinuxEnvironment() if arguments.linux else SimEnvironment(machine)
        with stop_flag() as stopped:
            recorder = Recorder(
                damon, path, environment, output_type=arguments.output_type, events=_events(arguments.events),
                flush_s=arguments.flush,
            )  # fmt: skip
            try:
                job.start()
                _loop(job, recorder, damon, seconds, stopped, arguments.quiet)
            finally:
                _finish((recorder.refresh, job.stop, recorder.finish))
            engines.tell_warnings(damon)
            code = outcome.report(job.error(), machine.kills() if arguments.sim else ())
            if not arguments.quiet:
                _summary(recorder, path)
        return code
    finally:
        machine.close()


def _loop(
    job: Job, recorder: Recorder, damon: Damon, seconds: float | None, stopped: Sequence[bool], quiet: bool
) -> None:
    clock = damon.machine.clock
    begin = clock.now_ns()
    progress, steps = Progress(_COLUMNS, seconds, quiet=quiet), Steps(damon, None if quiet else seconds)
    try:
        while not stopped[0] and not job.ended() and job.error() is None:
            for ctx in job.contexts():
                if damon.is_running(ctx):
                    recorder.watch(ctx)
            gone_us = (clock.now_ns() - begin) // 1000
            left_us = None if seconds is None else round(seconds * 1e6) - gone_us
            if left_us is not None and left_us <= 0:
                break
            steps.sleep(left_us, job.contexts(), -(-recorder.idle_us() // STEP_US))
            recorder.poll()
            if progress.due(gone_us / 1e6):
                progress.show(gone_us / 1e6, "recorded", [(str(recorder.nr_snapshots), str(recorder.lost))])
    finally:
        progress.close()


def _finish(steps: Iterable[Callable[[], None]]) -> None:
    """Stop what runs and complete the files, whatever fails; the first failure is raised."""
    failed = sys.exception()
    first: BaseException | None = None
    for step in steps:
        try:
            step()
        except OSError as error:
            first = first or error
    if failed is None and first is not None:
        raise first


def _summary(recorder: Recorder, path: Path) -> None:
    if recorder.lost:
        print(f"damon: {recorder.lost} events came too fast and are missing", file=sys.stderr)
    with output.reader_may_leave():
        print(f"{path.name}: {recorder.nr_snapshots} snapshots, {output.size(path.stat().st_size)}")


def _record_running(arguments: argparse.Namespace, path: Path) -> int:
    """From the workers of a damond, which go on as they are."""
    from damon.damond.recording import RunningSource
    from damon.records.recorder import Recorder

    for name, value in vars(arguments).items():
        if name in _OWN and value not in (None, [], ""):
            raise InvalidInput(f"--{name.replace('_', '-')}: {quoted(value)}: is not for --damond; leave it out")
    source = RunningSource((arguments.mount or default_mount()).absolute())
    try:
        with stop_flag() as stopped:
            recorder = Recorder(
                source, path, None if arguments.accesses_only else source.environment(),
                output_type=arguments.output_type, events=_events(arguments.events), flush_s=arguments.flush,
            )  # fmt: skip
            try:
                _follow(source, recorder, arguments.duration, stopped, arguments.quiet)
            finally:
                _finish((recorder.refresh, recorder.finish))
        if not arguments.quiet:
            _summary(recorder, path)
    finally:
        source.close()
    return 0


def _record_host(arguments: argparse.Namespace, path: Path) -> int:
    """What the running kernel's own DAMON finds out."""
    from damon.cli.record_host import HostSource, start
    from damon.host.engine import HostDamon
    from damon.records.recorder import Recorder
    from damon.trace.host import there

    with HostDamon() as host:
        source = HostSource(host)
        with stop_flag() as stopped:
            ctxs = start(host, source, arguments)  # first: events are known by their thread
            events = there() if arguments.events == "all" else _events(arguments.events)
            recorder = Recorder(
                source, path, None if arguments.accesses_only else LinuxEnvironment(),
                output_type=arguments.output_type, events=events, flush_s=arguments.flush,
            )  # fmt: skip
            try:
                for ctx in ctxs:
                    recorder.watch(ctx)
                _follow(source, recorder, arguments.duration, stopped, arguments.quiet)
            finally:
                _finish((recorder.refresh, source.stop, recorder.finish))
        if not arguments.quiet:
            _summary(recorder, path)
    return 0


def _follow(
    source: RunningSource | HostSource, recorder: Recorder, seconds: float | None, stopped: Sequence[bool], quiet: bool
) -> None:
    """Until it is asked to stop, or no worker runs any more."""
    progress = Progress(_COLUMNS, seconds, quiet=quiet)
    begin = time.monotonic()
    try:
        recorder.poll()
        while not stopped[0] and not source.ended:
            gone = time.monotonic() - begin
            left = STEP_US / 1e6 if seconds is None else seconds - gone
            if left <= 0:
                break
            time.sleep(min(STEP_US / 1e6, left))
            recorder.poll()
            if progress.due(gone):
                progress.show(gone, "recorded", [(str(recorder.nr_snapshots), str(recorder.lost))])
    finally:
        progress.close()
