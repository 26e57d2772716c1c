# SPDX-License-Identifier: GPL-2.0-only
"""``vmtest exec``: one command in a guest."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

from ..errors import CommandTimeout
from ..terminal import say
from .machine_options import add_command_options, dump_directory
from .options import add_guest_options, guest_config, seconds, working_directory
from .text import EXAMPLES, EXIT_CODES, reporting_dump

CHUNK = 1 << 16


def add(commands: Any) -> None:
    """Adds the command to the command line."""
    run = commands.add_parser(
        "exec",
        help="boot a guest, run one command, end with its exit code",
        description="Boots a guest and runs one command in it as root. Its standard output, standard error and\n"
        "exit code become this program's own; standard input is passed on unless it is a terminal.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        usage="vmtest exec [options] -- COMMAND [ARGUMENT ...]",
    )
    add_guest_options(run)
    add_command_options(run)
    run.add_argument(
        "--timeout", type=seconds, default=None, metavar="S", help="seconds the command may take (default: no limit)"
    )
    run.add_argument(
        "--verbose", "-v", action="store_true", help="print what is started, and how long each phase took, on stderr"
    )
    run.add_argument(
        "command", nargs="+", metavar="COMMAND", help="after --: program and arguments, run as they are (no shell)"
    )
    run.set_defaults(call=_exec)


def _exec(options: argparse.Namespace) -> int:
    from ..guest import Guest
    from ..plug_schedule import Schedule

    config = guest_config(options)
    cwd = working_directory(config, options.cwd)
    machine = Guest(config, artifacts=dump_directory(options, config.most_bytes))
    with reporting_dump(machine), machine as guest:
        if options.verbose:
            phases = ", ".join(f"{name} {seconds:.1f} s" for name, seconds in guest.timings.items())
            say(f"guest up ({guest.accelerator}): {phases}")
        for warning in guest.warnings:
            say(f"console: {warning}")
        # Not through sys.stdin: a thread that waits in it would hold its lock when this program ends.
        stdin = None if os.isatty(0) else iter(lambda: os.read(0, CHUNK), b"")
        with Schedule(guest, say):
            process = guest.popen(
                options.command,
                cwd=cwd,
                input=stdin,
                stdout=writer(sys.stdout.buffer),
                stderr=writer(sys.stderr.buffer),
            )
            try:
                result = process.wait(options.timeout)
            except CommandTimeout:
                process.kill()
                raise
        if options.verbose:
            say(f"command ended with code {result.returncode} after {result.seconds:.1f} s")
    return result.returncode


def writer(stream: BinaryIO) -> Callable[[bytes], None]:
    """A sink that writes to a stream of this program."""

    def write(data: bytes) -> None:
        try:
            stream.write(data)
            stream.flush()
        except BrokenPipeError:
            pass  # the reader has left; the command runs on, as it would behind "| head" without SIGPIPE

    return write
