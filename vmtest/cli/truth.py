# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest truth``: one command in a guest, and every page that it accesses."""

from __future__ import annotations

import argparse
import re
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..errors import InvalidInput
from ..quoting import quoted
from ..terminal import say
from .options import add_guest_options, guest_config, seconds, working_directory
from .text import EXIT_CODES

DESCRIPTION = """\
Boots an emulated guest and runs one command in it as root, as "vmtest exec" does. A plugin of QEMU notes for each page
frame and interval whether it was read or written through a user address, by user code or by kernel code, whatever the
TLB hides from accessed bits. An agent in the guest notes which process has which frame. Both go to a raw file while the
command runs; "damon import FILE -o X.trace" makes a workload of it.
"""
EPILOG = """\
examples:
  vmtest truth -o zipf.raw --tree .:/opt/pydamon --env PYTHONPATH=/opt/pydamon -- python3 -m damon.workload.runner zipf
  vmtest truth -o redis.raw --root host --since "Ready to accept" -- redis-server
  vmtest truth -o exact.raw --count -- ./program        # counts each access, not only intervals
  damon import zipf.raw -o zipf.trace && damon run --sim zipf.trace --module damon_reclaim

A guest of x86-64 without KVM, of one NUMA node or several. What a page frame is to a process is looked up every 200 ms,
so that memory of processes that live shorter is not attributed (docs/reference/truth-files.md).

"""


def add(commands: Any) -> None:
    """Adds the command to the command line."""
    truth = commands.add_parser(
        "truth",
        help="run one command in a guest, and note every page that it accesses",
        description=DESCRIPTION,
        epilog=EPILOG + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="vmtest truth [options] -- COMMAND [ARGUMENT ...]",
    )
    _add_what(truth)
    add_guest_options(truth)
    truth.add_argument(
        "--icount",
        type=int,
        metavar="N",
        help="the guest's time is counted: 2**N ns an instruction, so that recording and what else the host does do "
        "not slow it down (0 to 10; 2 is near an emulated processor's own speed)",
    )
    truth.add_argument(
        "--timeout", type=seconds, default=None, metavar="S", help="seconds the command may take (default: no limit)"
    )
    truth.add_argument("--verbose", "-v", action="store_true", help="print what goes on, on stderr")
    truth.add_argument(
        "command", nargs="+", metavar="COMMAND", help="after --: program and arguments, run as they are (no shell)"
    )
    truth.set_defaults(call=_truth)


def _add_what(truth: argparse.ArgumentParser) -> None:
    what = truth.add_argument_group("what to record")
    what.add_argument("-o", "--output", type=Path, default=Path("truth.raw"), metavar="FILE",
                      help="the raw file to write (default: truth.raw)")  # fmt: skip
    what.add_argument("--interval", type=seconds, default=0.005, metavar="T",
                      help="a page was accessed in such an interval, or not (default: 5ms)")  # fmt: skip
    what.add_argument("--window", type=seconds, default=0.1, metavar="T",
                      help="intervals are added up over so long (default: 100ms)")  # fmt: skip
    what.add_argument("--look", type=seconds, default=0.2, metavar="T",
                      help="look as often which process has which frame (default: 200ms)")  # fmt: skip
    what.add_argument("--only", default="", metavar="PROGRAM", help="only processes of this name (default: all of the "
                      "command's)")  # fmt: skip
    what.add_argument("--range", type=_range, default=(0, 1 << 63), metavar="BEGIN-END",
                      help="only these user addresses, hexadecimal")  # fmt: skip
    what.add_argument("--since", default="", metavar="TEXT", help="begin when the command prints TEXT")
    what.add_argument("--count", action="store_true", help="count each access, too")


def _range(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(?:0x)?([0-9a-f]{1,16})-(?:0x)?([0-9a-f]{1,16})", text, re.ASCII | re.IGNORECASE)
    if found is None:
        raise argparse.ArgumentTypeError(
            f"{quoted(text)}: is not BEGIN-END in hexadecimal; give e.g. 7f0000000000-7fff00000000"
        )
    return int(found[1], 16), int(found[2], 16)


def _truth(options: argparse.Namespace) -> int:
    from ..truth.record import Command, Options, record
    from .exec import writer

    if not options.output.name:
        raise InvalidInput(f"output: {quoted(str(options.output))}: is not a file; give the name of one")
    config = replace(guest_config(options), icount=options.icount)
    wanted = Options(
        output=options.output,
        interval_ns=round(options.interval * 1e9),
        window_ns=round(options.window * 1e9),
        look_ms=max(round(options.look * 1e3), 1),
        only=options.only,
        begin=options.range[0],
        end=options.range[1],
        since=options.since,
        exact=options.count,
    )
    command = Command(
        options.command,
        writer(sys.stdout.buffer),
        writer(sys.stderr.buffer),
        options.timeout,
        working_directory(config, options.cwd),
    )
    result = record(config, wanted, command, say if options.verbose else lambda line: None)
    if options.verbose:
        size = options.output.stat().st_size
        say(f"command ended with code {result.returncode} after {result.seconds:.1f} s; {options.output}: {size} bytes")
    return result.returncode
