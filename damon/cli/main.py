# SPDX-License-Identifier: GPL-2.0-only
"""``damon COMMAND``: the table of commands, and how errors end."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Collection, Sequence
from importlib import import_module
from typing import Final

from damon.cli.arguments import Parser, add_version
from damon.command.process import output_failed, start
from damon.errors import DamonError, MissingCapability

#: Modules of this package and their commands. Each has ``add(subparsers)``, which sets ``function`` to what takes the
#: parsed arguments and returns the exit code. Only the module of the wanted command is imported.
COMMANDS: Final = {
    "run": ("run",),
    "compare": ("compare",),
    "accuracy": ("accuracy",),
    "validate": ("validate",),
    "modinfo": ("modinfo",),
    "record": ("record",),
    "report": ("report",),
    "why": ("why",),
    "workload": ("workload",),
    "importing": ("import",),
    "trace": ("trace",),
    "exec": ("exec",),
    "export": ("export",),
    "study": ("sweep", "tune"),
    "client": ("status", "pid", "lsmod", "modprobe", "rmmod", "param"),
    "top": ("top",),
    "doctor": ("doctor",),
}

EPILOG = """\
exit codes:
  0    fine
  1    a monitoring worker ended by an unexpected error, a simulated process was killed for want of memory, the
       result could not be written, or damond ended or stayed silent while it was asked
  2    invalid input; nothing was started
  3    this machine lacks something; the message names it, and the remedy
  4    --require: a condition is not met
  130  interrupted before anything was started
"""


def parser(modules: Collection[str] = tuple(COMMANDS)) -> argparse.ArgumentParser:
    """The command line with the commands of ``modules``."""
    top = Parser(
        prog="damon",
        description="DAMON, Linux's data access monitor and its access-aware operation schemes, in user space.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_version(top)
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name in modules:
        import_module(f"damon.cli.{name}").add(commands)
    return top


def _modules(words: Sequence[str]) -> Collection[str]:
    """The module of the command that ``words`` begin with; all of them when it is none, for help and suggestions."""
    first = words[0] if words else ""
    if first == "--version":
        return ()
    return [module for module, names in COMMANDS.items() if first in names] or tuple(COMMANDS)


def _fail(code: int, error: BaseException | str) -> int:
    print(f"damon: {error}", file=sys.stderr)
    return code


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Errors are one line on stderr."""
    words = sys.argv[1:] if argv is None else argv
    arguments = parser(_modules(words)).parse_args(words)
    return exit_code(lambda: int(arguments.function(arguments)))


def exit_code(command: Callable[[], int]) -> int:
    """What ``command`` returns; errors are one line on stderr, and have codes of their own."""
    try:
        return command()
    except MissingCapability as error:
        return _fail(3, error)
    except DamonError as error:
        return _fail(2, error)
    except OSError as error:
        if output_failed():
            raise
        return _fail(1, error.strerror or error)
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    start("damon", main)
