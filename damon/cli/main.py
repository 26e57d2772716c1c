# SPDX-License-Identifier: GPL-2.0-only
"""``damon COMMAND``: the table of commands, and how errors end (0 fine, 1 a worker died, 2 invalid input, 3 lacking)."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from types import ModuleType

from damon.cli import modinfo, run
from damon.errors import DamonError, MissingCapability

#: Each has ``add(subparsers)``, which sets ``function`` to what takes the parsed arguments and returns the exit code.
COMMANDS: tuple[ModuleType, ...] = (run, modinfo)

EPILOG = """\
exit codes:
  0  fine
  1  a monitoring worker ended by an unexpected error
  2  invalid input; nothing was started
  3  this machine lacks something; the message says what, and the remedy
"""


def parser() -> argparse.ArgumentParser:
    top = argparse.ArgumentParser(
        prog="damon",
        description="DAMON, Linux's data access monitor and its access-aware operation schemes, in user space.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add(commands)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; the exit code. Errors are one line on stderr."""
    arguments = parser().parse_args(argv)
    try:
        return int(arguments.function(arguments))
    except MissingCapability as error:
        print(f"damon: {error}", file=sys.stderr)
        return 3
    except DamonError as error:
        print(f"damon: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:
        sys.stderr.close()
        return 0


if __name__ == "__main__":
    sys.exit(main())
