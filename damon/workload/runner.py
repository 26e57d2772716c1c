# SPDX-License-Identifier: GPL-2.0-only
"""``damon-workload``: perform a workload file's accesses for real, and report the truth of them."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import FrameType
from typing import Any, Final

from damon.command.parser import Parser
from damon.command.process import output_failed, start
from damon.errors import DamonError, InvalidInput, MissingCapability
from damon.quoting import quoted
from damon.units import DURATIONS, seconds
from damon.version import __version__
from damon.workload.model import Workload
from damon.workload.performed import plan_file, start_program, workload_program
from damon.workload.plan import Options, change_options, compile_plan

DESCRIPTION = """\
Perform a workload file's memory accesses for real. Each process prints where its areas are ("ready"), then once a
second how often it touched each area, and in which share of the sampling intervals (--interval) a page of it was
touched: what a monitor should see. The last phase goes on until Ctrl-C, SIGTERM or --duration.
"""
EPILOG = """\
An emulated processor (QEMU without KVM) keeps TLB entries until the address space is switched, so that touches are not
seen by any monitor of accessed bits. With --tlb-flush (auto: when the processor is QEMU's own) each
process flushes its TLB in every round (--round) by toggling the protection of a range of its own.

exit codes: 0 fine, 1 a process failed, 2 invalid input and nothing started, 3 the program is not built

examples:
  damon-workload hot-cold
  damon-workload --json --duration 10 --interval 5000 accuracy
  damon-workload --replay web.trace --from 10s --to 70s --loop
  damon-workload --print-plan zipf > zipf.plan; damon-workload --plan zipf.plan
"""
#: Touches later than 20 ms are dropped.
MOST_ROUND_US: Final = 10_000
#: Options of --replay, as a workload file has them.
_OF_TRACES: Final = frozenset({"from", "to", "loop", "time_scale", "size_scale", "populate"})
_PASSED_ON: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR1)


def _seconds(text: str) -> int:
    """Microseconds of ``90``, ``500ms``, ``1h``."""
    value = seconds(text)
    if value is None or not 1e-6 <= value <= 10**9:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}: is not a duration above 0; give seconds, or e.g. {DURATIONS}"
        )
    return int(value * 10**6)


def _time(text: str) -> int:
    """As ``_seconds``, or 0."""
    return 0 if text in ("0", "0s") else _seconds(text)


def _scale(text: str) -> float:
    with suppress(ValueError):
        if 0.001 <= (value := float(text)) <= 1000 and len(text) <= 40:
            return value
    raise argparse.ArgumentTypeError(f"{quoted(text)}: is not a number from 0.001 to 1000; give one")


def _number(least: int, most: int) -> Any:
    def parse(text: str) -> int:
        value = int(text) if text.isdecimal() and len(text) <= len(str(most)) else least - 1
        if not least <= value <= most:
            raise argparse.ArgumentTypeError(f"{quoted(text)}: is not a whole number from {least} to {most}; give one")
        return value

    return parse


def _directory(text: str) -> str:
    if not os.path.isdir(text) or not os.access(text, os.W_OK | os.X_OK):
        raise argparse.ArgumentTypeError(f"{quoted(text)}: is not a writable directory; give one")
    if len(os.fsencode(os.path.abspath(text))) > 255 or "\n" in text:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}: is too long or has a line break; give a path of at most 255 bytes"
        )
    return os.path.abspath(text)


def parser() -> argparse.ArgumentParser:
    parser = Parser(
        prog="damon-workload", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--version", action="version", version=f"%(prog)s (pydamon) {__version__}")
    parser.add_argument(
        "file",
        nargs="?",
        metavar="WORKLOAD",
        help="a file (YAML, masim's), or a shipped one's name",
    )
    parser.add_argument("--replay", metavar="FILE", help="perform a trace file (damon import), to its end or for ever")
    parser.add_argument("--plan", metavar="FILE", help="run a plan compiled before instead (needs no other package)")
    parser.add_argument("--print-plan", action="store_true", help="print the compiled plan and end")
    parser.add_argument("--format", choices=("auto", "yaml", "masim"), default="auto", help="of the file")
    parser.add_argument("--masim-rate", metavar="RATE", help="touches a second of a masim configuration (2M)")
    parser.add_argument("--json", action="store_true", help="the program's JSON lines as they are")
    _add_replay(parser)
    _add_performance(parser)
    return parser


def _add_replay(parser: argparse.ArgumentParser) -> None:
    trace = parser.add_argument_group("what --replay performs", argument_default=argparse.SUPPRESS)
    trace.add_argument("--from", type=_time, metavar="T", help="leave out what came before, e.g. 90s")
    trace.add_argument("--to", type=_time, metavar="T", help="leave out what comes after")
    trace.add_argument(
        "--loop",
        action=argparse.BooleanOptionalAction,
        help="begin again at the end, or end there (as the trace has it)",
    )
    for name, help_text in (
        ("time", "take X times as long, with the same touches"),
        ("size", "areas of X times the size"),
    ):
        trace.add_argument(f"--{name}-scale", type=_scale, metavar="X", help=help_text)
    trace.add_argument("--no-populate", dest="populate", action="store_false", help="do not touch all pages at first")


def _add_performance(parser: argparse.ArgumentParser) -> None:
    # What is not given stays as it is in Options, or in the plan.
    options = parser.add_argument_group("how to perform", argument_default=argparse.SUPPRESS)
    options.add_argument("--duration", type=_seconds, metavar="S", dest="duration_us", help="end after so many seconds")
    options.add_argument("--seed", type=_number(0, 2**64 - 1), metavar="N", help="of random patterns (0)")
    options.add_argument(
        "--interval", type=_number(1, 10**9), metavar="US", dest="interval_us", help="sampling interval (5000)"
    )
    options.add_argument(
        "--round", type=_number(1, MOST_ROUND_US), metavar="US", dest="round_us",
        help="touches are made in rounds of it (1000)",
    )  # fmt: skip
    options.add_argument("--tlb-flush", choices=("auto", "on", "off"), help="see below (auto)")
    options.add_argument("--huge-pages", action="store_true", help="ask for transparent huge pages in the areas")
    options.add_argument("--directory", type=_directory, metavar="DIR", help="for files behind file areas (/var/tmp)")


def _plan(arguments: argparse.Namespace) -> str:
    given = {name: value for name, value in vars(arguments).items() if name in Options.__dataclass_fields__}
    if arguments.plan is not None:
        try:
            return change_options(Path(arguments.plan).read_text(), **given)
        except OSError as error:
            what = f"{error.strerror}; give a readable one"
        except ValueError:
            what = "is not text; make one with --print-plan"
        raise InvalidInput(f"plan: {arguments.plan!r}: {what}")
    workload = _workload(arguments)
    from damon.workload.replays import end_us

    given = {"duration_us": end_us(workload), **given}
    return compile_plan(workload, Options(**given))


def _workload(arguments: argparse.Namespace) -> Workload:
    from damon.workload.load import load_workload
    from damon.workload.masim import FULL_SPEED
    from damon.workload.quantities import parse_rate
    from damon.workload.replays import workload_of

    if arguments.replay is not None:
        options = {name: value for name, value in vars(arguments).items() if name in _OF_TRACES}
        return workload_of(Path(arguments.replay), options)
    rate = FULL_SPEED if arguments.masim_rate is None else parse_rate(arguments.masim_rate, "--masim-rate")
    return load_workload(arguments.file, arguments.format, rate)


def _say(line: str) -> None:
    """One of the program's lines in readable form."""
    import json

    report = json.loads(line)
    if report["event"] == "ready":
        where = ", ".join(f"{area['name']} {area['start']:#x}-{area['end']:#x}" for area in report["areas"])
        flush = ", flushing the TLB in each round" if report["tlb_flush"] else ""
        print(f"{report['process']} ready, pid {report['pid']}: {where}{flush}", flush=True)
        if unlocked := report["unlocked_bytes"]:
            what = f"{unlocked >> 10} KiB of its own tables are not locked, so their faults may count as the workload's"
            print(f"damon-workload: {report['process']}: {what}; raise ulimit -l", file=sys.stderr)
        return
    shares = "  ".join(f"{area['name']} {area['recent_share']:.3f}" for area in report["areas"])
    head = f"{report['process']} {report['seconds']:8.1f} s  {report['phase']:<12}"
    if report["event"] == "end":
        shares = "  ".join(f"{area['name']} {area['share']:.3f}" for area in report["areas"])
        print(f"{head} ended after {report['touches']:,} touches, {report['dropped']:,} not made in time; "
              f"share of intervals touched, over all: {shares}", flush=True)  # fmt: skip
        return
    print(f"{head} {report['touches_per_second']:>12,.0f} touches/s  share of intervals touched: {shares}", flush=True)


def _perform(plan: str, as_json: bool) -> int:
    """Feed the plan to the native program; with ``as_json`` become it."""
    program = workload_program()
    # The program unblocks them when it can stop whole, so that none comes too early for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, _PASSED_ON)
    if as_json:
        os.dup2(plan_file(plan), 0)
        os.execv(program, [str(program)])
    with start_program(plan) as process:

        def pass_on(number: int, _frame: FrameType | None) -> None:
            process.send_signal(number)

        for number in _PASSED_ON:
            signal.signal(number, pass_on)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, _PASSED_ON)
        assert process.stdout is not None
        for line in process.stdout:
            _say(line)
        code = process.wait()
        return code if code >= 0 else 1


def main(argv: Sequence[str] | None = None) -> int:
    """Run ``argv``; the exit code."""
    command = parser()
    arguments = command.parse_args(argv)
    if sum(given is not None for given in (arguments.file, arguments.plan, arguments.replay)) != 1:
        command.error("give one of a workload file, --replay FILE and --plan FILE")
    if arguments.replay is None and (more := sorted(_OF_TRACES & vars(arguments).keys())):
        command.error(f"--{more[0].replace('_', '-')}: belongs to --replay; give both")
    try:
        plan = _plan(arguments)
        if arguments.print_plan:
            print(plan, end="")
            return 0
        return _perform(plan, arguments.json)
    except MissingCapability as error:
        print(f"damon-workload: {error}", file=sys.stderr)
        return 3
    except (DamonError, OSError) as error:
        if output_failed():  # the reader has left (`| head`): the program has ended, too
            raise
        print(f"damon-workload: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    start("damon-workload", main)
