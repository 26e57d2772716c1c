# SPDX-License-Identifier: GPL-2.0-only
"""``damon import``: recordings as trace files, which the simulated machine replays, or as run directories."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import output
from damon.cli.arguments import duration, number
from damon.errors import InvalidInput
from damon.progress import Progress
from damon.quoting import quoted

if TYPE_CHECKING:
    from damon.workload.tracefile.reader import Trace

DESCRIPTION = """\
Make a trace file of a recording: a workload of the simulated machine, so that policies can be compared and tuned on
what a real program did. RECORD is a file of `damon record` or `damo record` (any of damo's forms but perf.data), a raw
file of `vmtest truth`, or a trace file that is to be cut, scaled or anonymised.

Each target becomes a process. Ranges that it had at the same times are an area, which is mapped and unmapped at these
times; with the mappings that `damon record` keeps in FILE.vmas only what was mapped counts. A region that DAMON saw
accessed in a share p of its samples has pages that are touched -ln(1 - p) times a sampling interval, at random.
"""
EPILOG = """\
A record has no writes, no page contents and nothing finer than its regions: docs/how-to/import.md says how much that
matters, measured.

examples:
  damon import damon.data -o web.trace
  damon run --sim web.trace --module damon_reclaim min_age=5000000
  damon import web.trace -o part.trace --from 5min --to 10min
  damon import web.trace -o small.trace --time-scale 0.1 --size-scale 0.25   a tenth of the time, a quarter of the size
  damon import damon.data -o shared.trace --anonymise                       no names, no addresses
  damon import damon.data --run run1 && damon report run1 -o report.html    a page of the record

in a workload file, beside other areas and phases:
  areas:
    web:   {trace: web.trace, loop: true}
    cache: {size: 256M}
"""
_SCALES: Final = 0.001, 1000.0


def add(commands: Any) -> None:
    command = commands.add_parser(
        "import",
        help="turn a recording into a workload",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", metavar="RECORD", help="a file of records, or a trace file")
    made = command.add_mutually_exclusive_group(required=True)
    made.add_argument("-o", "--output", metavar="FILE", help="the trace file to write")
    made.add_argument("--run", metavar="DIR", help="make a run directory instead, for `damon report` and programs")
    _add_changes(command)
    _add_lacks(command)
    command.add_argument("--quiet", action="store_true", help="no progress, no summary")
    command.set_defaults(function=import_file)


def _add_changes(command: Any) -> None:
    change = command.add_argument_group("what to change")
    change.add_argument("--from", dest="begin", type=_time, metavar="T", help="leave out what came before, e.g. 90s")
    change.add_argument("--to", dest="end", type=_time, metavar="T", help="leave out what comes after")
    change.add_argument("--process", default="", metavar="NAME", help="only the processes of that name")
    change.add_argument(
        "--loop", action="store_true", help="a replay begins again at the end, unless it says otherwise"
    )
    change.add_argument(
        "--time-scale", type=_scale, default=1.0, metavar="X", help="take X times as long, with the same touches"
    )
    change.add_argument(
        "--size-scale", type=_scale, default=1.0, metavar="X", help="X times as many pages, touched as the old ones"
    )
    change.add_argument(
        "--anonymise", action="store_true", help="no names and no addresses: area-0, process-0, pages from 0 on"
    )


def _add_lacks(command: Any) -> None:
    lacks = command.add_argument_group("what a record lacks")
    lacks.add_argument(
        "--write-share", type=_share, default=1.0, metavar="X", help="share of accesses that write, 0 to 1 (default 1)"
    )
    lacks.add_argument(
        "--spread", type=_time, default=5 * 10**9, metavar="T",
        help="spread the accesses of regions with few hits over so long (default 5s; 0: not at all)",
    )  # fmt: skip
    for name in ("sample-us", "aggr-us"):
        lacks.add_argument(
            f"--{name}", type=number(1, 10**12), metavar="N", help="interval, instead of what the record has"
        )


def _time(text: str) -> int:
    """ns."""
    return 0 if text in ("0", "0s") else round(duration(text) * 1e9)


def _float(least: float, most: float, what: str) -> Callable[[str], float]:
    def parse(text: str) -> float:
        try:
            value = float(text)
        except ValueError:
            value = -1.0
        if not least <= value <= most or len(text) > 40:
            raise argparse.ArgumentTypeError(f"{quoted(text)}: is not {what} from {least:g} to {most:g}; give one")
        return value

    return parse


_scale = _float(*_SCALES, "a number")
_share = _float(0.0, 1.0, "a share")


def import_file(arguments: argparse.Namespace) -> int:
    """The exit code; 1 if the file's end could not be read."""
    from damon.workload.tracefile.reader import Trace, is_trace

    if arguments.run is not None:
        return _run_directory(arguments)
    path, target = Path(arguments.file), _output(arguments)
    if not path.is_file():
        raise InvalidInput(f"record: {quoted(arguments.file)}: is not a file; give one of `damon record`")
    damaged = None
    with Progress(f"import {path.name}") if not arguments.quiet else _Silent() as progress:
        if is_trace(path):
            _change(arguments, Trace(path), target, progress.update)
        else:
            with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as scratch:
                raw = target if not _changes(arguments) else Path(scratch, "trace")
                damaged = _import(arguments, path, raw, progress.update)
                if raw != target:
                    _change(arguments, Trace(raw), target, progress.update)
    if damaged is not None:
        print(f"damon: {damaged}; this is what came before", file=sys.stderr)
    if not arguments.quiet:
        _summary(Trace(target))
        _machine(path)
    return 0 if damaged is None else 1


def _run_directory(arguments: argparse.Namespace) -> int:
    """The records as results over time."""
    from damon.results.directory import check_place
    from damon.results.records import record_to_run
    from damon.workload.tracefile.reader import is_trace

    path, out = Path(arguments.file), Path(arguments.run)
    if _changes(arguments) or arguments.sample_us or arguments.aggr_us or arguments.write_share != 1.0:
        raise InvalidInput("--run: shows a record as it is; leave out what changes it")
    if not path.is_file() or is_trace(path):
        raise InvalidInput(f"record: {quoted(arguments.file)}: is not a file of records; give one of `damon record`")
    check_place(out, "--run")
    with Progress(f"import {path.name}") if not arguments.quiet else _Silent() as progress:
        made = record_to_run(path, out, progress=progress.update)
    if made.skipped:
        print(f"damon: {made.skipped} snapshots do not follow the one before and were left out", file=sys.stderr)
    if made.damaged is not None:
        print(f"damon: {made.damaged}; this is what came before", file=sys.stderr)
    if not arguments.quiet:
        print(f"{out.name}: {made.snapshots} snapshots; show them with: damon report {out}")
    return 0 if made.damaged is None else 1


class _Silent:
    """Shows nothing."""

    def __enter__(self) -> _Silent:
        return self

    def __exit__(self, *_: object) -> None: ...

    def update(self, note: str = "") -> None: ...


def _output(arguments: argparse.Namespace) -> Path:
    """Where to write; refused here if that is not possible."""
    path = Path(arguments.output)
    directory = path.resolve().parent
    if not arguments.output or (path.exists() and not path.is_file()):
        raise InvalidInput(f"--output: {quoted(arguments.output)}: is not a file; give the name of one")
    if not os.access(directory, os.W_OK | os.X_OK):
        raise InvalidInput(
            f"--output: {quoted(arguments.output)}: its directory does not exist or is read only; give another place"
        )
    return directory / path.name


def _changes(arguments: argparse.Namespace) -> bool:
    scaled = (arguments.time_scale, arguments.size_scale) != (1.0, 1.0)
    cut = arguments.begin is not None or arguments.end is not None
    return bool(scaled or cut or arguments.loop or arguments.anonymise or arguments.process)


def _import(arguments: argparse.Namespace, path: Path, target: Path, progress: Callable[[str], None]) -> str | None:
    """Why the file's end could not be read."""
    from damon.guests.truth import is_raw
    from damon.records.importing import Options, import_records
    from damon.workload.tracefile.writer import TraceWriter

    if is_raw(path):
        _import_truth(arguments, path, target, progress)
        return None
    options = Options(arguments.sample_us, arguments.aggr_us, arguments.write_share, arguments.spread / 1e9)
    with TraceWriter(target) as writer:
        done = import_records(path, writer, options, progress)
    if done.skipped:
        print(f"damon: {done.skipped} snapshots do not follow the one before and were left out", file=sys.stderr)
    return done.damaged


def _import_truth(
    arguments: argparse.Namespace, path: Path, target: Path, progress: Callable[[str], None]
) -> None:  # fmt: skip
    from damon.guests.truth.convert import convert
    from damon.workload.tracefile.writer import TraceWriter

    with TraceWriter(target) as writer:
        done = convert(path, writer, progress)
    if arguments.quiet:
        return
    sums = done.sums
    whole = max(sums.known + sums.zero + sums.others, 1)
    shares = [f"{part / whole:.1%}" for part in (sums.known, sums.zero, sums.others)]
    print(
        f"accesses (intervals of pages): {shares[0]} of these processes, {shares[1]} of pages of zeros, {shares[2]} of "
        "other programs and of pages that no look saw"
    )
    print(f"times within {done.error_ns / 1e6:.2f} ms; {done.shared} shared pages, {done.moved} moved")
    if done.left_out:
        print(f"damon: {done.left_out} processes are more than a trace has room for, and left out", file=sys.stderr)


def _change(arguments: argparse.Namespace, trace: Trace, target: Path, progress: Callable[[str], None]) -> None:
    from damon.workload.tracefile.change import Change, change_trace
    from damon.workload.tracefile.writer import TraceWriter

    change = Change(
        arguments.begin or 0, arguments.end, arguments.process, arguments.time_scale, arguments.size_scale,
        arguments.anonymise, True if arguments.loop else None,
    )  # fmt: skip
    with TraceWriter(target) as writer:
        change_trace(trace, writer, change, progress)


def _summary(trace: Trace) -> None:
    what = trace.description
    rows = []
    for index, space in enumerate(what.spaces):
        areas = [area for area in what.areas if area.space == index]
        size = sum(area.nr_pages for area in areas) * 4096
        rows.append((space.process, str(len(areas)), output.size(size), str(trace.nr_windows(index))))
    output.table(("process", "areas", "size", "windows"), rows)
    loop = ", repeats" if what.loop else ""
    print(f"{trace.path.name}: {what.duration_ns / 1e9:g} s{loop}, {output.size(trace.size)}")


def _machine(path: Path) -> None:
    """What a workload file needs for a machine like the one that the recording was made on."""
    from damon.mm.sim.ram import MIB, memory_of
    from damon.records.siblings import footprints

    first = next(footprints(path), None)
    if first is None or not first.total:
        return
    others = max((first.available or first.free) - first.free, 0)
    held = max(first.total - first.free - first.resident - others, 0)
    print(
        f"memory at first: {output.size(first.total)}, of which {output.size(first.resident)} of these processes, "
        f"{output.size(first.free)} free, {output.size(others)} that can be reclaimed besides; in a workload file:"
    )
    if others >= MIB:
        print(f"  others: {{size: {round(others / MIB)} MiB, process: others}}  # below areas:")
    print(f"machine: {{memory: {memory_of(first.total) // MIB} MiB, reserved: {round(held / MIB)} MiB}}")
