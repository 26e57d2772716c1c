# SPDX-License-Identifier: GPL-2.0-only
"""``damon export FILE.py --to FORM``: a policy of the library for the kernel: as a script, damo's JSON, or C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any, Final

from damon.cli import output

DESCRIPTION = """\
Write a policy, as made with the library, in a form that the kernel's DAMON runs. FILE.py defines policy(kernel), which
returns a DamonCtx or several: kernel is a damon.Damon, kernel.machine the simulated machine that plays --sim. Nothing
runs there; it gives process ids, System RAM and cgroups. What only Python can run becomes a marked stub, and a scheme
that needs it does nothing but count.
"""
EPILOG = """\
forms:
  sysfs-script  a POSIX shell script that writes to /sys/kernel/mm/damon/admin; process ids are its arguments
  damo-json     what damo start takes
  kernel-c      a file for the kernel's samples/damon; damon run --with runs it in user space

example: damon export policy.py --to sysfs-script -o policy.sh
"""
FORMS: Final = ("sysfs-script",)


def add(commands: Any) -> None:
    command = commands.add_parser(
        "export",
        help="write a policy for the kernel: script, damo's JSON, or C",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("file", metavar="FILE.py", help="what defines policy(kernel)")
    command.add_argument("--to", required=True, choices=FORMS, help="the form")
    command.add_argument(
        "--sim", default="hot-cold", metavar="WORKLOAD",
        help="the machine that the policy is made on: a workload file, or a shipped one's name (default hot-cold)",
    )  # fmt: skip
    command.add_argument("-o", "--output", metavar="FILE", default="-", help="where to; - for standard output")
    command.set_defaults(function=export)


def export(arguments: argparse.Namespace) -> int:
    """The exit code."""
    from damon.export.policy import read_policy
    from damon.mm.sim import SimulatedMachine
    from damon.workload.load import load_workload

    output.check_writable(arguments.output, "--output")
    with SimulatedMachine(load_workload(arguments.sim), 0) as machine:
        policy = read_policy(Path(arguments.file), machine)
    for stub in policy.stubs:
        print(f"damon: {stub}", file=sys.stderr)
    from damon.export.script import script

    output.write_text(arguments.output, script(policy), "--output")
    return 0
