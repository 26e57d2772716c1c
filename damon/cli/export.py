# SPDX-License-Identifier: GPL-2.0-only
"""``damon export FILE.py --to FORM``: a policy of the library for the kernel: as a script, damo's JSON, or C."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from damon.cli import output
from damon.cli.arguments import number
from damon.errors import InvalidInput
from damon.model.checks import INT_MAX
from damon.quoting import quoted

if TYPE_CHECKING:
    from damon.export.policy import Policy

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

examples:
  damon export policy.py --to sysfs-script -o policy.sh
  damon export policy.py --to kernel-c --tree ~/linux
"""
#: What the build of a tree with an exported file needs.
BUILT_IN: Final = "build the kernel with CONFIG_SAMPLES=y and CONFIG_SAMPLE_DAMON_PRCL=y"
#: Of ``--to``.
FORMS: Final = ("sysfs-script", "damo-json", "kernel-c")


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
    command.add_argument(
        "--pid", action="append", default=[], type=number(1, INT_MAX, "a process id"), metavar="PID",
        help="for damo-json: the process of a target, in their order; can be given several times",
    )  # fmt: skip
    command.add_argument("--ram", type=_ram, metavar="START-END", help="for damo-json: all System RAM, in bytes")
    place = command.add_mutually_exclusive_group()
    place.add_argument("-o", "--output", metavar="FILE", default="-", help="where to; - for standard output")
    place.add_argument(
        "--tree", type=Path, metavar="DIR",
        help="for kernel-c: into samples/damon of this kernel tree and the Makefile there, so that it is built in",
    )  # fmt: skip
    command.set_defaults(function=export)


def export(arguments: argparse.Namespace) -> int:
    """The exit code."""
    from damon.export.policy import read_policy
    from damon.mm.sim import SimulatedMachine
    from damon.workload.load import load_workload

    if arguments.to != "damo-json" and (arguments.pid or arguments.ram):
        raise InvalidInput(f"--pid, --ram: they are for damo-json, not for {arguments.to}; leave them out")
    if arguments.tree is not None and arguments.to != "kernel-c":
        raise InvalidInput(f"--tree {quoted(str(arguments.tree))}: is for kernel-c, not for {arguments.to}; give -o")
    output.check_writable(arguments.output, "--output")
    with SimulatedMachine(load_workload(arguments.sim), 0) as machine:
        policy = read_policy(Path(arguments.file), machine)
    for stub in policy.stubs:
        _note(str(stub))
    text = _text(policy, arguments)
    if arguments.tree is not None:
        from damon.export.tree import as_sample

        for path, content in as_sample(arguments.tree, policy.name, text).items():
            output.write_text(str(path), content, "--tree")
            _note(f"{path}: written")
        _note(BUILT_IN)
    else:
        output.write_text(arguments.output, text, "--output")
    return 0


def _text(policy: Policy, arguments: argparse.Namespace) -> str:
    if arguments.to == "damo-json":
        from damon.export.damo import damo_json, lost

        if policy.processes() and not arguments.pid:
            _note("process ids are those of the simulated machine; give --pid for each target")
        if policy.whole_ram and arguments.ram is None:
            _note("all System RAM is that of the simulated machine; give --ram START-END")
        for line in lost(policy):
            _note(line)
        return damo_json(policy, arguments.pid, arguments.ram)
    if arguments.to == "kernel-c":
        from damon.export.c import c_text

        return c_text(policy)
    from damon.export.script import script

    return script(policy)


def _note(text: str) -> None:
    print(f"damon: {text}", file=sys.stderr)


def _ram(text: str) -> tuple[int, int]:
    from damon.export.damo import parse_range

    try:
        return parse_range(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{quoted(text)}: is not a range; give START-END in bytes") from None
