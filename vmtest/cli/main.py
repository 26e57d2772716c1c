# SPDX-License-Identifier: GPL-2.0-only
"""The command line as a whole."""

from __future__ import annotations

import argparse
import signal
from collections.abc import Sequence
from typing import NoReturn

from ..command.parser import Parser
from ..command.process import interrupt, raise_interrupts, start
from ..errors import HarnessError, MachineLacks
from ..terminal import say, tell
from .text import EXAMPLES, EXIT_CODES


class _Version(argparse.Action):
    """Reads the version when asked: the metadata of distributions take a while to import."""

    def __init__(self, option_strings: Sequence[str], dest: str) -> None:
        super().__init__(option_strings, dest, nargs=0, help="show program's version number and exit")

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> NoReturn:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("pydamon")
        except PackageNotFoundError:
            number = "not installed"
        print(f"{parser.prog} (pydamon) {number}")
        parser.exit()


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from . import build, doctor, exec, kconfig, kselftest, kunit, shell, suite, truth

    top = Parser(
        prog="vmtest",
        description="Boots a Linux guest in QEMU, runs a command in it, and cleans up.",
        epilog=EXAMPLES + EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    top.add_argument("--version", action=_Version)
    commands = top.add_subparsers(dest="what", required=True, metavar="COMMAND", parser_class=Parser)
    for command in (exec, shell, truth, suite, kselftest, kunit, build, kconfig, doctor):
        command.add(commands)
    return top


def main(arguments: Sequence[str] | None = None) -> int:
    """The command; returns its exit code."""
    # A supervisor of CI jobs ends us with TERM, a terminal that is closed with HUP: clean up as for Ctrl-C. What is
    # ignored when we start stays ignored, as POSIX has it for shells: "nohup vmtest", a script's "vmtest ... &".
    for number in (signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)
    try:
        options = parser().parse_args(arguments)
        raise_interrupts()
        code: int = options.call(options)
        tell("", end="")  # what is still in the buffer
    except HarnessError as error:
        say(str(error))
        return error.exit_code
    except ModuleNotFoundError as error:
        say(f"Python module {error.name!r} is missing; install the harness's own: pip install 'pydamon[vmtest]'")
        return MachineLacks.exit_code
    except KeyboardInterrupt:
        say("interrupted; nothing is left behind")
        return 130
    return code


if __name__ == "__main__":
    start("vmtest", main)
