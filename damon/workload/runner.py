# SPDX-License-Identifier: GPL-2.0-only
"""``damon-workload``: perform a workload file's accesses for real, and report the truth of them."""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from damon.errors import DamonError, MissingCapability
from damon.workload.plan import Options, compile_plan

DESCRIPTION = """\
Perform a workload file's memory accesses for real. Each process says where its areas are ("ready"), then once a
second how often it touched each area, and in which share of the sampling intervals (--interval) a page of it was
touched: what a monitor should see. The last phase goes on until Ctrl-C, SIGTERM or --duration.
"""
EPILOG = """\
An emulated processor (QEMU without KVM) keeps TLB entries until the address space is switched, so that touches are not
seen by any monitor of accessed bits. With --tlb-flush (auto: when CPUID says TCG) each process flushes its TLB every
millisecond by toggling the protection of 64 pages of its own.

examples:
  damon-workload workloads/hot-cold.yaml
  damon-workload --json --duration 10 --interval 5000 workloads/accuracy.yaml
"""


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < 1e9:
        raise argparse.ArgumentTypeError(f"{text!r} must be a number above 0")
    return value


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="damon-workload", description=DESCRIPTION, epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("file", nargs="?", help="workload file (YAML, or masim's configuration)")
    parser.add_argument(
        "--plan", metavar="FILE", help="run a plan compiled before (--print-plan) instead of a workload"
    )
    parser.add_argument("--print-plan", action="store_true", help="print the compiled plan and end")
    parser.add_argument("--duration", type=_positive, metavar="S", help="end after so many seconds")
    parser.add_argument("--seed", type=int, default=0, metavar="N", help="of random patterns (default 0)")
    parser.add_argument(
        "--interval", type=_positive, default=5000, metavar="US", help="sampling interval (default 5000)"
    )
    parser.add_argument("--tlb-flush", choices=("auto", "on", "off"), default="auto", help="see below (default auto)")
    parser.add_argument("--huge-pages", action="store_true", help="allow transparent huge pages in the areas")
    parser.add_argument("--directory", default="/var/tmp", metavar="DIR", help="for files behind file areas (/var/tmp)")
    parser.add_argument("--json", action="store_true", help="the program's JSON lines as they are")
    return parser


def _plan(arguments: argparse.Namespace) -> str:
    if arguments.plan is not None:
        with open(arguments.plan) as file:
            return file.read()
    from damon.workload.load import load_workload

    options = Options(
        seed=arguments.seed,
        interval_us=int(arguments.interval),
        duration_us=int((arguments.duration or 0) * 1e6),
        tlb_flush=arguments.tlb_flush,
        huge_pages=arguments.huge_pages,
        directory=arguments.directory,
    )
    return compile_plan(load_workload(arguments.file), options)


def _say(line: str) -> None:
    """One of the program's lines, for people."""
    report = json.loads(line)
    if report["event"] == "ready":
        where = ", ".join(f"{area['name']} {area['start']:#x}-{area['end']:#x}" for area in report["areas"])
        flush = ", flushing the TLB every millisecond" if report["tlb_flush"] else ""
        print(f"{report['process']} ready, pid {report['pid']}: {where}{flush}", flush=True)
        return
    shares = "  ".join(f"{area['name']} {area['share']:.3f}" for area in report["areas"])
    print(
        f"{report['process']} {report['seconds']:8.1f} s  {report['phase']:<12} "
        f"{report['touches_per_second']:>12,.0f} touches/s  share of intervals touched: {shares}",
        flush=True,
    )


def _perform(plan: str, as_json: bool) -> int:
    """Feed the plan to the native program; with ``as_json`` become it."""
    from damon.native import WORKLOAD_PROGRAM

    if not WORKLOAD_PROGRAM.exists():
        raise MissingCapability(f"{WORKLOAD_PROGRAM.name} is not built; run `pip install .` or `make build`")
    with tempfile.TemporaryFile("w+") as file:
        file.write(plan)
        file.flush()
        file.seek(0)
        if as_json:
            os.dup2(file.fileno(), 0)
            os.execv(WORKLOAD_PROGRAM, [str(WORKLOAD_PROGRAM)])
        with subprocess.Popen([str(WORKLOAD_PROGRAM)], stdin=file, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            try:
                for line in process.stdout:
                    _say(line)
            except KeyboardInterrupt:
                for line in process.stdout:  # the program got the signal, too: its last report
                    _say(line)
            return process.wait()


def main(argv: Sequence[str] | None = None) -> int:
    parser = _parser()
    arguments = parser.parse_args(argv)
    if (arguments.file is None) == (arguments.plan is None):
        parser.error("give a workload file or --plan FILE")
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
        print(f"damon-workload: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
